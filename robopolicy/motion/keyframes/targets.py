"""End effectors besides the feet: the joints between the base and a site or body follow where it is sent."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import mink
import mujoco
import numpy as np

from robopolicy.errors import UserError
from robopolicy.motion.feet import full_qpos
from robopolicy.motion.ik import SOLVER, RangesOf
from robopolicy.motion.pose import heading, quat_conj, quat_from_euler, quat_log, quat_mul, quat_rotate

if TYPE_CHECKING:
    from robopolicy.robot import RobotModel

REACH = 1e-3
"""How far a target may stay from where it is sent before the file is refused [m, rad]."""
KEYED_WEIGHT, REST_WEIGHT = 0.003, 0.0003
"""How much a joint's angle, keyed or at rest, counts against the target: it chooses among its solutions."""
AXES = {"x": 0, "y": 1, "height": 2}


class Target(mink.Task):
    """Some coordinates of a site or body, and its orientation if any angle of it is keyed.

    Attributes:
        name: Of the site or body.
        reference: Where its axes and origin are: quaternion wxyz (4,) and origin (3,), world.
        offset: Position from the home position along the reference's axes [m]; only ``rows`` of it count. Shape
            (3,).
        turn: Orientation from the home orientation, in the reference's axes; None leaves it free. Quaternion.
    """

    def __init__(self, model: "RobotModel", name: str, rows: Sequence[int], turned: bool) -> None:
        super().__init__(cost=np.ones(len(rows) + 3 * turned))
        self.name, self.rows, self.turned = name, list(rows), turned
        mj = model.mj
        self._site = mujoco.mj_name2id(mj, mujoco.mjtObj.mjOBJ_SITE, name)
        self.body = int(mj.site_bodyid[self._site]) if self._site >= 0 else mj.body(name).id
        home = mujoco.MjData(mj)
        home.qpos[:] = model.home_qpos
        mujoco.mj_kinematics(mj, home)
        base, position, rotation = model.home_qpos[:7], *self._frame(home)
        self._home = quat_rotate(quat_conj(base[3:7]), position - base[:3])
        self._home_turn = quat_mul(quat_conj(base[3:7]), rotation)
        self.reference = base[3:7], base[:3]
        self.offset, self.turn = np.zeros(3), np.array([1.0, 0, 0, 0])

    def _frame(self, data: mujoco.MjData) -> tuple[np.ndarray, np.ndarray]:
        """Its position and quaternion in the world."""
        quat = np.empty(4)
        if self._site >= 0:
            mujoco.mju_mat2Quat(quat, data.site_xmat[self._site])
            return data.site_xpos[self._site], quat
        return data.xpos[self.body], data.xquat[self.body]

    def compute_error(self, configuration: mink.Configuration) -> np.ndarray:
        """How far it is off, world axes for the orientation [m, rad]."""
        position, rotation = self._frame(configuration.data)
        axes, origin = self.reference
        place = quat_rotate(quat_conj(axes), position - origin) - self._home - self.offset
        if not self.turned:
            return place[self.rows]
        wanted = quat_mul(axes, quat_mul(self.turn, self._home_turn))
        return np.concatenate([place[self.rows], quat_log(quat_mul(rotation, quat_conj(wanted)))])

    def compute_jacobian(self, configuration: mink.Configuration) -> np.ndarray:
        """Its derivative by the joints; the base is held, so the reference stands still."""
        model, data = configuration.model, configuration.data
        linear, angular = np.zeros((2, 3, model.nv))
        mujoco.mj_jac(model, data, linear, angular, self._frame(data)[0], self.body)
        matrix = np.empty(9)
        mujoco.mju_quat2Mat(matrix, self.reference[0])
        linear = (matrix.reshape(3, 3).T @ linear)[self.rows]
        return np.concatenate([linear, angular]) if self.turned else linear


