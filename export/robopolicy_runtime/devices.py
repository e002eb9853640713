"""A keyboard or a gamepad, as a source of commands and requests."""

import contextlib
import os
import re
import select
import struct
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from robopolicy_runtime.commands import GIVE_WAY, Requests
from robopolicy_runtime.contract import Command
from robopolicy_runtime.errors import ContractError, say
from robopolicy_runtime.machine import Wish

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
_KEY = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1bO.|.", re.DOTALL)
"""One key: the special ones are Esc, [, numbers and a letter (ECMA-48), or Esc, O and a letter."""
KEPT_KEYS = {"q": "stop and quit", " ": "stand"} | {k: word for k, word in REQUEST_KEYS.items() if word in GIVE_WAY}
"""Keys by which a robot is brought to rest, and how: no show takes one away."""
BUTTONS = {0: "run", 1: "stop", 2: "ready", 3: "limp"}
"""Gamepad button to request."""
_BEGUN = re.compile(r"\x1b(\[[0-?]*[ -/]*|O)?\Z")
"""The beginning of a special key, whose rest has not come."""
_HELP = "keys: 1 ready, 2 run, arrows and a/d drive, space stands, s stop, l limp, 0 off, q quit"


def is_key(key: str) -> bool:
    """Whether a terminal sends this for one key: a character, or what begins with Esc, such as an arrow."""
    return bool(_KEY.fullmatch(key)) and key not in "\x03\x1a\x1c"  # Ctrl-C, Ctrl-Z and Ctrl-\\ are signals


class Keyboard:
    """The terminal that the runtime was started in. A command stays until another key changes it, or nothing drives.

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
        self, command: Command, report: Callable[[str], None] = say, keys: Mapping[str, str] | None = None
    ) -> None:
        if not sys.stdin.isatty():
            raise ContractError("commands by keyboard: standard input is no terminal; use --commands udp or a script")
        import termios
        import tty

        self._command, self.quit = command, False
        self._values: dict[str, float] = {}
        self._requests = REQUEST_KEYS | dict(keys or {})
        self._asked, self._begun = Requests(), ""
        self._file = sys.stdin.fileno()
        self._termios, self._before = termios, termios.tcgetattr(self._file)
        tty.setcbreak(self._file)
        mode = termios.tcgetattr(self._file)
        mode[0] &= ~termios.IXON  # Ctrl-S would stop all output, and what waits for it
        termios.tcsetattr(self._file, termios.TCSANOW, mode)
        report(", ".join((_HELP, *(f"{key} {request}" for key, request in (keys or {}).items()))))

    def poll(self) -> Wish:
        for key in self._keys():
            if key == "q":
                self.quit = True
                self._asked.add("stop")
            elif key == " ":
                self._values = {}
            elif key in self._requests:
                self._asked.add(self._requests[key])
            elif key in KEYS and KEYS[key][0] in self._command.names:
                name, sign = KEYS[key]
                i = self._command.names.index(name)
                step = (self._command.upper[i] - self._command.lower[i]) / 8
                value = self._values.get(name, self._command.default[i]) + sign * step
                self._values[name] = min(max(value, self._command.lower[i]), self._command.upper[i])
        return Wish(dict(self._values), self._asked.next())

    def forget(self) -> None:
        self._values = {}

    def _keys(self) -> list[str]:
        """The keys that were pressed since the last time; several can come at once."""
        typed, news = self._begun, b""
        try:
            if select.select([self._file], [], [], 0)[0]:
                news = os.read(self._file, 1024)
                if not news:
                    raise OSError  # the end: nobody can press a key any more
        except OSError:
            return ["q"]
        typed += news.decode(errors="replace")
        begun = _BEGUN.search(typed)
        self._begun = begun[0] if begun and news else ""
        if begun and not news:  # Esc alone, or a sequence that is not finished: a stop either way
            typed = f"{typed[: begun.start()]}\x1b"
        return _KEY.findall(typed[: len(typed) - len(self._begun)])

    def close(self) -> None:
        with contextlib.suppress(self._termios.error):  # the terminal is gone
            self._termios.tcsetattr(self._file, self._termios.TCSANOW, self._before)


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

    def __init__(
        self,
        command: Command,
        device: str = "/dev/input/js0",
        clock: Callable[[], float] = time.monotonic,
        axes: Mapping[int, Sequence[tuple[str, int]]] | None = None,
        buttons: Mapping[int, str] | None = None,
    ) -> None:
        self._axes, self._buttons = axes or self._AXES, BUTTONS | dict(buttons or {})
        try:
            self._file = os.open(device, os.O_RDONLY | os.O_NONBLOCK)
        except OSError as error:
            raise ContractError(f"gamepad {device}: {error.strerror}") from None
        self._command, self._clock, self._values, self._gone = command, clock, {}, None
        self._asked = Requests()

    def poll(self) -> Wish:
        while True:
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
                self._asked.add(self._buttons[number])
        age = 0.0 if self._gone is None else self._clock() - self._gone
        return Wish(dict(self._values), self._asked.next(), age)

    def forget(self) -> None:
        """Nothing: sticks are where they are, and the kernel tells of changes only."""

    def _steer(self, axis: int, stick: float) -> None:
        for name, sign in self._axes[axis]:
            if name in self._command.names:
                i = self._command.names.index(name)
                value = sign * stick if abs(stick) > 0.08 else 0.0  # sticks do not come back quite to the middle
                self._values[name] = value * (self._command.upper[i] if value > 0 else -self._command.lower[i])

    def close(self) -> None:
        os.close(self._file)
