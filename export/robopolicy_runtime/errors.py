"""The one exception of the runtime, and what it says to people."""

import contextlib
import select
import sys
from typing import IO


class ContractError(Exception):
    """A policy file, a sensor reading or a robot contradicts the contract.

    The message is one line: what was given, where, and what was expected.
    """


def say(line: str) -> None:
    """Print a line, unless nobody can read it now: a terminal that is gone or does not take any more (Ctrl-S, a slow
    connection) is no reason to keep a robot waiting."""
    with contextlib.suppress(OSError, ValueError):
        if _takes(sys.stdout):
            print(line, flush=True)


def _takes(stream: IO[str]) -> bool:
    """Whether a stream can be written to without waiting."""
    try:
        return bool(select.select([], [stream], [], 0)[1])
    except (OSError, ValueError, TypeError):  # no file behind it, as in a test
        return not stream.closed
