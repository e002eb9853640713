"""Commands: what the robot is told to do, drawn at random while it learns."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from robopolicy.constants import constant


@dataclass
class Command:
    """Channels drawn uniformly from their ranges, and drawn again after a random time."""

    ranges: dict[str, tuple[float, float]] = field(
        default_factory=lambda: {"vx": (-0.5, 1.0), "vy": (-0.4, 0.4), "wz": (-1.0, 1.0)}
    )
    """Lowest and highest value of each channel; vx, vy [m/s] and wz [rad/s] are velocities in the heading frame."""
    units: dict[str, str] = field(default_factory=dict)
    """Unit of channels other than vx, vy and wz."""
    resample_s: tuple[float, float] = (4.0, 8.0)
    """Time until a new command is drawn [s]."""
    zero: float = 0.1
    """Part of the commands that are all zero, or as near to it as their ranges go."""
    single: float = 0.3
    """Part of the commands of which one channel alone is not."""
    from_clips: float = 0.0
    """Part of the commands that are the velocity of a random moment of the task's clips."""

    @property
    def is_velocity(self) -> bool:
        """Whether the channels are vx, vy, wz, so that the speed of a clip can be a command."""
        return self.names == ["vx", "vy", "wz"]

    @property
    def names(self) -> list[str]:
        """Channels in order. Length C."""
        return list(self.ranges)

    def bounds(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Lowest and highest values, each of shape (C,)."""
        low, high = zip(*self.ranges.values(), strict=True)
        return constant(low, device), constant(high, device)

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Commands for ``n`` robots; ``from_clips`` is for :class:`~robopolicy.env.channels.Channels`. Shape (n, C)."""
        device = generator.device
        low, high = self.bounds(device)
        count = len(self.ranges)
        uniform = low + (high - low) * torch.rand(n, count, generator=generator, device=device)
        kind = torch.rand(n, 1, generator=generator, device=device)
        channel = torch.randint(count, (n, 1), generator=generator, device=device)
        only = torch.arange(count, device=device) == channel
        still = torch.zeros_like(low).clamp(low, high)
        value = torch.where((kind < self.zero + self.single) & ~only, still, uniform)
        return torch.where(kind < self.zero, still, value)
