"""`robopolicy train`: every setting of the task is a flag."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from robopolicy.checkpoint import load_config
from robopolicy.config import apply_values
from robopolicy.errors import UserError
from robopolicy.task import Task, find_task, load_task
from robopolicy.train import Options, resume, train


@dataclass
class Settings:
    """A training."""

    options: Annotated[Options, tyro.conf.arg(name="")]
    task: Annotated[Task, tyro.conf.arg(name="")]


def run(argv: list[str]) -> int:
    """Train as the command line says.

    Args:
        argv: What follows ``robopolicy train``.
    """
    if argv[0] in ("--resume", "--config"):
        if len(argv) < 2:
            raise UserError(f"{argv[0]} needs a path")
        path, rest = Path(argv[1]), argv[2:]
        return _resume(path, rest) if argv[0] == "--resume" else _again(path, rest)
    if argv[0].startswith("-"):
        raise UserError(f"the task comes first: robopolicy train TASK {argv[0]} ...")
    name, rest = argv[0], argv[1:]
    if "--config" in rest:
        place = rest.index("--config")
        values = _read(Path(rest[place + 1]) if place + 1 < len(rest) else Path())
        task = apply_values(load_task(name), values["settings"])
        rest = rest[:place] + rest[place + 2 :]
    else:
        task = load_task(name)
    settings = _parse(f"robopolicy train {name}", Settings(Options(), task), rest)
    train(settings.task, find_task(name), settings.options)
    return 0


def _resume(folder: Path, argv: list[str]) -> int:
    empty = Options(threads=None)  # type: ignore[arg-type]
    options = tyro.cli(Options, prog=f"robopolicy train --resume {folder}", args=argv, default=empty)
    resume(folder, options)
    return 0


def _again(path: Path, argv: list[str]) -> int:
    """The same run again from its config.json, into a new folder."""
    values = _read(path)
    task, _ = load_config(path.parent)
    options = dataclasses.replace(Options(**values["options"]), run=None)
    settings = _parse(f"robopolicy train --config {path}", Settings(options, task), argv)
    train(settings.task, path.parent / "task.py", settings.options)
    return 0


def _read(path: Path) -> dict:
    try:
        values = json.loads(path.read_text())
        values["settings"], values["options"]
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is no config.json of a run: {error}") from error
    return values


def _parse(program: str, default: Settings, argv: list[str]) -> Settings:
    return tyro.cli(Settings, prog=program, args=argv, default=default, description="Train a task; every setting is a flag.")
