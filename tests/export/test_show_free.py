"""Joints that no policy drives: what the show makes of them, in which states, and on which robots."""

import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import synthetic
from robopolicy_runtime.driver import DriverError
from robopolicy_runtime.drivers.servo import ServoBus, ServoDriver
from robopolicy_runtime.drivers.unitree import UnitreeDriver
from robopolicy_runtime.errors import ContractError
from robopolicy_runtime.log import LogWriter, read_log, read_show
from robopolicy_runtime.machine import State
from robopolicy_runtime.run import make_source
from robopolicy_runtime.safety import Safety
from robopolicy_runtime.show import Show, ShowFile
from show_rig import PERIOD, SHOW, Rig, breathing, write_show
from test_run import runtime
from test_runtime_faults import free_port
from test_servo_driver import IMU, FakeServos, until

EARS = ("ear_left", "ear_right")
REST = np.array([0.1, 0.0])
FREE = """
[free]
ear_left = { range = [-0.3, 0.5], rate = 2.0, default = 0.1, kp = 2.0, kd = 0.05, torque = 0.5 }
ear_right = { range = [-0.6, 0.9], rate = 5.0, kp = 3.0, kd = 0.06 }
"""
TEXT = (
    SHOW.replace("left_hip = 0.0 }", "left_hip = 0.0, ear_left = 0.0 }", 1)
    .replace("left_hip = 0.04 }", "left_hip = 0.04, ear_left = 0.2 }", 1)
    .replace("time = 0.0, left_hip = 0.2 }", "time = 0.0, left_hip = 0.2, ear_left = 0.05, ear_right = -0.2 }", 1)
    .replace("left_hip = { axis = 2 }", "left_hip = { axis = 2 }\near_right = { axis = 3 }", 1)
    + FREE
)
# Ears between the policy's joints and in another order than the show's.
MJCF = synthetic.MJCF.replace(
    '<body name="right"',
    """<body name="ear_right" pos=".1 -.05 .04">
        <joint name="ear_right" axis="0 1 0" armature=".001"/>
        <geom type="capsule" fromto="0 0 0 0 0 .05" size=".005" mass=".01"/>
      </body>
      <body name="ear_left" pos=".1 .05 .04">
        <joint name="ear_left" axis="0 1 0" armature=".001"/>
        <geom type="capsule" fromto="0 0 0 0 0 .05" size=".005" mass=".01"/>
      </body>
      <body name="right\"""",
).replace("<actuator>", '<actuator> <motor name="el" joint="ear_left"/> <position name="er" joint="ear_right" kp="1"/>')


@pytest.fixture(scope="module")
def path(write, tmp_path_factory) -> Path:
    return write_show(tmp_path_factory.mktemp("ears"), write, TEXT)


@pytest.fixture
def rig(path: Path) -> Rig:
    return Rig(path, REST)


def smooth(t: float) -> float:
    t = min(max(t, 0.0), 1.0)
    return 3 * t**2 - 2 * t**3


def test_background_clip_and_stick_add_up(rig: Rig):
    rig.run()
    ticks = rig.ticks(0.3, ear_right=0.1)
    ticks += [rig.tick("play nod", ear_right=0.1), *rig.ticks(1.0, ear_right=0.1)]
    for k, tick in enumerate(ticks):
        seconds, into = PERIOD * k, PERIOD * (k - 15)
        nod = min(smooth(into / 0.1), smooth((0.6 - into) / 0.1))
        hand = min(5.0 * PERIOD * (k + 1), 0.1)  # at its rate
        expected = REST + [5 * breathing(seconds) + 0.05 * nod, hand - 0.2 * nod]
        np.testing.assert_allclose(tick.target[2:], expected, atol=1e-9, err_msg=str(k))
    assert rig.machine.safety.limited_by == ()


def test_neither_range_nor_rate_is_left(rig: Rig):
    rig.run()
    random = np.random.default_rng(3)
    sent = []
    for _ in range(20):
        left, right = random.normal(0, 3, 2).tolist()
        sent += [rig.tick("play nod", ear_left=left, ear_right=right).target[2:]]
        sent += [tick.target[2:] for tick in rig.ticks(0.4, ear_left=left, ear_right=right)]
    assert np.min(sent, axis=0).tolist() == pytest.approx([-0.3, -0.6])
    assert np.max(sent, axis=0).tolist() == pytest.approx([0.5, 0.9])
    assert np.abs(np.diff(sent, axis=0)).max(axis=0) == pytest.approx([2.0 * PERIOD, 5.0 * PERIOD])


