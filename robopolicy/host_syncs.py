"""How often the host waits for the GPU, counted in a profiler's trace."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import Tensor
from torch.profiler import ProfilerActivity, profile, record_function

SPAN = "control_step"
# Calls of CUDA's runtime (cuda...) and driver (cu...) that return only when the GPU is done.
_WAITS = re.compile(r"cu(da)?((Stream|Device|Event|Ctx)Synchronize|Memcpy(?!\w*Async))")


def host_syncs_per_step(step: Callable[[Tensor], object], actions: Tensor) -> float | None:
    """Run control steps on a GPU under torch's profiler, and count how often each makes the host wait.

    Args:
        step: The control step of all robots.
        actions: One for each step to run. Shape (T, N, J).

    Returns:
        Waits per step; None if the profiler saw no CUDA call at all, which happens where it has no access to the GPU's
        counters. Calls of CUDA's driver, which is what Warp makes, count as far as the profiler records them.
    """
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as trace:
        for action in actions:
            with record_function(SPAN):
                step(action)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "trace.json"
        trace.export_chrome_trace(str(file))
        events = json.loads(file.read_text())["traceEvents"]
    return syncs_per_span(events)


def syncs_per_span(events: Iterable[Mapping[str, Any]], span: str = SPAN) -> float | None:
    """Waiting CUDA calls inside the host's spans of one name, per span.

    Args:
        events: ``traceEvents`` of a Chrome trace from torch's profiler: ``name``, ``cat``, ``ts`` and ``dur`` [us].
        span: Name of the spans, as ``record_function`` got it.

    Returns:
        Waits per span; None if there is no CUDA call inside any, not even a launch.

    Raises:
        ValueError: The trace has no such span.
    """
    timed = [event for event in events if event.get("ph") == "X"]
    # The same name appears once more for the GPU, as gpu_user_annotation.
    spans = [
        (event["ts"], event["ts"] + event["dur"])
        for event in timed
        if event["name"] == span and event.get("cat") == "user_annotation"
    ]
    if not spans:
        raise ValueError(f"the trace has no span {span!r}")
    calls = [
        event["name"]
        for event in timed
        if event.get("cat") in ("cuda_runtime", "cuda_driver")
        and any(start <= event["ts"] < end for start, end in spans)
    ]
    if not calls:
        return None
    return sum(bool(_WAITS.match(name)) for name in calls) / len(spans)
