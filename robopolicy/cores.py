"""How many cores this process may use."""

import os


def usable_cores() -> int:
    """Cores this process may run on, at least 1; where torchrun started several processes, its share of them."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