class TargetIK:
    """Finds joint angles outside the legs that bring targets where they are sent.

    Where several will do, those nearest to the keyed angles are chosen.

    Args:
        model: The robot.
        parts: For each target its keyed parts, e.g. ``{"head": ["pitch", "yaw"]}``.
        world: Targets meant in the world's frame; the others move with the base.
        keyed: Joints that are keyed; they give way last. As indices in contract order.
        legs: Joints that the feet need.
        margin: Distance kept from the joint limits [rad].

    Raises:
        UserError: A target moves with a leg, or with the base.
    """

    def __init__(
        self,
        model: "RobotModel",
        parts: dict[str, list[str]],
        world: frozenset[str],
        keyed: Sequence[int],
        legs: Sequence[int],
        margin: float = 0.02,
    ) -> None:
        self.model, self._world = model, world
        self.tasks = {
            name: Target(model, name, [AXES[p] for p in named if p in AXES], any(p not in AXES for p in named))
            for name, named in parts.items()
        }
        joints = sorted({j for name, task in self.tasks.items() for j in self._chain(name, task.body, legs)})
        self.joints = np.array(joints, dtype=int)
        self._margin = np.minimum(margin, (model.upper - model.lower)[joints] / 4)
        self._configuration = mink.Configuration(model.mj, model.home_qpos)
        moved = model.dof_adr[joints].tolist()
        self._limits = [RangesOf(model.mj, moved, margin)]
        self._frozen = [mink.DofFreezingTask(model.mj, [d for d in range(model.mj.nv) if d not in moved])]
        weights = np.full(model.mj.nv, REST_WEIGHT)
        weights[model.dof_adr[list(keyed)]] = KEYED_WEIGHT
        self._keyed = mink.PostureTask(model.mj, cost=weights)

    def _chain(self, name: str, body: int, legs: Sequence[int]) -> list[int]:
        """Joints between the base and a body."""
        model, found = self.model, []
        mj = model.mj
        while body not in (model.base_body, 0):
            dofs = range(mj.body_dofadr[body], mj.body_dofadr[body] + mj.body_dofnum[body])
            found += [int(np.flatnonzero(model.dof_adr == d)[0]) for d in dofs if d in model.dof_adr]
            body = mj.body_parentid[body]
        if not found:
            raise UserError(f"target {name!r} moves with the base: key the base")
        if any(j in legs for j in found):
            feet = ", ".join(mj.site(i).name for i in model.foot_sites)
            raise UserError(f"target {name!r} is part of a leg: key the foot; the feet are {feet}")
        return found

    def solve(
        self, base: np.ndarray, joints: np.ndarray, values: dict[str, dict[str, float]], iterations: int = 30
    ) -> tuple[np.ndarray, dict[str, float]]:
        """Find the joints for one frame.

        Args:
            base: Position and quaternion wxyz, world. Shape (7,).
            joints: Keyed angles [rad]. Shape (J,).
            values: Wanted offsets from home by target and part [m, rad].
            iterations: At most so many steps.

        Returns:
            Joint angles, shape (J,), and how far each target is off [m or rad].
        """
        model, start = self.model, np.array(joints, float)
        low, high = model.lower[self.joints] + self._margin, model.upper[self.joints] - self._margin
        start[self.joints] = np.clip(start[self.joints], low, high)
        self._configuration.update(full_qpos(model, np.concatenate([base, start])))
        self._keyed.set_target(full_qpos(model, np.concatenate([base, joints])))
        for name, task in self.tasks.items():
            wanted = values[name]
            task.reference = self._reference(name, base)
            task.offset = np.array([wanted.get(part, 0.0) for part in AXES])
            task.turn = quat_from_euler(*(wanted.get(part, 0.0) for part in ("roll", "pitch", "yaw")))
        tasks = [*self.tasks.values(), self._keyed]
        for _ in range(iterations):
            try:
                step = mink.solve_ik(
                    self._configuration, tasks, 1.0, SOLVER, damping=1e-8, limits=self._limits, constraints=self._frozen
                )
            except mink.NoSolutionFound:  # then the target stays as far off as it is
                break
            self._configuration.integrate_inplace(step, 1.0)
            if np.abs(step).max() < 1e-10:
                break
        off = {name: float(np.abs(t.compute_error(self._configuration)).max()) for name, t in self.tasks.items()}
        return self._configuration.data.qpos[model.qpos_adr], off

    def _reference(self, name: str, base: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if name not in self._world:
            return base[3:7], base[:3]
        home = self.model.home_qpos
        return quat_from_euler(0.0, 0.0, float(heading(home[3:7]))), home[:3]
