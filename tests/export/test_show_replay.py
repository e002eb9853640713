"""The same show again to the bit, its log, and where its requests come from."""

import itertools
import json
import os
import socket
import struct
from dataclasses import fields
from pathlib import Path

import mujoco
import numpy as np
import pytest
import synthetic
from robopolicy_runtime.commands import Script
from robopolicy_runtime.driver import Order, Reading
from robopolicy_runtime.log import LogWriter, read_log, read_show
from robopolicy_runtime.machine import Machine, State
from robopolicy_runtime.policy import PolicyFile
from robopolicy_runtime.run import main, make_source
from robopolicy_runtime.safety import Safety
from robopolicy_runtime.show import Show, ShowFile
from robopolicy_runtime.verify import Plant
from show_rig import write_show
from test_run import runtime, script
from test_runtime_faults import free_port

NAMES = ["vx", "vy", "yaw_rate", "height", "left_hip"]


@pytest.fixture(scope="module")
def path(write, tmp_path_factory) -> Path:
    return write_show(tmp_path_factory.mktemp("show"), write)


class Lockstep:
    """The toy in MuJoCo, its base held, one control period at a time."""

    def __init__(self, file: PolicyFile) -> None:
        self.plant = Plant(file.mjcf, file.contract)
        mujoco.mj_resetData(self.plant.model, self.plant.data)
        self.now, self.sequence = 0.0, 0
        self.base = np.array([0, 0, 0.6, 1.0, 0, 0, 0])
        self.hold()

    def hold(self) -> None:
        self.plant.data.qpos[:7], self.plant.data.qvel[:6] = self.base, 0

    def connect(self, joint_names: tuple[str, ...]) -> None:
        pass

    def expect(self, lower: np.ndarray, upper: np.ndarray, period_s: float) -> None:
        pass

    def read(self) -> Reading:
        sensors = {name: np.array(value, float) for name, value in self.plant.sensors().items()}
        return Reading(self.now, self.sequence, **sensors)

    def send(self, order: Order) -> None:
        if order.kp.any():
            self.plant.step(order.target)
            self.hold()

    def close(self) -> None:
        pass


SCRIPT = """
0.1 ready
0.4 run
0.5 vx=0.4 yaw_rate=-0.2
0.6 play nod            # while it walks
0.8 stand               # refused
1.2 vx=0 yaw_rate=0
2.0 policy stand
2.1 play lean
2.4 height=-0.03
3.0 end lean
3.5 emote:hop
"""


def play(path: Path, log_path: Path, jitter: np.random.Generator) -> list[str]:
    """The script against the toy; the clock that others see goes by fits and starts."""
    lines: list[str] = []
    show = Show(ShowFile.open(path), lines.append)
    robot = Lockstep(show.file.parts["walk"].policy)
    machine = Machine(
        show, Safety(robot, show.contract, clock=lambda: robot.now), 0.2, clock=show.clock, report=lines.append
    )
    source = Script(SCRIPT, show.command, show.clock, show.requests)
    log = LogWriter(log_path, show.contract, show.names)
    for _ in range(240):
        robot.now += jitter.uniform(0.015, 0.045)
        robot.sequence += 1
        log.add(robot.now, 0.0, 0, machine.tick(source.poll()))
    log.close()
    return lines


def test_the_same_script_gives_the_same_show_to_the_bit(path: Path, tmp_path: Path):
    lines = [play(path, tmp_path / f"{seed}.log", np.random.default_rng(seed)) for seed in (1, 2)]
    assert lines[0] == lines[1]
    for expected in ("refused to go from walk to stand: walk is told to move", "walk -> stand", "stand -> emote:hop"):
        assert any(line.startswith(expected) for line in lines[0]), lines[0]
    (one, contract), (two, _) = (read_log(tmp_path / f"{seed}.log") for seed in (1, 2))
    assert (one["time"] != two["time"]).all()
    for name in set(one) - {"time", "reading_time"}:
        np.testing.assert_array_equal(one[name], two[name], err_msg=name)

    names = read_show(tmp_path / "1.log")
    assert names == {
        "policies": ["walk", "stand", "emote:hop"],
        "clips": ["breathing", "nod", "lean"],
        "names": NAMES,
    }
    running = one["state"] == State.RUN
    assert [int(k) for k, _ in itertools.groupby(one["policy"][running])] == [0, 1, 2, 1]
    assert one["faded"].shape == (240,)
    assert one["weights"][32, 1] == pytest.approx(np.polyval([-2, 3, 0, 0], 0.4))  # 0.04 s into the nod's 0.1 s
    assert one["offset"][:, 0].max() > 0.15
    walk, stand = one["policy"] == 0, running & (one["policy"] == 1)
    np.testing.assert_array_equal(one["told"][:, :3], one["command"])  # the contract's channels, that is the walk's
    assert contract["command"]["names"] == NAMES[:3]
    assert np.isfinite(one["told"][running & walk, 0]).all()
    assert np.isnan(one["command"][stand]).all()
    assert one["told"][stand, 3].min() == pytest.approx(-0.03)
    assert np.isnan(one["told"][~running]).all()


