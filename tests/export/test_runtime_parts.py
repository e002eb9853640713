"""Deadlines, logs and sources of commands."""

import json
import os
import socket
import struct
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import synthetic
from robopolicy_runtime.commands import Script, Udp
from robopolicy_runtime.contract import Command
from robopolicy_runtime.devices import Gamepad, Keyboard
from robopolicy_runtime.errors import ContractError, say
from robopolicy_runtime.log import LogWriter, read_log
from robopolicy_runtime.machine import State, Tick
from robopolicy_runtime.ticker import Ticker
from test_safety import upright

CONTRACT = synthetic.contract()


class Clock:
    """Time that passes only by sleeping, or by hand."""

    def __init__(self) -> None:
        self.now = 5.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


def test_deadlines_do_not_drift_with_the_work():
    clock = Clock()
    ticker = Ticker(0.02, clock, clock.sleep)
    for k in range(50):
        assert ticker.wait() == pytest.approx(0.0, abs=1e-9)
        assert clock.now == pytest.approx(5.0 + 0.02 * k)
        clock.now += 0.013  # work
    assert ticker.missed == 0


def test_missed_periods_are_counted_and_left_out():
    clock = Clock()
    ticker = Ticker(0.02, clock, clock.sleep)
    ticker.wait()
    clock.now += 0.065  # three whole periods and a quarter
    assert ticker.wait() == pytest.approx(0.005)
    assert ticker.missed == 2
    assert ticker.wait() == pytest.approx(0.0, abs=1e-9)
    assert clock.now == pytest.approx(5.08)  # still on the grid
    assert ticker.lateness == pytest.approx([0.0, 0.005, 0.0], abs=1e-9)


def test_the_memory_of_a_ticker_does_not_grow():
    clock = Clock()
    ticker = Ticker(0.02, clock, clock.sleep)
    for k in range(100_010):
        ticker.wait()
        clock.now += 0.0 if k < 100_000 else 0.021  # the last ten end late, so the next begin late
    assert (ticker.count, len(ticker.lateness)) == (100_010, 100_000)
    assert (ticker.lateness > 0.0005).sum() == 9


def tick(**changes) -> Tick:
    values = {
        "state": State.RUN,
        "reading": upright(1.5, 7),
        "trusted": True,
        "command": np.array([0.1, 0.2, 0.3]),
        "action": np.array([1.0, -1.0]),
        "target": np.array([0.25, -0.25]),
        "limited_by": ("torque", "position"),
    }
    return Tick(**(values | changes))


def test_a_log_reads_back(tmp_path: Path):
    path = tmp_path / "run.log"
    log = LogWriter(path, CONTRACT)
    log.add(10.0, 0.001, 3, tick())
    log.add(10.02, 0.0, 3, tick(state=State.STOP, reading=None, trusted=False, limited_by=()))
    log.close()
    rows, contract = read_log(path)
    assert contract["joint_names"] == list(synthetic.JOINTS)
    assert rows["time"].tolist() == [10.0, 10.02]
    assert rows["state"].tolist() == [State.RUN, State.STOP]
    assert rows["limited"].tolist() == [5, 0]
    assert rows["trusted"].tolist() == [1, 0]
    assert rows["sequence"][0] == 7
    np.testing.assert_array_equal(rows["joint_pos"][0], synthetic.DEFAULT)
    assert np.isnan(rows["joint_pos"][1]).all()
    np.testing.assert_array_equal(rows["command"], [[0.1, 0.2, 0.3]] * 2)
    np.testing.assert_array_equal(rows["target"], [[0.25, -0.25]] * 2)


def test_a_log_that_was_cut_off_reads_up_to_there(tmp_path: Path):
    path = tmp_path / "run.log"
    log = LogWriter(path, CONTRACT)
    for k in range(5):
        log.add(float(k), 0.0, 0, tick())
    log.close()
    data = path.read_bytes()
    for cut in (1, 8, 100):
        (tmp_path / "cut").write_bytes(data[:-cut])
        assert read_log(tmp_path / "cut")[0]["time"].tolist() == [0, 1, 2, 3]


