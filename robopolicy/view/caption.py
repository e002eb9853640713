"""The words on a film or in a window: what the robot was told, and what it does."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from robopolicy.motion.pose import heading, quat_conj, quat_rotate, rotate2
from robopolicy.view.performers import Performer
from robopolicy.view.tour import Channel

_MEAN_S = 0.64  # what is measured is averaged over about a stride [s]: a walker sways with every step
_VELOCITY = (Channel("vx", 0, 0, "m/s"), Channel("vy", 0, 0, "m/s"), Channel("wz", 0, 0, "rad/s"))


@dataclass(frozen=True)
class Row:
    """One channel as text: name and unit, command, and what is measured; empty where there is none."""

    name: str
    command: str
    measured: str


class Captions:
    """Describes a performer, step by step."""

    def __init__(self, performer: Performer):
        self.joints, self.standing = performer.joints, performer.standing
        self.channels: Sequence[Channel] = performer.channels or _VELOCITY
        self._latest: deque[dict[str, float]] = deque(maxlen=max(1, round(_MEAN_S / performer.dt)))

    def read(self, command: np.ndarray, qpos: np.ndarray, qvel: np.ndarray, fell: bool = False) -> list[Row]:
        """The command, and the mean of what was measured lately.

        Args:
            command: Shape (C,); empty for a clip.
            qpos: Shape (nq,).
            qvel: Shape (nv,).
            fell: The robot fell and begins anew, so the past does not count.
        """
        if fell:
            self._latest.clear()
        names = [c.name for c in self.channels]
        self._latest.append(measure(names, self.joints, self.standing, qpos, qvel))
        mean = {name: float(np.mean([m[name] for m in self._latest])) for name in self._latest[0]}
        told = [_number(v) for v in command] or [""] * len(self.channels)
        return [
            Row(f"{c.name} {c.unit}".strip(), text, _number(mean[c.name]) if c.name in mean else "")
            for c, text in zip(self.channels, told, strict=True)
        ]


def _number(value: float) -> str:
    return f"{round(value, 2) + 0.0:+.2f}"  # adding zero turns -0.0 into 0.0


def table(title: str, rows: Sequence[Row], width: int = 70) -> str:
    """A title and a table, for letters of one width; with many channels the table stands on its side.

    Args:
        title: First line.
        rows: One per channel.
        width: Most letters in a line.
    """
    columns = [["", "command", "measured"], *([row.name, row.command, row.measured] for row in rows)]
    lines = [line for line in zip(*columns, strict=True) if any(line[1:])]
    if sum(max(map(len, column)) + 2 for column in columns) > width:
        lines = [line for line in columns if any(line)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = [
        "  ".join([f"{line[0]:<{widths[0]}}", *(f"{v:>{w}}" for v, w in zip(line[1:], widths[1:]))]) for line in lines
    ]
    return "\n".join([title, *(line.rstrip() for line in padded)])


def measure(
    names: Sequence[str], joints: Sequence[str], standing: float, qpos: np.ndarray, qvel: np.ndarray
) -> dict[str, float]:
    """What the robot does, in the terms of a command.

    Args:
        names: ``vx``, ``vy`` in the heading frame [m/s]; ``wz`` about the vertical [rad/s]; ``height``
            of the base above ``standing`` [m]; its ``pitch`` and ``roll`` [rad]; joints [rad]. Others
            are left out.
        joints: Order of the joints in ``qpos``.
        standing: Height of the base in the home pose [m].
        qpos: Shape (nq,).
        qvel: Shape (nv,).
    """
    quat = qpos[3:7]
    vx, vy = rotate2(-heading(quat), qvel[:2])
    down = quat_rotate(quat_conj(quat), np.array([0.0, 0.0, -1.0]))
    values = dict(zip(joints, qpos[7:], strict=True)) | {
        "vx": vx,
        "vy": vy,
        "wz": quat_rotate(quat, qvel[3:6])[2],
        "height": qpos[2] - standing,
        "pitch": np.arcsin(np.clip(down[0], -1, 1)),
        "roll": np.arcsin(np.clip(-down[1], -1, 1)),
    }
    return {name: float(values[name]) for name in names if name in values}
