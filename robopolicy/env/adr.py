"""Automatic domain randomization: every range widens while robots cope at its end, and shrinks where they fall.

Each range of a randomizer starts as a point, what the robot's model says, or as a part of its width, and has two ends
that move on their own. Some robots are pinned to one end of one randomizer for an episode; how much of its time such a
robot stays up, averaged over many episodes, moves that end a step outward or back.
Source: OpenAI et al., "Solving Rubik's Cube with a Robot Hand", 2019 (arXiv:1910.07113).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from robopolicy.errors import UserError


@dataclass
class Adr:
    """Automatic domain randomization: how far the ranges of the randomizers are in use follows how well robots cope."""

    active: bool = False
    """Widen the ranges step by step; else all of every range is in use from the start."""
    start: float = 0.0
    """Share of every range in use at first, and at least; that nobody can walk yet is no reason to shrink it."""
    step: float = 0.1
    """By how much of its range an end moves."""
    probes: float = 0.4
    """Part of the robots that are pinned to an end of a range."""
    episodes: int = 32
    """Episodes of pinned robots that are averaged before an end moves."""
    widen_above: float = 0.9
    """An end moves outward if its robots stay up for more than this part of an episode."""
    shrink_below: float = 0.6
    """An end moves back if its robots stay up for less than this part of an episode."""

    def validate(self) -> None:
        """Check the settings against each other.

        Raises:
            UserError: A value is out of its range.
        """
        for name in ("start", "step", "probes", "widen_above", "shrink_below"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"adr.{name} is {getattr(self, name)}; it must be between 0 and 1")
        if self.shrink_below >= self.widen_above:
            raise UserError(
                f"adr.shrink_below {self.shrink_below} must lie below adr.widen_above {self.widen_above}, "
                "or an end would move in both directions"
            )
        if self.episodes < 1:
            raise UserError(f"adr.episodes is {self.episodes}; it must be at least 1")


class Widening:
    """The ends of R randomizers' ranges.

    Args:
        config: Settings.
        names: The randomizers. Length R.
        device: Where.

    Attributes:
        widths: Share of the way from nominal to the low and to the high end that is in use. Shape (R, 2).
    """

    def __init__(self, config: Adr, names: list[str], device: torch.device):
        self.config, self.names = config, names
        self.widths = torch.full((len(names), 2), config.start, device=device)
        self._up = torch.zeros(2 * len(names) + 1, device=device)  # the last one: robots that are pinned nowhere
        self._count = torch.zeros_like(self._up)

    def forget(self) -> None:
        """Begin anew."""
        self.widths.fill_(self.config.start)
        self._up.zero_()
        self._count.zero_()

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Where each of ``n`` robots is pinned: 2 r for the low end of randomizer r, 2 r + 1 for its high end, 2 R for
        nowhere. Shape (n,)."""
        ends = 2 * len(self.names)
        u = torch.rand(2, n, generator=generator, device=generator.device)
        pinned = (u[1] * ends).long().clamp(max=ends - 1)
        return torch.where(u[0] < self.config.probes, pinned, ends)

    def pins(self, end: Tensor, randomizer: int) -> Tensor:
        """Of robots pinned to ``end`` (n,): -1 at that randomizer's low end, 1 at its high end, else 0. Shape (n,)."""
        return (end == 2 * randomizer + 1).float() - (end == 2 * randomizer).float()

    def learn(self, ended: Tensor, end: Tensor, up: Tensor) -> None:
        """Move the ends.

        Args:
            ended: Whose episode is over. Shape (N,) bool.
            end: Where each robot was pinned. Shape (N,).
            up: The part of an episode for which it stayed up. Shape (N,).
        """
        weight = ended.float()
        self._up.index_add_(0, end, weight * up)
        self._count.index_add_(0, end, weight)
        full = self._count >= self.config.episodes
        mean = self._up / self._count.clamp(min=1)
        move = (full & (mean > self.config.widen_above)).float() - (full & (mean < self.config.shrink_below)).float()
        self.widths.add_(self.config.step * move[:-1].view_as(self.widths)).clamp_(self.config.start, 1)
        self._up.masked_fill_(full, 0)
        self._count.masked_fill_(full, 0)

    def log(self) -> dict[str, Tensor]:
        """Share of each range that is in use, by randomizer, and of all together, 0-dimensional."""
        shares = self.widths.mean(1)
        return {"adr": shares.mean()} | {f"adr/{name}": share for name, share in zip(self.names, shares, strict=True)}

    def state_dict(self) -> dict[str, Tensor]:
        """Everything needed to go on."""
        return {"widths": self.widths.clone(), "up": self._up.clone(), "count": self._count.clone()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore what ``state_dict`` gave."""
        for mine, name in ((self.widths, "widths"), (self._up, "up"), (self._count, "count")):
            mine.copy_(state[name])
