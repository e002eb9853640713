"""`robopolicy completion SHELL`: a script with which a shell completes commands, flags, and names of what exists."""

import argparse
import dataclasses
from collections.abc import Iterator
from pathlib import Path

from robopolicy.errors import UserError
from robopolicy.paths import clips_dir, robots_dir, tasks_dir

SHELLS = ("bash", "zsh", "fish")
_NAMED = {
    ("train", "task"): "tasks",
    ("bench", "task"): "tasks",
    ("play", "target"): "clips",
    ("clip check", "files"): "clips",
    ("clip retarget", "file"): "clips",
}
"""Which names an argument takes, besides paths; ``--robot`` and ``--from`` take robots everywhere."""


def script(shell: str, parser: argparse.ArgumentParser) -> str:
    """What the shell is to read.

    Args:
        shell: One of ``SHELLS``.
        parser: Of the whole command line. It is changed, and of no other use afterwards.

    Raises:
        UserError: What writes the script is not installed.
    """
    try:
        import shtab
    except ImportError:
        raise UserError("completion needs shtab: pip install 'robopolicy[completion]'") from None
    commands = dict(_commands(parser))
    _add_train_flags(commands["train"])
    for command, sub in commands.items():
        for action in sub._actions:
            kind = "robots" if action.dest in ("robot", "source") else _NAMED.get((command, action.dest))
            if kind is not None:
                action.complete = _completers(kind)  # type: ignore[attr-defined]
            elif action.type is Path:
                action.complete = shtab.FILE  # type: ignore[attr-defined]
    preamble = "\n".join(_function(shell, kind, names) for kind, names in _names().items())
    text = shtab.complete(parser, shell=shell, preamble=preamble)
    # zsh: shtab registers the function only if it is read by eval, but `source <(...)` is what people write.
    return text.replace("$zsh_eval_context[-1] == eval ", "$zsh_eval_context[-1] == (eval|file) ")


def _commands(parser: argparse.ArgumentParser, above: str = "") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every command below a parser, and its own parser; an action of ``clip`` is ``clip import``."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, sub in action.choices.items():
                yield f"{above}{name}", sub
                yield from _commands(sub, f"{above}{name} ")


def _add_train_flags(train: argparse.ArgumentParser) -> None:
    """What ``train`` takes; settings in groups are left out, since they differ from task to task."""
    from robopolicy.task import Task
    from robopolicy.train import Options

    train.add_argument("task")
    for flag in ("resume", "config", "measured"):
        train.add_argument(f"--{flag}", type=Path)
    for field in (*dataclasses.fields(Options), *dataclasses.fields(Task)):
        if field.type in (bool, int, float, str, str | None, int | None, float | None):
            train.add_argument(f"--{field.name.replace('_', '-')}")


def _names() -> dict[str, list[str]]:
    """What exists, by kind."""
    return {
        "tasks": sorted(p.stem for p in tasks_dir().glob("*.py")),
        "robots": sorted(p.parent.name for p in robots_dir().glob("*/robot.py")),
        "clips": sorted({p.stem for p in clips_dir().glob("*/*.npz")}),
    }


def _completers(kind: str) -> dict[str, str]:
    """How each shell is told to complete an argument of a kind."""
    function = f"_robopolicy_{kind}"
    return {"bash": function, "zsh": function, "fish": f"({function})"}


def _function(shell: str, kind: str, names: list[str]) -> str:
    """A function of the shell that completes these names, and paths."""
    words, name = " ".join(names), f"_robopolicy_{kind}"
    if shell == "bash":
        return f'{name}() {{ compgen -W \'{words}\' -- "$1"; compgen -f -- "$1"; }}'
    if shell == "zsh":
        return f"{name}() {{ compadd -- {words}; _files; }}"
    return f"function {name}; printf '%s\\n' {words}; __fish_complete_path (commandline -ct); end"
