"""All that a policy is told: the task's command, how much of the style, and which style."""

from dataclasses import dataclass

import torch
from torch import Tensor

from robopolicy.constants import constant
from robopolicy.env.command import Command
from robopolicy.motion.reference import Reference

WEIGHT = "style"
"""Name of the channel that says how much of the style is wanted, from 0 to 1."""
_FULL = 0.7  # part of the robots that are told the whole style; the others anything from none to all


@dataclass(frozen=True)
class Channels:
    """The C numbers that a policy is told, in order: the command's own, the style weight, one per style label.

    A style is asked for by a 1 in its channel and 0 in the others'.

    Attributes:
        command: The task's command.
        styles: Labels to choose from; empty where there is only one style.
        weighted: Whether the style weight is among them.
    """

    command: Command
    styles: tuple[str, ...] = ()
    weighted: bool = False

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """Lowest and highest value of every channel, in order. Length C."""
        extra = ([WEIGHT] if self.weighted else []) + [f"{WEIGHT}_{label}" for label in self.styles]
        return self.command.ranges | dict.fromkeys(extra, (0.0, 1.0))

    @property
    def names(self) -> list[str]:
        """Channels in order. Length C."""
        return list(self.ranges)

    @property
    def default(self) -> tuple[float, ...]:
        """What to tell where nobody says anything: as near to zero as may be, all of the style, the first label."""
        own = [min(max(0.0, low), high) for low, high in self.command.ranges.values()]
        return (*own, *[1.0] * self.weighted, *(float(i == 0) for i in range(len(self.styles))))

    def tell(self, command: Tensor, label: Tensor | None = None, weight: Tensor | None = None) -> Tensor:
        """Put the parts together.

        Args:
            command: The task's command, of which a velocity gives the first three channels. Shape (n, ...).
            label: Index of the style; by default the first. Shape (n,).
            weight: How much of it; by default all. Shape (n,).

        Returns:
            Shape (n, C).
        """
        n, parts = len(command), [command]
        if self.weighted:
            parts.append((torch.ones(n, device=command.device) if weight is None else weight).unsqueeze(-1))
        if self.styles:
            index = torch.zeros(n, dtype=torch.long, device=command.device) if label is None else label
            parts.append((index.unsqueeze(-1) == torch.arange(len(self.styles), device=command.device)).float())
        return torch.cat(parts, dim=-1)

    def draw(self, n: int, generator: torch.Generator, reference: Reference | None = None) -> tuple[Tensor, Tensor]:
        """What to tell ``n`` robots; some commands are those that the clips obey, each with its clip's style.

        Args:
            n: How many.
            generator: Source of randomness.
            reference: The clips.

        Returns:
            What to tell, shape (n, C), and the index of the clip whose command it is, else -1, shape (n,).
        """
        device, told = generator.device, self.command
        value, clip = told.draw(n, generator), torch.full((n,), -1, device=device)
        label = torch.randint(max(len(self.styles), 1), (n,), generator=generator, device=device)
        if told.from_clips and reference is not None and told.is_velocity:
            frame = reference.draw(n, generator)
            chosen = torch.rand(n, generator=generator, device=device) < told.from_clips
            low, high = told.bounds(device)
            value = torch.where(chosen.unsqueeze(-1), reference.command[frame].clamp(low, high), value)
            label = torch.where(chosen, reference.label[frame], label)
            clip = torch.where(chosen, reference.clip[frame], clip)
        return self.tell(value, label, self.draw_weight(n, generator)), clip

    def of_clips(self, reference: Reference, frame: Tensor, weight: Tensor | None = None) -> Tensor:
        """What the clips obey in some of their frames (n,): their own style, and their velocity. Shape (n, C)."""
        own = reference.command[frame]
        if not self.command.is_velocity:  # nobody knows what else they might be told
            own = torch.zeros(len(frame), len(self.command.ranges), device=frame.device)
        return self.tell(own, reference.label[frame], weight)

    def draw_weight(self, n: int, generator: torch.Generator) -> Tensor:
        """Style weights to learn under. Shape (n,)."""
        u = torch.rand(2, n, generator=generator, device=generator.device)
        return torch.where(u[0] < _FULL, 1.0, u[1])

    def weight(self, told: Tensor) -> Tensor:
        """How much of the style is asked for, (n,), of what is told (n, C); all where nobody can ask."""
        return told[:, len(self.command.ranges)] if self.weighted else torch.ones_like(told[:, 0])

    def fitting(self, told: Tensor, velocity: bool) -> Tensor:
        """The part (n, S) of what is told that motion can fit: the style, and the velocity if it counts too."""
        own = list(range(len(self.command.ranges))) if velocity else []
        first = len(self.command.ranges) + self.weighted
        columns = own + [first + i for i in range(len(self.styles))]
        return told[:, constant(tuple(columns), told.device)] if columns else told[:, :0]
