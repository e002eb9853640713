"""A task's clips at the control rate, as one table of frames."""

from dataclasses import dataclass, field, replace
from fnmatch import fnmatch

import mujoco
import numpy as np
import torch
from torch import Tensor

from robopolicy.errors import UserError
from robopolicy.motion.clip import Clip, clip_files, load_clips
from robopolicy.motion.features import motion_features
from robopolicy.motion.mirror import Mirror
from robopolicy.motion.prior import Prior
from robopolicy.robot import RobotModel

MIRRORED = "[mirrored]"
"""Ending of the name of a clip as a mirror shows it."""


@dataclass
class Reference:
    """K frames of several clips, one control period apart.

    Attributes:
        clips: The clips, resampled.
        qpos, qvel: States as in MuJoCo. Shapes (K, nq), (K, nv).
        features: What the discriminator sees of one instant. Shape (K, D).
        command: Velocity [m/s, m/s, rad/s] in the heading frame around each frame. Shape (K, 3).
        label: Index of each frame's style. Shape (K,).
        clip: Index of each frame's clip. Shape (K,).
        phase: Gait clock in [0, 1), or NaN where the clip has none. Shape (K,).
        following: Whether the next row is the next frame of the same clip. Shape (K,) bool.
        windows: First rows of all runs of ``window`` frames. Shape (M,).
        window: W.
        weight: Sampling weights of the windows as the settings say. Shape (M,).
        cumulative: Those in force, summed up, the last is 1. Shape (M,).
        hashes: Of the content of every clip as its file has it, whole, by name.
    """

    clips: list[Clip]
    qpos: Tensor
    qvel: Tensor
    features: Tensor
    command: Tensor
    label: Tensor
    clip: Tensor
    phase: Tensor
    following: Tensor
    windows: Tensor
    window: int
    weight: Tensor
    cumulative: Tensor
    hashes: dict[str, str] = field(default_factory=dict)

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """First rows of ``n`` windows drawn by the clips' weights. Shape (n,)."""
        u = torch.rand(n, generator=generator, device=generator.device)
        return self.windows[torch.searchsorted(self.cumulative, u).clamp(max=len(self.windows) - 1)]

    def window_features(self, start: Tensor) -> Tensor:
        """Features of the windows that start at rows ``start`` (n,). Shape (n, W, D)."""
        return self.features[start.unsqueeze(-1) + torch.arange(self.window, device=start.device)]

    def reweigh(self, factor: Tensor) -> None:
        """Draw clips more or less often than the settings say, by a factor each (clips,); every style as often."""
        clip, label = self.clip[self.windows], self.label[self.windows]
        wanted = self.weight * factor[clip]
        styles = torch.zeros(len(self.clips), device=wanted.device)  # room for as many styles as clips
        styles.index_add_(0, label, wanted)
        share = torch.zeros_like(styles).index_add_(0, label, self.weight)
        wanted = wanted * (share / styles.clamp(min=1e-12))[label]
        self.cumulative.copy_(torch.cumsum(wanted, dim=0) / wanted.sum())

    def to(self, device: torch.device) -> "Reference":
        """The same tables on another device."""
        moved = {name: value.to(device) for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **moved)


def load_reference(prior: Prior, robot: RobotModel, control_dt: float, half: str = "train") -> Reference:
    """Read a task's clips.

    Args:
        prior: Which clips, and how often each is drawn.
        robot: The compiled robot.
        control_dt: Time between two frames of the result [s].
        half: ``train`` or ``held-out``: of an open clip the first or the second half in time. A loop is there whole,
            and with the windows across its seam.

    Raises:
        UserError: A clip is missing, broken, too short, or of another robot; two have one name; a weight matches no
            clip, or leaves none to draw.
    """
    clip_files(robot.robot.name, prior.patterns)  # two clips of one name are refused in different styles too
    halves, labels, hashes = [], [], {}
    for label, patterns in enumerate(prior.groups.values()):
        loaded = load_clips(robot.robot.name, patterns)
        hashes |= {clip.name: clip.content_hash() for clip in loaded}
        clips = [clip.for_robot(robot) for clip in loaded]
        for clip in clips + ([mirrored(clip, robot) for clip in clips] if prior.mirror else []):
            clip = clip.resample(control_dt)
            commands = clip.planar_velocity()
            train, held_out = clip.split()
            if clip.loop:
                chosen = clip.unrolled(prior.window - 1)
                commands = np.resize(commands, (len(chosen), 3))
            elif half == "train":
                chosen, commands = train, commands[: len(train)]
            else:
                chosen, commands = held_out, commands[len(train) :]
            halves.append((replace(chosen, name=clip.name), commands))
            labels.append(label)
    return replace(build_reference(halves, prior, robot, labels), hashes=hashes)


