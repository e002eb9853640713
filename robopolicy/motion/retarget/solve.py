"""Motion of one body carried over to another: a human's skeleton, a dog's points or a robot's clip to a robot.

The source is scaled by the ratio of standing heights of the hips. Feet keep their steps, and their place under the hips
is the robot's own; pelvis, chest, head and arms keep their rotations. Inverse kinematics of the whole body (mink) finds
the joint angles frame after frame, inside joint and velocity limits, near the home pose where nothing else is asked.
Feet may still slide a little, or hover: :mod:`robopolicy.motion.footlock` holds them in their stances.
"""

import dataclasses
import warnings
from typing import TYPE_CHECKING, Any

import mink
import numpy as np

from robopolicy.errors import UserError
from robopolicy.motion.clip import Clip, estimate_cycle, velocities
from robopolicy.motion.footlock import lock_feet
from robopolicy.motion.ik import SOLVER, RangesOf
from robopolicy.motion.importing.recording import ImportNote
from robopolicy.motion.pose import heading, quat_conj, quat_exp, quat_log, quat_mul, quat_rotate, rotate2
from robopolicy.motion.retarget.landmarks import Landmarks
from robopolicy.motion.retarget.robot_body import RobotBody
from robopolicy.motion.retarget.roles import Mapping

if TYPE_CHECKING:
    from robopolicy.motion.retarget.skeleton import SkeletonMotion
    from robopolicy.robot import RobotModel

COSTS = {"base": (3.0, 2.0), "foot": (10.0, 0.5), "knee": (0.3, 0.0), "chest": (0.0, 1.0), "head": (0.0, 1.0)}
"""Weight of a landmark's position [1/m] and rotation [1/rad]."""
ELBOW, HAND, POSTURE = 1.0, 2.0, 0.02
FIRST, ROUNDS = 60, 4
"""Steps of IK for the first frame, and for each of the others."""
SMOOTH_HEADING = 0.4
"""The feet's extra width turns with the heading averaged over about this time [s]."""
WARM_UP = 20
"""Frames before a loop's first one, so that it begins as it ends."""


def retarget(motion: "SkeletonMotion", model: "RobotModel", mapping: Mapping | None = None) -> Clip:
    """A skeleton's motion as a clip of a robot, its feet not locked yet.

    Args:
        motion: A human skeleton, or a dog's points.
        model: The robot, with two feet or four.
        mapping: What is not found by usual names; by default from ``retarget.toml`` beside the robot.

    Warns:
        ImportNote: The scale, and what is not known of the head.

    Raises:
        UserError: Joints that are needed are not found, or one has two legs and the other four.
    """
    from robopolicy.motion.retarget.anatomy import landmarks_of

    mapping = mapping or Mapping.of_robot(model)
    landmarks = landmarks_of(motion, mapping)
    clip = to_robot(landmarks, model, mapping)
    body = RobotBody(model, mapping)
    text = (
        f"scaled by {body.height / landmarks.height:.3f}, because its hips stand {landmarks.height:.2f} m high and "
        f"those of robot {model.robot.name!r} {body.height:.2f} m"
    )
    if body.head >= 0 and landmarks.head is not None:
        text += "; its head is taken to face where its chest does, on average over the clip"
    warnings.warn(f"{motion.name}: {text}", ImportNote, stacklevel=3)
    return clip


def retarget_clip(clip: Clip, source: "RobotModel", model: "RobotModel") -> Clip:
    """A clip of one robot as a clip of another, its feet locked in their stances.

    Raises:
        UserError: The clip is not the source's, or one robot has two legs and the other four.
    """
    return lock_feet(to_robot(RobotBody(source).landmarks(clip), model), model)


def to_robot(landmarks: Landmarks, model: "RobotModel", mapping: Mapping | None = None) -> Clip:
    """Landmarks of any body as a clip of a robot, its feet not locked yet.

    Raises:
        UserError: One has two legs and the other four.
    """
    body = RobotBody(model, mapping)
    legs = landmarks.feet.shape[1]
    if legs != len(body.order):
        raise UserError(
            f"{landmarks.name!r} has {legs} legs, robot {model.robot.name!r} has {len(body.order)}: "
            "motion goes from two to two or from four to four"
        )
    qpos = _Solver(body, _fitted(landmarks, body)).solve()
    cycle = estimate_cycle(qpos) if landmarks.loop else None
    return Clip(
        name=landmarks.name,
        fps=landmarks.fps,
        joint_names=tuple(model.joint_names),
        qpos=qpos,
        qvel=velocities(qpos, landmarks.fps, cycle),
        loop=landmarks.loop,
        phase=landmarks.phase,
        robot=model.robot.name,
        source=f"{landmarks.source}; retargeted",
    )


