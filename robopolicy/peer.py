"""Another trainer in a process of its own, under another Python interpreter, asked line by line."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections import deque
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from robopolicy.errors import UserError

SCRIPT = Path(__file__).with_name("peer_mjlab.py")
LIMIT_S = 900.0  # for one answer; the first one includes compiling kernels
HOW = "python3 -m venv peer && peer/bin/pip install mjlab==1.6.0"


class Peer:
    """Another training in a process of its own, which answers every line with one line of JSON.

    Args:
        python: Interpreter of the environment it runs in.
        settings: What it is told, as JSON; ``folder``, where it may leave files until it is closed, is added.
        script: The program.
        limit_s: Longest time to wait for an answer [s].
        quiet: Do not show what it says on its standard error.

    Attributes:
        greeting: Its first answer.

    Raises:
        UserError: There is no such interpreter, it lacks something, or it ended, said nonsense or took too long.
    """

    def __init__(
        self, python: str, settings: dict[str, Any], script: Path = SCRIPT, limit_s: float = LIMIT_S, quiet: bool = True
    ) -> None:
        found = shutil.which(python)
        if found is None:
            raise UserError(f"--peer-python: no interpreter {python!r}; make an environment: {HOW}")
        self.python, self.limit_s, self.quiet = found, limit_s, quiet
        self._last: deque[str] = deque(maxlen=5)
        self._folder = TemporaryDirectory()
        told = json.dumps(settings | {"folder": self._folder.name})
        # Isolated (-I), so that our PYTHONPATH and the modules beside the script stay out of its way. In a session of
        # its own, so that Ctrl-C reaches us alone and we end it. The path is not resolved: a link is what makes an
        # interpreter a venv's.
        self._process = subprocess.Popen(
            [os.path.abspath(found), "-I", "-u", str(script), told],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            cwd=self._folder.name,
            env=os.environ | {"TMPDIR": self._folder.name},  # it is killed, and would leave there what it made
            start_new_session=True,
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        try:
            self.greeting = self._answer()
        except BaseException:
            self.close()
            raise

    def turn(self) -> dict[str, float]:
        """Let it train for one iteration; how long its parts took [s]."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it has ended, which the missing answer tells
            self._process.stdin.write("turn\n")
            self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """End it, and remove what it left."""
        self._kill()
        self._process.wait()
        self._listener.join(1.0)
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            with suppress(BrokenPipeError):
                pipe.close()  # type: ignore[union-attr]
        self._folder.cleanup()
        if not self.quiet:
            print(file=sys.stderr)

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        late = threading.Event()

        def end() -> None:
            late.set()
            self._kill()

        timer = threading.Timer(self.limit_s, end)
        timer.start()
        try:
            line = self._process.stdout.readline()
        finally:
            timer.cancel()
        if late.is_set():
            raise self._failure(f"did not answer within {self.limit_s:g} s")
        if not line:
            raise self._failure(f"ended with exit status {self._process.wait()}")
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise self._failure(f"answered {line.strip()[:80]!r} instead of a JSON object")
        if "error" in answer:
            raise UserError(f"--peer-python {self.python} cannot run mjlab: {answer['error']}; seen to work: {HOW}")
        return answer

    def _failure(self, what: str) -> UserError:
        self._listener.join(1.0)
        said = " | ".join(self._last) or "nothing"
        return UserError(f"mjlab under {self.python} {what}; its last lines: {said}")

    def _listen(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if any(letter.isalnum() for letter in line):
                self._last.append(line.strip())
                if not self.quiet:
                    print(f"\rmjlab: {line.strip()[:90]:<90}", end="", file=sys.stderr, flush=True)

    def _kill(self) -> None:
        if self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
