"""Which policy drives, and when another one may take over."""

from pathlib import Path

import numpy as np
import pytest
import synthetic
from robopolicy_runtime.machine import State
from robopolicy_runtime.policy import Controller, PolicyFile
from show_rig import PERIOD, SHOW, Rig, scene, write_show
from test_safety import HALF


@pytest.fixture(scope="module")
def path(write, tmp_path_factory) -> Path:
    return write_show(tmp_path_factory.mktemp("show"), write)


@pytest.fixture
def rig(path: Path) -> Rig:
    return Rig(path)


def test_a_switch_fades_from_the_last_target_and_the_next_policy_begins_anew(rig: Rig, path: Path):
    rig.run()
    for name in ("stand", "walk"):  # so that it has a past to forget
        rig.ticks(0.5)
        rig.tick(name)
    offsets = [scene(tick).offset for tick in rig.ticks(0.5)]
    before = rig.machine.safety.sent - offsets[-1]
    fresh = Controller(PolicyFile.open(path.parent / "stand.onnx"))
    sent = offsets[-2:]
    for k in range(1, 26):
        seen = rig.robot.joint_pos - sent[1], rig.robot.joint_vel - (sent[1] - sent[0]) / PERIOD
        tick = rig.tick("stand" if k == 1 else None, height=-0.05)
        assert rig.lines.count("walk -> stand") == 2
        own = fresh.step(np.zeros(3), np.array([HALF, 0.0, -HALF]), *seen, tick.command)
        part = min(k * PERIOD / 0.3, 1.0)
        part = 3 * part**2 - 2 * part**3
        assert scene(tick).faded == pytest.approx(part)
        np.testing.assert_allclose(tick.target - scene(tick).offset, before + part * (own - before), atol=1e-5)
        sent = [sent[1], scene(tick).offset]
    assert scene(tick).policy == 1


LEANS = np.array([np.sin(np.pi / 4 + 0.3), 0.0, -np.cos(np.pi / 4 + 0.3)])


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"gravity": LEANS}, "the base leans by 0.30 rad; at most 0.2"),
        ({"gyro": np.array([0.0, 1.2, 0.9])}, "the base turns at 1.50 rad/s; at most 1"),
    ],
)
def test_a_switch_is_refused_on_an_uneasy_base(rig: Rig, changes: dict, why: str):
    rig.run()
    rig.ticks(1.0)
    rig.robot.changes = changes
    rig.ticks(2.0)
    tick = rig.tick("stand")
    assert rig.lines[-1] == f"refused to go from walk to stand: {why}"
    assert (tick.state, scene(tick).policy) == (State.RUN, 0)
    rig.robot.changes = {}
    rig.ticks(0.1)
    rig.tick("policy stand")
    assert rig.lines[-1].startswith("refused to go from walk to stand: it has stood still for 0.")
    rig.ticks(0.2)
    rig.tick("policy stand")
    assert rig.lines[-1] == "walk -> stand"


def test_one_noisy_sample_is_no_unrest(rig: Rig):
    rig.run()
    rig.ticks(1.0)
    rig.robot.changes = {"gyro": np.array([0.0, 3.0, 0.0])}
    rig.tick()
    rig.robot.changes = {}
    rig.tick("stand")
    assert rig.lines[-1] == "walk -> stand"


def test_a_walk_is_left_only_from_standing(rig: Rig):
    rig.run()
    rig.ticks(0.5, vx=0.3)
    rig.tick("stand", vx=0.3)
    assert rig.lines[-1] == "refused to go from walk to stand: walk is told to move, 0.30; at most 0.02"
    rig.ticks(0.34)  # 0.3 s to slow down
    rig.tick("stand")
    assert "it has stood still for" in rig.lines[-1]
    rig.ticks(0.2)
    rig.tick("stand")
    assert rig.lines[-1] == "walk -> stand"
    rig.tick("stand")
    assert rig.lines[-1] == "refused to go from stand to stand: it drives already"


def test_a_switch_is_refused_away_from_the_pose(write, tmp_path: Path):
    rig = Rig(write_show(tmp_path, write, SHOW.replace("near = 9.0", "near = 0.1")))
    rig.run()
    rig.ticks(0.5)
    rig.robot.joint_pos = synthetic.DEFAULT + [0.0, 0.25]
    rig.tick("stand")
    assert rig.lines[-1] == (
        "refused to go from walk to stand: right_hip is 0.25 rad from the pose of stand; at most 0.1"
    )


def test_an_emote_gives_way_by_itself(rig: Rig):
    rig.run()
    rig.ticks(0.5)
    rig.tick("emote:hop")
    policies = [scene(tick).policy for tick in rig.ticks(0.5)]
    assert policies == [2] * 19 + [1] * 6
    assert rig.lines[-2:] == ["walk -> emote:hop", "emote:hop -> stand"]


def test_an_emote_waits_until_the_robot_is_fit_and_says_so_once(rig: Rig):
    rig.run()
    rig.ticks(0.5)
    rig.tick("emote:hop")
    rig.robot.changes = {"gyro": np.array([0.0, 2.0, 0.0])}
    assert scene(rig.ticks(1.0)[-1]).policy == 2
    assert rig.lines[-1].startswith("emote:hop is over and waits to go to stand: the base turns at 1.")
    assert sum("waits" in line for line in rig.lines) == 1
    rig.robot.changes = {}
    assert scene(rig.ticks(0.5)[-1]).policy == 1


def test_before_anything_drives_a_policy_is_chosen_and_clips_are_refused(rig: Rig):
    rig.tick("play nod")
    assert rig.lines[-1] == "refused to play nod: no policy drives"
    rig.tick("stand")
    assert rig.lines[-1] == "stand will drive"
    rig.run()
    assert scene(rig.tick()).policy == 1


def test_a_fault_of_the_new_policy_stops_and_the_show_begins_anew(rig: Rig):
    rig.run()
    rig.ticks(0.5, vx=0.0)
    rig.show._cast._controllers["stand"]._run = lambda obs: np.full((1, 2), np.nan, np.float32)
    tick = rig.tick("stand", left_hip=0.2)
    assert tick.state == State.STOP
    assert "not finite" in rig.machine.reason
    assert [order.kp.any() for order in rig.robot.orders[-1:]] == [False]
    tick = rig.tick("play nod")
    assert not scene(tick).offset.any()
    assert np.isnan(scene(tick).told).all()
    rig.run()
    assert scene(rig.tick()).policy == 0


@pytest.mark.parametrize("request_", ["stop", "limp", "off"])
def test_the_state_machines_own_requests_go_through(rig: Rig, request_: str):
    rig.run()
    rig.tick("play lean")
    rig.tick(request_)
    assert rig.ticks(0.1)[-1].state == State[request_.upper()]
    assert rig.tick("dance").state == State[request_.upper()]
    assert rig.lines[-1].startswith("no request 'dance'")