def test_the_policies_notice_nothing(path: Path, write, tmp_path: Path):
    """Commands, actions, and targets are to the bit those of the same show without free joints."""
    ours, theirs = Rig(path, REST), Rig(write_show(tmp_path, write))
    for rig in (ours, theirs):
        rig.run()
    for request in ("play nod", "play lean", None, "end lean", None, "stand"):
        for k in range(20):
            word = request if k == 0 else None
            one, two = ours.tick(word, 0.0, left_hip=0.1), theirs.tick(word, 0.0, left_hip=0.1)
            np.testing.assert_array_equal(one.command, two.command)
            np.testing.assert_array_equal(one.action, two.action)
            np.testing.assert_array_equal(one.target[:2], two.target)
    assert ours.lines == theirs.lines
    assert ours.show.controller.contract.task == "toy_stand"


def test_nothing_moves_before_run_and_then_it_goes_to_its_rest_at_its_rate(path: Path):
    rig = Rig(path, found=(0.4, -0.5))
    rig.ticks(0.2, ear_left=0.3)
    assert rig.robot.orders == []
    rig.tick("ready")
    rig.ticks(0.2, ear_left=0.3)
    assert [order.target[2:].tolist() for order in rig.robot.orders] == [[0.4, -0.5]] * 11
    assert rig.robot.orders[-1].kp.tolist() == [20, 25, 2, 3]
    rig.show._mixer._background = None
    rig.run()
    rig.ticks(0.05)
    ways = np.array([order.target[2:] for order in rig.robot.orders])
    assert ways[-3:, 0] == pytest.approx([0.36, 0.32, 0.28])
    assert ways[-3:, 1] == pytest.approx([-0.4, -0.3, -0.2])
    np.testing.assert_allclose(rig.ticks(0.4)[-1].target[2:], REST)


@pytest.mark.parametrize(
    ("changes", "request_", "state", "kd"),
    [
        ({}, "stop", State.STOP, [0.7, 0.8, 0.05, 0.06]),
        ({}, "limp", State.LIMP, [0, 0, 0, 0]),
        ({"gravity": np.array([0.0, 0.0, 1.0])}, None, State.FALLEN, [0.7, 0.8, 0.05, 0.06]),
        ({"joint_pos": np.array([0.1, -0.1, 0.0, np.nan])}, None, State.STOP, [0.7, 0.8, 0.05, 0.06]),
    ],
)
def test_they_give_way_with_the_others(rig: Rig, changes: dict, request_: str | None, state: State, kd: list):
    rig.run()
    rig.robot.changes = changes
    tick = rig.tick(request_, 0.0, ear_left=0.3)
    assert tick.state == state
    order = rig.robot.orders[-1]
    assert (order.kp.tolist(), order.kd.tolist()) == ([0] * 4, kd)
    rig.tick("off")
    rig.ticks(0.1)  # the last orders
    assert rig.machine.state == State.OFF
    count = len(rig.robot.orders)
    rig.ticks(0.1, ear_left=0.3)
    assert len(rig.robot.orders) == count


def test_a_reading_that_does_not_come_anew_drives_no_ear(rig: Rig):
    rig.run()
    rig.robot.sequence -= 100  # the first one is new, and then it is the same again
    for _ in range(4):
        rig.tick(ear_left=0.3)
        rig.robot.sequence -= 1
    assert rig.machine.state == State.STOP
    assert not rig.robot.orders[-1].kp.any()


def test_an_ear_that_somebody_flicks_or_bends_is_no_fault(rig: Rig):
    rig.run()
    rig.robot.joint_pos[2], rig.robot.joint_vel[3] = 2.5, -90.0
    assert rig.tick().state == State.RUN


def test_one_found_out_of_its_range_comes_back_at_its_rate(path: Path):
    rig = Rig(path, found=(2.5, -1.0))
    rig.tick("ready")
    rig.ticks(1.5)
    ways = np.array([[2.5, -1.0], *(order.target[2:] for order in rig.robot.orders)])
    assert np.abs(np.diff(ways, axis=0)).max(axis=0) == pytest.approx([2.0 * PERIOD, 5.0 * PERIOD])
    assert ways[-1] == pytest.approx([0.5, -0.6])


