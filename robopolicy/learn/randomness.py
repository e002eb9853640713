"""Random generators that go on where they stopped."""

import torch
from torch import Tensor


def restore_generator(generator: torch.Generator, state: Tensor) -> None:
    """Continue from a saved state; one of another kind of device says nothing here, and the generator stays as it is.

    Args:
        generator: Where to go on.
        state: What ``get_state`` gave. A CPU tensor, wherever the generator works.
    """
    if state.numel() == generator.get_state().numel():
        generator.set_state(state.cpu())
