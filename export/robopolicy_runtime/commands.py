"""Where commands and requests come from: a script or UDP; ``devices`` has the keyboard and the gamepad."""

import json
import math
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from robopolicy_runtime.contract import Command
from robopolicy_runtime.errors import ContractError, say
from robopolicy_runtime.machine import REQUESTS, Wish

GIVE_WAY = ("stop", "limp", "off")
"""Requests after which nothing drives any more."""
MOST_DATAGRAMS = 512
"""That are read in one control period; the rest is read in the next one."""
MOST_WAITING = 8
"""Requests that wait for their control period."""


class Requests:
    """Requests that came faster than one a control period, in their order. One that lets the robot give way is next,
    and forgets those before it; of more than ``MOST_WAITING`` the oldest are forgotten."""

    def __init__(self) -> None:
        self._waiting: list[str] = []

    def add(self, request: str | None) -> None:
        """Note a request; the same one again, before it was answered, is one."""
        if request in GIVE_WAY:
            self._waiting.clear()
        if request is not None and self._waiting[-1:] != [request]:
            self._waiting.append(request)
            del self._waiting[:-MOST_WAITING]

    def next(self) -> str | None:
        """The one whose turn it is."""
        return self._waiting.pop(0) if self._waiting else None


class Source(Protocol):
    """Something that is asked once a control period what is wanted."""

    def poll(self) -> Wish:
        """What is wanted now; never waits."""
        ...

    def forget(self) -> None:
        """Drop what was said of channels: no policy drives, or it is too old. What comes next counts again."""
        ...

    def close(self) -> None:
        """Let go of devices."""
        ...


class Script:
    """A file of lines ``SECONDS WORD ...``: from then on each WORD counts, ``vx=0.3`` or a request such as ``run``.

    ``#`` begins a comment. Times rise. A script that has ended keeps its last command, until nothing drives.

    Args:
        text: The lines.
        command: The policy's channels.
        clock: [s]; the script begins at the first poll.
        requests: Which there are.

    Raises:
        ContractError: A line does not read, with its number.
    """

    def __init__(
        self,
        text: str,
        command: Command,
        clock: Callable[[], float] = time.monotonic,
        requests: Sequence[str] = REQUESTS,
    ) -> None:
        self._clock, self._start = clock, None
        self._lines: list[tuple[float, dict[str, float], str | None]] = []
        for number, raw in enumerate(text.splitlines(), 1):
            words = raw.split("#")[0].split()
            if not words:
                continue
            try:
                at = float(words[0])
            except ValueError:
                raise ContractError(f"script line {number}: {words[0]!r} is no time in seconds") from None
            if self._lines and at < self._lines[-1][0]:
                raise ContractError(f"script line {number}: {at:g} s comes before {self._lines[-1][0]:g} s")
            self._lines.append((at, *_words(words[1:], command, f"script line {number}", requests)))
        self._next = 0
        self._command: dict[str, float] = {}

    @staticmethod
    def load(
        path: str | Path,
        command: Command,
        clock: Callable[[], float] = time.monotonic,
        requests: Sequence[str] = REQUESTS,
    ) -> "Script":
        """Read a script file."""
        try:
            return Script(Path(path).read_text(), command, clock, requests)
        except (OSError, UnicodeDecodeError) as error:
            raise ContractError(f"{path}: cannot be read: {getattr(error, 'strerror', error)}") from None

    @property
    def seconds(self) -> float:
        """When its last line counts [s]."""
        return self._lines[-1][0] if self._lines else 0.0

    def poll(self) -> Wish:
        now = self._clock()
        self._start = now if self._start is None else self._start
        while self._next < len(self._lines) and self._lines[self._next][0] <= now - self._start:
            _, values, request = self._lines[self._next]
            self._next += 1
            self._command = _merged(self._command, values)
            if request is not None:  # one request a period, so that none is lost
                return Wish(dict(self._command), request)
        return Wish(dict(self._command))

    def forget(self) -> None:
        self._command = {}

    def close(self) -> None:
        pass


class Udp:
    """JSON datagrams on this machine: ``{"vx": 0.3, "request": "run"}``; what is left out keeps its value.

    Only a datagram that names a channel makes the command young again. One with a mistake counts as none, but for a
    request to stop, which is always obeyed.

    Args:
        port: UDP port on 127.0.0.1; 0 takes a free one, see ``port``.
        command: The policy's channels.
        report: Gets a line for what does not read.
        clock: [s].
        requests: Which there are.

    Raises:
        ContractError: The port is taken.
    """

    def __init__(
        self,
        port: int,
        command: Command,
        report: Callable[[str], None] = say,
        clock: Callable[[], float] = time.monotonic,
        requests: Sequence[str] = REQUESTS,
    ) -> None:
        self._known, self._report, self._clock = (command, "UDP command", requests), report, clock
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.bind(("127.0.0.1", port))
        except OSError as error:
            raise ContractError(f"commands over UDP: port {port} on 127.0.0.1: {error.strerror}") from None
        self._socket.setblocking(False)
        self.port: int = self._socket.getsockname()[1]
        self._values: dict[str, float] = {}
        self._latest: float | None = None
        self._asked = Requests()

    def poll(self) -> Wish:
        for _ in range(MOST_DATAGRAMS):
            try:
                data = self._socket.recv(65536)
            except BlockingIOError:
                break
            try:
                self._obey(json.loads(data))
            except ContractError as error:
                self._report(str(error))
            except (ValueError, AttributeError, TypeError, RecursionError):
                self._report(f"UDP command is not a JSON object: {data[:60]!r}")
        age = 0.0 if self._latest is None else self._clock() - self._latest
        return Wish(dict(self._values), self._asked.next(), age)

    def _obey(self, told: dict[str, Any]) -> None:
        request = told.pop("request", None)
        if request in GIVE_WAY:  # whatever else the datagram says
            self._asked.add(request)
            request = None
        asked = [] if request is None else str(request).split()
        values, request = _words([*asked, *(f"{k}={v}" for k, v in told.items())], *self._known)
        self._asked.add(request)
        if values:
            self._values = _merged(self._values, values)
            self._latest = self._clock()

    def forget(self) -> None:
        self._values = {}

    def close(self) -> None:
        self._socket.close()


def _merged(before: dict[str, float], said: dict[str, float]) -> dict[str, float]:
    """What was said before with what is said now; whoever names a style wants no other, see ``Command.fill``."""
    if any(name.startswith("style_") for name in said):
        before = {name: value for name, value in before.items() if not name.startswith("style_")}
    return before | said


def _words(
    words: list[str], command: Command, where: str, requests: Sequence[str] = REQUESTS
) -> tuple[dict[str, float], str | None]:
    """Channels and the request, of words such as ``vx=0.3`` and ``run``; a request may be of two words."""
    values, request = {}, None
    words = words.copy()
    while words:
        word = words.pop(0)
        if words and f"{word} {words[0]}" in requests:
            word = f"{word} {words.pop(0)}"
        name, equals, number = word.partition("=")
        if not equals and name in requests:
            if request is not None:
                raise ContractError(f"{where}: two requests, {request} and {name}")
            request = name
            continue
        if name not in command.names:
            known = f"channels: {', '.join(command.names)}; requests: {', '.join(requests)}"
            raise ContractError(f"{where}: nothing is called {name!r}; {known}")
        try:
            values[name] = float(number)
        except ValueError:
            raise ContractError(f"{where}: {name}={number!r} is no number") from None
        if not math.isfinite(values[name]):
            raise ContractError(f"{where}: {name}={number!r} is not finite")
    return values, request
