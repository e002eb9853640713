"""Commands that show what a policy can do: a short tour over the range it was trained on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from robopolicy.errors import UserError

_BLEND_S = 0.4  # a new command comes in over this long


@dataclass(frozen=True)
class Channel:
    """One number of a command: its name, unit, the range it was trained on, and what it is if nobody says."""

    name: str
    low: float
    high: float
    unit: str = ""
    default: float = 0.0


@dataclass(frozen=True)
class Part:
    """A stretch of a tour: what a person would call it, and the command. Shape (C,)."""

    label: str
    command: np.ndarray


def neutral(channels: Sequence[Channel]) -> np.ndarray:
    """What a policy is told if nobody says anything. Shape (C,)."""
    return np.array([min(max(c.default, c.low), c.high) for c in channels])


def drives(channels: Sequence[Channel]) -> bool:
    """Whether the command is a velocity: forward, sideways, turning."""
    return [c.name for c in channels[:3]] == ["vx", "vy", "wz"]


def tour(channels: Sequence[Channel]) -> list[Part]:
    """Forward, faster, turn, sideways, backward, stop; for other commands every channel to both of its ends.

    What the ranges do not allow is left out.
    """
    rest = neutral(channels)
    if not channels:
        return [Part("", rest)]
    if drives(channels):
        (back, vx), (_, vy), (right, left) = ((c.low, c.high) for c in channels[:3])
        wanted = [
            ("forward", (0.5 * vx, 0, 0)),
            ("faster", (0.95 * vx, 0, 0)),
            ("turn", (0.5 * vx, 0, 0.9 * (right or left))),  # to the right a film shows the face
            ("sideways", (0, 0.9 * vy, 0)),
            ("backward", (0.9 * back, 0, 0)),
        ]
        parts = [
            Part(f"{label}{name and ', ' + name}", np.array([*start, *style]))
            for name, style in _styles(channels)
            for label, start in wanted
        ]
    else:
        parts = []
        for i, channel in enumerate(channels):
            for word, end in (("up", channel.high), ("down", channel.low)):
                command = rest.copy()
                command[i] = end
                if channel.name != "style" and not channel.name.startswith("style_"):
                    parts.append(Part(f"{channel.name} {word}", command))
    low, high = np.array([[c.low, c.high] for c in channels]).T
    parts = [Part(p.label, np.clip(p.command, low, high)) for p in parts]
    return [p for p in parts if not np.allclose(p.command, rest)] + [Part("stop", rest)]


def _styles(channels: Sequence[Channel]) -> list[tuple[str, np.ndarray]]:
    """Name and channels, from the fourth on, of every style that a policy can be told; one without a name if of one."""
    rest = neutral(channels)[3:]
    names = [c.name for c in channels[3:]]
    labels = [i for i, name in enumerate(names) if name.startswith("style_")]
    if not labels:
        return [("", rest)]
    chosen = []
    for i in labels:
        style = rest.copy()
        style[labels] = 0.0
        style[i] = 1.0
        chosen.append((names[i].removeprefix("style_"), style))
    return chosen


def held(channels: Sequence[Channel], values: Sequence[float]) -> list[Part]:
    """One command from beginning to end; channels beyond those given stay as if nobody had said anything.

    Raises:
        UserError: More numbers than channels, fewer than three of a velocity, or one that is not finite.
    """
    least = 3 if drives(channels) else len(channels)
    wanted = ", ".join(f"{c.name} {c.low:g}..{c.high:g} {c.unit}".rstrip() for c in channels)
    if not least <= len(values) <= len(channels) or not np.isfinite(values).all():
        given = " ".join(f"{v:g}" for v in values)
        raise UserError(f"--command {given}: this policy is told {len(channels)} numbers: {wanted}")
    return [Part("", np.concatenate([np.array(values, dtype=float), neutral(channels)[len(values) :]]))]


def at(parts: Sequence[Part], time: float, seconds: float) -> Part:
    """The part at ``time`` of a tour of ``seconds`` [s]; its command blends in from the one before."""
    length = seconds / len(parts)
    i = min(int(time / length), len(parts) - 1)
    blend = min(_BLEND_S, 0.4 * length)
    share = min((time - i * length) / blend, 1.0)
    before = parts[max(i - 1, 0)].command
    return Part(parts[i].label, before + share * (parts[i].command - before))
