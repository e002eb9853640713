"""Using more than one core without giving up equal bits.

Torch's own threads split one matrix product differently for every thread count, so the last bits of a sum
depend on how many there are. Here the *work* is split instead: always into the same shards, each computed on
one torch thread, and the results are combined in shard order. How many workers share the shards then changes
the time, not the numbers.
"""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import torch

from robopolicy.cores import usable_cores

Item = TypeVar("Item")
Result = TypeVar("Result")


class Workers:
    """Runs shards of work on a fixed number of threads, the calling thread being one of them.

    Torch releases the interpreter lock inside its operations, so plain threads are enough. Gradient mode
    belongs to a thread: a function that must not record gradients carries ``@torch.no_grad()`` itself.

    Args:
        count: Threads that work at the same time, at least 1.
    """

    def __init__(self, count: int = 1) -> None:
        if count < 1:
            raise ValueError(f"a worker count of {count} was given; it must be at least 1")
        self.count = count
        self._pool = ThreadPoolExecutor(count - 1, "shard", initializer=_match_torch) if count > 1 else None

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """``[function(item) for item in items]``, in this order, shared among the workers."""
        items = list(items)
        if self._pool is None or len(items) < 2:
            return [function(item) for item in items]
        groups = [items[k :: self.count] for k in range(min(self.count, len(items)))]
        others = [self._pool.submit(_run_all, function, group) for group in groups[1:]]
        results: list[Result] = [None] * len(items)  # type: ignore[list-item]
        try:
            results[0 :: self.count] = _run_all(function, groups[0])
        finally:  # never leave a shard running behind an error
            done = [other.exception() for other in others]
        for k, (other, error) in enumerate(zip(others, done, strict=True), 1):
            if error is not None:
                raise error
            results[k :: self.count] = other.result()
        return results

    def close(self) -> None:
        """End the threads. Safe to call twice."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None
            self.count = 1


def _match_torch() -> None:
    """Give a new thread the number of threads that torch has been told.

    Left alone, torch does so only when some operation asks, and splits a product before that differently.
    """
    torch.set_num_threads(torch.get_num_threads())


def _run_all(function: Callable[[Item], Result], items: list[Item]) -> list[Result]:
    return [function(item) for item in items]


@dataclass(frozen=True)
class ThreadChoice:
    """What `choose_threads` found."""

    count: int
    """The number of workers to use."""
    seconds: dict[int, float]
    """Best measured time of one piece of work, by worker count [s]."""

    def __str__(self) -> str:
        timings = ", ".join(f"{count}: {1e3 * second:.1f} ms" for count, second in self.seconds.items())
        return f"{self.count} thread{'s' * (self.count > 1)} for learning ({timings})"


def choose_threads(
    work: Callable[[Workers], object],
    most: int | None = None,
    gain: float = 1.25,
    budget: float = 0.8,
) -> ThreadChoice:
    """Measure how many workers finish a piece of work soonest on this machine, as busy as it is now.

    One worker is the choice unless more are clearly faster, because a second one that buys little takes a
    core from the simulator's threads and from everything else. From here on this process's torch uses one
    thread of its own (`torch.set_num_threads`), since two layers of threads only disturb each other.

    Args:
        work: Does one representative piece of work, e.g. a real minibatch, on the workers it is given.
        most: The largest count to try; by default the cores this process may use.
        gain: How many times faster a larger count must be than the best smaller one.
        budget: Stop measuring after this long [s]; every candidate is tried at least twice, so a piece of
            work should take well below a tenth of it.
    """
    torch.set_num_threads(1)
    most = usable_cores() if most is None else most
    seconds: dict[int, float] = {}
    end = time.perf_counter() + budget
    for count in range(1, max(1, most) + 1):
        workers = Workers(count)
        share = time.perf_counter() + (end - time.perf_counter()) / (max(1, most) + 1 - count)
        work(workers)  # the first run pays for pages and for starting threads
        runs = 0
        while runs < 2 or (time.perf_counter() < share and runs < 10):
            start = time.perf_counter()
            work(workers)
            seconds[count] = min(seconds.get(count, float("inf")), time.perf_counter() - start)
            runs += 1
        workers.close()
        if time.perf_counter() > end:
            break
    best = 1
    for count in seconds:
        if seconds[count] * gain <= seconds[best]:
            best = count
    return ThreadChoice(best, seconds)
