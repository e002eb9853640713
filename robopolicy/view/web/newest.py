"""The newest checkpoint of a run, read whenever training has saved one."""

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robopolicy import checkpoint
from robopolicy.errors import UserError
from robopolicy.evaluate import Act
from robopolicy.learn.policy import load_policy

_LOOK_S = 1.0  # time between two looks at the file


@dataclass(frozen=True)
class Found:
    """A policy, and the prior's state if the run has one."""

    act: Act
    prior: dict[str, Any] | None


class Newest:
    """Reads the checkpoint in a thread of its own, so that the page never waits for the disk.

    Args:
        folder: The run.

    Attributes:
        note: Which checkpoint was read last, or why it could not be.
    """

    def __init__(self, folder: Path):
        self.folder, self.note = folder, ""
        self._seen: tuple[int, int] | None = None
        self._looked = 0.0
        self._reader: threading.Thread | None = None
        self._found: Found | None = None

    def take(self) -> Found | None:
        """What has been read since the last call; None if there is nothing new. Returns at once."""
        now = time.monotonic()
        if now - self._looked >= _LOOK_S and (self._reader is None or not self._reader.is_alive()):
            self._looked = now
            stamp = self._stamp()
            if stamp is not None and stamp != self._seen:
                self._seen = stamp  # before reading: what is saved meanwhile is read next
                self._reader = threading.Thread(target=self._read, daemon=True)
                self._reader.start()
        found, self._found = self._found, None
        return found

    def _stamp(self) -> tuple[int, int] | None:
        try:
            status = (self.folder / checkpoint.CHECKPOINT).stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size

    def _read(self) -> None:
        try:
            run = checkpoint.load(self.folder)
            policy = load_policy(run.task.ppo, run.sidecar, run.state["learner"]["policy"])
        except UserError as error:
            self.note = f"the newest checkpoint cannot be read, the one before it goes on: {error}"
            return
        self._found = Found(policy.actor_mean, run.state["prior"])
        self.note = f"checkpoint of {run.sidecar['steps']:,} steps, {run.sidecar['seconds']:.0f} s of training"
