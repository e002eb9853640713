"""Clips that have everything of a clip but its motion: the controls that a test of style must reject."""

import dataclasses

import numpy as np

from robopolicy.motion.clip import Clip, velocities
from robopolicy.motion.pose import heading, quat_exp, quat_mul


def shuffle_clip(clip: Clip, seed: int = 0) -> Clip:
    """The clip with its frames in random order.

    The base travels and turns as before; its height and tilt and the joint angles come from a frame drawn without
    replacement. Velocities are those of the new order, by differences. There is no gait phase any more.
    """
    order = np.random.default_rng(seed).permutation(len(clip))
    yaw = heading(clip.qpos[:, 3:7])
    qpos = clip.qpos[order].copy()
    qpos[:, :2] = clip.qpos[:, :2]
    turn = np.zeros((len(clip), 3))
    turn[:, 2] = yaw - yaw[order]
    qpos[:, 3:7] = quat_mul(quat_exp(turn), qpos[:, 3:7])
    qvel = velocities(qpos, clip.fps, clip.cycle() if clip.loop else None)
    return dataclasses.replace(
        clip, name=f"{clip.name}_shuffled", qpos=qpos, qvel=qvel, phase=None, source=f"{clip.source}; time-shuffled"
    )


def scatter_clip(clip: Clip, seed: int = 0) -> Clip:
    """The clip with every joint at another moment of it: each moves as it did, but not with the others.

    Each joint's angles and velocities are shifted in time by a share of the clip of its own, and wrap round. The base
    is left as it is.
    """
    shifts = np.random.default_rng(seed).integers(len(clip), size=clip.qpos.shape[1] - 7)
    qpos, qvel = clip.qpos.copy(), clip.qvel.copy()
    for joint, shift in enumerate(shifts):
        qpos[:, 7 + joint] = np.roll(qpos[:, 7 + joint], shift)
        qvel[:, 6 + joint] = np.roll(qvel[:, 6 + joint], shift)
    return dataclasses.replace(
        clip, name=f"{clip.name}_scattered", qpos=qpos, qvel=qvel, source=f"{clip.source}; joints out of step"
    )
