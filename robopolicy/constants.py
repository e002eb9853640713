"""Small tensors of fixed numbers, made once for each device: a recorded GPU graph cannot copy them from the host."""

from functools import cache

import torch
from torch import Tensor


@cache
def constant(values: tuple[float, ...] | tuple[int, ...], device: torch.device) -> Tensor:
    """The numbers as a tensor, which nobody may change: float32, or int64 for integers. Shape (len(values),)."""
    return torch.tensor(values, device=device)