def _fitted(source: Landmarks, body: RobotBody) -> Landmarks:
    """The landmarks where the robot's own should be."""
    scale = body.height / source.height
    yaw = np.unwrap(heading(source.turn))
    steady = _average(yaw, round(SMOOTH_HEADING * source.fps))
    feet = scale * source.feet
    # Under the robot's hips the feet stand as its home has them: wider, say, or further ahead.
    extra = body.neutral - scale * source.neutral
    feet[:, :, :2] += rotate2(steady[:, None], np.broadcast_to(extra, (len(source), *extra.shape)))
    knees = None if source.knees is None else scale * source.knees
    if knees is not None:
        knees[:, :, :2] += feet[:, :, :2] - scale * source.feet[:, :, :2]
    soles = source.soles
    if soles is not None and body.sole > 0:
        # On a sole that is longer for its leg the same tilt would lift heel and toe too high: keep their scaled height.
        level = quat_exp(heading(soles)[..., None] * np.array([0.0, 0.0, 1.0]))
        tilt = quat_log(quat_mul(quat_conj(level), soles))
        soles = quat_mul(level, quat_exp(min(1.0, scale * source.sole / body.sole) * tilt))
    return dataclasses.replace(
        source, base=scale * source.base, height=body.height, feet=feet, soles=soles, knees=knees
    )


def _average(values: np.ndarray, half: int) -> np.ndarray:
    """Moving average over about twice ``half`` frames, weighed down towards its ends."""
    half = max(1, min(half, len(values) - 1))
    weight = np.hanning(2 * half + 3)[1:-1]
    padded = np.concatenate([2 * values[0] - values[half:0:-1], values, 2 * values[-1] - values[-2 : -half - 2 : -1]])
    return np.convolve(padded, weight / weight.sum(), mode="valid")


