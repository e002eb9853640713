"""Defects planted in good clips, at random places and strengths, with the frames that a check must name.

Each function takes a clip, its robot and a generator, and returns the damaged clip and the frames that must be named
(None: the kind alone counts). Strengths are above the thresholds that the checks state. Velocities are always those of
the damaged positions, unless velocities are what is damaged.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import mujoco
import numpy as np
from motion_clips import foot_bottoms

from robopolicy.motion.clip import Clip, estimate_cycle, velocities
from robopolicy.motion.pose import move
from robopolicy.robot import RobotModel

Planted = tuple[Clip, set[int] | None]
Planter = Callable[[Clip, RobotModel, np.random.Generator], Planted]


def changed(clip: Clip, qpos: np.ndarray) -> Clip:
    """The clip with other positions, and the velocities that belong to them."""
    qvel = velocities(qpos, clip.fps, estimate_cycle(qpos) if clip.loop else None)
    return dataclasses.replace(clip, qpos=qpos, qvel=qvel, phase=clip.phase if len(qpos) == len(clip) else None)


def frame(clip: Clip, rng: np.random.Generator) -> int:
    """A frame away from the ends."""
    return int(rng.integers(6, len(clip) - 6))


def span(clip: Clip, rng: np.random.Generator, seconds: float) -> slice:
    """Frames in a row, away from the ends."""
    count = round(seconds * clip.fps)
    start = int(rng.integers(4, len(clip) - count - 4))
    return slice(start, start + count)


def frames(where: Any) -> set[int]:
    """Of a slice or a mask."""
    return set(range(where.start, where.stop)) if isinstance(where, slice) else set(np.flatnonzero(where).tolist())


def nan(clip: Clip, model: RobotModel, rng: np.random.Generator) -> Planted:
    qpos, k = clip.qpos.copy(), frame(clip, rng)
    qpos[k : k + 2, rng.integers(qpos.shape[1])] = rng.choice([np.nan, np.inf, -np.inf])
    return dataclasses.replace(clip, qpos=qpos), {k, k + 1}


def norm(clip: Clip, model: RobotModel, rng: np.random.Generator) -> Planted:
    qpos, where = clip.qpos.copy(), span(clip, rng, 0.1)
    qpos[where, 3:7] *= rng.choice([rng.uniform(0.5, 0.998), rng.uniform(1.002, 2.0)])
    return dataclasses.replace(clip, qpos=qpos), frames(where)


def sign(clip: Clip, model: RobotModel, rng: np.random.Generator) -> Planted:
    qpos, where = clip.qpos.copy(), span(clip, rng, 0.3)
    qpos[where, 3:7] *= -1
    return dataclasses.replace(clip, qpos=qpos), {where.start, where.stop}


def held_frame(clip: Clip, model: RobotModel, rng: np.random.Generator) -> Planted:
    """A frame was lost, and the one before written again in its place."""
    qpos, k = clip.qpos.copy(), frame(clip, rng)
    qpos[k] = qpos[k - 1]
    return changed(clip, qpos), {k}


def inserted_frame(clip: Clip, model: RobotModel, rng: np.random.Generator) -> Planted:
    k = frame(clip, rng)
    return changed(clip, np.insert(clip.qpos, k, clip.qpos[k - 1], axis=0)), {k}


def first_again(clip: Clip, model: RobotModel, rng: np.random.Generator) -> Planted:
    """A loop that ends with its first frame, as other projects write them."""
    return changed(clip, np.concatenate([clip.qpos, move(clip.qpos[:1], clip.cycle())])), {len(clip)}


def every_second(clip: Clip, model: RobotModel, rng: np.random.Generator) -> Planted:
    """As in NVIDIA's stock humanoid clips."""
    qpos = np.repeat(clip.qpos[::2], 2, axis=0)[: len(clip)]
    return changed(clip, qpos), set(range(1, len(clip), 2))


def pulled_down(clip: Clip, model: RobotModel, rng: np.random.Generator) -> Planted:
    """Written at 5 / 4 of its rate, by frames put in after every fourth, as film at 24 becomes video at 30."""
    after = np.arange(4, len(clip), 4)
    faster = dataclasses.replace(clip, fps=clip.fps * 5 / 4)
    again = set((after + np.arange(len(after))).tolist())
    return changed(faster, np.insert(clip.qpos, after, clip.qpos[after - 1], axis=0)), again


