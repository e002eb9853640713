"""The packaging files agree with each other and with what they install."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TRAINER = tomllib.loads((ROOT / "pyproject.toml").read_text())
RUNTIME = tomllib.loads((ROOT / "export" / "pyproject.toml").read_text())


def name_of(requirement: str) -> str:
    """The normalised distribution name in a requirement line."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\s\[=<>!~;]", requirement, maxsplit=1)[0]).lower()


def constraints() -> dict[str, str]:
    """Pinned versions by normalised name."""
    lines = [line.strip() for line in (ROOT / "constraints.txt").read_text().splitlines()]
    return {name_of(line): line.split("==")[1] for line in lines if line and not line.startswith("#")}


def direct() -> list[str]:
    """Every requirement that one of the two distributions names."""
    found = []
    for project in (TRAINER["project"], RUNTIME["project"]):
        found += project["dependencies"]
        for extra in project.get("optional-dependencies", {}).values():
            found += extra
    return [r for r in found if name_of(r) != "robopolicy-runtime"]


@pytest.mark.parametrize("requirement", sorted(set(direct())))
def test_constraints_pin_every_dependency(requirement):
    assert name_of(requirement) in constraints()


def test_constraints_pin_exact_portable_versions():
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        assert line.startswith("#") or re.fullmatch(r"[\w.-]+==[\w.]+", line), line


def test_constraints_pin_what_the_dependencies_need():
    """Walk the requirements of what is installed: each one that applies here is pinned."""
    from importlib.metadata import PackageNotFoundError, requires

    from packaging.requirements import Requirement

    pinned, todo, seen = constraints(), list(direct()), set()
    while todo:
        requirement = Requirement(todo.pop())
        for extra in requirement.extras or {""}:
            key = (name_of(requirement.name), extra)
            if key in seen:
                continue
            seen.add(key)
            assert key[0] in pinned, f"{requirement} is not in constraints.txt"
            try:
                below = requires(requirement.name) or []
            except PackageNotFoundError:
                continue  # an extra that is not installed here
            for text in below:
                marker = Requirement(text).marker
                if marker is None or marker.evaluate({"extra": extra}):
                    todo.append(text)


def test_the_pinned_mujoco_is_allowed():
    from packaging.specifiers import SpecifierSet

    for requirement in direct():
        if name_of(requirement) == "mujoco":
            allowed = SpecifierSet(requirement.removeprefix("mujoco"))
            assert constraints()["mujoco"] in allowed
            assert "4.0.0" not in allowed


def test_the_wheel_carries_tasks_and_assets():
    carried = TRAINER["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert carried == {"tasks": "robopolicy/_data/tasks", "assets": "robopolicy/_data/assets"}
    assert all((ROOT / folder).is_dir() for folder in carried)


def test_the_robot_installs_no_trainer():
    needs = {name_of(r) for r in RUNTIME["project"]["dependencies"]}
    assert needs == {"numpy", "onnxruntime"}


def test_both_distributions_have_one_python_range_floor():
    assert TRAINER["project"]["requires-python"] == ">=3.11,<3.14"
    assert RUNTIME["project"]["requires-python"].startswith(">=3.11")
