"""What a run's discriminator thinks of how the robot moves."""

from dataclasses import replace
from typing import Any

import torch

from robopolicy.env.env import Env, Step
from robopolicy.learn.amp import MotionPrior
from robopolicy.motion.prior import Prior
from robopolicy.motion.reference import Reference


class StyleScore:
    """The style reward as the learner gets it, before any weight: 1 is as in the clips.

    Args:
        prior: The run's settings.
        reference: Its clips.
        env: Where the robots move; it must know the clips too.
    """

    def __init__(self, prior: Prior, reference: Reference, env: Env):
        self._prior = MotionPrior(replace(prior, replay=1), reference, env)
        self._known = False

    def load(self, state: dict[str, Any]) -> None:
        """Take the discriminator of a checkpoint."""
        self._prior.net.load_state_dict(state["net"])
        self._prior.score_mean.copy_(state["score"][0])
        self._prior.score_var.copy_(state["score"][1])
        self._known = True

    @torch.no_grad()
    def of(self, step: Step, robot: int) -> float | None:
        """Of one robot's last step; None before a discriminator is there, and just after an episode began."""
        if not self._known or step.motion is None or step.motion_valid is None or not step.motion_valid[robot]:
            return None
        window = self._prior.normalize(step.motion[robot : robot + 1])
        return float(self._prior.style_reward(self._prior.net(window).squeeze(-1)))