class _Solver:
    """Inverse kinematics of a robot's whole body, frame after frame."""

    def __init__(self, body: RobotBody, wanted: Landmarks) -> None:
        self.body, self.wanted, model = body, wanted, body.model
        mj = model.mj
        self.configuration = mink.Configuration(mj, model.home_qpos)
        self.dt = 1.0 / wanted.fps / ROUNDS
        limit = RangesOf(mj, model.dof_adr.tolist(), margin=0.005, gain=0.95)
        speeds = {
            name: np.array([min(float(v), 1e3)])
            for name, v in zip(model.joint_names, model.velocity_limit, strict=True)
        }
        self.limits: list[Any] = [limit, mink.VelocityLimit(mj, speeds)]
        self.first_limits: list[Any] = [limit]
        idle = [d for d in range(6, mj.nv) if d not in set(model.dof_adr.tolist())]
        self.constraints = [mink.DofFreezingTask(mj, idle)] if idle else []
        self.posture = mink.PostureTask(mj, cost=np.r_[np.zeros(6), np.full(mj.nv - 6, POSTURE)])
        self.posture.set_target(model.home_qpos)
        self.targets: list[tuple[mink.FrameTask, np.ndarray, np.ndarray]] = []
        self._add_targets()

    def solve(self) -> np.ndarray:
        """Configurations in contract order. Shape (K, 7 + J)."""
        model, count = self.body.model, len(self.wanted)
        order = list(range(count))
        if self.wanted.loop:
            order = list(range(max(0, count - WARM_UP), count)) + order
        out = np.empty((count, 7 + len(model.joint_names)))
        for i, k in enumerate(order):
            jump = i == 0 or k != order[i - 1] + 1
            if jump:
                self._start(k, fresh=i == 0)
            self._step(k, FIRST if i == 0 else ROUNDS, self.first_limits if jump else self.limits)
            q = self.configuration.q
            out[k] = np.concatenate([q[:7], q[model.qpos_adr]])
        return out

    def _start(self, k: int, fresh: bool) -> None:
        """Put the base where it belongs; joints as at home, or as they are."""
        q = self.body.model.home_qpos.copy() if fresh else self.configuration.q.copy()
        _, place, turn = self.targets[0]
        q[:3], q[3:7] = place[k], turn[k]
        self.configuration.update(q)

    def _step(self, k: int, rounds: int, limits: list[Any]) -> None:
        for task, place, turn in self.targets:
            task.set_target(mink.SE3(wxyz_xyz=np.concatenate([turn[k], place[k]])))
        tasks = [self.posture, *(task for task, _, _ in self.targets)]
        for _ in range(rounds):
            try:
                velocity = mink.solve_ik(
                    self.configuration,
                    tasks,
                    self.dt,
                    SOLVER,
                    damping=1e-4,
                    limits=limits,
                    constraints=self.constraints,
                )
            except mink.NoSolutionFound:
                raise UserError(
                    f"{self.wanted.name!r}, frame {k}: robot {self.body.model.robot.name!r} has no way there within "
                    "the ranges and velocity limits of its joints"
                ) from None
            self.configuration.integrate_inplace(velocity, self.dt)

    def _add(self, name: str, kind: str, place, turn, position: float, rotation) -> None:
        count = len(self.wanted)
        place = np.zeros((count, 3)) if place is None else place
        turn = np.tile([1.0, 0.0, 0.0, 0.0], (count, 1)) if turn is None else turn
        self.targets.append(
            (mink.FrameTask(name, kind, position_cost=position, orientation_cost=rotation), place, turn)
        )

    def _add_targets(self) -> None:
        body, want, mj = self.body, self.wanted, self.body.model.mj

        def name(index: int) -> str:
            return mj.body(index).name

        base_turn = quat_mul(want.turn, body.home[3:7])
        base = want.base - quat_rotate(base_turn, body.hips)
        self._add(name(body.model.base_body), "body", base, base_turn, *COSTS["base"])
        for i, foot in enumerate(body.order):
            site = mj.site(body.model.foot_sites[foot]).name
            place = want.feet[:, i] + np.array([0.0, 0.0, body.lift[i]])
            sole = want.soles[:, i] if body.flat[i] and want.soles is not None else None
            roll = COSTS["foot"][1] if body.roll[i] else 0.0  # a leg of five joints cannot choose its sole's roll
            rotation = [roll, COSTS["foot"][1], COSTS["foot"][1]] if sole is not None else 0.0
            self._add(site, "site", place, sole, COSTS["foot"][0], rotation)
        if want.knees is not None and len(body.order) == 2:
            self._add_knees(name)
        if body.chest >= 0 and want.chest is not None:
            self._add(name(body.chest), "body", None, body.axes(body.chest, want.chest), *COSTS["chest"])
        looks = want.chest if want.head is None else want.head
        if body.head >= 0 and looks is not None:
            self._add(name(body.head), "body", None, body.axes(body.head, looks), *COSTS["head"])
        if body.arms is not None and want.arms is not None:
            self._add_arms(name, base, base_turn)

    def _add_knees(self, name: Any) -> None:
        """Knees that bend to the same side; a bird's leg is left to find its own."""
        body, want = self.body, self.wanted
        assert want.knees is not None
        front = quat_rotate(quat_conj(want.turn)[:, None], want.knees - 0.5 * (want.base[:, None] + want.feet))
        for i in range(len(body.order)):
            if np.median(front[:, i, 0]) * body.knee_forward[i] > 0:
                self._add(name(body.knees[i]), "body", want.knees[:, i], None, *COSTS["knee"])

    def _add_arms(self, name: Any, base: np.ndarray, base_turn: np.ndarray) -> None:
        """Elbows and hands, from the source's directions and the robot's lengths."""
        body, want = self.body, self.wanted
        assert body.arms is not None
        assert want.arms is not None
        trunk = base_turn if body.chest < 0 else body.axes(body.chest, want.turn if want.chest is None else want.chest)
        for side in range(2):
            place = base + quat_rotate(base_turn, body.trunk_place) + quat_rotate(trunk, body.shoulders[side])
            for part, cost in ((0, ELBOW), (1, HAND)):
                place = place + body.arm_lengths[side, part] * want.arms[:, side, part]
                self._add(name(body.arms[side, part + 1]), "body", place, None, cost, 0.0)
