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
        self._aside: torch.cuda.Stream | None = None
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
                name = self.function.__qualname__
                warnings.warn(f"no CUDA graph of {name}, so it runs slower: {_reason(error)}", stacklevel=2)
                return self.function(*inputs)
        graph, kept, result = self._recorded[key]
        for own, given in zip(kept, inputs, strict=True):
            own.copy_(given)
        graph.replay()
        return result

    def _beside(self, inputs: Sequence[Tensor]) -> Result:
        """Call it in the stream that it will be recorded in, so that libraries allocate there what they need."""
        self._aside = self._aside or torch.cuda.Stream(self.device)
        here = torch.cuda.current_stream(self.device)
        self._aside.wait_stream(here)
        with torch.cuda.stream(self._aside):
            result = self.function(*inputs)
        here.wait_stream(self._aside)
        return result

    def _record(self, inputs: Sequence[Tensor]) -> tuple[torch.cuda.CUDAGraph, list[Tensor], Result]:
        graph, kept = torch.cuda.CUDAGraph(), [tensor.clone() for tensor in inputs]
        for generator in self.generators:
            graph.register_generator_state(generator)
        recording = torch.cuda.graph(graph, stream=self._aside, capture_error_mode="thread_local")
        try:
            # A recording that fails leaves torch in its stream; the outer one brings it back.
            with torch.cuda.stream(torch.cuda.current_stream(self.device)), recording, _warp_joins(self.device):
                result = self.function(*kept)
        except Exception:
            for generator in self.generators:
                _renew(generator)
            raise
        return graph, kept, result


def _renew(generator: torch.Generator) -> None:
    """Let a generator go on after a recording that failed, which it would take to be under way for ever."""
    state = generator.get_state()
    generator.graphsafe_set_state(torch.Generator(generator.device).graphsafe_get_state())
    generator.set_state(state)


def _reason(error: BaseException) -> str:
    """What the error says that came first: the end of a broken recording fails once more, and says less."""
    while error.__context__ is not None:
        error = error.__context__
    return " ".join(str(error).split())[:300]


@contextmanager
def _warp_joins(device: torch.device) -> Iterator[None]:
    """Tell Warp, if it is in use, that torch records what is launched."""
    if "warp" not in sys.modules:
        yield
        return
    import warp as wp

    from robopolicy.sim.stream import current_stream

    stream = current_stream(device)
    wp.capture_begin(stream=stream, external=True)
    try:
        yield
    finally:
        wp.capture_end(stream=stream)
