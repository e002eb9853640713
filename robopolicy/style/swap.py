"""The swap test and its control: is every policy nearest to the clips that it was trained on?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from robopolicy.style.distances import Distance


@dataclass(frozen=True)
class Swap:
    """Distances of P policies to S sets of clips, under the commands of those clips, in common deviations.

    Attributes:
        policies: Labels. Length P.
        clips: Names of the sets. Length S.
        own: Index of the set that each policy was trained on. Length P.
        frechet, mmd, movement: See ``Distance``; not a number where a policy fell at once. Shapes (P, S).
        shuffled: ``movement`` to the same clips with their frames in random order. Shape (P, S).
    """

    policies: list[str]
    clips: list[str]
    own: list[int]
    frechet: np.ndarray
    mmd: np.ndarray
    movement: np.ndarray
    shuffled: np.ndarray

    def verdicts(self) -> dict[str, bool]:
        """Whether the swap test holds, by each distance, and whether it fails with the shuffled clips as it must.

        The control takes every policy's own clips time-shuffled and leaves the others' as they are. Shuffling keeps
        every posture, so the control is judged by movement alone.
        """
        control = self.movement.copy()
        rows = np.arange(len(self.own))
        control[rows, self.own] = self.shuffled[rows, self.own]
        return {
            "frechet": holds(self.frechet, self.own),
            "mmd": holds(self.mmd, self.own),
            "movement": holds(self.movement, self.own),
            "control_fails": not any(nearest_is_own(control, self.own)),
        }

    def as_dict(self) -> dict:
        """As plain values, for JSON."""
        matrices = {name: _plain(getattr(self, name)) for name in ("frechet", "mmd", "movement", "shuffled")}
        own = [self.clips[k] for k in self.own]
        return {"policies": self.policies, "clips": self.clips, "own": own, **matrices, "holds": self.verdicts()}


def make_swap(
    policies: Sequence[str],
    clips: Sequence[str],
    own: Sequence[int],
    real: Sequence[Sequence[Distance | None]],
    shuffled: Sequence[Sequence[Distance | None]],
) -> Swap:
    """Sort the distances (P x S) into matrices."""

    def matrix(table: Sequence[Sequence[Distance | None]], name: str) -> np.ndarray:
        return np.array([[getattr(d, name) if d else np.nan for d in row] for row in table])

    return Swap(
        policies=list(policies),
        clips=list(clips),
        own=list(own),
        frechet=matrix(real, "frechet"),
        mmd=matrix(real, "mmd"),
        movement=matrix(real, "movement"),
        shuffled=matrix(shuffled, "movement"),
    )


def nearest_is_own(distance: np.ndarray, own: Sequence[int]) -> list[bool]:
    """Whether each policy (row) is nearest to its own clips (column); no if it fell before it could be compared."""
    known = np.where(np.isnan(distance), np.inf, distance)
    return [bool(np.isfinite(row[k]) and (np.delete(row, k) > row[k]).all()) for row, k in zip(known, own, strict=True)]


def holds(distance: np.ndarray, own: Sequence[int]) -> bool:
    """Whether every policy is nearest to its own clips.

    Only distances of one policy are compared: how far it is from all clips says how well it learned, not whose style it
    has.

    Args:
        distance: Shape (P, S).
        own: Column of each row's own clips.
    """
    return all(nearest_is_own(distance, own))


def _plain(matrix: np.ndarray) -> list[list[float | None]]:
    return [[float(v) if np.isfinite(v) else None for v in row] for row in matrix]
