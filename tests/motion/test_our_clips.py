"""No false alarm: every clip that comes with the project is clean, whole, split and at another rate."""

import pytest

from robopolicy.motion.check import check
from robopolicy.motion.clip import load_clips
from robopolicy.paths import clips_dir
from robopolicy.robot import load_robot

ROBOTS = sorted(folder.name for folder in clips_dir().iterdir() if any(folder.glob("*.npz")))


@pytest.mark.parametrize("robot", ROBOTS)
def test_our_own_clips_are_clean(robot):
    model = load_robot(robot).compile()
    found = {clip.name: [str(d) for d in check(clip, model)] for clip in load_clips(robot, "*")}
    assert found
    assert {name: told for name, told in found.items() if told} == {}


@pytest.mark.parametrize("robot", ROBOTS)
def test_so_are_their_halves_and_other_rates(robot):
    model = load_robot(robot).compile()
    for clip in load_clips(robot, "*"):
        slow = [] if "hop" in clip.name else [clip.resample(1 / 30)]  # too few frames for a landing
        for part in (*clip.split(), clip.resample(1 / 60), *slow):
            assert [str(d) for d in check(part, model)] == [], (part.name, part.fps)
