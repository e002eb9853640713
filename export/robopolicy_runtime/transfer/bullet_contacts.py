"""Who touches whom in Bullet, and with what friction: MuJoCo's rules as far as Bullet has words for them."""

import itertools
from typing import Any

import mujoco
import numpy as np

from robopolicy_runtime.transfer import bullet_urdf as urdf


def set_contacts(
    engine: Any, client: int, model: mujoco.MjModel, robot: int, world: int, link_of: dict[int, int]
) -> None:
    """Friction by link, and who meets whom. Bullet multiplies the friction of two links; that of the world is 1.

    Args:
        engine, client: The module pybullet and where it keeps the two.
        model: What they were made of.
        robot, world: The robot and what is static, by Bullet's numbers.
        link_of: The robot's links, by MuJoCo's number of the body.
    """
    engine.changeDynamics(world, -1, lateralFriction=1, spinningFriction=0, rollingFriction=0, physicsClientId=client)
    shaped = {body: geoms for body in link_of if (geoms := urdf.floor_geoms(model, body))}
    for body, geoms in shaped.items():
        mixed = [friction(model, g, s) for g in geoms for s in urdf.static_geoms(model) if urdf.collide(model, g, s)]
        slide, spin, roll = np.max(mixed, axis=0).tolist()
        engine.changeDynamics(
            robot, link_of[body], lateralFriction=slide, spinningFriction=spin, rollingFriction=roll,
            physicsClientId=client,
        )  # fmt: skip
    for one, other in itertools.combinations(shaped, 2):
        meet = bodies_meet(model, one, other) and any(
            urdf.collide(model, g, h) for g in shaped[one] for h in shaped[other]
        )
        pair = link_of[one], link_of[other]
        engine.setCollisionFilterPair(robot, robot, *pair, int(meet), client)


def friction(model: mujoco.MjModel, one: int, other: int) -> np.ndarray:
    """Sliding, torsional [m] and rolling [m] friction of two geoms that touch, by MuJoCo's rules. Shape (3,)."""
    rank = int(model.geom_priority[one]) - int(model.geom_priority[other])
    if rank:
        winner = one if rank > 0 else other
        values, condim = model.geom_friction[winner], model.geom_condim[winner]
    else:
        values = np.maximum(model.geom_friction[one], model.geom_friction[other])
        condim = max(model.geom_condim[one], model.geom_condim[other])
    return values * [condim >= 3, condim >= 4, condim >= 6]


def bodies_meet(model: mujoco.MjModel, one: int, other: int) -> bool:
    """Whether MuJoCo looks for contacts between two bodies: not of parent and child, and not where excluded."""
    a, b = int(model.body_weldid[one]), int(model.body_weldid[other])
    excluded = {int(s) for s in model.exclude_signature}
    if {(one << 16) + other, (other << 16) + one} & excluded or a == b:
        return False
    parents = int(model.body_weldid[model.body_parentid[a]]), int(model.body_weldid[model.body_parentid[b]])
    return a != parents[1] and b != parents[0]
