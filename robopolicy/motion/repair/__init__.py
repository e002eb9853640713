"""Repairs of a clip, one module for each part of it; :mod:`robopolicy.motion.fix` has their order."""

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from robopolicy.motion.check import Defect, check, spans
from robopolicy.motion.clip import Clip

if TYPE_CHECKING:
    from robopolicy.robot import RobotModel

SHORT_GAP = 3
"""So many frames in a row are made anew from their neighbours; a longer gap is lost."""


@dataclass
class Repair:
    """What came of a clip.

    Attributes:
        clip: The repaired clip.
        changes: What was changed, a line each; empty if nothing was.
        left: The defects that a check of it still finds.
    """

    clip: Clip
    changes: list[str] = field(default_factory=list)
    left: list[Defect] = field(default_factory=list)


def kinds(clip: Clip, model: "RobotModel") -> set[str]:
    """Kinds of defect that a clip has; notes are none."""
    return {defect.kind for defect in check(clip, model) if not defect.note}


def without(clip: Clip, extra: np.ndarray) -> Clip:
    """The clip without the frames of a mask (K,)."""
    phase = None if clip.phase is None else clip.phase[~extra]
    return dataclasses.replace(clip, qpos=clip.qpos[~extra], qvel=clip.qvel[~extra], phase=phase)


def told(mask: np.ndarray) -> str:
    """Frames of a mask, for people."""
    return spans(tuple(np.flatnonzero(mask).tolist()))
