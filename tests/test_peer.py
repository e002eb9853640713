"""The other trainer's process: what is asked, what comes back, and every way in which it can fail."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from robopolicy.errors import UserError
from robopolicy.peer import SCRIPT, Peer

# What every fake begins with: the settings, and a greeting.
GREETS = """
import json, os, sys, time
told = json.loads(sys.argv[1])
def answer(**values):
    print(json.dumps(values), flush=True)
import tempfile
answer(told=told, cwd=os.getcwd(), pid=os.getpid(), path=sys.path, temporary=tempfile.mkdtemp())
"""


@pytest.fixture
def script(tmp_path):
    """Writes a program for the other interpreter."""

    def write(text: str) -> Path:
        path = tmp_path / "fake_peer.py"
        path.write_text(text)
        return path

    return write


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_it_is_told_its_settings_and_answers_turn_by_turn(script, monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    program = script(GREETS + "for k, line in enumerate(sys.stdin):\n    answer(turn=k, asked=line)\n")
    with Peer(sys.executable, {"num_envs": 3}, program) as peer:
        told, folder = peer.greeting["told"], Path(peer.greeting["told"]["folder"])
        assert told["num_envs"] == 3
        assert folder.is_dir()
        assert Path(peer.greeting["cwd"]).samefile(folder)
        assert Path(peer.greeting["temporary"]).parent == folder
        assert not {"/nowhere", str(tmp_path)} & set(peer.greeting["path"])
        assert [peer.turn()["turn"] for _ in range(3)] == [0, 1, 2]
        assert not gone(peer.greeting["pid"])
    assert gone(peer.greeting["pid"])
    assert not folder.exists()


def test_an_interpreter_through_a_link_stays_the_links(script, tmp_path):
    """A venv's interpreter is a link to the system's; what is installed beside it is found through the link alone."""
    link = tmp_path / "bin" / "python"
    link.parent.mkdir()
    link.symlink_to(sys.executable)
    (tmp_path / "pyvenv.cfg").write_text(f"home = {Path(sys.executable).resolve().parent}\n")
    program = script("import json, sys\nprint(json.dumps({'prefix': sys.prefix}), flush=True)\nsys.stdin.read()")
    with Peer(str(link), {}, program) as peer:
        assert peer.greeting["prefix"] == str(tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import sys; print('reason', file=sys.stderr); sys.exit(7)", ["exit status 7", "reason"]),
        ("raise RuntimeError('out of memory')", ["exit status 1", "RuntimeError: out of memory"]),
        ("print('hello')", ["answered 'hello' instead of a JSON object", "its last lines: nothing"]),
        ("print('[]')", ["answered '[]'"]),
        ('print(\'{"error": "no such part"}\')', ["cannot run mjlab: no such part", "pip install mjlab"]),
        ("import time; print('compiling', file=__import__('sys').stderr); time.sleep(60)", ["within 1 s", "compiling"]),
    ],
)
def test_a_peer_that_does_not_begin_is_one_line(script, text, words):
    with pytest.raises(UserError) as caught:
        Peer(sys.executable, {}, script(text), limit_s=1.0 if "sleep" in text else 60.0)
    message = str(caught.value)
    assert "\n" not in message
    assert sys.executable in message
    for word in words:
        assert word in message


def test_a_peer_that_dies_later_tells_its_last_lines(script):
    program = script(
        GREETS + "for _ in sys.stdin:\n    [print('line', k, file=sys.stderr) for k in range(9)]\n    1 / 0\n"
    )
    with Peer(sys.executable, {}, program) as peer, pytest.raises(UserError, match="exit status 1.*ZeroDivisionError"):
        peer.turn()


def test_a_peer_that_was_killed_is_told_at_the_next_turn(script):
    with Peer(sys.executable, {}, script(GREETS + "sys.stdin.read()")) as peer:
        os.kill(peer.greeting["pid"], signal.SIGKILL)
        time.sleep(0.2)
        with pytest.raises(UserError, match="exit status -9"):
            peer.turn()


def test_a_turn_has_a_time_limit(script):
    program = script(GREETS + "sys.stdin.readline()\ntime.sleep(60)\n")
    start = time.perf_counter()
    with Peer(sys.executable, {}, program, limit_s=2.0) as peer, pytest.raises(UserError, match="within 2 s"):
        peer.turn()
    assert time.perf_counter() - start < 30.0
    assert gone(peer.greeting["pid"])


def test_its_progress_is_shown_unless_quiet(script, capfd):
    program = script("import sys; print('kernel 7 of 9', file=sys.stderr, flush=True)\n" + GREETS + "sys.stdin.read()")
    Peer(sys.executable, {}, program, quiet=True).close()
    assert capfd.readouterr().err == ""
    Peer(sys.executable, {}, program, quiet=False).close()
    assert "mjlab: kernel 7 of 9" in capfd.readouterr().err


def test_ctrl_c_ends_both(script):
    """While the peer is busy with a turn that takes a minute."""
    program = script(GREETS + "sys.stdin.readline()\ntime.sleep(60)\n")
    driver = (
        "import signal, sys\nfrom pathlib import Path\nfrom robopolicy.peer import Peer\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # which is ignored in a job in the background
        f"with Peer(sys.executable, {{}}, Path({str(program)!r})) as peer:\n"
        "    print(peer.greeting['pid'], flush=True)\n    peer.turn()\n"
    )
    with subprocess.Popen([sys.executable, "-c", driver], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as us:
        assert us.stdout is not None
        assert us.stderr is not None
        pid = int(us.stdout.readline())
        threading.Timer(0.5, lambda: us.send_signal(signal.SIGINT)).start()
        assert b"KeyboardInterrupt" in us.stderr.read()
        us.wait(30)
    assert gone(pid)


def test_no_such_interpreter():
    with pytest.raises(UserError, match="no interpreter '/nowhere/python'.*pip install mjlab"):
        Peer("/nowhere/python", {})


def test_an_environment_without_mjlab_is_told_so():
    settings = {"num_envs": 1, "device": "cpu", "hidden": [8], "horizon": 2, "epochs": 1, "minibatches": 1}
    with pytest.raises(UserError, match="cannot run mjlab: No module named 'mjlab'"):
        Peer(sys.executable, settings, SCRIPT)
