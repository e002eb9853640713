"""Films of a policy while it learns: every so often one of the newest checkpoint, made by a process of its own."""

import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

_SECONDS = 8.0  # length of a film


class Films:
    """Has films made of a run, one at a time, at low priority, so that the training hardly notices.

    Args:
        folder: The run folder; films go into ``films/`` in it, named by the steps trained.
        minutes: Time between two of them [min]; 0 makes none.
    """

    def __init__(self, folder: Path, minutes: float):
        self.folder, self.minutes = folder, minutes
        self._last = time.monotonic()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def due(self) -> bool:
        """Whether it is time for the next one, and the last one is done."""
        idle = self._process is None or self._process.poll() is not None
        return bool(self.minutes) and idle and time.monotonic() - self._last >= 60 * self.minutes

    def make(self, steps: int) -> None:
        """Begin a film of the checkpoint that was just saved."""
        self._last = time.monotonic()
        path = self.folder / "films" / f"{steps:012d}.mp4"
        path.parent.mkdir(exist_ok=True)
        words = [sys.executable, "-m", "robopolicy", "play", str(self.folder), "--video", str(path)]
        said = (path.parent / "log.txt").open("ab")
        self._process = subprocess.Popen(
            [*words, "--seconds", str(_SECONDS)],
            stdout=said,
            stderr=said,
            preexec_fn=(lambda: os.nice(10)) if hasattr(os, "nice") else None,
        )
        said.close()

    def close(self) -> None:
        """Wait for the last one."""
        if self._process is not None and self._process.wait():
            warnings.warn(f"the last film failed; {self.folder / 'films' / 'log.txt'} says why", stacklevel=2)
