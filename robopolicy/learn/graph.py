"""CUDA graphs: a fixed sequence of GPU work, recorded once and then started by one call from the host."""

import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")

_WARM_UP = 3  # calls that run as usual: kernels are built, memory and the optimiser's state are allocated


class Graphed(Generic[Result]):
    """A function of tensors that is recorded after a few calls, and from then on replayed.

    It must have fixed shapes and no branch on a tensor's value; what it returns is overwritten by the next call. Other
    shapes are recorded anew. If it cannot be recorded, that is said once and it goes on as usual.

    Args:
        function: Takes tensors, works in place or returns tensors (in any structure).
        device: Where it works. Nothing is recorded on a CPU.
        generators: Sources of randomness that it uses.
    """

    def __init__(
        self, function: Callable[..., Result], device: torch.device, generators: Sequence[torch.Generator] = ()
    ) -> None:
        self.function, self.device, self.generators = function, device, generators
        self.possible = device.type == "cuda"
        self._calls: dict[Any, int] = {}
        self._recorded: dict[Any, tuple[torch.cuda.CUDAGraph, list[Tensor], Result]] = {}

    def __call__(self, *inputs: Tensor) -> Result:
        if not self.possible:
            return self.function(*inputs)
        key = tuple(tensor.shape for tensor in inputs)
        self._calls[key] = self._calls.get(key, 0) + 1
        if self._calls[key] <= _WARM_UP:
            return self._beside(inputs)
        if key not in self._recorded:
            try:
                self._recorded[key] = self._record(inputs)
            except Exception as error:
                self.possible = False
                reason = " ".join(str(error).split())[:300]
                warnings.warn(
                    f"no CUDA graph of {self.function.__qualname__}, so it runs slower: {reason}", stacklevel=2
                )
                return self.function(*inputs)
        graph, kept, result = self._recorded[key]
        for own, given in zip(kept, inputs, strict=True):
            own.copy_(given)
        graph.replay()
        return result

    def _beside(self, inputs: Sequence[Tensor]) -> Result:
        """Call it in another stream, as a recording will."""
        here, aside = torch.cuda.current_stream(self.device), torch.cuda.Stream(self.device)
        aside.wait_stream(here)
        with torch.cuda.stream(aside):
            result = self.function(*inputs)
        here.wait_stream(aside)
        return result

    def _record(self, inputs: Sequence[Tensor]) -> tuple[torch.cuda.CUDAGraph, list[Tensor], Result]:
        graph, kept = torch.cuda.CUDAGraph(), [tensor.clone() for tensor in inputs]
        for generator in self.generators:
            graph.register_generator_state(generator)
        with torch.cuda.graph(graph, capture_error_mode="thread_local"), _warp_joins(self.device):
            result = self.function(*kept)
        return graph, kept, result


@contextmanager
def _warp_joins(device: torch.device) -> Iterator[None]:
    """Tell Warp, if it is in use, that torch records what is launched."""
    if "warp" not in sys.modules:
        yield
        return
    import warp as wp

    stream = wp.stream_from_torch(torch.cuda.current_stream(device))
    wp.capture_begin(stream=stream, external=True)
    try:
        yield
    finally:
        wp.capture_end(stream=stream)
