"""A run folder: what was asked for, and the latest weights with everything needed to go on.

config.json      effective settings, versions, clip hashes, the command that began it
task.py          the task's source as it was
progress.csv     one row per iteration; TensorBoard events beside it
checkpoint.pt    weights, optimisers, prior, environment; replaced as a whole, never half
checkpoint.json  what the checkpoint is: steps, seconds, sizes
"""

import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import robopolicy
from robopolicy.config import apply_values, to_values
from robopolicy.errors import UserError
from robopolicy.sysid.measured import restore_measured
from robopolicy.task import Task, load_task

CHECKPOINT = "checkpoint.pt"
SIDECAR = "checkpoint.json"
CONFIG = "config.json"
SOURCE = "task.py"


@dataclass
class Run:
    """A run read from its folder.

    Attributes:
        folder: Where it lies.
        task: The task with the run's own settings.
        config: All of config.json.
        state: All of checkpoint.pt.
        sidecar: All of checkpoint.json.
    """

    folder: Path
    task: Task
    config: dict[str, Any]
    state: dict[str, Any]
    sidecar: dict[str, Any]


def begin_run(
    folder: Path,
    task: Task,
    source: Path,
    options: dict[str, Any],
    clip_hashes: dict[str, str],
    start: dict[str, Any] | None = None,
) -> None:
    """Create a run folder and write down what was asked for.

    Args:
        folder: Where.
        task: With all settings.
        source: Its file.
        options: How to run.
        clip_hashes: Of the content of every clip, by name.
        start: What the run began as, see ``identity``; None for a policy of its own.

    Raises:
        UserError: The folder holds a run already, or cannot be written.
    """
    if (folder / CHECKPOINT).exists():
        raise UserError(f"{folder} holds a run already; go on with it: robopolicy train --resume {folder}")
    if (folder / CONFIG).exists():
        raise UserError(f"{folder} holds a run without a {CHECKPOINT}; remove it, or name another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, folder / SOURCE)
        config = {
            "task": task_name(source),
            "settings": to_values(task),
            "options": options,
            "clips": clip_hashes,
            "clips_hashed": "whole",  # earlier runs do not say it, and have hashes of the part that was learned from
            "start": start,
            "source_sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
            "versions": versions(),
            "command": " ".join(sys.argv),
        }
        write_json(folder / CONFIG, config)
    except OSError as error:
        raise UserError(f"cannot write the run folder {folder}: {error.strerror or error}") from error


def identity(run: Run) -> dict[str, Any]:
    """Which policy a run holds now: its steps, and a hash of its checkpoint."""
    return {"steps": run.sidecar["steps"], "sha256": hashlib.sha256((run.folder / CHECKPOINT).read_bytes()).hexdigest()}


def origin(source: Path) -> dict[str, Any]:
    """config.json of the run whose task file this is; empty for a task file of its own, whatever lies beside it."""
    try:
        found = json.loads((source.parent / CONFIG).read_text()) if source.name == SOURCE else {}
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) and "settings" in found else {}


def task_name(source: Path) -> str:
    """The name of a task by its file; a run's copy has the name of what it was copied from."""
    return origin(source).get("task", source.stem)


def load_config(folder: Path) -> tuple[Task, dict[str, Any]]:
    """The task of a run with its settings, and config.json.

    Raises:
        UserError: The folder is no run, or its files do not fit together.
    """
    if not folder.is_dir():
        raise UserError(f"no run folder {folder}")
    for name in (CONFIG, SOURCE):
        if not (folder / name).is_file():
            held = ", ".join(sorted(p.name for p in folder.iterdir()))
            raise UserError(f"{folder} is no run folder: {name} is missing (found: {held or 'nothing'})")
    try:
        config = json.loads((folder / CONFIG).read_text())
        settings = config["settings"]
        for later in ("adjustable", "see_phase"):  # a run from before there were such settings has none of it
            settings.get("prior", {}).setdefault(later, False)
    except (ValueError, KeyError) as error:
        raise UserError(f"{folder / CONFIG} is damaged: {error}") from error
    return apply_values(restore_measured(load_task(str(folder / SOURCE)), settings), settings), config


def save(folder: Path, state: dict[str, Any], sidecar: dict[str, Any]) -> None:
    """Replace the checkpoint; the earlier one stays whole if anything goes wrong.

    Raises:
        UserError: The disk is full or the folder cannot be written.
    """
    import torch

    path, part = folder / CHECKPOINT, folder / f".{CHECKPOINT}.part"
    try:
        torch.save(state, part)
        os.replace(part, path)
        write_json(folder / SIDECAR, sidecar)
    except (OSError, RuntimeError) as error:
        part.unlink(missing_ok=True)
        kept = f"; the checkpoint before it is whole: {path}" if path.exists() else ""
        raise UserError(f"cannot save a checkpoint in {folder}: {error}{kept}") from error


def load(folder: Path | str) -> Run:
    """Read a run and its latest checkpoint.

    Raises:
        UserError: The folder is no run, or the checkpoint is missing or damaged.
    """
    import torch

    folder = Path(folder)
    task, config = load_config(folder)
    path = folder / CHECKPOINT
    if not path.is_file():
        raise UserError(f"{folder} has no {CHECKPOINT}: the run stopped before the first one was saved")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        sidecar = json.loads((folder / SIDECAR).read_text())
    except Exception as error:  # torch raises many kinds for a damaged file
        raise UserError(f"{path} is damaged: {type(error).__name__}: {str(error).splitlines()[0]}") from error
    return Run(folder, task, config, state, sidecar)


def write_json(path: Path, value: Any) -> None:
    """Write JSON in one piece: the file is the old one or the new one."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(value, indent=2) + "\n")
    os.replace(part, path)


def versions() -> dict[str, str]:
    """Versions of what the numbers depend on."""
    packages = ("torch", "mujoco", "stable-baselines3", "numpy")
    found = {name: importlib.metadata.version(name) for name in packages}
    return {"robopolicy": robopolicy.__version__, "python": platform.python_version(), **found}
