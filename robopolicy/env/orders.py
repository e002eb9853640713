"""What the servos were told: orders that come late or never leave the earlier ones in force."""

import torch
from torch import Tensor

from robopolicy.sim.simulation import Rows


class Orders:
    """The latest targets that reached N robots, as many control periods back as the slowest of them lags.

    Args:
        shape: N and J.
        delay: By how much the servos are late [s], the engine's own tensor (N, J); None if nobody is by more than a
            control period.
        most: The largest such delay [s].
        control_dt: Control period [s].
        device: Where.

    Attributes:
        given: Joint targets [rad], the latest first. Shape (N, P, J).
    """

    def __init__(
        self, shape: tuple[int, int], delay: Tensor | None, most: float, control_dt: float, device: torch.device
    ):
        periods = 1 + (int(most / control_dt) if delay is not None else 0)
        self.given = torch.zeros(shape[0], periods, shape[1], device=device)
        self._delay, self._control_dt = delay, control_dt

    def give(self, target: Tensor, lost: Tensor | None) -> None:
        """A control period begins with these targets (N, J), which do not reach those who lose them, (N, 1) bool."""
        latest = target if lost is None else torch.where(lost, self.given[:, 0], target)
        self.given.copy_(torch.cat((latest.unsqueeze(1), self.given[:, :-1]), dim=1))

    def begin(self, mask: Tensor, target: Tensor) -> None:
        """Where ``mask`` (N,) is true an episode begins; its robot has always held this target (N, J)."""
        self.given.copy_(torch.where(mask.view(-1, 1, 1), target.unsqueeze(1), self.given))

    def in_force(self, rows: Rows = slice(None)) -> Tensor:
        """What the servos follow at the end of a control period. Shape (n, J)."""
        given = self.given[rows]
        if given.shape[1] == 1:
            return given[:, 0].clone()
        assert self._delay is not None
        back = (self._delay[rows] / self._control_dt).long().clamp(0, given.shape[1] - 1)
        return given.gather(1, back.unsqueeze(1)).squeeze(1)
