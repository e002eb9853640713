"""Episodes one after the other here, or in several processes; the same ones in the same order either way."""

import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from robopolicy_runtime.policy import PolicyFile
from robopolicy_runtime.transfer.draw import Drawn
from robopolicy_runtime.transfer.measure import Episode, Starts, run_episode

Work = tuple[int, Drawn, str]


class _Worker:
    """What runs an episode: the policies and where they can begin."""

    def __init__(self, files: Sequence[PolicyFile], seconds: float) -> None:
        self._files = [(file, Starts.of(file)) for file in files]
        self._seconds = seconds

    def __call__(self, work: Work) -> Episode:
        which, drawn, engine = work
        file, starts = self._files[which]
        return run_episode(file, starts, drawn, self._seconds, engine)


_worker: _Worker | None = None


@contextmanager
def episode_runner(
    files: Sequence[PolicyFile], seconds: float, jobs: int
) -> Iterator[Callable[[Sequence[Work]], Iterable[Episode]]]:
    """Something that turns work, which policy, on which plant and in which engine, into episodes in the same order.

    Args:
        files: The policies.
        seconds: Length of an episode [s].
        jobs: How many processes; with 1 everything happens in this one.

    Raises:
        ContractError: A file has no starts to begin at.
    """
    worker = _Worker(files, seconds)
    if jobs == 1:
        yield lambda work: map(worker, work)
        return
    # Not a fork: onnxruntime has threads, which would not come along.
    context = multiprocessing.get_context("spawn")
    paths = [file.path for file in files]
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_start, initargs=(paths, seconds))
    try:
        yield lambda work: pool.map(_run, work, chunksize=4)
    finally:
        pool.shutdown(cancel_futures=True)


def _start(paths: Sequence[Path], seconds: float) -> None:
    global _worker
    _worker = _Worker([PolicyFile.open(path) for path in paths], seconds)


def _run(work: Work) -> Episode:
    if _worker is None:
        raise RuntimeError("this process was not started by episode_runner")
    return _worker(work)
