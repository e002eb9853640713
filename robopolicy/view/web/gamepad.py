"""A gamepad at a browser: a script on the page reads it, and a websocket of its own brings it here."""

import gzip
import json
import math
import queue
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from robopolicy.view.tour import Channel
from robopolicy.view.web.gate import Answer

SILENCE_S = 0.5  # a gamepad that says nothing for so long is let go of [s]
BUTTONS = {1: "pause", 2: "reset", 12: "forward", 13: "backward", 14: "left", 15: "right"}
"""What a button asks for: B, X, and the direction pad, which pushes."""
LEGEND = "gamepad: sticks drive, B pauses, X resets, the direction pad pushes"

_DEAD = 0.08  # sticks do not come back quite to the middle
_LONGEST = 2000  # message [characters]
_PATH, _SCRIPT_PATH = "/gamepad", "/gamepad.js"
_SCRIPT = Path(__file__).with_name("gamepad.js")
_TAG = b'<script src="gamepad.js" defer></script>\n'


@dataclass(frozen=True)
class Held:
    """What is held of one gamepad.

    Attributes:
        axes: Left stick to the right and down, right stick to the right, from -1 to 1.
        buttons: Numbers of those that are down.
        time: When it was said [s].
    """

    axes: tuple[float, float, float]
    buttons: frozenset[int]
    time: float


def read(message: str | bytes, time: float) -> Held | None:
    """What a message says; None if it is not one of ours."""
    if not isinstance(message, str) or len(message) > _LONGEST:
        return None
    try:
        said = json.loads(message)
        x, y, turn = (float(a) for a in said["axes"][:3])
        buttons = frozenset(i for i, down in enumerate(said["buttons"]) if down is True)
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None
    if not all(map(math.isfinite, (x, y, turn))):
        return None
    return Held((_clip(x), _clip(y), _clip(turn)), buttons, time)


def steering(channels: Sequence[Channel], axes: Sequence[float]) -> dict[str, float]:
    """What the sticks ask for, as in the runtime: the left one goes forward and sideways, the right one turns.

    Without a sideways channel the left one turns too. A stick at its end asks for the end of the trained range.

    Args:
        channels: What can be told.
        axes: As in ``Held``.

    Returns:
        By name, of those channels that there are.
    """
    ends = {c.name: (c.low, c.high) for c in channels if c.high > c.low}
    x, y, turn = (a if abs(a) > _DEAD else 0.0 for a in axes)
    if "vy" not in ends:
        turn = max(x, turn, key=abs)
    asked = {"vx": -y, "vy": -x, "wz": -turn}
    return {name: a * (ends[name][1] if a > 0 else -ends[name][0]) for name, a in asked.items() if name in ends}


class Gamepads:
    """Those of all browsers. Stands beside the server; see ``gate.Beside``.

    Args:
        clock: [s].
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._held: dict[ServerConnection, Held] = {}
        self._asked: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._pages: dict[bytes, bytes] = {}

    # For the page's loop

    @property
    def connected(self) -> bool:
        """Whether one says anything."""
        return bool(self._live())

    @property
    def axes(self) -> tuple[float, ...]:
        """Of all gamepads, as in ``Held``: each axis from the one that moves it farthest; 0 without any."""
        return tuple(max((held.axes[k] for held in self._live()), key=abs, default=0.0) for k in range(3))

    def asked(self) -> list[str]:
        """What buttons asked for since the last call, see ``BUTTONS``."""
        return [self._asked.get() for _ in range(self._asked.qsize())]

    def _live(self) -> list[Held]:
        now = self._clock()
        return [held for held in tuple(self._held.values()) if now - held.time < SILENCE_S]

    # For the server, in its thread

    def answer(self, connection: ServerConnection, request: Request, inner: Answer) -> Response | None:
        """Serve the script, and add it to the server's page."""
        path = _place(request)
        if path == _SCRIPT_PATH:
            body = _SCRIPT.read_bytes()
            kind = {"Content-Type": "text/javascript; charset=utf-8", "Content-Length": str(len(body))}
            return Response(HTTPStatus.OK, "OK", Headers(kind), body)
        response = inner(connection, request)
        if response is not None and response.status_code == HTTPStatus.OK and path in ("/", "/index.html"):
            return self._with_script(response)
        return response

    def hears(self, connection: ServerConnection) -> bool:
        """Whether a websocket is for us."""
        return connection.request is not None and _place(connection.request) == _PATH

    async def hear(self, connection: ServerConnection) -> None:
        """Listen to one gamepad until it is gone. What does not read counts as silence."""
        try:
            async for message in connection:
                held = read(message, self._clock())
                if held is None:
                    continue
                before = self._held.get(connection, held)  # a browser shows a gamepad when its first button goes down
                for button in held.buttons - before.buttons:
                    if button in BUTTONS:
                        self._asked.put(BUTTONS[button])
                self._held[connection] = held
        except ConnectionClosed:
            pass
        finally:
            self._held.pop(connection, None)

    def _with_script(self, response: Response) -> Response:
        """The server's page with our script at its end; a page that was packed is packed again, once."""
        body, packed = bytes(response.body), response.headers.get("Content-Encoding") == "gzip"
        if body not in self._pages:
            self._pages[body] = gzip.compress(gzip.decompress(body) + _TAG) if packed else body + _TAG
        headers = response.headers.copy()
        del headers["Content-Length"]
        headers["Content-Length"] = str(len(self._pages[body]))
        return Response(response.status_code, response.reason_phrase, headers, self._pages[body])


def _place(request: Request) -> str:
    return request.path.partition("?")[0]


def _clip(axis: float) -> float:
    return min(max(axis, -1.0), 1.0)