def build_reference(
    clips: list[tuple[Clip, np.ndarray]], prior: Prior, robot: RobotModel, labels: list[int] | None = None
) -> Reference:
    """The table of clips that are at the control rate already, each with its commands (K, 3), and its style."""
    labels = [0] * len(clips) if labels is None else labels
    if not clips:
        raise UserError("the prior names no clips")
    for pattern in prior.clip_weights:
        if not any(fnmatch(clip.name, pattern) for clip, _ in clips):
            names = ", ".join(clip.name for clip, _ in clips)
            raise UserError(f"clip weight for {pattern!r} matches no clip; the task uses: {names}")
    qpos = np.concatenate([c.qpos for c, _ in clips])
    qvel = np.concatenate([c.qvel for c, _ in clips])
    feet = foot_positions(qpos, robot)
    lengths = [len(c.qpos) for c, _ in clips]
    following = np.concatenate([np.arange(n) < n - 1 for n in lengths])
    windows, weights = [], []
    start = 0
    for (clip, _), length in zip(clips, lengths, strict=True):
        count = length - prior.window + 1
        if count < 1:
            raise UserError(
                f"clip {clip.name!r} has {length} frames at the control rate; the prior's window is {prior.window}"
            )
        plain = clip.name.removesuffix(MIRRORED)
        weight = next((w for p, w in prior.clip_weights.items() if fnmatch(plain, p)), 1.0)
        windows.append(np.arange(start, start + count))
        weights.append(np.full(count, weight / count))  # a long clip is not drawn more often than a short one
        start += length
    of_label = np.bincount(labels, [w.sum() for w in weights])
    for label in np.flatnonzero(of_label == 0):
        own = [clip.name.removesuffix(MIRRORED) for (clip, _), of in zip(clips, labels, strict=True) if of == label]
        _refuse_weights(prior, int(label), list(dict.fromkeys(own)))
    weight = np.concatenate([w / of_label[label] for w, label in zip(weights, labels, strict=True)])
    phases = [c.phase if c.phase is not None else np.full(len(c.qpos), np.nan) for c, _ in clips]
    as_float = lambda x: torch.as_tensor(np.asarray(x), dtype=torch.float32)  # noqa: E731
    return Reference(
        clips=[c for c, _ in clips],
        qpos=as_float(qpos),
        qvel=as_float(qvel),
        features=motion_features(as_float(qpos), as_float(qvel), as_float(feet)),
        command=as_float(np.concatenate([v for _, v in clips])),
        label=torch.from_numpy(np.repeat(labels, lengths)),
        clip=torch.from_numpy(np.repeat(np.arange(len(clips)), lengths)),
        phase=as_float(np.concatenate(phases)),
        following=torch.from_numpy(following),
        windows=torch.from_numpy(np.concatenate(windows)),
        window=prior.window,
        weight=as_float(weight / weight.sum()),
        cumulative=as_float(np.cumsum(weight) / weight.sum()),
    )


def _refuse_weights(prior: Prior, label: int, names: list[str]) -> None:
    """Refuse weights that leave nothing of a style, whose clips are called so."""
    style = list(prior.groups)[label]
    zero = [p for p, w in prior.clip_weights.items() if w == 0 and any(fnmatch(name, p) for name in names)]
    of = f"clips of style {style!r} have" if style else "clips have"
    told = ", ".join(repr(pattern) for pattern in zero)
    raise UserError(f"prior.clip_weights: all {of} weight 0 by {told}; one at least must have more: {', '.join(names)}")


def mirrored(clip: Clip, robot: RobotModel) -> Clip:
    """The clip as a mirror shows it, with the clock that tells of the same feet as before.

    Of a gait that does left what it did right half a cycle before, as a walk, that is half a cycle on; of one that
    does both at once, such as a bound, it is the same.

    Args:
        clip: With its joints in the robot's order.
        robot: The robot, whose sides must be alike.
    """
    mirror = Mirror(robot)
    qpos, phase = mirror.qpos(clip.qpos), clip.phase
    if phase is not None:
        apart = np.abs(np.mod(phase[:, None] - phase[None] + 0.5, 1.0) - 0.5)  # of the clock, between any two frames
        shift = {s: np.abs(apart - s).argmin(axis=1) for s in (0.0, 0.5)}
        error = {s: np.abs(qpos[:, 7:] - clip.qpos[rows, 7:]).mean() for s, rows in shift.items()}
        phase = np.mod(phase + min(error, key=lambda s: error[s]), 1.0)
    return replace(clip, name=clip.name + MIRRORED, qpos=qpos, qvel=mirror.qvel(clip.qvel), phase=phase)


def foot_positions(qpos: np.ndarray, robot: RobotModel) -> np.ndarray:
    """Positions of the foot sites by forward kinematics, world frame [m]. Shape (K, F, 3)."""
    data = mujoco.MjData(robot.mj)
    feet = np.empty((len(qpos), len(robot.foot_sites), 3))
    for k, q in enumerate(qpos):
        data.qpos[:] = q
        mujoco.mj_kinematics(robot.mj, data)
        feet[k] = data.site_xpos[robot.foot_sites]
    return feet