def test_a_flicked_ear_is_asked_for_no_more_torque_than_allowed(path: Path):
    rig = Rig(path, REST)
    rig.machine.safety.limits = replace(rig.machine.safety.limits, overdrive=1.5)
    rig.run()
    rig.robot.joint_pos[2], rig.robot.joint_vel[2] = 2.5, 0.0
    target = rig.tick().target[2]
    assert 2.0 * abs(target - 2.5) <= 1.5 * 0.5 + 1e-9
    assert 2.5 - target <= 2.0 * PERIOD + 1e-9


def test_without_commands_only_the_background_plays(rig: Rig):
    rig.run()
    rig.tick("play nod", ear_right=0.5)
    rig.ticks(0.4, ear_right=0.5)
    ticks = [rig.tick(age_s=0.6, ear_right=0.5) for _ in range(30)]
    seconds = PERIOD * (1 + 20 + 29)
    assert ticks[-1].target[2:] == pytest.approx(REST + [5 * breathing(seconds), 0.0])


def test_the_log_has_what_was_measured_and_what_was_sent(rig: Rig, tmp_path: Path):
    log = LogWriter(tmp_path / "ears.log", rig.show.contract, rig.show.names)
    log.add(0.0, 0.0, 0, rig.tick())
    rig.run()
    ticks = [rig.tick("play nod"), *rig.ticks(0.3)]
    for tick in ticks:
        log.add(0.0, 0.0, 0, tick)
    log.close()
    rows, contract = read_log(tmp_path / "ears.log")
    names = read_show(tmp_path / "ears.log")
    assert names is not None
    assert (names["free"], contract["joint_names"]) == (list(EARS), list(synthetic.JOINTS))
    np.testing.assert_array_equal(rows["free_target"], [[np.nan] * 2, *(tick.target[2:] for tick in ticks)])
    np.testing.assert_array_equal(rows["target"][1:], [tick.target[:2] for tick in ticks])
    np.testing.assert_array_equal(rows["free_pos"][2:], rows["free_target"][1:-1])  # ears that follow at once
    assert rows["joint_pos"].shape == (len(ticks) + 1, 2)


def test_a_recorded_clip_and_a_script_know_them(path: Path, tmp_path: Path, write):
    qpos = np.zeros((3, 7 + 2))
    qpos[:, 7], qpos[:, 8] = [0.3, 0.2, 0.1], 0.1
    names = np.array(["ear_left", "left_hip"])
    np.savez(tmp_path / "ears.npz", fps=10.0, loop=False, joint_names=names, qpos=qpos, qvel=np.zeros((3, 8)))
    text = TEXT.replace("[sticks]", '[clips.ears]\nfile = "ears.npz"\nfade_in = 0\nfade_out = 0\n[sticks]')
    show = ShowFile.open(write_show(tmp_path, write, text))
    assert show.clips["ears"].at(0.05) == pytest.approx({"ear_left": 0.15, "left_hip": 0.0})  # 0.25 - 0.1
    script = tmp_path / "script.txt"
    script.write_text("0 ear_left=0.2\n")
    assert make_source(str(script), show.contract, Show(show)).poll().command == {"ear_left": 0.2}


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("ear_left = { range", "right_hip = { range", "free: 'right_hip' is a joint or a channel of a policy"),
        ("ear_left = { range", "height = { range", "free: 'height' is a joint or a channel"),
        ("range = [-0.3, 0.5], ", "", "free.ear_left: range is missing"),
        ("rate = 2.0, ", "", "free.ear_left: rate is missing"),
        ("rate = 2.0, default", "rate = 0, default", "free.ear_left: rate must be at least"),
        ("default = 0.1", "default = 0.6", r"free.ear_left: default 0.6 is outside \[-0.3, 0.5\]"),
        ("kp = 2.0, ", "", "free.ear_left: kp is missing"),
        ("torque = 0.5", "toque = 0.5", "free.ear_left: nothing is called 'toque'"),
        ("[limits]", "[limits]\near_left = { rate = 1.0 }", "limits: nothing is called 'ear_left'"),
        ("ear_right = { axis = 3 }", "ear = { axis = 3 }", "nothing that can be moved is called 'ear'.*ear_left"),
    ],
)
def test_a_show_with_a_mistake(path: Path, old: str, new: str, what: str):
    assert old in TEXT
    other = path.with_name("other.toml")
    other.write_text(TEXT.replace(old, new, 1))
    with pytest.raises(ContractError, match=what):
        ShowFile.open(other)


