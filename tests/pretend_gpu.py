"""A GPU that is not there: its tensors refuse to meet the host's, and every word that they exchange is noted.

Torch lets a backend be written in Python (``PrivateUse1``). This one computes with the CPU's kernels, so the numbers
are real. What a GPU's own kernels, streams and graphs do it cannot show.
"""

from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

_aten = torch.ops.aten
_COPY, _TO = _aten.copy_.default, _aten._to_copy.default
_READS = {_aten._local_scalar_dense.default, _aten.nonzero.default, _aten.masked_select.default, _aten.equal.default}
_INDEXED = {_aten.index.Tensor, _aten.index_put_.default, _aten.index_put.default}


@cache
def register() -> None:
    """Make the device known to torch, for the rest of the process. It would be in the way of a real GPU."""
    assert not torch.cuda.is_available()
    backend_registration._setup_privateuseone_for_python_backend("pretended")


class MixedDevicesError(RuntimeError):
    """A tensor of the host met one of the device."""


class OnDevice(Tensor):
    """A tensor of the pretended device; ``held`` has its numbers."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> "OnDevice":
        layout = held.size(), held.stride(), held.storage_offset(), None, held.dtype
        tensor = Tensor._make_wrapper_subclass(cls, *layout, device=PretendGpu.device)  # type: ignore[attr-defined]
        tensor.held = held
        return tensor

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def __repr__(self) -> str:  # type: ignore[override]
        return f"OnDevice({self.held})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _compute(func, args, kwargs or {})  # where the mode is not asked: inside a backward pass


class Generator(torch.Generator):
    """A source of random numbers on any device, which it says it is on."""

    def __new__(cls, device: torch.device | str = "cpu") -> "Generator":
        generator = super().__new__(cls)
        generator.where = torch.device(device)  # type: ignore[attr-defined]
        return generator

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return self.where  # type: ignore[attr-defined]


class PretendGpu(TorchDispatchMode):
    """While it is entered, tensors can be made on ``device``.

    Attributes:
        device: The pretended one.
        exchanged: Operations by which the host read from the device, or wrote to it; none of them can be recorded.
    """

    device = torch.device("privateuseone:0")

    def __init__(self) -> None:
        super().__init__()
        register()
        self.exchanged: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        before = [isinstance(x, OnDevice) for x in tree_flatten((args, kwargs))[0] if isinstance(x, Tensor)]
        result = _compute(func, args, kwargs or {})
        crossed = func in (_COPY, _TO) and len({*before, isinstance(result, OnDevice)}) > 1
        masked = func in _INDEXED and any(x is not None and x.dtype == torch.bool for x in args[1])
        if crossed or (any(before) and (func in _READS or masked)):
            self.exchanged.append(str(func))
        return result


def _compute(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Run an operation with the CPU's kernel, if its tensors are all on one side."""
    tensors = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, Tensor)]
    ours = [x for x in tensors if isinstance(x, OnDevice)]
    written = tensors[:1] if func._schema.is_mutable else []
    if ours and func not in (_COPY, _TO):
        for x in tensors:  # a number of the host may take part, but nothing be written there
            if not isinstance(x, OnDevice) and (x.dim() or any(x is w for w in written)):
                raise MixedDevicesError(f"{func}: a tensor of shape {tuple(x.shape)} is on the host")
    device = kwargs.get("device")
    there = bool(ours) if device is None else torch.device(device).type == PretendGpu.device.type
    there = isinstance(args[0], OnDevice) if func is _COPY else there
    if device is not None:
        kwargs = kwargs | {"device": torch.device("cpu")}
    result = func(*tree_map(_held, args), **tree_map(_held, kwargs))
    same = {id(x.held): x for x in ours}
    wrap = lambda x: same[id(x)] if id(x) in same else OnDevice(x)  # noqa: E731
    return tree_map(lambda x: wrap(x) if there and isinstance(x, Tensor) else x, result)


def _held(x: Any) -> Any:
    return x.held if isinstance(x, OnDevice) else x
