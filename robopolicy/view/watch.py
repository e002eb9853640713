"""Do something again whenever a file is saved."""

import time
from collections.abc import Callable
from pathlib import Path
from threading import Event

from robopolicy.errors import UserError


def watch(path: Path, draw: Callable[[], str], stop: Event | None = None, interval: float = 0.25) -> None:
    """Draw now, and again after every change of a file, until Ctrl-C.

    A mistake in the file is printed as one line, and watching goes on: what was drawn before stays.

    Args:
        path: The file.
        draw: Draws it; returns what to say about it.
        stop: Ends the watch when set.
        interval: Time between two looks at the file [s].
    """
    stop = stop or Event()
    seen: tuple[int, int] | None = None
    try:
        while not stop.is_set():
            now = _stamp(path)
            if now is not None and now != seen:
                seen = now  # before drawing: what is saved meanwhile is drawn next
                try:
                    message = draw()
                except UserError as error:
                    message = str(error)
                print(f"{time.strftime('%H:%M:%S')} {message}", flush=True)
            stop.wait(interval)
    except KeyboardInterrupt:
        print()


def _stamp(path: Path) -> tuple[int, int] | None:
    """What changes when a file is saved; None while it is away, as some editors save by renaming."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
