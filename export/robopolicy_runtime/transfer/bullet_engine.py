"""The module pybullet: whether it is there, and how it is loaded without a word on the standard output."""

import contextlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from typing import Any

from robopolicy_runtime.errors import ContractError


def available() -> bool:
    """Whether pybullet is installed; importing it is left to whoever needs it."""
    return importlib.util.find_spec("pybullet") is not None


def load() -> Any:
    """The module; it is a binary without types.

    Raises:
        ContractError: It is not installed.
    """
    if not available():
        raise ContractError("bullet: pybullet is not installed: pip install 'robopolicy-runtime[bullet]'")
    with quiet():
        return importlib.import_module("pybullet")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Bullet writes to the process's own standard output, where a report may be on its way."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
            yield
    finally:
        for number, copy in zip((1, 2), kept):
            os.dup2(copy, number)
            os.close(copy)
