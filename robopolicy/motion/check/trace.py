"""One pass of a clip through MuJoCo: all that the checks need of the robot's body, frame by frame."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import mujoco
import numpy as np

from robopolicy.mjcf import drop_visual_meshes
from robopolicy.motion.check.steps import smooth_motion
from robopolicy.motion.check.torque import joint_torques, sole_points
from robopolicy.motion.clip import Clip
from robopolicy.motion.feet import Feet

if TYPE_CHECKING:
    from robopolicy.robot import RobotModel

CHUNK = 512
"""Frames whose joint axes are in memory at once."""
BODY, GROUND = 1, 2
"""Collision bits: of the robot's own geoms, and of the floor with what should not touch it."""


@dataclass(frozen=True)
class Trace:
    """What MuJoCo says about K frames of a robot with J joints and F feet.

    Attributes:
        foot_names: Length F.
        heights: Lowest point of each foot over the ground [m]. Shape (K, F).
        places: Position of each foot's site, world [m]. Shape (K, F, 3).
        com: Centre of mass, world [m]. Shape (K, 3).
        torque: What each joint's motor would have to give [N m]; see :mod:`robopolicy.motion.check.torque`.
            Shape (K, J).
        touching: For each pair of body names, the frames in which they are inside each other and how deep [m].
            The ground is ``world``.
    """

    foot_names: tuple[str, ...]
    heights: np.ndarray
    places: np.ndarray
    com: np.ndarray
    torque: np.ndarray
    touching: dict[tuple[str, str], dict[int, float]]


def follow(clip: Clip, model: "RobotModel") -> Trace:
    """Put the robot into every frame of a clip that is in its joint order, and look."""
    mj, feet = _solid(model), Feet(model)
    data = mujoco.MjData(mj)
    count, F, J = len(clip), len(feet.names), len(model.joint_names)
    qpos = np.tile(model.home_qpos, (min(CHUNK, count), 1))
    qvel, qacc = np.zeros((2, len(qpos), mj.nv))
    dofs = np.concatenate([np.arange(6), model.dof_adr])
    velocity, acceleration = smooth_motion(clip)
    heights, places, com = np.empty((count, F)), np.empty((count, F, 3)), np.empty((count, 3))
    torque = np.empty((count, J))
    touching: dict[tuple[str, str], dict[int, float]] = {}
    data.qpos[:] = model.home_qpos
    mujoco.mj_kinematics(mj, data)
    mujoco.mj_comPos(mj, data)
    mujoco.mj_collision(mj, data)
    points = sole_points(model, feet)
    at_home = _pairs(mj, data)
    joints = mj.dof_jntid[model.dof_adr]
    for start in range(0, count, CHUNK):
        chunk = slice(start, min(start + CHUNK, count))
        size = chunk.stop - start
        qpos[:size, :7] = clip.qpos[chunk, :7]
        qpos[:size, model.qpos_adr] = clip.qpos[chunk, 7:]
        qvel[:size, dofs], qacc[:size, dofs] = velocity[chunk], acceleration[chunk]
        force = np.empty((size, mj.nv))
        base_rotation, rotation = np.empty((size, 9)), np.empty((size, F, 9))
        axes, anchors = np.empty((2, size, J, 3))
        for i in range(size):
            data.qpos[:], data.qvel[:], data.qacc[:] = qpos[i], qvel[i], qacc[i]
            mujoco.mj_kinematics(mj, data)
            mujoco.mj_comPos(mj, data)
            mujoco.mj_comVel(mj, data)
            mujoco.mj_rne(mj, data, 1, force[i])
            com[start + i] = data.subtree_com[model.base_body]
            places[start + i], rotation[i] = data.site_xpos[model.foot_sites], data.site_xmat[model.foot_sites]
            base_rotation[i] = data.xmat[model.base_body]
            axes[i], anchors[i] = data.xaxis[joints], data.xanchor[joints]
            mujoco.mj_collision(mj, data)
            if data.ncon:
                for pair, depth in _pairs(mj, data).items():
                    if pair not in at_home:
                        touching.setdefault(pair, {})[start + i] = depth
        rotations = rotation.reshape(size, F, 3, 3)
        heights[chunk] = feet.lowest(places[chunk], rotations)
        force += mj.dof_armature * qacc[:size] + mj.dof_damping * qvel[:size]  # as mj_inverse adds them
        torque[chunk] = joint_torques(
            force[:, dofs],
            qpos[:size, :3],
            base_rotation.reshape(size, 3, 3),
            axes,
            anchors,
            places[chunk],
            rotations,
            points,
            model,
        )
    return Trace(feet.names, heights, places, com, torque, touching)


def motor_power(clip: Clip, model: "RobotModel") -> np.ndarray:
    """Magnitude of the mechanical power that the motors would need to follow a clip, summed over the joints [W].

    By inverse dynamics, see :mod:`robopolicy.motion.check.torque`: what a robot would spend that does exactly this.

    Args:
        clip: In the robot's joint order.
        model: The robot.

    Returns:
        Shape (K,).
    """
    return np.abs(follow(clip, model).torque * smooth_motion(clip)[0][:, 6:]).sum(axis=1)


def _solid(model: "RobotModel") -> mujoco.MjModel:
    """The model with every primitive geom solid, drawn-only ones included; feet pass through the floor."""
    spec = model.spec.copy()
    drop_visual_meshes(spec)
    floor = mujoco.mjtGeom.mjGEOM_PLANE
    feet = {model.mj.body(i).name for i in model.foot_bodies}
    for geom in spec.geoms:
        if geom.type == floor:
            geom.contype, geom.conaffinity = GROUND, GROUND
        elif geom.type != mujoco.mjtGeom.mjGEOM_MESH or geom.contype or geom.conaffinity:
            geom.contype = geom.conaffinity = BODY if geom.parent.name in feet else BODY | GROUND
    return spec.compile()


def _pairs(mj: mujoco.MjModel, data: mujoco.MjData) -> dict[tuple[str, str], float]:
    """Names of the bodies that touch, and how deep [m]; after ``mj_collision``."""
    found: dict[tuple[str, str], float] = {}
    for (one, other), distance in zip(mj.geom_bodyid[data.contact.geom], data.contact.dist, strict=True):
        first, second = sorted((int(one), int(other)))
        pair = (mj.body(first).name, mj.body(second).name)
        found[pair] = max(found.get(pair, 0.0), -float(distance))
    return found
