"""Inverse kinematics: joint angles that put the feet where a plan wants them."""

from collections.abc import Collection
from typing import TYPE_CHECKING

import mink
import mujoco
import numpy as np

from robopolicy.motion.feet import Feet, full_qpos

if TYPE_CHECKING:
    from robopolicy.robot import RobotModel

SOLVER = "daqp"
FLAT_ROUNDING = 0.02
"""Tilt over which the sole's lowest edge changes sides smoothly [rad]."""


class RangesOf(mink.ConfigurationLimit):
    """The ranges of those joints only that are moved: one that is held may be at its limit, and no step would be found.

    Args:
        mj: The robot.
        dofs: Degrees of freedom that are moved.
        margin: Distance kept from the limits [rad].
        gain: Share of the way to a limit that one step may go.
    """

    def __init__(self, mj: mujoco.MjModel, dofs: Collection[int], margin: float, gain: float = 1.0) -> None:
        super().__init__(mj, gain=gain, min_distance_from_limits=margin)
        self.indices = np.array([dof for dof in self.indices if dof in dofs], dtype=int)
        self.projection_matrix = np.eye(mj.nv)[self.indices] if len(self.indices) else None


class FootIK:
    """Moves only the joints of the legs; the base and every other joint are given.

    A ball foot is placed by position. A sole is also held at a pitch and a heading; its roll is free, because
    a leg of five joints cannot choose it, and the sole then stands on its lower edge instead of sinking into
    the ground.

    Args:
        model: The robot.
        margin: Distance kept from the joint limits [rad].
        flat: Treat soles as above; if false every foot is placed by its site's position only.

    Attributes:
        leg_joints: Joints that are moved, as indices in contract order.
        errors: How far each foot was off after the last :meth:`solve` [m]. Shape (F,).
    """

    def __init__(self, model: "RobotModel", margin: float = 0.02, flat: bool = True) -> None:
        self.model, self.feet = model, Feet(model)
        self.flat = [flat and f for f in self.feet.flat]
        self._configuration = mink.Configuration(model.mj, model.home_qpos)
        self._tasks = [
            mink.FrameTask(name, "site", position_cost=1.0, orientation_cost=[0.0, 0.3, 0.3] if flat else 0.0)
            for name, flat in zip(self.feet.names, self.flat, strict=True)
        ]
        self._legs = [_leg_dofs(model, int(site)) for site in model.foot_sites]
        legs = set[int]().union(*self._legs)
        self._limits = [RangesOf(model.mj, legs, margin)]
        frozen = [dof for dof in range(model.mj.nv) if dof not in legs]
        self._constraints = [mink.DofFreezingTask(model.mj, frozen)]
        joints = [i for i, dof in enumerate(model.dof_adr) if dof in legs]
        self.leg_joints = np.array(joints, dtype=int)
        self._low, self._high = model.lower[joints] + margin, model.upper[joints] - margin
        self.errors = np.zeros(len(self._tasks))

    def solve(
        self,
        base: np.ndarray,
        joints: np.ndarray,
        places: np.ndarray,
        headings: np.ndarray | None = None,
        pitches: np.ndarray | None = None,
        tolerance: float = 1e-9,
        iterations: int = 40,
    ) -> tuple[np.ndarray, float]:
        """Find the leg joints for one frame.

        Args:
            base: Base position and quaternion wxyz, world [m]. Shape (7,).
            joints: Joint angles to start from; those outside the legs are kept [rad]. Shape (J,).
            places: Wanted ground point of each foot: its site in x and y, its lowest point in z [m]. Shape
                (F, 3).
            headings: Wanted heading of each sole, world [rad]. Shape (F,); by default the base's.
            pitches: Wanted pitch of each sole, positive toe down [rad]. Shape (F,); by default 0.
            tolerance: Stop when every foot is this near its place [m].
            iterations: At most so many steps.

        Returns:
            Configuration in contract order, shape (7 + J,), and the largest distance left [m]. A place out of
            reach leaves a large one: the caller decides.
        """
        model, configuration = self.model, self._configuration
        start = np.array(joints, float)
        start[self.leg_joints] = np.clip(start[self.leg_joints], self._low, self._high)
        configuration.update(full_qpos(model, np.concatenate([base, start])))
        headings = np.full(len(places), _yaw(base[3:7])) if headings is None else headings
        pitches = np.zeros(len(places)) if pitches is None else pitches
        error = np.inf
        for _ in range(iterations):
            error = self._aim(places, headings, pitches)
            if error < tolerance:
                break
            try:
                velocity = mink.solve_ik(
                    configuration,
                    self._tasks,
                    1.0,
                    SOLVER,
                    damping=1e-8,
                    limits=self._limits,
                    constraints=self._constraints,
                )
            except mink.NoSolutionFound:  # the solver gives up on places that are metres away: they stay out of reach
                break
            configuration.integrate_inplace(velocity, 1.0)
        return np.concatenate([base, configuration.data.qpos[model.qpos_adr]]), error

    def complaint(self, q: np.ndarray) -> str:
        """After :meth:`solve`: the foot that is furthest off, how far, and which joints of its leg are at their
        limits, for a message."""
        foot = int(self.errors.argmax())
        text = f"{self.feet.names[foot]} stays {1000 * self.errors[foot]:.1f} mm"
        angles = q[7 + self.leg_joints]
        at_limit = (angles < self._low + 1e-4) | (angles > self._high - 1e-4)
        own = np.isin(self.model.dof_adr[self.leg_joints], list(self._legs[foot]))
        names = [self.model.joint_names[j] for j in self.leg_joints[at_limit & own]]
        return text + (f" (at its limit: {', '.join(names)})" if names else "")

    def _aim(self, places: np.ndarray, headings: np.ndarray, pitches: np.ndarray) -> float:
        """Aim at the soles' present tilt, and say how far off the feet are [m, and rad times 0.1]."""
        data, self.errors = self._configuration.data, np.zeros(len(places))
        for foot, task in enumerate(self._tasks):
            site = data.site_xpos[self.model.foot_sites[foot]]
            lift = site[2] - self.feet.bottom(data, foot, FLAT_ROUNDING)
            target = np.array([places[foot, 0], places[foot, 1], places[foot, 2] + lift])
            rotation = mink.SO3.from_z_radians(headings[foot]) @ mink.SO3.from_y_radians(pitches[foot])
            task.set_target(mink.SE3.from_rotation_and_translation(rotation, target))
            self.errors[foot] = np.abs(target - site).max()
            if self.flat[foot]:
                forward = data.site_xmat[self.model.foot_sites[foot]].reshape(3, 3)[:, 0]
                tilt = 0.1 * np.abs(forward - rotation.as_matrix()[:, 0]).max()
                self.errors[foot] = max(self.errors[foot], tilt)
        return float(self.errors.max())


def _leg_dofs(model: "RobotModel", site: int) -> set[int]:
    """Degrees of freedom between the base and a foot."""
    mj, dofs = model.mj, set()
    actuated = set(model.dof_adr.tolist())
    body = mj.site_bodyid[site]
    while body != model.base_body and body != 0:
        first = mj.body_dofadr[body]
        dofs.update(d for d in range(first, first + mj.body_dofnum[body]) if d in actuated)
        body = mj.body_parentid[body]
    return dofs


def _yaw(quat: np.ndarray) -> float:
    matrix = np.empty(9)
    mujoco.mju_quat2Mat(matrix, np.asarray(quat, float))
    return float(np.arctan2(matrix[3], matrix[0]))
