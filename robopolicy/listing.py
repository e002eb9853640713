"""What exists: tasks, robots and clips, read without importing what runs them."""

import ast
from pathlib import Path

from robopolicy.errors import UserError
from robopolicy.paths import clips_dir, robots_dir, tasks_dir

_FAMILY = 3  # from so many clips on, those with one first word are shown as a pattern


def list_all() -> dict[str, dict[str, str]]:
    """What comes with the project, one line each.

    Returns:
        ``tasks``, ``robots`` and ``clips`` (by robot): name to text. The text of a task or robot that cannot
        be used says why.
    """
    folders = sorted(p for p in clips_dir().iterdir() if p.is_dir())
    return {
        "tasks": {path.stem: _task(path) for path in sorted(tasks_dir().glob("*.py"))},
        "robots": {path.parent.name: _robot(path.parent.name) for path in sorted(robots_dir().glob("*/robot.py"))},
        "clips": {folder.name: _clips(folder) for folder in folders},
    }


def _task(path: Path) -> str:
    """First line of a task file's docstring."""
    try:
        text = ast.get_docstring(ast.parse(path.read_bytes())) or "(no docstring)"
    except (OSError, SyntaxError, ValueError) as error:
        return f"cannot be used: {error}"
    return text.splitlines()[0]


def _robot(name: str) -> str:
    """Joints and mass."""
    from robopolicy.robot import load_robot

    try:
        robot = load_robot(name).compile()
    except (UserError, ValueError) as error:
        return f"cannot be used: {error}"
    return f"{len(robot.joint_names)} joints, {robot.mj.body_mass.sum():.1f} kg"


def _clips(folder: Path) -> str:
    """How many, and their names; large families by the pattern that a task would use."""
    names = sorted(path.stem for path in folder.glob("*.npz"))
    families: dict[str, list[str]] = {}
    for name in names:
        families.setdefault(name.partition("_")[0], []).append(name)
    shown: list[str] = []
    for word, members in families.items():
        shown += [f"{word}_* ({len(members)})"] if len(members) >= _FAMILY else members
    return f"{len(names)} clip{'s' * (len(names) != 1)}: {', '.join(shown) or 'none'}"
