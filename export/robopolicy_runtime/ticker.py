"""A fixed rate by absolute deadlines: a late period does not move the ones after it."""

import os
import time
from collections.abc import Callable

import numpy as np

_KEPT = 100_000  # wake-ups; a ring, so that hours cost no more memory than minutes


class Ticker:
    """Wakes up once a period, and counts what it missed.

    Args:
        period_s: [s].
        clock: [s].
        sleep: Takes seconds.

    Attributes:
        count: Wake-ups so far.
        missed: Periods that were left out because the one before took too long.
    """

    def __init__(
        self,
        period_s: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.period_s, self._clock, self._sleep = period_s, clock, sleep
        self.missed = 0
        self._late = np.zeros(_KEPT)
        self.count = 0
        self._next: float | None = None

    def wait(self) -> float:
        """Sleep until the next deadline; returns how late it is now [s]."""
        now = self._clock()
        self._next = now if self._next is None else self._next + self.period_s
        if now >= self._next + self.period_s:  # whole periods went by: they are gone, and counted
            skipped = int((now - self._next) / self.period_s)
            self.missed += skipped
            self._next += skipped * self.period_s
        if now < self._next:
            self._sleep(self._next - now)
        late = max(self._clock() - self._next, 0.0)
        self._late[self.count % _KEPT] = late
        self.count += 1
        return late

    @property
    def lateness(self) -> np.ndarray:
        """How late the latest wake-ups were, in any order, at most 100,000 of them [s]. Shape (K,)."""
        return self._late[: self.count].copy()


def clock() -> float:
    """A time that goes on while the computer sleeps [s]."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def ask_for_realtime(priority: int = 50) -> str | None:
    """Ask the system to run this thread before all ordinary ones (SCHED_FIFO). Returns why not, or None."""
    if not hasattr(os, "sched_setscheduler"):
        return "this system has no SCHED_FIFO"
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
    except OSError as error:
        return (
            f"SCHED_FIFO was not granted ({error.strerror}); run as root, or `setcap cap_sys_nice+ep` the interpreter"
        )
    return None
