"""The learner's settings; a light module, so that the command line can show them without importing torch."""

from dataclasses import dataclass
from typing import Literal

from robopolicy.errors import UserError


@dataclass
class PPOConfig:
    """Settings of the learner (proximal policy optimisation)."""

    horizon: int = 24
    """Control steps that every environment takes between two updates."""
    epochs: int = 5
    """Passes over a rollout in one update."""
    minibatches: int = 4
    """Gradient steps per pass."""
    learning_rate: float = 1e-3
    """Step size of the optimiser at the start."""
    schedule: Literal["adaptive", "linear", "constant"] = "adaptive"
    """Change of the learning rate: adaptive follows the KL divergence, linear ends at a final one."""
    final_learning_rate: float = 1e-4
    """Learning rate at the end of a linear schedule."""
    desired_kl: float = 0.01
    """How far, as KL divergence [nat], an update may move the policy: what the adaptive schedule aims at."""
    min_learning_rate: float = 1e-5
    """The adaptive schedule never goes below this."""
    max_learning_rate: float = 1e-2
    """The adaptive schedule never goes above this."""
    gamma: float = 0.99
    """Discount of the next step's return."""
    gae_lambda: float = 0.95
    """Trust in the rollout against the critic: 0 is one step, 1 the whole rollout."""
    clip_range: float = 0.2
    """How far the probability ratio may leave 1 before its gradient is cut."""
    clip_value: bool = False
    """Limit the critic's change per update to clip_range as well."""
    entropy_coef: float = 0.005
    """Weight of the entropy bonus, which keeps exploration up."""
    value_coef: float = 1.0
    """Weight of the critic's loss."""
    symmetry_coef: float = 0.0
    """Weight of the mean square difference between the action in a mirror and the answer to what the mirror shows."""
    max_grad_norm: float = 1.0
    """Gradients are scaled down to this norm."""
    hidden_actor: tuple[int, ...] = (128, 128)
    """Widths of the actor's hidden layers."""
    hidden_critic: tuple[int, ...] = (128, 128)
    """Widths of the critic's hidden layers."""
    initial_std: float = 0.7
    """Deviation of the exploration noise at the start, in units of action."""
    min_std: float = 0.05
    """The deviation never falls below this."""
    max_std: float = 2.0
    """The deviation never exceeds this."""
    shards: int = 2
    """Parts of a minibatch that CPU cores may share; results depend on it, not on the number of cores."""

    def validate(self, num_envs: int) -> None:
        """Check the settings against each other and the number of environments.

        Raises:
            UserError: A value is out of its range; the message names the setting.
        """
        for name in ("horizon", "epochs", "minibatches", "shards"):
            if getattr(self, name) < 1:
                raise UserError(f"ppo.{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("learning_rate", "final_learning_rate", "desired_kl", "clip_range", "max_grad_norm"):
            if not getattr(self, name) > 0.0:
                raise UserError(f"ppo.{name} is {getattr(self, name)}; it must be positive")
        for name in ("gamma", "gae_lambda"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise UserError(f"ppo.{name} is {getattr(self, name)}; it must be between 0 and 1")
        if self.symmetry_coef < 0:
            raise UserError(f"ppo.symmetry_coef is {self.symmetry_coef}; it must not be negative")
        for low, middle, high in (
            ("min_std", "initial_std", "max_std"),
            ("min_learning_rate", "learning_rate", "max_learning_rate"),
        ):
            if middle == "learning_rate" and self.schedule != "adaptive":
                continue
            if not 0.0 < getattr(self, low) <= getattr(self, middle) <= getattr(self, high):
                given = ", ".join(f"ppo.{name} {getattr(self, name)}" for name in (low, middle, high))
                raise UserError(f"{given}: they must be positive and in this order")
        if self.schedule not in ("adaptive", "linear", "constant"):
            raise UserError(f"unknown ppo.schedule {self.schedule!r}; known: adaptive, constant, linear")
        needed, rows = 2 * self.minibatches * self.shards, num_envs * self.horizon
        if rows < needed:
            raise UserError(
                f"{num_envs} environments x ppo.horizon {self.horizon} give {rows} samples, too few for "
                f"ppo.minibatches {self.minibatches} x ppo.shards {self.shards}: at least {needed} are needed"
            )
