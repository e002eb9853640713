"""The one interface to the physics, whatever engine runs it."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import mujoco
import torch
from torch import Tensor

Rows = Tensor | slice
"""Robots in the order of an index tensor, or all of them."""


class Simulation(ABC):
    """N simulations of one model.

    Fields are named as in ``mujoco.MjData`` and ``mujoco.MjModel``. Tensors are live, in the engine's own precision
    (float64 on the CPU, float32 on a GPU): write them in place, and copy what must outlive the next call. After
    ``step`` and ``forward`` every bound position- and velocity-dependent field describes the current state, not the
    one before the last substep.

    Attributes:
        model: The compiled default model.
        num_envs: N.
        device: Where the tensors live.
    """

    model: mujoco.MjModel
    num_envs: int
    device: torch.device

    @abstractmethod
    def bind(self, field: str) -> Tensor:
        """A data field, shape (N, ...). State fields (qpos, qvel, ctrl, xfrc_applied) can be written.

        Raises:
            ValueError: No such field; the message names near ones.
        """

    @abstractmethod
    def expand(self, field: str) -> Tensor:
        """A model field with its own value in every simulation, shape (N, ...). Write it, then ``update_model``.

        Raises:
            ValueError: No such field.
        """

    def anyone(self, mask: Tensor) -> bool:
        """False if ``mask`` (N,) is known to be true nowhere; a GPU is not waited for, and may always say true."""
        return True

    @abstractmethod
    def assign(self, mask: Tensor, targets: dict[str, Tensor], draw: Callable[[Rows, int], dict[str, Tensor]]) -> None:
        """Write new values where ``mask`` (N,) is true.

        The engine asks for as many values as suit it: the CPU for those robots alone, a GPU for all of them (so that
        shapes stay fixed) and then selects by the mask.

        Args:
            mask: Which robots. Shape (N,).
            targets: What can be written: results of ``bind`` and ``expand``, and the caller's tensors, each (N, ...).
            draw: ``draw(rows, n)`` gives, by the names in ``targets``, values of shape (n, ...) for those ``rows`` of
                an (N, ...) tensor. It may be not called at all if nobody is to be written.
        """

    @abstractmethod
    def update_model(self, mask: Tensor) -> None:
        """Recompute what the compiler derives from expanded fields (mj_setConst), where ``mask`` (N,) is true."""

    @abstractmethod
    def step(self, substeps: int) -> None:
        """Advance every simulation by ``substeps`` physics steps under the controls in ``ctrl``."""

    @abstractmethod
    def advance(self, substeps: int) -> None:
        """As ``step``, but only the state is brought up to date: what follows from it stays a physics step behind."""

    @abstractmethod
    def reset(self, mask: Tensor) -> None:
        """Put the model's default state where ``mask`` (N,) is true. Bound fields are stale until ``forward``."""

    @abstractmethod
    def hold(self, mask: Tensor, ctrl: Tensor) -> None:
        """Make delayed servos believe that ``ctrl`` (N, nu) was their control all along, where ``mask`` is true."""

    @abstractmethod
    def forward(self, mask: Tensor) -> None:
        """Recompute position- and velocity-dependent fields where ``mask`` (N,) is true."""

    @abstractmethod
    def diverged(self) -> Tensor:
        """Where the physics became unstable since the last call (the engine has reset those). Shape (N,) bool."""

    def overflow(self) -> list[str]:
        """Capacities of the engine that were too small since the last call, so that contacts were left out.

        Reading it waits for the device: once an iteration, not once a step.
        """
        return []

    @abstractmethod
    def state_dict(self) -> dict[str, Tensor]:
        """Everything needed to continue to the same numbers: states and expanded model fields."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore what ``state_dict`` gave."""
