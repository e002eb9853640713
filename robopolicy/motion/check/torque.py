"""The torque that a motion would need of each motor, by inverse dynamics.

1. Velocities and accelerations come from the positions, smoothed over 0.1 s (:func:`.steps.smooth_motion`): a
   second difference of bare frames would mostly show their noise.
2. The recursive Newton-Euler algorithm (``mj_rne``, the core of ``mj_inverse``), with no contact, gives the
   generalized force of that motion. Its first six entries are a wrench on the base, which nothing in the robot
   can give: only the ground can, through the feet.
3. Ground forces: a force at each corner of each sole (or under each ball), such that together they give that
   wrench; of all that do, the one with the least sum of squares, a foot's corners counting less the higher they
   are (fully below ``LOADED``, nothing above ``UNLOADED``). There is no friction cone and no pull-off limit: a
   clip is a plan of where bodies are, seldom exactly a feasible motion, and cones would turn each small error
   into a huge torque. What the feet in contact cannot give (a ball foot cannot twist; in flight there is nothing)
   stays undistributed.
4. Each motor's torque is the generalized force less what the ground forces do at its joint.

So the stance legs carry the robot and what it does, swing legs and the upper body are plain inverse dynamics. A
joint is flagged where it needs more than ``TORQUE_RATIO`` times its motor's limit for ``TORQUE_TIME``.
"""

from typing import TYPE_CHECKING

import mujoco
import numpy as np

from robopolicy.motion.check.defect import Defect, defects, runs
from robopolicy.motion.pose import cross

if TYPE_CHECKING:
    from robopolicy.motion.clip import Clip
    from robopolicy.motion.feet import Feet
    from robopolicy.robot import RobotModel

LOADED = 0.01
"""A sole's corner below this carries its share [m]."""
UNLOADED = 0.03
"""A sole's corner above this carries nothing [m]."""
TORQUE_RATIO = 1.2
"""Share of a motor's limit that a motion may need: the smoothing, and what a policy does otherwise."""
TORQUE_TIME = 0.05
"""For how long a motion may need more [s]; a touchdown's peak is shorter."""
SOFT = 1e-4
"""Regularisation of the distribution, against one sole corner's own share."""


def sole_points(model: "RobotModel", feet: "Feet") -> list[np.ndarray]:
    """Where each foot meets level ground at home, in its site's frame [m]. F arrays of shape (points, 3).

    The bottom of a sphere, the four lower corners of any other geom's bounding box.
    """
    mj, found = model.mj, []
    data = mujoco.MjData(mj)
    data.qpos[:] = model.home_qpos
    mujoco.mj_kinematics(mj, data)
    for site, geoms in zip(model.foot_sites, feet.geoms, strict=True):
        points = [data.site_xpos[site]] if not len(geoms) else []
        for geom in geoms:
            centre, rotation = data.geom_xpos[geom], data.geom_xmat[geom].reshape(3, 3)
            if mj.geom_type[geom] == mujoco.mjtGeom.mjGEOM_SPHERE:
                points.append(centre - [0, 0, mj.geom_size[geom, 0]])
                continue
            signs = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1])).reshape(3, -1).T
            corners = centre + (mj.geom_aabb[geom, :3] + signs * mj.geom_aabb[geom, 3:]) @ rotation.T
            points += list(corners[np.argsort(corners[:, 2])[:4]])
        frame = data.site_xmat[site].reshape(3, 3)
        found.append((np.array(points) - data.site_xpos[site]) @ frame)
    return found


