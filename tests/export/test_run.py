"""The runtime from its command line."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import synthetic
from robopolicy_runtime.__main__ import COMMANDS
from robopolicy_runtime.log import read_log
from robopolicy_runtime.machine import State
from robopolicy_runtime.run import parse
from robopolicy_runtime.session import connect
from test_runtime_faults import free_port, running_rows
from test_safety import FakeRobot

STARTED: list[subprocess.Popen[str]] = []


def runtime(*words: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "robopolicy_runtime", *map(str, words)]
    STARTED.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
    return STARTED[-1]


@pytest.fixture(autouse=True)
def _nothing_runs_on():
    yield
    while STARTED:
        process = STARTED.pop()
        process.kill()
        process.communicate()


def script(folder: Path) -> Path:
    path = folder / "commands.txt"
    path.write_text("0.3 ready\n0.8 run vx=0.5\n")
    return path


def test_a_run_from_beginning_to_end(policy_path: Path, tmp_path: Path):
    log = tmp_path / "run.log"
    process = runtime(
        *("run", policy_path, "--port", free_port(), "--commands", script(tmp_path)),
        *("--ramp", 0.2, "--seconds", 1.5, "--log", log),
    )
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert "ready -> run: asked" in out
    assert "periods of 20 ms" in out
    assert out.count("no speed limit is known of right_hip: 10 rad/s is assumed\n") == 1
    assert "missed" in out
    states = read_log(log)[0]["state"].astype(int).tolist()
    assert states == sorted(states)
    assert {State.OFF, State.READY, State.RUN} <= set(states)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP])
def test_a_signal_lets_the_joints_give_way_first(number: signal.Signals, policy_path: Path, tmp_path: Path):
    log = tmp_path / "run.log"
    process = runtime(
        *("run", policy_path, "--port", free_port(), "--commands", script(tmp_path), "--ramp", 0.2, "--log", log)
    )
    end = time.monotonic() + 30
    while running_rows(log) < 3 and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(number)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "-> stop: asked" in out or "-> fallen" in out
    states = read_log(log)[0]["state"]
    assert (states[-20:] > State.RUN).all()


def test_threads_of_a_driver_and_not_the_simulated_robot_get_real_time_scheduling(monkeypatch: pytest.MonkeyPatch):
    """Threads and processes inherit what was granted before they began."""
    began: list[str] = []

    class Driver(FakeRobot):
        def connect(self, joint_names: tuple[str, ...]) -> None:
            began.append("threads")

    monkeypatch.setattr("robopolicy_runtime.drivers.sim.start_robot", lambda *_: began.append("robot"))
    monkeypatch.setattr("robopolicy_runtime.session.ask_for_realtime", lambda: began.append("asked"))
    monkeypatch.setattr("robopolicy_runtime.session.make_driver", lambda *_: Driver())
    options = parse(["policy.onnx"])
    connect(options, options.file, synthetic.contract(), [], "inf")
    assert began == ["robot", "asked", "threads"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_log_that_nobody_reads_does_not_keep_the_runtime(number, policy_path: Path, tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 8192)
    ready = tmp_path / "commands.txt"
    ready.write_text("0.1 ready\n")
    process = runtime("run", policy_path, "--port", free_port(), "--commands", ready, "--log", tmp_path / "pipe")
    assert process.stdout is not None
    while "-> ready" not in process.stdout.readline():
        assert process.poll() is None
    time.sleep(1.0)  # by now the pipe is full
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    assert "control periods are not in the log" in out
    os.close(reader)


def test_a_runtime_that_was_paused_gives_up(policy_path: Path, tmp_path: Path):
    log = tmp_path / "run.log"
    process = runtime(
        *("run", policy_path, "--port", free_port(), "--commands", script(tmp_path), "--ramp", 0.2, "--log", log)
    )
    end = time.monotonic() + 30
    while running_rows(log) < 3 and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(signal.SIGSTOP)
    time.sleep(0.5)
    process.send_signal(signal.SIGCONT)
    time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=30)
    assert "-> stop: the runtime stood still for" in out


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["run", "nothing.onnx"], "refused: nothing.onnx: cannot be read"),
        (["dance"], "no command 'dance'; there are: run, verify, transfer, excite, robot"),
        (["run", "FILE", "--no-robot", "--commands", "udp:x"], "udp:PORT wants a number"),
        (["run", "FILE", "--no-robot", "--commands", "no.txt"], "no.txt: cannot be read"),
        (["robot", "nothing.onnx"], "sim_robot: nothing.onnx: cannot be read"),
    ],
)
def test_mistakes_are_one_line(words: list[str], what: str, policy_path: Path):
    process = runtime(*[str(policy_path) if word == "FILE" else word for word in words])
    _, err = process.communicate(timeout=30)
    assert process.returncode == 2
    assert what in err
    assert err.count("\n") == 1


def test_help_names_every_command():
    out, _ = runtime("--help").communicate(timeout=30)
    for name, (_, text) in COMMANDS.items():
        assert f"{name} " in out
        assert text in out
