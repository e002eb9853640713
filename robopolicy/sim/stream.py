"""Warp in torch's streams."""

from functools import cache

import torch
import warp as wp


def current_stream(device: torch.device) -> wp.Stream:
    """Torch's current stream on a GPU, as Warp knows it.

    It is the same object whenever the stream is the same. Warp looks recordings up by the object, and forgets what it
    knows of a stream, a recording included, as soon as any object for it is deleted.
    """
    return _known(torch.cuda.current_stream(device))


@cache
def _known(stream: torch.cuda.Stream) -> wp.Stream:
    return wp.stream_from_torch(stream)