def joint_torques(
    force: np.ndarray,
    base: np.ndarray,
    base_rotation: np.ndarray,
    axes: np.ndarray,
    anchors: np.ndarray,
    places: np.ndarray,
    rotations: np.ndarray,
    points: list[np.ndarray],
    model: "RobotModel",
) -> np.ndarray:
    """Torque of each motor once the feet have given the base its wrench [N m].

    Args:
        force: Generalized force without contact, base first: force world [N], torque in the base's frame [N m],
            joints [N m]. Shape (K, 6 + J).
        base: The base's origin, world [m]. Shape (K, 3).
        base_rotation: Of the base. Shape (K, 3, 3).
        axes, anchors: Of each joint, world [m]. Shapes (K, J, 3).
        places, rotations: Of each foot's site, world [m]. Shapes (K, F, 3) and (K, F, 3, 3).
        points: From :func:`sole_points`.
        model: The robot.

    Returns:
        Shape (K, J).
    """
    count = len(force)
    length = max(float(model.home_qpos[2]), 1e-3)  # makes moments comparable with forces
    moment = np.einsum("kij,kj->ki", base_rotation, force[:, 3:6])
    wrench = np.concatenate([force[:, :3], moment / length], axis=1)
    arms, owners = [], np.repeat(np.arange(len(points)), [len(p) for p in points])
    for foot, local in enumerate(points):
        arms.append(np.einsum("kij,pj->kpi", rotations[:, foot], local) + places[:, foot, None])
    spots = np.concatenate(arms, axis=1)  # (K, P, 3)
    weight = np.clip((UNLOADED - spots[:, :, 2]) / (UNLOADED - LOADED), 0.0, 1.0)
    grasp = np.zeros((count, 6, spots.shape[1], 3))
    grasp[:, :3] = np.eye(3)[:, None, :]
    grasp[:, 3:] = _cross_matrix((spots - base[:, None]) / length).transpose(0, 2, 1, 3)
    grasp = grasp.reshape(count, 6, -1)
    weighted = grasp * np.repeat(weight, 3, axis=1)[:, None]
    normal = weighted @ grasp.transpose(0, 2, 1) + SOFT * np.eye(6)
    share = np.linalg.solve(normal, wrench[:, :, None])
    ground = (weighted.transpose(0, 2, 1) @ share).reshape(count, -1, 3)
    below, torque = _below(model), force[:, 6:].copy()
    for foot in range(len(points)):
        own, joints = np.flatnonzero(owners == foot), np.flatnonzero(below[:, foot])
        total = ground[:, own].sum(axis=1)
        about_base = cross(spots[:, own] - base[:, None], ground[:, own]).sum(axis=1)
        about_joint = about_base[:, None] - cross(anchors[:, joints] - base[:, None], total[:, None])
        torque[:, joints] -= (axes[:, joints] * about_joint).sum(axis=2)
    return torque


def torque_defects(clip: "Clip", torque: np.ndarray, model: "RobotModel", rough: np.ndarray) -> list[Defect]:
    """Joints whose motors are too weak for the motion.

    Args:
        clip: The clip.
        torque: From :func:`joint_torques`. Shape (K, J).
        model: The robot.
        rough: Frames next to a jump or a duplicate, whose accelerations mean nothing. Shape (K,).
    """
    found: list[Defect] = []
    share = np.abs(torque) / model.torque_limit
    for j in np.flatnonzero((share > TORQUE_RATIO).any(axis=0)):
        over = (share[:, j] > TORQUE_RATIO) & ~rough
        for start, end in runs(over):
            if (end - start) / clip.fps < TORQUE_TIME:
                over[start:end] = False
        if over.any():
            peak = float(np.abs(torque[over, j]).max())
            detail = f"{model.joint_names[j]} would need {peak:.3g} N m of its motor's {model.torque_limit[j]:.3g}"
            found += defects("torque", over, detail)
    return found


def _cross_matrix(v: np.ndarray) -> np.ndarray:
    """Matrices that do ``v x``. Shape (..., 3) -> (..., 3, 3)."""
    x, y, z = np.moveaxis(v, -1, 0)
    zero = np.zeros_like(x)
    rows = [np.stack(row, axis=-1) for row in ((zero, -z, y), (z, zero, -x), (-y, x, zero))]
    return np.stack(rows, axis=-2)


def _below(model: "RobotModel") -> np.ndarray:
    """Whether each foot hangs on each joint. Shape (J, F)."""
    mj = model.mj
    bodies = mj.dof_bodyid[model.dof_adr]
    below = np.zeros((len(bodies), len(model.foot_bodies)), bool)
    for foot, body in enumerate(model.foot_bodies):
        while body != 0:
            below[bodies == body, foot] = True
            body = mj.body_parentid[body]
    return below
