"""``robopolicy clip cut``: a piece of a clip as a clip of its own, open or a loop."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from robopolicy.errors import UserError
from robopolicy.motion.check.seam import seam
from robopolicy.motion.clip import Clip, clip_path
from robopolicy.motion.repair import without

FEWEST = 6
"""Frames of a piece at least: of fewer no check can tell whether a loop closes."""
NEAR = 1.0
"""A loop that does not close is told of an end at which it would, if there is one so near [s]."""


@dataclass(frozen=True)
class Piece:
    """What is wanted of a clip.

    Attributes:
        start: Where it begins, a time of the clip [s]; None: at the first frame.
        end: Where it ends [s], at a loop the moment that is its beginning again; None: after the last frame.
        loop: Whether it is a loop.
    """

    start: float | None = None
    end: float | None = None
    loop: bool | None = None


WHOLE = Piece()
"""Nothing is to be cut."""


def cut_file(file: Path, output: Path, piece: Piece) -> Clip:
    """Write a piece of a clip, and say what it is.

    Args:
        file: The clip, however broken: what is cut away may be what is wrong with it.
        output: The ``.npz`` to write.
        piece: What is wanted of it; open unless it says otherwise.

    Raises:
        UserError: The file is no clip, nothing is to be cut, or as :func:`cut`.
    """
    clip_path(output)
    if file.suffix != ".npz":
        raise UserError(f"{file}: no clip, which ends in .npz; clip import cuts other files, with the same flags")
    if piece == WHOLE:
        raise UserError("nothing to be done: give --from, --to, --loop or --open")
    clip = Clip.load(file, strict=False)
    part = cut(clip, piece)
    part.save(output)
    kind = "loop" if part.loop else "open"
    print(f"{file}: {len(part)} of {len(clip)} frames, {part.duration:.2f} of {clip.duration:.2f} s, {kind}")
    print(f"wrote {output}")
    return part


def cut(clip: Clip, piece: Piece) -> Clip:
    """A piece of a clip; open unless it shall be a loop. Velocities and phase stay as they are.

    Raises:
        UserError: A time is not the clip's, the piece is too short, or the ends of a loop do not meet.
    """
    first = 0 if piece.start is None else _frame(clip, "from", piece.start)
    end = len(clip) if piece.end is None else _frame(clip, "to", piece.end) + (not piece.loop)
    part = _part(clip, first, end, bool(piece.loop))
    if not part.loop:
        return part
    part.require_finite()
    found = seam(part)
    if found:
        raise UserError(f"clip {clip.name!r} is no loop there: {found[0].detail}{_advice(clip, first, end)}")
    return part


def _frame(clip: Clip, flag: str, time: float) -> int:
    """The frame at a time."""
    if not 0 <= time <= clip.duration + 0.5 * clip.dt:
        raise UserError(f"--{flag} {time:g}: clip {clip.name!r} lasts from 0 to {clip.duration:.4g} s")
    return round(time * clip.fps)


def _part(clip: Clip, first: int, end: int, loop: bool) -> Clip:
    """Frames ``first`` to ``end`` - 1, as far as there are any."""
    frames = np.arange(len(clip))
    outside = (frames < first) | (frames >= end)
    count = int((~outside).sum())
    if count < FEWEST:
        raise UserError(
            f"a piece needs at least {FEWEST} frames; from {first * clip.dt:g} to {end * clip.dt:g} s clip "
            f"{clip.name!r} has {count}, at {clip.fps:.4g} per second"
        )
    source = f"{clip.source}; frames {first} to {first + count - 1}".removeprefix("; ")
    return dataclasses.replace(without(clip, outside), loop=loop, source=source if outside.any() else clip.source)


def _advice(clip: Clip, first: int, end: int) -> str:
    """The nearest end at which a loop would close, for a message."""
    reach = round(NEAR * clip.fps)
    near = range(max(first + FEWEST, end - reach), min(end + reach, len(clip) - 1) + 1)
    for other in sorted(near, key=lambda k: abs(k - end)):
        part = _part(clip, first, other, loop=True)
        if np.isfinite(part.qpos).all() and not seam(part):
            return f"; it would close with --to {other * clip.dt:.6g}"
    return f"; nor does it close with an end within {NEAR:g} s of that one"