def nearly_every_second(clip: Clip, model: RobotModel, rng: np.random.Generator) -> Planted:
    """The same after rounding and a filter: nothing is equal to the last digit."""
    damaged, where = every_second(clip, model, rng)
    return changed(clip, _noised(damaged.qpos, 1e-6, rng)), where


def spike(clip: Clip, model: RobotModel, rng: np.random.Generator) -> Planted:
    qpos, k = clip.qpos.copy(), frame(clip, rng)
    joint = 7 + int(rng.integers(len(model.joint_names)))
    qpos[k, joint] += rng.choice([-1, 1]) * (rng.uniform(15, 40) / clip.fps + 2.5 * _fastest(clip, joint - 1))
    return changed(clip, qpos), {k, k + 1}


def teleport(clip: Clip, model: RobotModel, rng: np.random.Generator) -> Planted:
    qpos, k = clip.qpos.copy(), frame(clip, rng)
    angle, size = rng.uniform(0, 2 * np.pi), rng.uniform(0.15, 1.0)
    qpos[k:, :2] += size * np.array([np.cos(angle), np.sin(angle)])
    return changed(dataclasses.replace(clip, loop=False), qpos), {k}


def scaled_velocity(clip: Clip, model: RobotModel, rng: np.random.Generator) -> Planted:
    qvel = clip.qvel.copy()
    least = 1.3 * max(0.2, 0.05 / np.sqrt((qvel[:, 6:] ** 2).mean()))
    qvel[:, 6:] *= 1 + least + rng.uniform(0, 1) if least > 0.8 else rng.choice([1 - least, 1 + least, -1.0, 2.5])
    return dataclasses.replace(clip, qvel=qvel), None


def velocity_spike(clip: Clip, model: RobotModel, rng: np.random.Generator) -> Planted:
    qvel, k = clip.qvel.copy(), frame(clip, rng)
    qvel[k, 6 + rng.integers(len(model.joint_names))] += rng.choice([-1, 1]) * rng.uniform(60, 100)
    return dataclasses.replace(clip, qvel=qvel), {k}


def drift(clip: Clip, model: RobotModel, rng: np.random.Generator) -> Planted:
    """A sensor drifts, so that a loop does not close any more. In a joint of the upper body or an outward hip, with
    feet that then move a little."""
    qpos, joint = clip.qpos.copy(), 7 + _free_joint(model, rng)
    usual = np.median(np.abs(np.diff(clip.qpos[:, 7:], axis=0)).max(axis=1))
    size = max(3.5 * usual, 0.03) + rng.uniform(0.01, 0.05)
    room = [model.upper[joint - 7] - qpos[:, joint].max(), qpos[:, joint].min() - model.lower[joint - 7]]
    qpos[:, joint] += (1 if room[0] > room[1] else -1) * size * np.arange(len(clip)) / len(clip)
    return changed(clip, qpos), {len(clip) - 1}


def kink(clip: Clip, model: RobotModel, rng: np.random.Generator) -> Planted:
    """A loop that closes, but turns back at its seam."""
    qpos, joint = clip.qpos.copy(), 7 + _free_joint(model, rng)
    t = np.arange(len(clip)) / len(clip)
    change = np.abs(np.diff(clip.qpos[:, 7:], n=2, axis=0)).max() * clip.fps
    slope = 0.5 * (2.2 * max(1.5 * change, 0.5)) * clip.duration
    qpos[:, joint] += slope * np.where(t < 0.04, t, np.where(t > 0.96, 1 - t, 0.04))
    qpos[:, joint] -= qpos[:, joint].mean() - np.mean([model.lower[joint - 7], model.upper[joint - 7]])
    return changed(clip, qpos), {len(clip) - 1}


