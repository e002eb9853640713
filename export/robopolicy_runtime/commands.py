"""Where commands and requests come from: a script, UDP, a keyboard, a gamepad."""

import json
import math
import os
import select
import socket
import struct
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Protocol

from robopolicy_runtime.contract import Command
from robopolicy_runtime.errors import ContractError
from robopolicy_runtime.machine import REQUESTS, Wish


class Source(Protocol):
    """Something that is asked once a control period what is wanted."""

    def poll(self) -> Wish:
        """What is wanted now; never waits."""
        ...

    def close(self) -> None:
        """Let go of devices."""
        ...


class Script:
    """A file of lines ``SECONDS WORD ...``: from then on each WORD counts, ``vx=0.3`` or a request such as ``run``.

    ``#`` begins a comment. Times rise. A script that has ended keeps its last command.

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
            self._command |= values
            if request is not None:  # one request a period, so that none is lost
                return Wish(dict(self._command), request)
        return Wish(dict(self._command))

    def close(self) -> None:
        pass


class Udp:
    """JSON datagrams on this machine: ``{"vx": 0.3, "request": "run"}``; what is left out keeps its value.

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
        report: Callable[[str], None] = print,
        clock: Callable[[], float] = time.monotonic,
        requests: Sequence[str] = REQUESTS,
    ) -> None:
        self._command, self._report, self._clock, self._requests = command, report, clock, requests
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.bind(("127.0.0.1", port))
        except OSError as error:
            raise ContractError(f"commands over UDP: port {port} on 127.0.0.1: {error.strerror}") from None
        self._socket.setblocking(False)
        self.port: int = self._socket.getsockname()[1]
        self._values: dict[str, float] = {}
        self._latest: float | None = None

    def poll(self) -> Wish:
        request = None
        while request is None:
            try:
                data = self._socket.recv(65536)
            except BlockingIOError:
                break
            try:
                told = json.loads(data)
                words = str(told.pop("request", "")).split()
                words += [f"{k}={v}" for k, v in told.items()]
                values, request = _words(words, self._command, "UDP command", self._requests)
            except ContractError as error:
                self._report(str(error))
                continue
            except (ValueError, AttributeError, TypeError):
                self._report(f"UDP command is not a JSON object: {data[:60]!r}")
                continue
            self._values |= values
            self._latest = self._clock()
        age = 0.0 if self._latest is None else self._clock() - self._latest
        return Wish(dict(self._values), request, age)

    def close(self) -> None:
        self._socket.close()


KEYS = {
    "\x1b[A": ("vx", 1),
    "\x1b[B": ("vx", -1),
    "\x1b[D": ("wz", 1),
    "\x1b[C": ("wz", -1),
    "a": ("vy", 1),
    "d": ("vy", -1),
}
"""Key to the channel that it changes, and the direction."""
REQUEST_KEYS = {"1": "ready", "2": "run", "0": "off", "s": "stop", "l": "limp", "\x1b": "stop"}
_HELP = "keys: 1 ready, 2 run, arrows and a/d drive, space stands, s stop, l limp, 0 off, q quit"


class Keyboard:
    """The terminal that the runtime was started in. A command stays until another key changes it.

    Args:
        command: The policy's channels.
        report: Gets a line with the keys.
        keys: More keys, each with its request.

    Attributes:
        quit: Whether q was pressed.

    Raises:
        ContractError: Standard input is no terminal.
    """

    def __init__(
        self, command: Command, report: Callable[[str], None] = print, keys: Mapping[str, str] | None = None
    ) -> None:
        if not sys.stdin.isatty():
            raise ContractError("commands by keyboard: standard input is no terminal; use --commands udp or a script")
        import termios
        import tty

        self._command, self._values, self.quit = command, dict.fromkeys(command.names[:3], 0.0), False
        self._requests = REQUEST_KEYS | dict(keys or {})
        self._file = sys.stdin.fileno()
        self._termios, self._before = termios, termios.tcgetattr(self._file)
        tty.setcbreak(self._file)
        report(", ".join((_HELP, *(f"{key} {request}" for key, request in (keys or {}).items()))))

    def poll(self) -> Wish:
        request = None
        while request is None and select.select([self._file], [], [], 0)[0]:
            key = os.read(self._file, 3).decode(errors="replace")
            if key == "q":
                self.quit, request = True, "stop"
            elif key == " ":
                self._values = {}
            elif key in self._requests:
                request = self._requests[key]
            elif key in KEYS and KEYS[key][0] in self._command.names:
                name, sign = KEYS[key]
                i = self._command.names.index(name)
                step = (self._command.upper[i] - self._command.lower[i]) / 8
                value = self._values.get(name, 0.0) + sign * step
                self._values[name] = min(max(value, self._command.lower[i]), self._command.upper[i])
        return Wish(dict(self._values), request)

    def close(self) -> None:
        self._termios.tcsetattr(self._file, self._termios.TCSADRAIN, self._before)


class Gamepad:
    """A gamepad on Linux: left stick forward and sideways, right stick turns; buttons A run, B stop, X ready, Y limp.

    Args:
        command: The policy's channels.
        device: The joystick device.
        clock: [s].
        axes: What each axis drives, and in which direction, in place of the sticks above.
        buttons: Requests of buttons, beside or in place of those above.

    Raises:
        ContractError: There is none.
    """

    _AXES: ClassVar = {1: (("vx", -1),), 0: (("vy", -1),), 3: (("wz", -1),)}
    _BUTTONS: ClassVar = {0: "run", 1: "stop", 2: "ready", 3: "limp"}

    def __init__(
        self,
        command: Command,
        device: str = "/dev/input/js0",
        clock: Callable[[], float] = time.monotonic,
        axes: Mapping[int, Sequence[tuple[str, int]]] | None = None,
        buttons: Mapping[int, str] | None = None,
    ) -> None:
        self._axes, self._buttons = axes or self._AXES, self._BUTTONS | dict(buttons or {})
        try:
            self._file = os.open(device, os.O_RDONLY | os.O_NONBLOCK)
        except OSError as error:
            raise ContractError(f"gamepad {device}: {error.strerror}") from None
        self._command, self._clock, self._values, self._gone = command, clock, {}, None

    def poll(self) -> Wish:
        request = None
        while request is None:
            try:
                event = os.read(self._file, 8)  # struct js_event: time u32, value s16, type u8, number u8
            except BlockingIOError:
                break
            except OSError:  # pulled out: from here on the command grows old
                self._gone = self._clock() if self._gone is None else self._gone
                break
            if len(event) < 8:
                break
            _, value, kind, number = struct.unpack("<IhBB", event)
            if kind & 0x7F == 2 and number in self._axes:
                self._steer(number, value / 32767)
            elif kind == 1 and value and number in self._buttons:
                request = self._buttons[number]
        age = 0.0 if self._gone is None else self._clock() - self._gone
        return Wish(dict(self._values), request, age)

    def _steer(self, axis: int, stick: float) -> None:
        for name, sign in self._axes[axis]:
            if name in self._command.names:
                i = self._command.names.index(name)
                value = sign * stick if abs(stick) > 0.08 else 0.0  # sticks do not come back quite to the middle
                self._values[name] = value * (self._command.upper[i] if value > 0 else -self._command.lower[i])

    def close(self) -> None:
        os.close(self._file)


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
