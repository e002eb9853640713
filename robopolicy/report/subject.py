"""What a run folder or an exported file knows of itself, and what it lacks."""

import hashlib
import inspect
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from robopolicy_runtime.contract import Contract

from robopolicy import checkpoint
from robopolicy.errors import UserError
from robopolicy.evaluate import Act, load_actor
from robopolicy.task import Task
from robopolicy.view.plots import read_progress

_GOING_ON_S = 180.0  # a run whose table grew within this time may still be training


@dataclass
class Subject:
    """One policy and where it comes from; None for what is not there, which ``missing`` explains.

    Attributes:
        label: A short name, no two alike in a report.
        path: Of the run folder or the file.
        task: With the run's own settings.
        act: The policy.
        contract: What a robot must know to run it.
        settings: Every setting by its dotted name, those of the training included; empty for a file.
        config: All of config.json; empty for a file.
        progress: Columns of progress.csv; empty without it.
        trained: Steps, seconds and seed, as far as known.
        versions: What it was trained with.
        hashes: SHA-256 of its files.
        starts: How often a training was started in the folder: 1, and one for each time it was resumed.
        going_on: Whether the training may still be running.
        missing: A sentence for everything that is not there.
    """

    label: str
    path: Path
    task: Task | None = None
    act: Act | None = None
    contract: Contract | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    progress: dict[str, np.ndarray] = field(default_factory=dict)
    trained: dict[str, float] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    starts: int = 1
    going_on: bool = False
    missing: list[str] = field(default_factory=list)


def gather(paths: Sequence[Path]) -> list[Subject]:
    """Read run folders and ONNX files.

    Raises:
        UserError: One is neither, or its settings cannot be read.
    """
    names = [path.resolve().stem if path.suffix == ".onnx" else path.resolve().name for path in paths]
    labels = [n if names.count(n) == 1 else str(p) for n, p in zip(names, paths, strict=True)]
    labels = [n if labels.count(n) == 1 else f"{n} ({k + 1})" for k, n in enumerate(labels)]
    return [_file(p, n) if p.suffix == ".onnx" else _run(p, n) for p, n in zip(paths, labels, strict=True)]


def flat(values: Any, where: str = "") -> dict[str, Any]:
    """Nested groups as dotted names: ``{"ppo": {"gamma": 0.99}}`` to ``{"ppo.gamma": 0.99}``; lists stay whole."""
    if isinstance(values, dict) and values:
        return {k: v for name, value in values.items() for k, v in flat(value, f"{where}.{name}".strip(".")).items()}
    return {where: values}


def differences(subjects: Sequence[Subject]) -> dict[str, list[Any]]:
    """Settings that are not the same in all, by name, a value for each; None where one has no such setting.

    The folder's name is no setting.
    """
    names = dict.fromkeys(name for s in subjects for name in s.settings)
    rows = {name: [s.settings.get(name) for s in subjects] for name in names if name != "options.run"}
    return {name: row for name, row in rows.items() if any(value != row[0] for value in row)}


def randomization(task: Task) -> dict[str, dict[str, Any]]:
    """Arguments of every randomizer, its own defaults included, by name."""
    found = {}
    for name, term in task.randomizers.items():
        parameters = list(inspect.signature(term.function).parameters.values())[1:]
        defaults = {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}
        found[name] = defaults | term.params
    return found


def _run(folder: Path, label: str) -> Subject:
    task, config = checkpoint.load_config(folder)
    settings = flat({"task": config.get("task"), **config["settings"], "options": config.get("options", {})})
    found = Subject(
        label,
        folder,
        task,
        config=config,
        settings=settings | flat({"clips": config.get("clips", {})}),
        versions=config.get("versions", {}),
        starts=max(1, len(list(folder.glob("events.out.tfevents.*")))),
        hashes={checkpoint.CONFIG: _sha256(folder / checkpoint.CONFIG)},
    )
    found.hashes[checkpoint.SOURCE] = _sha256(folder / checkpoint.SOURCE)
    try:
        found.progress = read_progress(folder / "progress.csv")
        age = time.time() - (folder / "progress.csv").stat().st_mtime
        over = found.starts == 1 and _reached(config.get("options", {}), found.progress)
        found.going_on = age < _GOING_ON_S and not over
    except UserError as error:
        found.missing.append(str(error))
    try:
        run = checkpoint.load(folder)
        found.trained = {"seed": config["options"]["seed"]} | {n: run.sidecar[n] for n in ("steps", "seconds")}
        found.hashes[checkpoint.CHECKPOINT] = _sha256(folder / checkpoint.CHECKPOINT)
        found.task, found.act = load_actor(folder)
    except UserError as error:
        found.missing.append(f"no evaluation, no film and no contract: {error}")
        return found
    try:
        found.contract = _contract(run)
    except UserError as error:
        found.missing.append(f"no contract: {error}")
    return found


def _contract(run: checkpoint.Run) -> Contract:
    from robopolicy_runtime.errors import ContractError

    from robopolicy.export import build_contract, mjcf_text, origin_of
    from robopolicy.robot import load_robot

    robot = load_robot(run.task.robot).compile(run.task.timestep, visual=False)
    try:
        return build_contract(run.task, robot, origin_of(run), mjcf_text(robot))
    except ContractError as error:
        raise UserError(str(error)) from error


def _file(path: Path, label: str) -> Subject:
    from robopolicy_runtime.errors import ContractError
    from robopolicy_runtime.policy import PolicyFile

    if not path.is_file():
        raise UserError(f"no file {path}")
    try:
        contract = PolicyFile.open(path).contract
    except ContractError as error:
        raise UserError(str(error)) from error
    t, h = contract.trained, contract.hashes
    found = Subject(
        label,
        path,
        contract=contract,
        trained={"seed": t.seed, "steps": t.steps, "seconds": t.seconds},
        versions=contract.versions,
        hashes={path.name: _sha256(path), checkpoint.CONFIG: h.config, "MJCF": h.mjcf},
        missing=["an exported file has no learning curves; those are in the folder of its run"],
    )
    try:
        found.task, found.act = load_actor(path)
    except UserError as error:
        found.missing.append(f"no evaluation: {error}")
    return found


def _reached(options: dict[str, Any], progress: dict[str, np.ndarray]) -> bool:
    """Whether the steps or seconds that were asked for are over, by the last row."""
    ends = (("steps", "env_steps"), ("seconds", "time_s"))
    return any(options.get(o) and c in progress and progress[c][-1] >= options[o] for o, c in ends)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
