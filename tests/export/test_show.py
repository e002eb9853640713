"""What the policy is told in a show, and what is added to its targets."""

from pathlib import Path

import numpy as np
import pytest
import synthetic
from robopolicy_runtime.machine import State
from show_rig import PERIOD, Rig, breathing, scene, write_show


@pytest.fixture(scope="module")
def path(write, tmp_path_factory) -> Path:
    return write_show(tmp_path_factory.mktemp("show"), write)


@pytest.fixture
def rig(path: Path) -> Rig:
    return Rig(path)


def test_the_operator_is_on_top_of_the_clips_within_range_and_rate(rig: Rig):
    first = rig.run()
    np.testing.assert_array_equal(first.command, [0, 0, 0])
    told = [first.command]
    told += [tick.command for tick in rig.ticks(1.0, vx=0.5, vy=0.1)]
    np.testing.assert_allclose(told[-1], [0.5, 0.1, 0.0], atol=1e-12)
    told += [tick.command for tick in (rig.tick("play lean", vx=0.5), *rig.ticks(1.0, vx=0.2))]
    np.testing.assert_allclose(told[-1], [0.5, 0.0, 0.0], atol=1e-12)  # 0.3 of the clip and 0.2 by hand
    told += [tick.command for tick in rig.ticks(1.0, vx=9.0, vy=np.nan)]
    np.testing.assert_allclose(told[-1], [0.6, 0.0, 0.0], atol=1e-12)  # the show's own range
    told += [tick.command for tick in (rig.tick("end lean"), *rig.ticks(1.0))]
    np.testing.assert_allclose(told[-1], [0, 0, 0], atol=1e-12)
    steps = np.abs(np.diff(told, axis=0)).max(axis=0)
    assert steps[0] == pytest.approx(1.0 * PERIOD)  # vx: as the file says
    assert steps[1] <= 2 * 0.4 * PERIOD + 1e-12  # vy: from end to end in half a second


def test_the_background_plays_on_the_joint_from_the_moment_that_a_policy_drives(rig: Rig):
    rig.run()
    offsets = [scene(tick).offset for tick in rig.ticks(2.2)]
    np.testing.assert_allclose([o[0] for o in offsets], [breathing(PERIOD * k) for k in range(len(offsets))], atol=1e-9)
    assert not np.any([o[1] for o in offsets])


def test_a_clip_moves_the_joint_and_the_policy_neither_sees_nor_fights_it(path: Path):
    """On joints that follow at once the policy's actions are those of a run without any offset."""
    still, moved = Rig(path), Rig(path)
    still.show._mixer._background = None
    still.run()
    moved.run()
    ours = [moved.tick("play nod", vx=0.3), *moved.ticks(0.8, vx=0.3, left_hip=0.05)]
    theirs = [still.tick(vx=0.3), *still.ticks(0.8, vx=0.3)]
    offset = np.array([scene(tick).offset for tick in ours])
    assert offset[20, 0] > 0.2  # 0.2 of the clip, 0.05 by hand, and the background
    assert offset[:, 0].max() <= 0.3 + 1e-12
    assert np.abs(np.diff(offset[:, 0])).max() <= 2.0 * PERIOD + 1e-12
    targets = np.array([tick.target for tick in ours])
    np.testing.assert_allclose(targets - offset, [tick.target for tick in theirs], atol=1e-5)
    np.testing.assert_allclose([t.action for t in ours], [t.action for t in theirs], atol=1e-4)
    assert (targets <= synthetic.UPPER).all()


def test_a_name_is_the_joint_where_it_may_be_moved_and_the_channel_elsewhere(rig: Rig):
    rig.run()
    tick = rig.ticks(0.5, left_hip=0.1)[-1]
    at_once = breathing(0.48) + 0.1
    assert scene(tick).offset[0] == pytest.approx(at_once)
    assert tick.command.tolist() == [0, 0, 0]
    rig.tick("stand", left_hip=0.1)
    tick = rig.ticks(0.48, left_hip=0.1)[-1]  # in a whole second the background is at rest
    assert rig.show.controller.contract.task == "toy_stand"
    assert tick.command.tolist() == pytest.approx([0.0, 0.1 + breathing(0.98)])
    assert np.abs(scene(tick).offset).max() < 1e-12


def test_what_the_policy_has_not_is_ignored_and_said_once(rig: Rig):
    rig.run()
    for _ in range(2):
        rig.tick("play nod")
        rig.ticks(1.0)
    said = [line for line in rig.lines if "ignored" in line]
    assert said == ["walk has no channel 'height' and may not have a joint so called moved: ignored"]


def test_when_commands_are_lost_clips_end_and_the_background_goes_on(rig: Rig):
    rig.run()
    rig.tick("play lean")
    assert rig.ticks(1.0, vx=0.1)[-1].command[0] == pytest.approx(0.4)
    ticks = [rig.tick(age_s=0.6, vx=0.1) for _ in range(60)]
    assert ticks[-1].state == State.RUN
    np.testing.assert_allclose(ticks[-1].command, 0, atol=1e-12)
    assert scene(ticks[-1]).weights.tolist() == [1, 0, 0]
    assert "command lost for 0.60 s: told to stand" in rig.lines
