"""The documents: their commands are commands, their code loads, their links lead somewhere, their tutorials run."""

import argparse
import dataclasses
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import doc_pages
import pytest
from robopolicy_runtime.__main__ import main as runtime
from spot_outline import spot_mjcf

from robopolicy import cli, train_cli
from robopolicy.errors import UserError
from robopolicy.robot import list_robots, load_robot
from robopolicy.task import find_task, load_task
from robopolicy.train import Options

ROOT = Path(__file__).resolve().parents[1]
PATHS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES = [pytest.param(doc_pages.read(path), id=path.name) for path in PATHS]


class ParsedError(Exception):
    """A command line was understood; nothing more is wanted."""


@pytest.fixture
def understand(monkeypatch: pytest.MonkeyPatch):
    """Parses a command line as the real program does, and stops there; raises if it cannot be."""
    parse = argparse.ArgumentParser.parse_args

    def stop(self: argparse.ArgumentParser, *args, **kwargs):
        raise ParsedError(parse(self, *args, **kwargs))

    monkeypatch.setattr(train_cli, "train", lambda *_: None)
    monkeypatch.setattr(train_cli, "apply_measured", lambda task, _: task)

    def run(words: list[str]) -> None:
        program, *argv = words
        if program == "robopolicy" and argv[0] == "train":
            _understand_train(argv[1:])
            return
        if program == "robopolicy":
            arguments = cli._parser().parse_args(argv)
            if argv[0] == "bench" and arguments.task:
                find_task(arguments.task)
            for robot in (getattr(arguments, name, None) for name in ("robot", "source")):
                if robot is not None:
                    assert robot in list_robots() or robot.endswith((".py", ".xml")), f"no robot {robot!r}"
            return
        with monkeypatch.context() as patch:
            patch.setattr(argparse.ArgumentParser, "parse_args", stop)
            with pytest.raises(ParsedError):
                runtime(argv)

    return run


def _understand_train(argv: list[str]) -> None:
    """What follows ``robopolicy train``; a run folder that it begins from need not be there."""
    if argv[0] == "--resume":
        train_cli._parse("train", train_cli.More(), argv[2:])
    elif argv[0] == "--config":
        settings = train_cli.Settings(Options(), load_task("go2_velocity"))
        train_cli._parse("train", settings, argv[2:])
    elif argv[1:] != ["--help"]:
        assert train_cli.run(argv) == 0


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to be in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", PAGES)
def test_every_command_is_one(page: doc_pages.Page, understand, folder: Path):
    for block in page.blocks:
        _write(block)
    wrong = []
    for line, words in doc_pages.commands(page):
        try:
            understand(words)
        except (UserError, SystemExit, AssertionError, OSError, pytest.fail.Exception) as error:
            if isinstance(error, SystemExit) and not error.code:
                continue  # it asked for help
            wrong.append(f"{page.path.name}:{line}: {' '.join(words)}: {type(error).__name__} {error}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "words", ["robopolicy trian x", "robopolicy eval x --bogus", "robopolicy train nope", "robopolicy bench nope"]
)
def test_what_is_no_command_is_found(understand, words: str):
    with pytest.raises(UserError):
        understand(words.split())


@pytest.mark.parametrize("words", ["robopolicy-runtime run x --bogus", "robopolicy-runtime walk x"])
def test_what_is_no_command_of_the_runtime_is_found(understand, words: str):
    with pytest.raises((SystemExit, pytest.fail.Exception)):
        understand(words.split())


@pytest.mark.parametrize("page", PAGES)
def test_every_block_of_code_is_code(page: doc_pages.Page, folder: Path):
    for block in page.blocks:
        if block.language == "toml":
            tomllib.loads(block.text)
        if block.language != "python":
            continue
        compile(block.text, f"{page.path.name}:{block.line}", "exec")
        if "def task()" in block.text:
            load_task(str(_write(block) or _write(dataclasses.replace(block, file="unnamed.py")))).validate()
        if "\nROBOT = " in block.text:
            load_robot(str(_write(block)))


@pytest.mark.parametrize("page", [*PAGES, pytest.param(doc_pages.read(ROOT / "CONTRIBUTING.md"), id="CONTRIBUTING.md")])
def test_every_link_leads_somewhere(page: doc_pages.Page):
    lost = [
        f"{page.path.name}:{n}: {link}" for n, link in doc_pages.links(page) if not (page.path.parent / link).exists()
    ]
    assert not lost, "\n".join(lost)


def _write(block: doc_pages.Block) -> Path | None:
    """Write a block that is a file, where it belongs below the present folder."""
    if block.file is None or block.language not in ("python", "toml"):
        return None
    path = Path(block.file)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(block.text)
    return path


# ---- the tutorials, from beginning to end

SHORTER = {
    "train": ["--steps", "1536", "--num-envs", "32", "--prior.warm-start", "20", "--threads", "1"],
    "eval": ["--episodes", "4"],
    "style": ["--episodes", "4"],
    "report": ["--episodes", "4", "--cell-episodes", "0", "--no-video"],
    "play": ["--seconds", "0.3"],
}
"""What is put at the end of a command, so that it takes seconds."""


@pytest.fixture
def spot(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Menagerie that has Spot: the one of ``MENAGERIE_ROOT``, or one with Spot in outline."""
    pytest.importorskip("mujoco_menagerie")
    if (Path(os.environ.get("MENAGERIE_ROOT", "")) / "boston_dynamics_spot" / "spot.xml").is_file():
        return
    home = folder / "menagerie" / "boston_dynamics_spot"
    home.mkdir(parents=True)
    (home / "spot.xml").write_text(spot_mjcf())
    monkeypatch.setenv("MENAGERIE_ROOT", str(folder / "menagerie"))


def _tutorial(name: str) -> Iterator[tuple[int, list[str]]]:
    """Write each file of a page where it comes, and yield the commands between them."""
    for block in doc_pages.read(ROOT / "docs" / name).blocks:
        if block.language:
            _write(block)
        else:
            yield from doc_pages.shell(block)


@pytest.mark.slow
@pytest.mark.usefixtures("spot")
@pytest.mark.parametrize("name", ["your_robot.md", "your_clip.md", "your_reward.md"])
def test_a_tutorial_runs_from_beginning_to_end(name: str, capfd: pytest.CaptureFixture[str]):
    ran = 0
    for line, words in _tutorial(name):
        where, (program, *argv) = f"{name}:{line}: {' '.join(words)}", words
        if program == "python":
            done = subprocess.run([sys.executable, *argv], capture_output=True, text=True)
            status, said = done.returncode, done.stderr
        else:
            assert program == "robopolicy", where
            status = cli.main([*_without(argv, "--seconds"), *SHORTER.get(argv[0], [])])
            said = capfd.readouterr().err
        assert status == 0, f"{where}: {said}"
        ran += 1
    assert ran >= 5


def _without(argv: list[str], flag: str) -> list[str]:
    """A command line without a flag and its value."""
    if flag not in argv:
        return argv
    place = argv.index(flag)
    return argv[:place] + argv[place + 2 :]
