"""Settings of the motion prior."""

import math
from dataclasses import dataclass, field
from typing import Literal

from robopolicy.errors import UserError


@dataclass
class Prior:
    """Style from clips: an adversarial motion prior (Peng et al. 2021, "AMP"), and a start from the clips."""

    clips: tuple[str, ...] = ()
    """Clips: names or patterns under assets/clips/<robot>, or paths, also of folders. None: no prior."""
    styles: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Several styles in one policy, instead of ``clips``: label and clips of each. The policy is told which to have."""
    adjustable: bool = True
    """Tell the policy how much of the style to have, 0 to 1 of ``weight``, so that it can be turned later."""
    weight: float = 0.5
    """Share of the style reward against the task's, in [0, 1]; 0 switches the whole prior off."""
    clip_weights: dict[str, float] = field(default_factory=dict)
    """How often a clip is drawn relative to the others (1), by pattern; its length does not matter."""
    adapt: float = 0.0
    """Draw a clip more often the worse the policy follows it: exponent on what its style reward lacks; 0: never."""
    mirror: bool = False
    """Use every clip also as a mirror shows it, left for right."""
    window: int = 2
    """Control steps that the discriminator sees at once."""
    loss: Literal["lsgan", "bce", "wgan"] = "lsgan"
    """Discriminator loss."""
    reward_scale: float = 1.0
    """Style reward of a perfect score, per second, before the share."""
    hidden: tuple[int, ...] = (128, 64)
    """Hidden layers of the discriminator."""
    learning_rate: float = 1e-4
    """Step size of the discriminator's own Adam."""
    weight_decay: float = 1e-4
    """L2 penalty on its weights."""
    gradient_penalty: float = 5.0
    """Weight of the squared input gradient on clip windows."""
    input_noise: float = 0.5
    """Gaussian noise on both sides' normalised inputs, in standard deviations; exploration noise in joint velocities
    gives a policy away otherwise."""
    updates: int = 3
    """Discriminator steps per iteration."""
    batch_size: int = 1024
    """Windows of each side per step."""
    replay: int = 100_000
    """Policy windows remembered."""
    see_command: bool = True
    """Show the command to the discriminator, so that a style must fit what was asked."""
    see_phase: bool = False
    """Show the gait clock to the discriminator, so that feet land as it says; clips that walk need a phase."""
    reference_start: float = 0.8
    """Part of the episodes that begin in a clip's state (reference-state initialisation)."""
    warm_start: int = 3000
    """Supervised steps that teach the actor the clips before it learns by trial; 0: none."""
    warm_start_std: float = 0.25
    """Exploration noise after the warm start."""

    def validate(self) -> None:
        """Check the settings.

        Raises:
            UserError: A value is out of its range; the message names the setting.
        """
        if not 0 <= self.weight <= 1:
            raise UserError(f"prior.weight is {self.weight}; it must be between 0 and 1")
        for name, least in (("window", 1), ("updates", 1), ("batch_size", 4), ("replay", 1), ("warm_start", 0)):
            if getattr(self, name) < least:
                raise UserError(f"prior.{name} is {getattr(self, name)}; it must be at least {least}")
        for name in ("learning_rate", "warm_start_std", "reward_scale"):
            if not getattr(self, name) > 0:
                raise UserError(f"prior.{name} is {getattr(self, name)}; it must be positive")
        for name in ("adapt", "weight_decay", "gradient_penalty", "input_noise"):
            if not getattr(self, name) >= 0:
                raise UserError(f"prior.{name} is {getattr(self, name)}; it must not be negative")
        if not 0 <= self.reference_start <= 1:
            raise UserError(f"prior.reference_start is {self.reference_start}; it must be between 0 and 1")
        for pattern, weight in self.clip_weights.items():
            if not 0 <= weight < math.inf:
                raise UserError(f"prior.clip_weights is {weight} for {pattern!r}; it must be 0 or more, and finite")

    @property
    def active(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.patterns) and self.weight > 0

    @property
    def groups(self) -> dict[str, tuple[str, ...]]:
        """Patterns of every style's clips, by label; a single style has none."""
        return self.styles or ({"": self.clips} if self.clips else {})

    @property
    def patterns(self) -> tuple[str, ...]:
        """Patterns of all clips."""
        return tuple(pattern for group in self.groups.values() for pattern in group)

    @property
    def labels(self) -> tuple[str, ...]:
        """Styles that can be told apart: two or more, or none."""
        return tuple(self.styles) if self.active and len(self.styles) > 1 else ()
