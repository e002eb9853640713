"""`robopolicy train`: every setting of the task is a flag."""

import contextlib
import dataclasses
import io
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import tyro

from robopolicy.checkpoint import load_config
from robopolicy.config import apply_values
from robopolicy.errors import UserError, out_of_memory
from robopolicy.sysid.measured import apply_measured, restore_measured
from robopolicy.task import Task, blame, find_task, line_of, load_task
from robopolicy.train import Options, resume, train

Value = TypeVar("Value")


@dataclass
class Settings:
    """A training."""

    options: Annotated[Options, tyro.conf.arg(name="")]
    task: Annotated[Task, tyro.conf.arg(name="")]


@dataclass
class More:
    """What may change when a run goes on."""

    seconds: float | None = None
    """Stop after this long [s], what was trained before included."""
    steps: int | None = None
    """Stop after this many steps of all robots together, those before included."""
    threads: int | None = None
    """Threads of the simulator; 0: one per core. No result depends on it."""
    device: str | None = None
    """Where to go on: auto, cpu, cuda or warp-cpu; by default as the run began."""
    contacts: int | None = None
    """Room for so many contacts per robot on a GPU; by default as the run began."""


def run(argv: list[str]) -> int:
    """Train as the command line says.

    Args:
        argv: What follows ``robopolicy train``.
    """
    if argv[0] in ("--resume", "--config"):
        path, rest = _path(argv[0], argv[1:]), argv[2:]
        return _resume(path, rest) if argv[0] == "--resume" else _again(path, rest)
    if argv[0].startswith("-"):
        raise UserError(f"the task comes first: robopolicy train TASK {argv[0]} ...")
    name, rest = argv[0], argv[1:]
    task = load_task(name)
    measured, rest = _taken("--measured", rest)
    config, rest = _taken("--config", rest)
    if config is not None:
        values = _read(config)["settings"]
        task = apply_values(restore_measured(task, values), values)
    settings = _parse(f"robopolicy train {name}", Settings(Options(), task), rest)
    if measured is not None:
        settings.task = apply_measured(settings.task, measured)
    _train(settings, find_task(name))
    return 0


def _train(settings: Settings, source: Path) -> None:
    """Train; an error in a term that the task file defines is the file's, not a traceback."""
    if Path(settings.task.robot).is_file():  # so that the run is found to be this robot's from any other folder
        settings.task.robot = str(Path(settings.task.robot).resolve())
    try:
        train(settings.task, source, settings.options)
    except UserError:
        raise
    except Exception as error:
        if line_of(source, error) is None or out_of_memory(error) is not None:
            raise
        raise blame(source, error) from error


def _resume(folder: Path, argv: list[str]) -> int:
    more = _parse(f"robopolicy train --resume {folder}", More(), argv)
    options = Options(seconds=more.seconds, steps=more.steps, contacts=more.contacts)
    options.threads, options.device = more.threads, more.device  # type: ignore[assignment]  # None: as the run began
    resume(folder, options)
    return 0


def _again(path: Path, argv: list[str]) -> int:
    """The same run again from its config.json, into a new folder."""
    values = _read(path)
    task, _ = load_config(path.parent)
    options = dataclasses.replace(Options(**values["options"]), run=None)
    settings = _parse(f"robopolicy train --config {path}", Settings(options, task), argv)
    _train(settings, path.parent / "task.py")
    return 0


def _taken(flag: str, argv: list[str]) -> tuple[Path | None, list[str]]:
    """The path after a flag, if it is there, and the other words."""
    if flag not in argv:
        return None, argv
    place = argv.index(flag)
    return _path(flag, argv[place + 1 :]), argv[:place] + argv[place + 2 :]


def _path(flag: str, argv: list[str]) -> Path:
    if not argv or argv[0].startswith("-"):
        raise UserError(f"{flag} needs a path")
    return Path(argv[0])


def _read(path: Path) -> dict:
    try:
        values = json.loads(path.read_text())
        for part in ("settings", "options"):
            values[part]
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is no config.json of a run: {error}") from error
    return values


def _parse(program: str, default: Value, argv: list[str]) -> Value:
    """The settings with the flags in ``argv`` in their place.

    Raises:
        UserError: A flag is unknown, or its value cannot be used.
    """
    said, text = io.StringIO(), "Train a task; every setting is a flag."
    try:
        with contextlib.redirect_stderr(said):
            settings = tyro.cli(type(default), prog=program, args=argv, default=default, description=text)
    except SystemExit as stop:
        if not stop.code:
            raise
        raise UserError(f"{_in_one_line(said.getvalue())}; see {program} --help") from None
    options = getattr(settings, "options", settings)
    for name in ("seconds", "steps"):
        value = getattr(options, name)
        if value is not None and not 0 < value < float("inf"):
            raise UserError(f"--{name} {value:g}: a training has a positive length")
    return settings


def _in_one_line(box: str) -> str:
    """The message in tyro's framed text, and the flags that it thinks were meant."""
    lines = [line.strip("│ ") for line in box.splitlines() if line.startswith("│")]
    message = " ".join(lines[: next((i for i, line in enumerate(lines) if line.startswith("─")), len(lines))])
    alike = [line.split()[0] for line in lines if re.match(r"--\S+ \S+$", line)]
    hint = f"; did you mean {' or '.join(alike)}?" if alike and "Unrecognized" in message else ""
    return (message or " ".join(box.split())).rstrip(".") + hint
