"""What a defect is, and how frames are told to people."""

from dataclasses import dataclass

import numpy as np

NOTES = {"slow strides": "right if it is meant to be slow; else its rate is too low"}
"""Kinds that may be as they should, with what to ask: no defects, but something to look at."""


@dataclass(frozen=True)
class Defect:
    """One kind of thing wrong with a clip, or worth a look.

    Attributes:
        kind: Short name of it.
        frames: The frames it is in.
        detail: What was found, with numbers.
    """

    kind: str
    frames: tuple[int, ...]
    detail: str

    @property
    def note(self) -> bool:
        """The clip is fit for training all the same."""
        return self.kind in NOTES

    @property
    def told(self) -> str:
        """For people, with how grave it is before it."""
        return f"{'note' if self.note else 'warning'}: {self}"

    def __str__(self) -> str:
        return f"{self.kind}: {self.detail} [{len(self.frames)} frames: {spans(self.frames)}]"


def spans(frames: tuple[int, ...], limit: int = 8) -> str:
    """Frame numbers for people: ``3, 7-12, 40``; at most ``limit`` spans."""
    starts_and_ends = np.array(sorted(set(frames)), dtype=int)
    runs = np.split(starts_and_ends, np.flatnonzero(np.diff(starts_and_ends) > 1) + 1) if frames else []
    parts = [str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs[:limit]]
    return ", ".join(parts) + (f" and {len(runs) - limit} more" if len(runs) > limit else "")


def defects(kind: str, mask: np.ndarray, detail: str) -> list[Defect]:
    """The defect in the frames of a mask (K,); none if the mask is empty."""
    frames = np.flatnonzero(mask)
    return [Defect(kind, tuple(frames.tolist()), detail)] if len(frames) else []


def runs(mask: np.ndarray) -> np.ndarray:
    """First frame, and the one after the last, of every run of True. Shape (n, 2)."""
    return np.flatnonzero(np.diff(np.concatenate([[0], np.asarray(mask, int), [0]]))).reshape(-1, 2)
