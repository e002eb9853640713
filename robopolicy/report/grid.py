"""How well a policy does at each command: planes through the range of commands."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from robopolicy_runtime.transfer.intervals import Estimate, wilson

from robopolicy.env.command import Command
from robopolicy.evaluate import Act, Episodes, evaluate
from robopolicy.task import Task

SECONDS = 8.0
"""Length of an episode; errors count from 2 s on, as in ``evaluate``."""
EPISODES = 8
"""Per cell."""
POINTS = 5
"""Along each side of a plane."""


@dataclass(frozen=True)
class Cell:
    """Episodes that hold one command.

    Attributes:
        command: The task's own channels. Shape (c,).
        velocity_rmse_mps, yaw_rmse_radps: As in ``Evaluation``; None where nobody stood for so long, or the command is
            no velocity.
        survival: Share of the episodes without a fall.
    """

    command: np.ndarray
    velocity_rmse_mps: float | None
    yaw_rmse_radps: float | None
    survival: Estimate


@dataclass(frozen=True)
class Plane:
    """Two channels over their ranges, the others as near to zero as may be.

    Attributes:
        x, y: Names of the channels; ``y`` is empty where the command has one channel only.
        xs, ys: Their values.
        cells: One row per value of ``y``, a cell per value of ``x``; empty before it is measured.
    """

    x: str
    y: str
    xs: tuple[float, ...]
    ys: tuple[float, ...]
    cells: tuple[tuple[Cell, ...], ...] = ()


def planes(command: Command, points: int | None = None) -> list[Plane]:
    """The planes to look at: forward speed by turning and by sideways speed; of other commands the first two channels.

    A channel that has one value only spans no plane.
    """
    count = POINTS if points is None else points
    values = {n: tuple(np.linspace(low, high, count).tolist()) for n, (low, high) in command.ranges.items()}
    free = [name for name, (low, high) in command.ranges.items() if low < high]
    if command.is_velocity and "vx" in free:
        free = ["vx", *(name for name in ("wz", "vy") if name in free)]
    if len(free) < 2:
        return [Plane(name, "", values[name], (0.0,)) for name in free]
    others = free[1:] if command.is_velocity else free[1:2]
    return [Plane(free[0], y, values[free[0]], values[y]) for y in others]


def measure(
    task: Task,
    act: Act,
    episodes: int = EPISODES,
    seed: int = 12345,
    style: float = 1.0,
    seconds: float | None = None,
    points: int | None = None,
) -> list[Plane]:
    """Judge every cell, all in one batch.

    Args:
        task: The task.
        act: See ``evaluate``.
        episodes: Per cell.
        seed: See ``evaluate``.
        style: See ``evaluate``.
        seconds: Length of an episode [s], by default 8.
        points: Cells along each side of a plane, by default 5.
    """
    seconds = SECONDS if seconds is None else seconds
    found = planes(task.command, points)
    told = [_command(task.command, plane, x, y) for plane in found for y in plane.ys for x in plane.xs]
    if not told:
        return []
    each = evaluate(
        task, act, len(told) * episodes, seed, seconds, style, np.repeat(np.stack(told), episodes, axis=0)
    ).per_episode
    assert each is not None
    cells = iter([_cell(c, each, slice(k * episodes, (k + 1) * episodes)) for k, c in enumerate(told)])
    return [replace(plane, cells=tuple(tuple(next(cells) for _ in plane.xs) for _ in plane.ys)) for plane in found]


def as_values(measured: Sequence[Plane], names: Sequence[str]) -> list[dict[str, Any]]:
    """Every cell as plain values, for JSON. ``names`` are the command's channels."""
    return [
        {
            "command": dict(zip(names, (float(v) for v in cell.command), strict=True)),
            "velocity_rmse_mps": cell.velocity_rmse_mps,
            "yaw_rmse_radps": cell.yaw_rmse_radps,
            "survival": cell.survival.value,
            "survival_interval": [cell.survival.low, cell.survival.high],
            "episodes": cell.survival.count,
        }
        for plane in measured
        for row in plane.cells
        for cell in row
    ]


def _command(command: Command, plane: Plane, x: float, y: float) -> np.ndarray:
    rest = {name: min(max(0.0, low), high) for name, (low, high) in command.ranges.items()}
    given = rest | {plane.x: x} | ({plane.y: y} if plane.y else {})
    return np.array(list(given.values()), dtype=np.float32)


def _cell(command: np.ndarray, each: Episodes, rows: slice) -> Cell:
    survived = each.survived[rows]
    return Cell(
        command,
        _pooled(each.velocity_rmse_mps[rows], each.counted[rows]),
        _pooled(each.yaw_rmse_radps[rows], each.counted[rows]),
        wilson(int(survived.sum()), len(survived)),
    )


def _pooled(rms: np.ndarray, count: np.ndarray) -> float | None:
    lived = count > 0
    return float(np.sqrt(np.average(rms[lived] ** 2, weights=count[lived]))) if lived.any() else None