def test_a_log_without_a_show_is_as_it_was(path: Path, tmp_path: Path):
    log = LogWriter(tmp_path / "a.log", synthetic.contract())
    log.close()
    assert read_show(tmp_path / "a.log") is None
    assert "policy" not in read_log(tmp_path / "a.log")[0]
    header = json.loads((tmp_path / "a.log").read_bytes().splitlines()[0])
    assert list(header) == ["format", "version", "columns", "contract"]


def test_a_gamepad_with_the_shows_sticks_and_buttons(path: Path, tmp_path: Path):
    show = Show(ShowFile.open(path))
    os.mkfifo(tmp_path / "js0")
    end = os.open(tmp_path / "js0", os.O_RDWR)
    pad = make_source(f"gamepad:{tmp_path / 'js0'}", show.contract, show)
    for value, kind, number in ((-32767, 2, 1), (32767, 2, 2), (32767, 2, 0), (1, 1, 5)):
        os.write(end, struct.pack("<IhBB", 0, value, kind, number))
    wish = pad.poll()
    assert wish.request == "play nod"
    assert wish.command == pytest.approx({"vx": 0.6, "left_hip": 0.3})  # the show's ranges; axis 0 drives nothing
    os.write(end, struct.pack("<IhBB", 0, 1, 1, 1))
    assert pad.poll().request == "stop"
    os.close(end)
    pad.close()


def test_a_keyboard_with_the_shows_keys(path: Path, monkeypatch: pytest.MonkeyPatch):
    show = Show(ShowFile.open(path))
    hand, terminal = os.openpty()
    monkeypatch.setattr("sys.stdin", os.fdopen(terminal))
    keyboard = make_source("keyboard", show.contract, show)
    for key, request, vx in (
        (b"n", "play nod", None),
        (b"\x1b[A", None, 1.1 / 8),
        (b"1", "ready", 1.1 / 8),
        (b" ", None, None),
    ):
        os.write(hand, key)
        wish = keyboard.poll()
        assert (wish.request, wish.command.get("vx")) == (request, vx and pytest.approx(vx))
    os.write(hand, b"q")
    assert (keyboard.poll().request, keyboard.quit) == ("stop", True)  # pyright: ignore[reportAttributeAccessIssue]
    keyboard.close()
    os.close(hand)


def test_requests_of_two_words_over_udp(path: Path):
    show = Show(ShowFile.open(path))
    port = free_port()
    source = make_source(f"udp:{port}", show.contract, show)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(json.dumps({"request": "play nod", "height": 0.01}).encode(), ("127.0.0.1", port))
        wish = source.poll()
    assert (wish.request, wish.command) == ("play nod", {"height": 0.01})
    source.close()


def test_a_show_from_the_command_line(path: Path, tmp_path: Path):
    commands = script(tmp_path)
    commands.write_text("0.3 ready\n0.7 run\n0.8 play nod\n1.0 vx=0.2\n")
    log = tmp_path / "show.log"
    process = runtime(
        *("run", path, "--port", free_port(), "--commands", commands, "--ramp", 0.2, "--seconds", 1.4, "--log", log)
    )
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert "ready -> run: asked" in out
    rows, _ = read_log(log)
    assert rows["weights"][:, 1].max() == 1.0
    assert set(rows) >= {field.name for field in fields(type(Show(ShowFile.open(path)).scene))}


def test_a_wrong_script_is_refused_before_the_robot_starts(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    commands = script(tmp_path)
    commands.write_text("1 play nob\n")
    assert main([str(path), "--commands", str(commands)]) == 2
    err = capsys.readouterr().err
    assert "script line 1: nothing is called 'play'; channels: vx, vy, yaw_rate, height, left_hip" in err
    assert "play nod" in err
    assert err.count("\n") == 1