def test_an_earlier_log_is_never_lost(tmp_path: Path):
    (tmp_path / "run.log").write_text("precious")
    with pytest.raises(ContractError, match="there is a log already"):
        LogWriter(tmp_path / "run.log", CONTRACT)
    assert (tmp_path / "run.log").read_text() == "precious"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_full_disk_is_said_once_and_stops_nothing():
    log = LogWriter("/dev/full", CONTRACT)
    assert log.trouble == "the log ends here: No space left on device"
    log.add(0.0, 0.0, 0, tick())
    log.close()


def test_a_pipe_that_nobody_empties_does_not_hold_the_robot_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("robopolicy_runtime.log._WAITING", 20)
    monkeypatch.setattr("robopolicy_runtime.log._CLOSE_S", 0.1)
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    log = LogWriter(tmp_path / "pipe", CONTRACT)
    begin = time.monotonic()
    for k in range(2000):  # far more than a pipe holds
        log.add(float(k), 0.0, 0, tick())
    assert "control periods are left out" in (log.trouble or "")
    assert log.missing > 0
    log.close()
    log.close()
    assert time.monotonic() - begin < 10.0
    assert f"pipe: {log.missing} control periods are not in the log" in capsys.readouterr().out
    header, rows = os.read(reader, 1 << 20).split(b"\n", 1)
    first = np.frombuffer(rows[: len(rows) // 8 * 8])[:1]
    assert (json.loads(header)["format"], first.tolist()) == ("robopolicy-log", [0.0])
    os.close(reader)


def test_a_reader_that_comes_back_gets_whole_rows(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    log = LogWriter(tmp_path / "pipe", CONTRACT)
    for k in range(400):
        log.add(float(k), 0.0, 0, tick())
    os.set_blocking(reader, True)
    drain = threading.Thread(target=lambda: (tmp_path / "log").write_bytes(os.fdopen(reader, "rb").read()))
    drain.start()
    log.close()
    drain.join()
    assert (log.trouble, log.missing) == (None, 0)
    assert read_log(tmp_path / "log")[0]["time"].tolist() == list(range(400))


@pytest.mark.parametrize("data", [b"", b"hello\n", b'{"format": "other"}\n', b"\xff\xfe\n"])
def test_what_is_no_log(tmp_path: Path, data: bytes):
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(ContractError, match="not a log of this runtime"):
        read_log(tmp_path / "x")
    with pytest.raises(ContractError, match="cannot be read: No such file"):
        read_log(tmp_path / "nothing")


def test_a_script_says_when_what_counts():
    clock = Clock()
    text = "0 ready\n1 run vx=0.2  # go\n\n2 yaw_rate=-0.5\n2 stop vx=0\n"
    script = Script(text, CONTRACT.command, clock)
    assert (script.poll().request, script.poll().request) == ("ready", None)
    clock.now += 1.0
    wish = script.poll()
    assert (wish.request, wish.command, wish.age_s) == ("run", {"vx": 0.2}, 0.0)
    clock.now += 1.5
    wish = script.poll()
    assert (wish.request, wish.command) == ("stop", {"vx": 0.0, "yaw_rate": -0.5})
    assert script.seconds == 2.0


def test_what_was_said_is_forgotten_on_demand(udp, keyboard, tmp_path: Path):
    source, send, _ = udp
    script = Script("0 vx=0.2", CONTRACT.command)
    keys, hand = keyboard
    send(b'{"vx": 0.3}')
    os.write(hand, b"\x1b[A")
    for one in (source, script, keys):
        assert one.poll().command["vx"] > 0.1
        one.forget()
        assert one.poll().command == {}


def test_only_a_channel_makes_a_command_young_again():
    clock = Clock()
    source = Udp(0, CONTRACT.command, print, clock)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for data, age in ((b'{"vx": 0.5}', 0.0), (b'{"request": "run"}', 60.0), (b"{}", 120.0), (b'{"vy": 0.1}', 0.0)):
            sender.sendto(data, ("127.0.0.1", source.port))
            assert source.poll().age_s == age
            clock.now += 60.0
    source.close()


STYLES = Command(("vx", "style", "style_a", "style_b"), (0.0,) * 4, (1.0,) * 4, ("",) * 4, (0.0, 1.0, 1.0, 0.0))


def test_another_style_takes_the_place_of_the_one_before():
    clock = Clock()
    source = Udp(0, STYLES, print, clock)
    script = Script("0 vx=0.5 style=0.5 style_a=1\n1 style_b=1\n2 vx=0.4", STYLES, clock)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for data in (b'{"vx": 0.5, "style": 0.5, "style_a": 1}', b'{"style_b": 1}', b'{"vx": 0.4}'):
            sender.sendto(data, ("127.0.0.1", source.port))
            told = [STYLES.fill(one.poll().command) for one in (source, script)]
            clock.now += 1.0
            if b"style_a" in data:
                assert told == [(0.5, 0.5, 1.0, 0.0)] * 2
    assert told == [(0.4, 0.5, 0.0, 1.0)] * 2
    source.close()


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("soon run", "line 1: 'soon' is no time"),
        ("2 run\n1 stop", "line 2: 1 s comes before 2 s"),
        ("0 vz=1", "line 1: nothing is called 'vz'; channels: vx, vy, yaw_rate; requests: ready, run"),
        ("0 vx=fast", "line 1: vx='fast' is no number"),
        ("0 run stop", "line 1: two requests"),
        ("0 vx=nan", "line 1: vx='nan' is not finite"),
        ("0 vx=inf", "line 1: vx='inf' is not finite"),
    ],
)
def test_a_script_with_a_mistake(text: str, what: str):
    with pytest.raises(ContractError, match=what):
        Script(text, CONTRACT.command)


def test_commands_over_udp():
    clock, lines = Clock(), []
    source = Udp(0, CONTRACT.command, lines.append, clock)
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    address = ("127.0.0.1", source.port)
    sender.sendto(json.dumps({"vx": 0.3}).encode(), address)
    sender.sendto(json.dumps({"request": "run", "yaw_rate": 1}).encode(), address)
    wish = source.poll()
    assert (wish.request, wish.command, wish.age_s) == ("run", {"vx": 0.3, "yaw_rate": 1.0}, 0.0)
    clock.now += 0.7
    assert source.poll().age_s == pytest.approx(0.7)
    for bad in (b"\x00\xff", b"[1]", b'{"vz": 1}', b'{"vx": "x"}', b'{"request": "dance"}'):
        sender.sendto(bad, address)
    wish = source.poll()
    assert (wish.request, wish.command) == (None, {"vx": 0.3, "yaw_rate": 1.0})
    assert wish.age_s == pytest.approx(0.7)  # what does not read is no sign of life
    assert len(lines) == 5
    with pytest.raises(ContractError, match=f"port {source.port} on 127.0.0.1"):
        Udp(source.port, CONTRACT.command)
    source.close()
    sender.close()


@pytest.fixture
def udp():
    lines: list[str] = []
    source = Udp(0, CONTRACT.command, lines.append)
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    yield source, lambda data: sender.sendto(data, ("127.0.0.1", source.port)), lines
    source.close()
    sender.close()


def test_datagrams_that_come_too_fast_do_not_queue_up(udp):
    """Each asks to run; the newest velocity counts at once, and so does stop."""
    source, send, _ = udp
    for i in range(100):
        send(json.dumps({"vx": i / 1000, "request": "run"}).encode())
    wish = source.poll()
    assert (wish.command, wish.request) == ({"vx": 0.099}, "run")
    assert source.poll().request is None  # a hundred times run is run
    for request in ("ready", "run", "limp", "ready"):
        send(json.dumps({"request": request}).encode())
    assert [source.poll().request for _ in range(3)] == ["limp", "ready", None]


@pytest.mark.parametrize(
    "data", [b'{"vx": NaN, "request": "stop"}', b'{"vz": 1, "request": "stop"}', b'{"request": "stop", "vx": "fast"}']
)
def test_stop_is_obeyed_whatever_else_a_datagram_says(udp, data: bytes):
    source, send, lines = udp
    send(data)
    wish = source.poll()
    assert (wish.request, wish.command) == ("stop", {})
    assert len(lines) == 1


def test_datagrams_of_programs(udp):
    """Serializers write null for what is not there; nothing that is sent ends the runtime."""
    source, send, lines = udp
    send(b'{"vx": 0.3, "request": null}')
    send(b"[" * 60_000)
    assert source.poll().command == {"vx": 0.3}
    assert len(lines) == 1


@pytest.fixture
def keyboard(monkeypatch: pytest.MonkeyPatch):
    hand, terminal = os.openpty()
    monkeypatch.setattr("sys.stdin", os.fdopen(terminal))
    keyboard = Keyboard(CONTRACT.command, lambda line: None)
    yield keyboard, hand
    keyboard.close()


def test_keys_that_come_together_are_each_seen(keyboard):
    source, hand = keyboard
    os.write(hand, b"d\x1b[A\x1b[As")
    wish = source.poll()
    assert wish.request == "stop"
    assert wish.command["vx"] > 0 > wish.command["vy"]
    os.write(hand, b"12l")
    assert source.poll().request == "limp"
    assert source.poll().request is None


def test_an_arrow_in_two_parts_is_no_escape(keyboard):
    source, hand = keyboard
    os.write(hand, b"\x1b[")
    assert source.poll().request is None
    os.write(hand, b"A")
    wish = source.poll()
    assert (wish.request, wish.command["vx"] > 0) == (None, True)
    os.write(hand, b"\x1b")
    assert [source.poll().request, source.poll().request] == [None, "stop"]


@pytest.mark.parametrize("key", ["\x1b[1;2A", "\x1b[20~", "\x1b[21~", "\x1b[12~", "\x1b[200~", "\x1bOQ"])
def test_special_keys_are_one_key_and_mean_nothing(keyboard, key: str):
    """Shift and an arrow, F9, F10, F2, pasted text: their numbers are not keys that ask for something."""
    source, hand = keyboard
    for part in (key.encode(), key[:3].encode(), key[3:].encode() or b"d"):
        os.write(hand, part)
        assert source.poll().request is None
    assert source.poll().request is None


def test_a_terminal_that_takes_no_more_does_not_hold_the_robot_up(monkeypatch: pytest.MonkeyPatch):
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream:
        monkeypatch.setattr("sys.stdout", stream)
        for _ in range(3000):
            say("x" * 99)  # more than a pipe holds, and nobody reads it
        os.set_blocking(reader, False)
        assert len(os.read(reader, 1 << 20)) > 10_000
        say("again")
        assert os.read(reader, 99) == b"again\n"
    os.close(reader)


def test_requests_that_never_end_are_not_kept_for_ever(udp):
    source, send, _ = udp
    for i in range(100):
        send(json.dumps({"request": ("ready", "run")[i % 2]}).encode())
    asked = [source.poll().request for _ in range(20)]
    assert asked[8:] == [None] * 12


def test_a_terminal_that_is_gone_ends_the_run(keyboard):
    source, hand = keyboard
    os.close(hand)
    assert (source.poll().request, source.quit) == ("stop", True)


def test_a_gamepad_by_the_kernels_events(tmp_path: Path):
    pipe = tmp_path / "js0"
    os.mkfifo(pipe)
    ends = {}
    opener = threading.Thread(target=lambda: ends.update(w=os.open(pipe, os.O_RDWR)))
    opener.start()
    opener.join()
    pad = Gamepad(CONTRACT.command, str(pipe))
    event = lambda value, kind, number: os.write(ends["w"], struct.pack("<IhBB", 0, value, kind, number))  # noqa: E731
    event(-32767, 2, 1)  # left stick up
    event(16384, 2, 3)  # right stick half right
    event(1000, 2, 0)  # hardly off the middle
    event(1, 0x81, 0)  # a button's state when it was opened: nobody pressed it
    event(1, 1, 0)
    wish = pad.poll()
    assert wish.request == "run"
    assert wish.command == pytest.approx({"vx": 0.8, "vy": 0.0}, abs=1e-3)
    os.close(ends["w"])
    pad.close()


def test_a_keyboard_needs_a_terminal():
    with pytest.raises(ContractError, match="standard input is no terminal"):
        Keyboard(CONTRACT.command)


def test_no_gamepad_is_said():
    with pytest.raises(ContractError, match="gamepad /dev/input/js77: No such file"):
        Gamepad(CONTRACT.command, "/dev/input/js77")