def beyond_limit(clip: Clip, model: RobotModel, rng: np.random.Generator) -> Planted:
    qpos, where, joint = clip.qpos.copy(), span(clip, rng, 1.2), 7 + _free_joint(model, rng)
    q = qpos[where, joint]
    bump = np.sin(np.linspace(0, np.pi, len(q))) ** 2
    aim = model.upper[joint - 7] + rng.uniform(0.02, 0.2)
    qpos[where, joint] += bump * (aim - q[len(q) // 2])
    return changed(clip, qpos), frames(qpos[:, joint] > model.upper[joint - 7] + 1e-6)


def beyond_speed(clip: Clip, model: RobotModel, rng: np.random.Generator) -> Planted:
    qpos, where, joint = clip.qpos.copy(), span(clip, rng, 0.5), 7 + _free_joint(model, rng)
    limit = model.velocity_limit[joint - 7]
    turns = rng.uniform(0.08, 0.16) * clip.fps * 2 * np.pi  # fast enough for a small amplitude
    t = np.arange(where.stop - where.start) / clip.fps
    middle = 0.5 * (model.lower[joint - 7] + model.upper[joint - 7])
    qpos[:, joint] = middle
    qpos[where, joint] += 1.6 * limit / turns * np.sin(turns * t)
    damaged = changed(clip, qpos)
    return damaged, frames(np.abs(damaged.qvel[:, joint - 1]) > limit + 1e-6)


def slide(clip: Clip, model: RobotModel, rng: np.random.Generator) -> Planted:
    """The whole body glides sideways for a while."""
    qpos, where = clip.qpos.copy(), span(clip, rng, 0.6)
    speed = np.zeros(len(clip))
    speed[where] = rng.uniform(0.12, 0.3)
    moved = np.append(0.0, np.cumsum(speed[:-1])) / clip.fps
    angle = rng.uniform(0, 2 * np.pi)
    qpos[:, :2] += moved[:, None] * np.array([np.cos(angle), np.sin(angle)])
    low, _ = foot_bottoms(model, qpos)
    down = (low[:-1] < 0.005) & (low[1:] < 0.005)
    must = np.append(down.any(axis=1), False)
    must[: where.start] = must[where.stop - 1 :] = False
    return changed(dataclasses.replace(clip, loop=False), qpos), frames(must)


def sunk(clip: Clip, model: RobotModel, rng: np.random.Generator) -> Planted:
    qpos = clip.qpos.copy()
    qpos[:, 2] -= rng.uniform(0.012, 0.06)
    return changed(clip, qpos), frames((foot_bottoms(model, qpos)[0] < -0.01).any(axis=1))


def raised(clip: Clip, model: RobotModel, rng: np.random.Generator) -> Planted:
    qpos = clip.qpos.copy()
    qpos[:, 2] += rng.uniform(0.025, 0.12)
    return changed(clip, qpos), frames(slice(0, len(clip)))


def hovering(clip: Clip, model: RobotModel, rng: np.random.Generator) -> Planted:
    """Too low to be off the ground by a foot's height alone."""
    qpos = clip.qpos.copy()
    qpos[:, 2] += rng.uniform(0.006, 0.02)
    return changed(clip, qpos), frames(slice(0, len(clip)))


def skating(clip: Clip, model: RobotModel, rng: np.random.Generator) -> Planted:
    """Glides sideways over the ground, 6 to 20 mm up, from the first frame to the last."""
    qpos = hovering(clip, model, rng)[0].qpos
    qpos[:, 1] += rng.choice([-1, 1]) * rng.uniform(0.15, 0.4) * np.arange(len(clip)) / clip.fps
    return changed(dataclasses.replace(clip, loop=False), qpos), frames(slice(0, len(clip) - 1))


def dip(clip: Clip, model: RobotModel, rng: np.random.Generator) -> Planted:
    """Sinks for a while."""
    qpos, where = clip.qpos.copy(), span(clip, rng, 0.8)
    qpos[where, 2] -= rng.uniform(0.02, 0.04) * np.sin(np.linspace(0, np.pi, where.stop - where.start)) ** 2
    return changed(clip, qpos), frames((foot_bottoms(model, qpos)[0] < -0.01).any(axis=1))


def crossed(clip: Clip, model: RobotModel, rng: np.random.Generator) -> Planted:
    """A head that is bent into the chest, or legs that go through each other; by MuJoCo's distance between geoms."""
    qpos, where = clip.qpos.copy(), span(clip, rng, 1.2)
    bump = np.sin(np.linspace(0, np.pi, where.stop - where.start)) ** 2
    names = list(model.joint_names)
    if "neck_pitch" in names:
        one, other = "base", "head"
        aim = {"neck_pitch": 0.0, "head_pitch": 0.8}
    else:
        one, other = "FL_calf", "FR_calf"
        aim = {f"{side}_{part}": a for side in ("FL", "FR") for part, a in (("thigh", 0.8), ("calf", -1.6))}
        aim |= {"FL_hip": -0.5, "FR_hip": 0.5}
    for name, angle in aim.items():
        column = 7 + names.index(name)
        qpos[where, column] += bump * (angle - qpos[where, column])
    mj, data, must = model.mj, mujoco.MjData(model.mj), set()
    geoms = [np.flatnonzero(mj.geom_bodyid == mj.body(name).id) for name in (one, other)]
    for k in range(where.start, where.stop):
        data.qpos[:] = qpos[k]
        mujoco.mj_kinematics(mj, data)
        if min(mujoco.mj_geomDistance(mj, data, a, b, 0.1, None) for a in geoms[0] for b in geoms[1]) < -0.011:
            must.add(k)
    assert must, "the planted pose does not collide"
    return changed(clip, qpos), must


def mislabelled(clip: Clip, model: RobotModel, rng: np.random.Generator) -> Planted:
    """A rate twice the true one, velocities to match."""
    return dataclasses.replace(clip, fps=clip.fps * 2, qvel=clip.qvel * 2), frames(slice(0, len(clip)))


def slowed(clip: Clip, model: RobotModel, rng: np.random.Generator) -> Planted:
    """A rate half the true one, velocities to match: nobody can tell it from a calm walk, so it is a note."""
    return dataclasses.replace(clip, fps=clip.fps / 2, qvel=clip.qvel / 2), frames(slice(0, len(clip)))


def relabelled(clip: Clip, model: RobotModel, rng: np.random.Generator) -> Planted:
    """A wrong rate written over a right one: the velocities are still the true ones."""
    factor = rng.choice([0.5, 0.6, 2.0, 2.4])
    return dataclasses.replace(clip, fps=clip.fps * factor), frames(slice(0, len(clip)))


PLANTERS: dict[str, tuple[str, Planter]] = {
    "nan": ("not a number", nan),
    "norm": ("quaternion norm", norm),
    "sign": ("quaternion sign", sign),
    "held frame": ("duplicated frames", held_frame),
    "inserted frame": ("duplicated frames", inserted_frame),
    "first again": ("duplicated frames", first_again),
    "every second": ("duplicated frames", every_second),
    "pulled down": ("duplicated frames", pulled_down),
    "nearly every second": ("duplicated frames", nearly_every_second),
    "spike": ("jump", spike),
    "teleport": ("jump", teleport),
    "scaled velocity": ("velocity", scaled_velocity),
    "velocity spike": ("velocity", velocity_spike),
    "drift": ("loop seam", drift),
    "kink": ("loop seam", kink),
    "beyond limit": ("joint limit", beyond_limit),
    "beyond speed": ("joint speed", beyond_speed),
    "slide": ("foot sliding", slide),
    "sunk": ("penetration", sunk),
    "dip": ("penetration", dip),
    "raised": ("floating", raised),
    "hovering": ("floating", hovering),
    "skating": ("foot sliding", skating),
    "crossed": ("self-collision", crossed),
    "mislabelled": ("wrong rate", mislabelled),
    "slowed": ("slow strides", slowed),
    "relabelled": ("wrong rate", relabelled),
}
"""Name to the kind that must be reported, and how it is planted."""
NEEDS_LOOP = {"first again", "drift", "kink"}
NEEDS_STEPS = {"mislabelled", "slowed"}


def _fastest(clip: Clip, column: int) -> float:
    """Largest step of a velocity's column between frames."""
    return float(np.abs(clip.qvel[:, column]).max() / clip.fps)


def _free_joint(model: RobotModel, rng: np.random.Generator) -> int:
    """A joint that may move without a foot: the droid's head and neck; a quadruped has none but its hips."""
    names = list(model.joint_names)
    return names.index(str(rng.choice([n for n in names if "head" in n or "neck" in n] or ["FL_hip"])))


def _noised(qpos: np.ndarray, size: float, rng: np.random.Generator) -> np.ndarray:
    noised = qpos + size * rng.standard_normal(qpos.shape)
    noised[:, 3:7] /= np.linalg.norm(noised[:, 3:7], axis=1, keepdims=True)
    return noised
