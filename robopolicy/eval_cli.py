"""`robopolicy eval`: its flags, what it prints, and the bounds that a continuous integration can set."""

import argparse
import json
import math
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robopolicy.errors import UserError

if TYPE_CHECKING:
    from robopolicy.report.grid import Cell, Plane
    from robopolicy.task import Task

_BOUNDS = {
    "min_survival": ("survival", "least share of episodes without a fall"),
    "max_velocity_error": ("velocity_rmse_mps", "largest velocity error [m/s]"),
    "max_yaw_error": ("yaw_rmse_radps", "largest yaw error [rad/s]"),
    "max_style_distance": ("style_distance", "largest distance to the clips' style"),
}


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("target", type=Path, help="run folder or policy.onnx")
    parser.add_argument("--episodes", type=int, default=256, help="how many (default 256)")
    parser.add_argument("--style", type=float, default=1.0, metavar="W", help="style weight to ask for (default 1)")
    parser.add_argument("--seed", type=int, default=12345, help="seed of the episodes")
    parser.add_argument("--command", type=float, nargs="+", metavar="X", help="judge at this command alone")
    parser.add_argument("--grid", action="store_true", help="also judge at each command of a grid over the range")
    for name, (_, text) in _BOUNDS.items():
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, type=float, metavar="X", help=f"{text}; exits with 1 if it is not met")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Judge, print, and return 1 where a bound is not met.

    Raises:
        UserError: The policy cannot be read, or a flag does not fit it.
    """
    import numpy as np

    from robopolicy.evaluate import evaluate, load_actor, summary

    if arguments.episodes < 1:
        raise UserError(f"--episodes must be at least 1, got {arguments.episodes}")
    task, act = load_actor(arguments.target)
    _refuse_senseless_bounds(arguments, task)
    command = None if arguments.command is None else np.array(arguments.command)
    result = evaluate(task, act, arguments.episodes, arguments.seed, style=arguments.style, command=command)
    values = summary(result)
    measured: list[Plane] = []
    if arguments.grid:
        from robopolicy.report.grid import as_values, measure

        measured = measure(task, act, seed=arguments.seed, style=arguments.style)
        values["grid"] = as_values(measured, task.command.names)
    if arguments.json:
        known = {n: None if isinstance(v, float) and not math.isfinite(v) else v for n, v in values.items()}
        print(json.dumps(known, allow_nan=False))
    else:
        print("\n".join(lines(values)))
        for plane in measured:
            print("\n" + heat_map(plane, coloured=_coloured()))
    failed = missed(values, {name: getattr(arguments, name) for name in _BOUNDS})
    for line in failed:
        print(line, file=sys.stderr)
    return 1 if failed else 0


def lines(values: dict[str, Any]) -> list[str]:
    """One aligned line per figure, the interval after the value."""
    shown = []
    for name, value in values.items():
        if name == "grid" or name.endswith("_interval"):
            continue
        interval = values.get(f"{name}_interval")
        if isinstance(value, dict):
            interval = interval or {}
            text = ", ".join(f"{label} {with_interval(v, interval.get(label))}" for label, v in value.items())
        else:
            text = with_interval(value, interval)
        shown.append(f"{name:<22} {text}")
    return shown


def with_interval(value: Any, interval: Sequence[float] | None) -> str:
    """``0.066 [0.061, 0.071]``: all three to the digits that the interval's width leaves, at least two."""
    if not isinstance(value, float) or not math.isfinite(value):
        return "-" if value is None else str(value)
    if interval is None:
        return f"{value:.4g}"
    width = max(interval[1] - interval[0], 1e-3 * abs(value), 1e-9)
    digits = min(max(1 - math.floor(math.log10(width)), 0), 6)
    low, high = (f"{v:.{digits}f}" for v in interval)
    return f"{value:.{digits}f} [{low}, {high}]"


def missed(values: dict[str, Any], bounds: dict[str, float | None]) -> list[str]:
    """One line for each bound that a figure does not keep; where there is no figure, because all fell, none is kept."""
    found = []
    for flag, (name, _) in _BOUNDS.items():
        bound, value = bounds[flag], values[name]
        if bound is None:
            continue
        least = flag.startswith("min_")
        if value is None or not (value >= bound if least else value <= bound):
            shown = "unknown, nobody stood for long enough" if value is None else f"{value:.4g}"
            word = "below" if least else "above"
            found.append(f"not met: {name} is {shown}{'' if value is None else f', {word} {bound:g}'} ({_flag(flag)})")
    return found


def heat_map(plane: "Plane", coloured: bool) -> str:
    """Velocity error (where the command is a velocity) and survival of every cell, as text.

    Args:
        plane: Measured.
        coloured: Backgrounds from none to red, the worse the redder.
    """
    tables = []
    errors = [c.velocity_rmse_mps for row in plane.cells for c in row if c.velocity_rmse_mps is not None]
    if errors:
        top = max(errors)
        tables.append(_table("velocity error [m/s]", plane, lambda c: c.velocity_rmse_mps, top, coloured))
    tables.append(_table("survival", plane, lambda c: c.survival.value, None, coloured))
    return "\n\n".join(tables)


def _table(title: str, plane: "Plane", of: "Callable[[Cell], float | None]", top: float | None, coloured: bool) -> str:
    """One figure per cell; ``top`` is the worst that colours count with, None: a share, of which 1 is best."""
    out = [f"{title}, {plane.y or 'one row'} by {plane.x}", " " * 8 + "".join(f"{x:>8.2f}" for x in plane.xs)]
    for y, row in sorted(zip(plane.ys, plane.cells, strict=True), key=lambda pair: -pair[0]):
        cells = []
        for cell in row:
            value = of(cell)
            bad = 1.0 if value is None else (1 - value if top is None else value / (top or 1.0))
            text = f"{'-' if value is None else f'{value:.2f}':>7} "
            # 256 colours: 16 + 36 r + 6 g + b; from white to red
            shade = 16 + 36 * 5 + 7 * (5 - round(4 * min(max(bad, 0.0), 1.0)))
            cells.append(f"\x1b[30;48;5;{shade}m{text}\x1b[0m" if coloured else text)
        out.append(f"{f'{y:.2f}' if plane.y else '':>7} " + "".join(cells))
    return "\n".join(out)


def _coloured() -> bool:
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def _refuse_senseless_bounds(arguments: argparse.Namespace, task: "Task") -> None:
    """Bounds on what the task does not have are a mistake, not a failure."""
    if not task.command.is_velocity:
        for flag in ("max_velocity_error", "max_yaw_error"):
            if getattr(arguments, flag) is not None:
                told = ", ".join(task.command.names)
                raise UserError(f"{_flag(flag)}: this task's command is no velocity (vx, vy, wz), but {told}")
    if arguments.max_style_distance is not None and (not task.prior.patterns or arguments.command is not None):
        why = "the style is not judged at one command" if task.prior.patterns else "this task has no clips"
        raise UserError(f"--max-style-distance: {why}")


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
