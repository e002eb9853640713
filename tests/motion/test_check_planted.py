"""Every kind of defect, planted at random in good clips, is found in the right frames."""

import dataclasses
import zlib

import numpy as np
import pytest
from planted import NEEDS_LOOP, NEEDS_STEPS, PLANTERS

from robopolicy.motion.check import check
from robopolicy.motion.clip import Clip, load_clips

GOOD = {
    "droid": ("walk_forward_0.30", "turn_left_0.60", "stand_idle", "happy_nod"),
    "go2": ("trot_forward_0.60", "pace_turn_left_0.80", "stand"),
}
CASES = [
    (planter, robot, name, loop)
    for planter in PLANTERS
    for robot, names in GOOD.items()
    for name in names
    for loop in (True, False)
    if (loop or planter not in NEEDS_LOOP)
    and (planter not in NEEDS_STEPS or name not in ("stand_idle", "happy_nod", "stand"))
]
ALONE = {
    "nan",
    "norm",
    "sign",
    "held frame",
    "inserted frame",
    "first again",
    "slide",
    "raised",
    "hovering",
    "mislabelled",
    "slowed",
}
"""Planters whose defect has no consequences: nothing else may be reported."""


def good_clip(robot: str, name: str, loop: bool) -> Clip:
    clip = load_clips(robot, name)[0]
    return clip if loop else dataclasses.replace(clip, loop=False)


def look(planter, model, clip, seed):
    """What a planted defect is reported as, and whether that is right."""
    kind, plant = PLANTERS[planter]
    damaged, must = plant(clip, model, np.random.default_rng(seed))
    found = check(damaged, model)
    named = {frame for defect in found if defect.kind == kind for frame in defect.frames}
    return kind, {defect.kind for defect in found}, named, must


@pytest.mark.parametrize(("planter", "robot", "name", "loop"), CASES)
def test_a_planted_defect_is_found(planter, robot, name, loop, request):
    model, clip = request.getfixturevalue(robot), good_clip(robot, name, loop)
    seed = zlib.crc32(f"{planter} {name} {loop}".encode())
    kind, kinds, named, must = look(planter, model, clip, seed)
    assert kind in kinds
    if must is not None:
        assert must <= named
        # next to the planted frames others may be wrong too, by what the planting did to velocities
        assert named <= {frame + offset for frame in must for offset in range(-12, 13)}
    if planter in ALONE:
        assert kinds == {kind}


@pytest.mark.slow
@pytest.mark.parametrize("planter", PLANTERS)
def test_many_planted_defects_are_found(planter, droid, go2):
    missed = []
    for _, robot, name, loop in (case for case in CASES if case[0] == planter):
        clip = good_clip(robot, name, loop)
        for seed in range(10):
            kind, kinds, named, must = look(planter, droid if robot == "droid" else go2, clip, seed)
            if kind not in kinds or not (must or set()) <= named:
                missed.append((name, loop, seed))
    assert missed == []
