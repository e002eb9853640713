"""A robot as a body with landmarks: where its hips, knees, feet, chest, head and arms are."""

from typing import TYPE_CHECKING

import mujoco
import numpy as np

from robopolicy.errors import UserError
from robopolicy.motion.clip import Clip
from robopolicy.motion.feet import Feet, full_qpos
from robopolicy.motion.legs import Leg
from robopolicy.motion.pose import continuous, quat_conj, quat_mul, quat_rotate
from robopolicy.motion.retarget.landmarks import LEGS, Landmarks
from robopolicy.motion.retarget.roles import Mapping, find_bodies

if TYPE_CHECKING:
    from robopolicy.robot import RobotModel


class RobotBody:
    """A robot's landmarks, F feet in the order of :data:`~robopolicy.motion.retarget.landmarks.LEGS`.

    Attributes:
        model: The robot.
        order: Contract index of each foot. Shape (F,).
        flat: Whether each foot is a sole. Length F.
        roll: Whether each leg can choose its sole's roll. Length F.
        lift: Height of each foot's site over its lowest point at home [m]. Shape (F,).
        sole: Length of a sole [m]; 0 for balls.
        knees: Body of each knee. Shape (F,).
        chest, head: Bodies, or -1.
        arms: Bodies of shoulder, elbow and hand, left and right, or None. Shape (2, 3).
        home: Base position [m] and rotation at home. Shape (7,).
        hips: Middle of the hip joints in the base frame [m]. Shape (3,).
        height: Height of that point over the ground at home [m].
        neutral: Where each foot stands under it, in the heading frame [m]. Shape (F, 2).
        knee_forward: How far each knee is in front of the line from hip to foot [m]. Shape (F,).

    Raises:
        UserError: The robot has neither two nor four feet.
    """

    def __init__(self, model: "RobotModel", mapping: Mapping | None = None) -> None:
        if len(model.foot_sites) not in LEGS:
            raise UserError(
                f"robot {model.robot.name!r} has {len(model.foot_sites)} feet: "
                f"{', '.join(model.robot.feet)}; motion can be carried over to two or four"
            )
        self.model, mj = model, model.mj
        data = self._data = mujoco.MjData(mj)
        data.qpos[:] = model.home_qpos
        mujoco.mj_kinematics(mj, data)
        base = data.xpos[model.base_body]
        sites = data.site_xpos[model.foot_sites]
        front = -np.sign(np.round(sites[:, 0] - sites[:, 0].mean(), 3)) if len(sites) == 4 else np.zeros(2)
        self.order = np.lexsort((-sites[:, 1], front))
        feet = Feet(model)
        self.flat = tuple(feet.flat[f] for f in self.order)
        self.roll = tuple(feet.flat[f] and len(Leg(model, int(f)).joints) > 5 for f in self.order)
        chains = [Leg(model, int(f)) for f in self.order]
        hip_joints = [mj.joint(model.joint_names[leg.joints[0]]).id for leg in chains]
        self.knees = np.array([mj.jnt_bodyid[mj.joint(model.joint_names[leg.joints[leg.knee]]).id] for leg in chains])
        anchors = np.array([data.xpos[mj.jnt_bodyid[j]] for j in hip_joints])
        self.home = np.concatenate([base, data.xquat[model.base_body]])
        middle = anchors.mean(axis=0)
        self.hips = quat_rotate(quat_conj(self.home[3:7]), middle - base)
        ground = min(feet.bottom(data, f) for f in range(len(sites)))
        self.height = float(middle[2] - ground)
        self.neutral = (sites[self.order] - middle)[:, :2]
        self.knee_forward = data.xpos[self.knees, 0] - 0.5 * (anchors[:, 0] + sites[self.order, 0])
        # Rotation of each body at home: landmarks turn from there, so that all axes are the base's.
        self._turns = data.xquat.copy()
        bodies = find_bodies(model, (mapping or Mapping.of_robot(model)).bodies)
        self.chest, self.head = bodies.get("chest", -1), bodies.get("head", -1)
        parts = [[bodies.get(f"{side}_{part}", -1) for part in ("shoulder", "elbow", "hand")] for side in "lr"]
        self.arms = np.array(parts) if min(min(p) for p in parts) >= 0 else None
        if self.arms is not None:
            trunk = self.chest if self.chest >= 0 else model.base_body
            to_trunk = quat_conj(data.xquat[trunk])
            self.trunk_place = quat_rotate(quat_conj(self.home[3:7]), data.xpos[trunk] - base)
            self.shoulders = quat_rotate(to_trunk, data.xpos[self.arms[:, 0]] - data.xpos[trunk])
            ends = data.xpos[self.arms]
            self.arm_lengths = np.linalg.norm(np.diff(ends, axis=1), axis=2)
        self.sole = max(2 * float(mj.geom_aabb[g, 3]) for g in feet.geoms[0]) if all(self.flat) else 0.0
        self.lift = sites[self.order, 2] - ground

    def axes(self, body: int, turn: np.ndarray) -> np.ndarray:
        """Rotation of a body [wxyz] for a wanted rotation of its landmark, whose axes are the base's at home."""
        return quat_mul(turn, quat_mul(quat_conj(self.home[3:7]), self._turns[body]))

    def landmarks(self, clip: Clip) -> Landmarks:
        """The robot's own landmarks in a clip, by MuJoCo's kinematics."""
        model, data, count = self.model, self._data, len(clip)
        clip = clip.for_robot(model)
        places, turns = np.empty((count, model.mj.nbody, 3)), np.empty((count, model.mj.nbody, 4))
        feet, soles = np.empty((count, len(self.order), 3)), np.empty((count, len(self.order), 4))
        for k, q in enumerate(clip.qpos):
            data.qpos[:] = full_qpos(model, q)
            mujoco.mj_kinematics(model.mj, data)
            places[k], turns[k] = data.xpos, data.xquat
            for i, foot in enumerate(self.order):
                site = model.foot_sites[foot]
                feet[k, i] = data.site_xpos[site]
                mujoco.mju_mat2Quat(soles[k, i], data.site_xmat[site])
        feet[:, :, 2] -= self.lift
        arms = None
        if self.arms is not None:
            arms = np.diff(places[:, self.arms], axis=2)
            arms /= np.linalg.norm(arms, axis=3, keepdims=True)
        return Landmarks(
            name=clip.name,
            fps=clip.fps,
            base=clip.qpos[:, :3] + quat_rotate(clip.qpos[:, 3:7], self.hips),
            turn=quat_mul(clip.qpos[:, 3:7], quat_conj(self.home[3:7])),
            height=self.height,
            feet=feet,
            soles=continuous(soles) if all(self.flat) else None,
            sole=self.sole,
            neutral=self.neutral,
            knees=places[:, self.knees],
            chest=self._landmark_turn(turns, self.chest),
            head=self._landmark_turn(turns, self.head),
            arms=arms,
            loop=clip.loop,
            phase=clip.phase,
            source=f"{clip.source or clip.name}, of robot {model.robot.name}",
        )

    def _landmark_turn(self, turns: np.ndarray, body: int) -> np.ndarray | None:
        if body < 0:
            return None
        return continuous(quat_mul(quat_mul(turns[:, body], quat_conj(self._turns[body])), self.home[3:7]))
