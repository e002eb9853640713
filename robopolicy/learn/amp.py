"""The adversarial motion prior: a discriminator tells the clips from the policy, and its score is a reward.

Source: Peng et al., "AMP: Adversarial Motion Priors for Stylized Physics-Based Character Control", 2021.
"""

import math
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from robopolicy.env.env import Env, Step
from robopolicy.errors import NonFiniteError, UserError
from robopolicy.learn.graph import Graphed
from robopolicy.learn.randomness import restore_generator
from robopolicy.learn.ranks import ALONE, Ranks
from robopolicy.learn.threads import Workers
from robopolicy.motion.prior import Prior
from robopolicy.motion.reference import Reference

_MEMORY = 0.05  # share of the newest rollout in how badly a clip is followed
_EXTREME = 3.0  # most that a clip is drawn more or less often than its weight says
_SATURATED = 20  # iterations in a row with a saturated discriminator before it is said


class MotionPrior:
    """Turns a task's clips into a style reward, and learns to tell them from the policy's motion.

    It has an optimiser, a normaliser and a random generator of its own; nothing is shared with the policy.

    Args:
        settings: The prior's settings.
        reference: The clips' training half.
        env: Where the policy's motion comes from; says how a window becomes an input.
        seed: Seed of everything random here.
        ranks: The processes that train this prior together.
    """

    def __init__(self, settings: Prior, reference: Reference, env: Env, seed: int = 0, ranks: Ranks = ALONE):
        self.settings, self.ranks = settings, ranks
        if settings.see_phase:
            _require_clock(reference, env)
        self.reference = reference.to(env.device)
        self.style_input, self.channels = env.style_input, env.channels
        self.time_scale = env.control_dt * settings.reward_scale
        self.device = env.device
        self.generator = torch.Generator(env.device).manual_seed(seed + ranks.rank)
        demo = self._demo(reference.windows.to(env.device))
        self.mean, self.std = demo.mean(0), demo.std(0).clamp(min=0.02)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.net = _discriminator(demo.shape[1], settings.hidden).to(env.device)
        self.optimizer = torch.optim.Adam(
            self.net.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )
        if env.device.type == "cuda":
            self.optimizer.param_groups[0]["capturable"] = True
        where = env.device if ranks.count == 1 else torch.device("cpu")
        self._descent = Graphed(self._step, where)
        self.replay = torch.zeros(settings.replay, demo.shape[1], device=env.device)
        self.replayed = 0
        self.score_mean = torch.zeros((), device=env.device)
        self.score_var = torch.ones((), device=env.device)
        self._rollout: list[Tensor] = []
        self._valid: list[Tensor] = []
        self._share: list[Tensor] = []
        self._clip: list[Tensor] = []
        self._shortfall = torch.ones(len(reference.clips), device=env.device)
        self._style = torch.zeros(0, device=env.device)
        self._saturated = 0

    @torch.no_grad()
    def watch(self, t: int, step: Step) -> None:
        """Remember the motion of the rollout's step ``t``: the window that ends in the state the step really led to."""
        assert step.motion is not None
        assert step.motion_valid is not None
        if t == 0:
            self._rollout, self._valid, self._share, self._clip = [], [], [], []
        self._rollout.append(step.motion.clone())
        self._valid.append(step.motion_valid.clone())
        self._share.append(step.style_weight.clone())
        self._clip.append(step.clip.clone())

    @torch.no_grad()
    def reward(self, task_reward: Tensor, workers: Workers) -> Tensor:
        """The mixed reward of the rollout that was watched, both parts per control period. Shape (T, N).

        Args:
            task_reward: The task's, already times the control period. Shape (T, N).
            workers: Share the work.
        """
        self._rollout = workers.map(self.normalize, self._rollout)
        scores = torch.stack(workers.map(self._score, self._rollout))
        self._style = self.style_reward(scores) * torch.stack(self._valid)
        weight = self.settings.weight * torch.stack(self._share)
        return (1 - weight) * task_reward + weight * self.time_scale * self._style

    @torch.no_grad()
    def _score(self, window: Tensor) -> Tensor:
        return self.net(window).squeeze(-1)

    @torch.no_grad()
    def normalize(self, window: Tensor) -> Tensor:
        """Inputs in deviations of the clips. Shape (n, S)."""
        return (window - self.mean) / self.std

    def style_reward(self, score: Tensor) -> Tensor:
        """Score of the discriminator (n,) as a reward, at most 1. Shape (n,).

        LSGAN: max(0, 1 - (score - 1)^2 / 4) (Peng et al. 2021). BCE: -log(1 - sigmoid(score)), limited, over its limit
        (Ho and Ermon 2016). WGAN: sigmoid of the standardised score (after Li et al. 2022, "WASABI").
        """
        if self.settings.loss == "lsgan":
            return (1 - 0.25 * (score - 1).square()).clamp(min=0)
        if self.settings.loss == "bce":
            limit = 4.0
            return nn.functional.softplus(score).clamp(max=limit) / limit
        return torch.sigmoid((score - self.score_mean) / (self.score_var.sqrt() + 1e-6))

    def loss(self, demo: Tensor, policy: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Adversarial loss of normalised inputs (n, S), and the scores of both sides (n,)."""
        real, fake = self.net(demo).squeeze(-1), self.net(policy).squeeze(-1)
        if self.settings.loss == "lsgan":
            return (real - 1).square().mean() + (fake + 1).square().mean(), real, fake
        if self.settings.loss == "bce":
            return nn.functional.softplus(-real).mean() + nn.functional.softplus(fake).mean(), real, fake
        # Bounded, so that the gap cannot grow for ever.
        return torch.tanh(0.3 * fake).mean() - torch.tanh(0.3 * real).mean(), real, fake

    def update(self) -> dict[str, float]:
        """Learn from the rollout just collected; forget it. Returns the prior's health for the log."""
        settings = self.settings
        windows, valid = torch.cat(self._rollout), torch.cat(self._valid)
        self._rollout, self._valid = [], []
        order = torch.randperm(len(windows), generator=self.generator, device=self.device)
        order = order[valid[order]]  # a broken window is nobody's motion
        _, nothing = self.ranks.agree(0.0, not len(order))
        if nothing:
            return {}
        half = settings.batch_size // 2
        total: dict[str, Tensor] = {}
        for k in range(settings.updates):
            start = (k * half) % max(len(order) - half, 1)
            fresh = windows[order[start : start + half]]
            policy = torch.cat((fresh, self._remembered(half))) if self.replayed else fresh
            rows = self.reference.draw(len(policy), self.generator)
            demo = self.normalize(self._demo(rows))
            for name, value in self._descent(self._noisy(demo), self._noisy(policy)).items():
                total[name] = total.get(name, 0.0) + value / settings.updates
        self._remember(windows[order[: 4 * half]])
        self._reweigh(torch.stack(self._clip).flatten(), valid)
        total |= {"style_reward": self._style.mean(), "style_reward_std": self._style.std()}
        log = dict(zip(total, torch.stack(list(total.values())).tolist(), strict=True))  # waits for the device, once
        if not math.isfinite(log["loss"]):
            raise NonFiniteError(f"the motion prior's loss is {log['loss']}", "prior")
        self._watch(log)
        return log

    def _step(self, demo: Tensor, policy: Tensor) -> dict[str, Tensor]:
        demo = demo.detach().requires_grad_(True)
        loss, real, fake = self.loss(demo, policy)
        (gradient,) = torch.autograd.grad(real.sum(), demo, create_graph=True)
        penalty = gradient.square().sum(-1).mean()
        parameters = list(self.net.parameters())
        gradients = torch.autograd.grad(loss + self.settings.gradient_penalty * penalty, parameters)
        for parameter, given in zip(parameters, gradients, strict=True):
            parameter.grad = given
        self.ranks.average_gradients(self.net.parameters())
        self.optimizer.step()
        with torch.no_grad():
            middle = 0.5 * (real.mean() + fake.mean()) if self.settings.loss == "wgan" else 0.0
            mean, var = self.ranks.mean([fake.mean(), fake.var()])
            self.score_mean.lerp_(mean, 0.05)
            self.score_var.lerp_(var, 0.05)
            accuracy = 0.5 * ((real > middle).float().mean() + (fake < middle).float().mean())
        return {
            "loss": loss.detach(),
            "gradient_penalty": penalty.detach(),
            "accuracy": accuracy,
            "logit_gap": (real.mean() - fake.mean()).detach(),
        }

    def _demo(self, rows: Tensor) -> Tensor:
        """Inputs from the clips' windows that begin at ``rows`` (n,), with the last frame's command. Shape (n, S)."""
        reference = self.reference
        last = rows + reference.window - 1
        told = self.channels.of_clips(reference, last)
        return self.style_input(reference.window_features(rows), told, reference.phase[last])

    @torch.no_grad()
    def _reweigh(self, clip: Tensor, valid: Tensor) -> None:
        """Draw clips more often if the robots that were told to move like them did it badly.

        Args:
            clip: Of every step of the rollout, the clip that was told, or -1. Shape (T N,).
            valid: Whether the step counts. Shape (T N,).
        """
        if not self.settings.adapt:
            return
        counts = ((clip >= 0) & valid).float()
        index = clip.clamp(min=0)
        sums = torch.zeros(2, len(self._shortfall), device=self.device)
        sums[0].index_add_(0, index, counts * (1 - self._style.flatten()))
        sums[1].index_add_(0, index, counts)
        missed, seen = self.ranks.mean([sums[0], sums[1]])
        share = _MEMORY * (seen / (seen + 1.0))  # what was not seen says nothing
        self._shortfall.lerp_(missed / seen.clamp(min=1e-6), share)
        self._apply_weights()

    def _apply_weights(self) -> None:
        factor = (self._shortfall / self._shortfall.mean()).pow(self.settings.adapt)
        self.reference.reweigh(factor.clamp(1 / _EXTREME, _EXTREME))

    def _noisy(self, x: Tensor) -> Tensor:
        return x + self.settings.input_noise * torch.randn(x.shape, generator=self.generator, device=self.device)

    def _remembered(self, n: int) -> Tensor:
        filled = min(self.replayed, len(self.replay))
        return self.replay[torch.randint(filled, (n,), generator=self.generator, device=self.device)]

    def _remember(self, windows: Tensor) -> None:
        rows = torch.arange(self.replayed, self.replayed + len(windows), device=self.device) % len(self.replay)
        self.replay[rows] = windows
        self.replayed += len(windows)

    def _watch(self, log: dict[str, float]) -> None:
        """Say by name when the discriminator no longer teaches: it is always right and hardly rewards."""
        saturated = log["accuracy"] > 0.99 and log["style_reward"] < 0.05
        self._saturated = self._saturated + 1 if saturated else 0
        log["saturated"] = float(self._saturated >= _SATURATED)
        if self._saturated == _SATURATED:
            warnings.warn(
                f"the motion prior is saturated: for {_SATURATED} iterations the discriminator was right on "
                f"{100 * log['accuracy']:.0f}% and the style reward was {log['style_reward']:.3f}; raise "
                "--prior.input-noise or --prior.gradient-penalty, or lower --prior.learning-rate",
                stacklevel=2,
            )

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to continue to the same numbers."""
        return {
            "net": self.net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "replay": self.replay[: min(self.replayed, len(self.replay))].clone(),
            "replayed": self.replayed,
            "score": torch.stack((self.score_mean, self.score_var)),
            "rng": self.generator.get_state(),
            "saturated": self._saturated,
            "shortfall": self._shortfall.clone(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.optimizer.param_groups[0]["capturable"] = self.device.type == "cuda"
        self.replay[: len(state["replay"])] = state["replay"]
        self.replayed = state["replayed"]
        self.score_mean.copy_(state["score"][0])
        self.score_var.copy_(state["score"][1])
        restore_generator(self.generator, state["rng"])
        self._saturated = state["saturated"]
        self._shortfall.copy_(state.get("shortfall", self._shortfall))
        if self.settings.adapt:
            self._apply_weights()


def _require_clock(reference: Reference, env: Env) -> None:
    """Raise a UserError for clips that go somewhere without a gait phase; what stands needs none."""
    clip = reference.clip.cpu()
    for k, name in enumerate(clip.name for clip in reference.clips):
        rows = (clip == k).to(reference.phase.device)
        mean = reference.command[rows].mean(0, keepdim=True)
        if bool(reference.phase[rows].isnan().any()) and bool(env.task.gait.asked_by(mean)):
            raise UserError(
                f"clip {name!r} walks without a gait phase, which prior.see_phase needs; do without the clock: "
                "--prior.no-see-phase"
            )


def _discriminator(inputs: int, hidden: tuple[int, ...]) -> nn.Sequential:
    widths = (inputs, *hidden)
    layers: list[nn.Module] = []
    for a, b in zip(widths, hidden, strict=False):
        layers += [nn.Linear(a, b), nn.ELU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], 1))
