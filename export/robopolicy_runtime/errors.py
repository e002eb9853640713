"""The one exception of the runtime, and what it says to people."""

import contextlib


class ContractError(Exception):
    """A policy file, a sensor reading or a robot contradicts the contract.

    The message is one line: what was given, where, and what was expected.
    """


def say(line: str) -> None:
    """Print a line. A terminal that is gone is no reason to let a robot fall: then nobody reads it."""
    with contextlib.suppress(OSError, ValueError):
        print(line, flush=True)
