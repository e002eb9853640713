"""What the policy and the critic see: terms side by side, their histories, and the noise of the sensors."""

import torch
from torch import Tensor

from robopolicy.env.state import State
from robopolicy.sim.simulation import Rows
from robopolicy.task import Observation, Task

NOISE = "sensor noise"
"""Name of the noise among what an episode's beginning sets."""


class Senses:
    """Turns states of N robots into observations.

    A reading that is seen again as part of a history keeps the noise that it was taken with, as on a robot.

    Args:
        task: Says what is seen.
        example: A state of all N robots.
        generator: Source of the noise.
        nominal: There is no noise.

    Attributes:
        actor_dim, critic_dim: Sizes of the two observations.
        history: The latest values of each term that is seen more than once, oldest first, without noise. By name,
            shapes (N, H, D).
        noise: What the actor's observation has too much. Shape (N, A); A without what a teacher sees besides.
    """

    def __init__(self, task: Task, example: State, generator: torch.Generator, nominal: bool):
        self.task, self.generator, self.nominal = task, generator, nominal
        n, device = len(example.qpos), generator.device
        sizes = {name: _scaled(term, example).shape[1] for name, term in task.observations.items()}
        sides = [size * task.observations[name].history for name, size in sizes.items()]
        self.critic_dim = sum(sides) + sum(_scaled(o, example).shape[1] for o in task.privileged.values())
        self.actor_dim = self.critic_dim if task.teacher else sum(sides)
        widths = [o.scale * o.noise for o in task.observations.values()]
        self.width = torch.cat([torch.full((side,), w, device=device) for side, w in zip(sides, widths, strict=True)])
        self.noise = torch.zeros(n, sum(sides), device=device)
        self.history = {
            name: torch.zeros(n, o.history, sizes[name], device=device)
            for name, o in task.observations.items()
            if o.history > 1
        }
        column = torch.arange(sum(sides), device=device)
        later, last = [], []  # of each column: where the same number of the next moment is, and of the latest one
        for part, size in zip(column.split(sides), sizes.values(), strict=True):
            moments = part.view(-1, size)
            later.append(torch.cat((moments[1:], moments[-1:])).flatten())
            last.append(moments[-1:].expand_as(moments).flatten())
        self._later, self._last = torch.cat(later), torch.cat(last)
        self._fresh = column == self._last

    def draw_noise(self, unread: Tensor | None = None) -> None:
        """Noise of new readings; that of earlier ones moves on with them.

        Args:
            unread: Who gets no new reading, so that the last one stands with its noise. Shape (N, 1) bool.
        """
        if self.nominal:
            return
        new = torch.empty_like(self.noise).uniform_(-1, 1, generator=self.generator).mul_(self.width)
        if unread is not None:
            new = torch.where(unread, self.noise, new)
        if self.history:
            new = torch.where(self._fresh, new, self.noise[:, self._later])
        self.noise.copy_(new)

    def observe(
        self, state: State, rows: Rows = slice(None), fresh: bool = False, again: bool = False
    ) -> dict[str, Tensor]:
        """Both observations, ``actor`` and ``critic``, of which the critic's has no noise.

        Args:
            state: The robots of ``rows``.
            rows: Which they are.
            fresh: Their episode has just begun: histories are filled with the present reading. They and the noise are
                not kept but returned, by the names of their terms and ``NOISE``.
            again: The same instant as before, so that the latest entry of a history is replaced.
        """
        terms = self.task.observations.items()
        parts = {name: self._term(name, term, state, rows, fresh, again) for name, term in terms}
        actor = torch.cat(list(parts.values()), dim=-1)
        critic = torch.cat((actor, *(_scaled(term, state) for term in self.task.privileged.values())), dim=-1)
        noise = self.noise[rows]
        if fresh and self.history:
            noise = noise[:, self._last]
        seen = {"actor": actor if self.nominal else actor + noise, "critic": critic}
        if self.task.teacher:
            seen["actor"] = critic
        if fresh and self.history:
            seen |= {name: parts[name].view(-1, *past.shape[1:]) for name, past in self.history.items()}
            seen[NOISE] = noise
        return seen

    @property
    def at_start(self) -> dict[str, Tensor]:
        """What ``observe`` returns besides of robots whose episode begins, to be written where it belongs."""
        return self.history | {NOISE: self.noise} if self.history else {}

    def state_dict(self) -> dict[str, Tensor]:
        """Everything needed to go on to the same numbers."""
        return {NOISE: self.noise.clone()} | {name: past.clone() for name, past in self.history.items()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore what ``state_dict`` gave."""
        for name, mine in ({NOISE: self.noise} | self.history).items():
            mine.copy_(state[name])

    def _term(self, name: str, term: Observation, state: State, rows: Rows, fresh: bool, again: bool) -> Tensor:
        value = _scaled(term, state)
        if term.history == 1:
            return value
        if fresh:
            return value.repeat(1, term.history)
        past = self.history[name]
        kept = past[rows, :-1] if again else past[rows, 1:]
        past[rows] = torch.cat((kept, value.unsqueeze(1)), dim=1)
        return past[rows].flatten(1)


def _scaled(term: Observation, state: State) -> Tensor:
    value = term.function(state, **term.params)
    return value if term.scale == 1 else term.scale * value
