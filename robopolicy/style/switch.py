"""Going from one style to another while walking: does anyone fall, and is the new style there?"""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch

from robopolicy.env.env import Env
from robopolicy.evaluate import style_features
from robopolicy.motion.metrics import frechet_distance
from robopolicy.motion.reference import load_reference
from robopolicy.style.runs import Subject

SPELL_S = 4.0
"""Time in one style [s]; what its second half looks like is compared with the clips."""
_MOVING = 0.5  # a command that hardly moves is drawn again, from this share of the range on


@dataclass(frozen=True)
class Switch:
    """Trials of a policy that was told one style after the other.

    Attributes:
        policy: Name of its run.
        styles: Labels. Length S.
        trials: How many robots walked, or stood where no command moves them; each with its own velocity, body and
            sensors, and pushed as in training.
        changes: Changes of style in each trial.
        fell: Trials with a fall.
        distance: Fréchet distance of the motion under each style (row) to each style's clips (column). Shape (S, S).
    """

    policy: str
    styles: tuple[str, ...]
    trials: int
    changes: int
    fell: int
    distance: list[list[float]]

    @property
    def follows(self) -> bool:
        """Whether under every style the motion is nearest to that style's clips."""
        return all(np.isfinite(row[k]) and int(np.argmin(row)) == k for k, row in enumerate(self.distance))

    def as_dict(self) -> dict[str, Any]:
        """As plain values, for JSON; a distance is None where everyone had fallen."""
        distance = [[d if np.isfinite(d) else None for d in row] for row in self.distance]
        return asdict(self) | {"distance": distance, "follows": self.follows}


def switch(subject: Subject, trials: int = 50, seed: int = 0) -> Switch:
    """Let robots walk and change their style every few seconds.

    Args:
        subject: A policy of several styles.
        trials: How many robots.
        seed: Of velocities, robots, noise and pushes.
    """
    task = subject.task.in_full()
    styles = task.channels.styles
    changes = 2 * len(styles)
    steps = round(SPELL_S / task.control_dt)
    env = Env(replace(task, episode_s=(changes + 1) * SPELL_S + 1), num_envs=trials, seed=seed)
    env.reset(stagger=False)
    spread = replace(task.command, zero=0.0, single=0.0, from_clips=0.0)
    low, high = task.command.bounds(env.device)
    velocity = spread.draw(64 * trials, env.generator)
    walking = (velocity / torch.maximum(-low, high).clamp(min=1e-6)).abs().amax(-1) > _MOVING
    # Where no command moves the robot, it changes its style as it stands.
    velocity = (velocity[walking] if walking.sum() >= trials else velocity)[:trials]
    alive = torch.ones(trials, dtype=torch.bool)
    seen: list[list[torch.Tensor]] = [[] for _ in styles]
    first = torch.arange(trials) % len(styles)
    with torch.inference_mode():
        for spell in range(changes + 1):
            label = (first + spell) % len(styles)
            obs = env.hold_command(env.channels.tell(velocity, label))
            for k in range(steps):
                step = env.step(subject.act(obs["actor"]))
                obs, alive = step.obs, alive & ~step.terminated
                if 2 * k >= steps:
                    features = style_features(env.state.qpos, env.state.qvel)
                    for i, rows in enumerate(seen):
                        rows.append(features[alive & (label == i)])
    held_out = load_reference(task.prior, env.robot, task.control_dt, half="held-out")
    clips = style_features(held_out.qpos.double(), held_out.qvel.double()).numpy()
    mean, std = clips.mean(0), np.maximum(clips.std(0), 1e-3)  # of all styles together, or no two could be compared
    of_style = [(clips[held_out.label == i] - mean) / std for i in range(len(styles))]
    rows = [(torch.cat(r).double().numpy() - mean) / std for r in seen]
    distance = [[frechet_distance(c, r) if len(r) > 1 else np.inf for c in of_style] for r in rows]
    return Switch(subject.folder.name, styles, trials, changes, int((~alive).sum()), distance)