def test_a_simulated_robot_with_ears(path: Path, tmp_path: Path):
    """The joints turn as told, in whatever order the MJCF has them, and from `run` on."""
    (tmp_path / "ears.xml").write_text(MJCF)
    commands = tmp_path / "commands.txt"
    commands.write_text("0.2 ready\n0.6 run\n0.7 ear_left=-0.2 ear_right=0.6\n1.9 stop\n")
    log = tmp_path / "ears.log"
    words = ["run", path, "--port", free_port(), "--commands", commands, "--ramp", 0.2, "--seconds", 2.2, "--log", log]
    out, err = runtime(*words, "--mjcf", tmp_path / "ears.xml").communicate(timeout=60)
    assert (err, "ready -> run: asked" in out) == ("", True)
    rows = read_log(log)[0]
    running = rows["state"] == State.RUN
    assert np.isnan(rows["free_target"][rows["state"] == State.OFF]).all()
    ready = rows["free_target"][rows["state"] == State.READY]
    np.testing.assert_allclose(ready, np.tile(REST, (len(ready), 1)), atol=1e-6)
    sent, there = rows["free_target"][running], rows["free_pos"][running]
    assert sent[-1, 1] == pytest.approx(0.6)
    assert sent[-1, 0] < 0.11  # 0.1 - 0.2, and at most 0.2 of the background
    # Behind by a few hundredths of a second; more now and then, where the machine is busy.
    assert (np.median(np.abs(there[10:] - sent[8:-2]), axis=0) < 0.03).all()


def test_robots_that_have_them_not_say_so_at_once(path: Path, tmp_path: Path):
    _, err = runtime("run", path, "--port", free_port(), "--commands", "udp:0").communicate(timeout=60)
    assert "ear_left, ear_right; --mjcf FILE names one that has" in err
    assert err.count("\n") == 1
    with pytest.raises(DriverError, match="the go2 has no joint .*ear_left, ear_right; its joints: "):
        UnitreeDriver("go2").connect((*synthetic.JOINTS, *EARS))
    config = tmp_path / "servos.toml"
    config.write_text(servos_toml("/dev/null", ("left_hip", "right_hip", "ear_right")))
    with pytest.raises(DriverError, match="no servo for ear_left$"):
        ServoDriver(ServoBus.load(config)).connect((*synthetic.JOINTS, *EARS))


def servos_toml(port: str, joints: tuple[str, ...]) -> str:
    """Servo 1, 2, ... at the joints; each joint's zero is the middle of its servo's turn."""
    head = f'port = "{port}"\nbaud = 1000000\nprotocol = "sts3215"\nrate_hz = 50\ntimeout_ms = 100\n'
    rest = [f"{name} = {{ id = {k}, sign = 1, zero = 0.0 }}" for k, name in enumerate(joints, 1)]
    return "\n".join((head + 'imu = "ears_imu:connect"\n[joints]', *rest))


def test_bus_servos_turn_them(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("rustypot", reason="needs rustypot: pip install 'robopolicy-runtime[servo]'")
    try:
        for end in os.openpty():
            os.close(end)
    except (AttributeError, OSError) as error:
        pytest.skip(f"needs a pseudo-terminal: {error}")
    half = np.sqrt(0.5)
    imu = IMU.replace("[0.0, 0.0, -1.0]", f"[{half}, 0.0, {-half}]").replace("[0.1, 0.2, 0.3]", "[0.0, 0.0, 0.0]")
    (tmp_path / "ears_imu.py").write_text(imu)
    servos = FakeServos("sts3215", (1, 2, 3, 4))
    show = Show(ShowFile.open(path))
    config = tmp_path / "servos.toml"
    config.write_text(servos_toml(servos.port, (*EARS, *synthetic.JOINTS)))  # in any order
    safety = Safety(ServoDriver(ServoBus.load(config)), show.body, show.limits)
    try:
        safety.connect()
        until(lambda: safety._driver.read() is not None, "no reading")
        reading = safety.sense()
        for _ in range(3):
            safety.drive(np.array([0.0, 0.0, 0.04, -0.1]), reading)
        goals = [round(2048 + angle * 4096 / (2 * np.pi)) for angle in (0.04, -0.1, 0.0, 0.0)]
        until(lambda: [servos("get", k, "goal") for k in (1, 2, 3, 4)] == goals, "not there")
        safety.limp()
        until(lambda: [servos("get", k, "torque") for k in (1, 2)] == [0, 0], "not limp")
    finally:
        safety.close()
        servos.kill()
        sys.modules.pop("ears_imu", None)
