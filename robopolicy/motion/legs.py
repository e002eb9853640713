"""Kinematics of a leg for every frame of a clip at once: NumPy over frames instead of a loop over them."""

from typing import TYPE_CHECKING

import mujoco
import numpy as np

from robopolicy.motion.feet import Feet
from robopolicy.motion.pose import cross, quat_conj, quat_exp, quat_log, quat_mul, quat_rotate

if TYPE_CHECKING:
    from robopolicy.robot import RobotModel

TURN_WEIGHT = 0.03
"""What a radian of a sole's rotation weighs against a metre of its position [m]."""
DAMPING = 1e-7
"""Least damping of a step [m^2/rad^2]; a step that makes things worse is tried again with ten times as much."""
STUCK = 2e-4
"""A foot this far from its place is tried from another start [m]."""
LIFT_TOLERANCE = 5e-4
"""The height of a sole's lowest point is settled to this [m] ..."""
EDGES = 8
"""... in at most so many rounds."""
STEP = 0.3
"""Largest change of a joint in one step [rad]."""


class Leg:
    """The chain of joints from the base to one foot.

    Attributes:
        joints: Places of its joints in contract order, from the hip down. Shape (L,).
        flat: Whether the foot is a sole, whose rotation counts, or a ball.
    """

    def __init__(self, model: "RobotModel", foot: int, margin: float = 0.005) -> None:
        mj, site = model.mj, int(model.foot_sites[foot])
        self.flat = Feet(model).flat[foot]
        self._site = mj.site_pos[site].copy(), mj.site_quat[site].copy()
        self._geoms = _Sole(mj, int(mj.site_bodyid[site]), self._site[0])
        actuated = {int(adr): j for j, adr in enumerate(model.qpos_adr)}
        self._links: list[_Link] = []
        body = int(mj.site_bodyid[site])
        while body != model.base_body:
            self._links.insert(0, _Link(model, body, actuated))
            body = int(mj.body_parentid[body])
        self.joints = np.array([j for link in self._links for j in link.places if j >= 0], dtype=int)
        self._home = model.default_pose[self.joints]
        self._low, self._high = model.lower[self.joints] + margin, model.upper[self.joints] - margin
        self._keep_knee_bent(model, margin)

    def forward(self, base: np.ndarray, joints: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Where the foot is.

        Args:
            base: Base position and quaternion wxyz, world [m]. Shape (K, 7).
            joints: Joint angles in contract order [rad]. Shape (K, J).

        Returns:
            Site position (K, 3), site quaternion (K, 4), and height of the foot's lowest point (K,), world [m].
        """
        position, quat, body, _, _ = self._chain(base, joints[:, self.joints])
        return position, quat, self._geoms.lowest(*body)

    def solve(
        self,
        base: np.ndarray,
        joints: np.ndarray,
        ground: np.ndarray,
        quat: np.ndarray,
        iterations: int = 30,
        tolerance: float = 1e-6,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Joint angles that put the foot's ground point where it is wanted, by damped least squares inside the limits.

        Args:
            base: Base position and quaternion wxyz, world [m]. Shape (K, 7).
            joints: Angles to start from, in contract order [rad]. Shape (K, J).
            ground: Wanted ground point: the site in x and y, the foot's lowest point in z [m]. Shape (K, 3).
            quat: Wanted rotation of a sole, whose roll is free in a leg of five joints; a ball has none. Shape
                (K, 4).
            iterations: At most so many steps.
            tolerance: Frames nearer than this are done [m].

        Returns:
            Angles of this leg's joints (K, L), inside the limits even where the foot was in place with others, and what
            is missing of each frame's place (K, 3), world [m].
        """
        q = np.clip(joints[:, self.joints], self._low, self._high)
        missing = np.zeros((len(q), 3))
        lift = self._lift(quat) if self.flat else self._lift(self._chain(base, q)[1])
        todo = np.arange(len(q))
        for _ in range(EDGES):
            site = ground[todo] + np.array([0.0, 0.0, 1.0]) * lift[todo, None]
            q[todo], missing[todo] = self._place(base[todo], q[todo], site, quat[todo], iterations, tolerance)
            # A sole that could not be turned as wanted stands on another edge: aim again.
            now = self._lift(self._chain(base[todo], q[todo])[1])
            off = np.abs(now - lift[todo]) > LIFT_TOLERANCE
            lift[todo] = now
            todo = todo[off]
            if not len(todo):
                break
        return q, missing

    def _place(self, base: np.ndarray, start: np.ndarray, site, quat, iterations: int, tolerance: float):
        """Angles (K, L) that put the site there, and what is missing (K, 3) [m]."""
        q, missing = self._descend(base, start, site, quat, iterations, tolerance)
        distance = np.linalg.norm(missing, axis=1)
        again = np.flatnonzero(distance > STUCK)
        if len(again):  # a leg may be caught at a limit: try again from the bent leg of the home pose
            home = np.clip(np.tile(self._home, (len(again), 1)), self._low, self._high)
            other, still = self._descend(base[again], home, site[again], quat[again], iterations, tolerance)
            better = np.linalg.norm(still, axis=1) < distance[again] - STUCK / 2
            q[again[better]], missing[again[better]] = other[better], still[better]
        return q, missing

    def _lift(self, quat: np.ndarray) -> np.ndarray:
        """Height of the site over the foot's lowest point [m], from the site's rotation. Shape (K,)."""
        body = quat_mul(quat, quat_conj(self._site[1]))
        return quat_rotate(body, self._site[0])[:, 2] - self._geoms.lowest(np.zeros((len(quat), 3)), body)

    def _descend(self, base: np.ndarray, start: np.ndarray, site, quat, iterations: int, tolerance: float):
        """Levenberg-Marquardt from one start towards site positions: angles (K, L), what is missing (K, 3) [m]."""
        q, damping = start.copy(), np.full(len(start), DAMPING)
        error, jacobian = self._error(base, q, site, quat)
        cost = (error**2).sum(axis=1)
        active = np.flatnonzero(cost > tolerance**2)
        for _ in range(iterations):
            if not len(active):
                break
            trial = self._step(q[active], jacobian[active], error[active], damping[active])
            new_error, new_jacobian = self._error(base[active], trial, site[active], quat[active])
            new_cost = (new_error**2).sum(axis=1)
            better, gain = new_cost < cost[active], 1.0 - new_cost / cost[active]
            taken = active[better]
            q[taken], cost[taken] = trial[better], new_cost[better]
            error[taken], jacobian[taken] = new_error[better], new_jacobian[better]
            damping[active] = np.where(better, np.maximum(damping[active] / 10, DAMPING), damping[active] * 10)
            # Done: in place, out of reach and at rest, or at a dead end.
            done = (cost[active] < tolerance**2) | (better & (gain < 1e-4)) | (damping[active] > 1.0)
            active = active[~done]
        return q, error[:, :3]

    def _error(self, base: np.ndarray, q: np.ndarray, site: np.ndarray, quat: np.ndarray):
        """What is missing, and its Jacobian: position [m], and for a sole its rotation, weighed."""
        position, turn, _, jacobian, _ = self._chain(base, q)
        missing = site - position
        if not self.flat:
            return missing, jacobian[:, :3]
        spin = quat_log(quat_mul(quat_conj(turn), quat))  # in the site's frame
        local = quat_rotate(quat_conj(turn)[:, None], jacobian[:, 3:].transpose(0, 2, 1)).transpose(0, 2, 1)
        rows = slice(0 if len(self.joints) > 5 else 1, 3)
        error = np.concatenate([missing, TURN_WEIGHT * spin[:, rows]], axis=1)
        return error, np.concatenate([jacobian[:, :3], TURN_WEIGHT * local[:, rows]], axis=1)

    def _step(self, q: np.ndarray, jacobian: np.ndarray, error: np.ndarray, damping: np.ndarray) -> np.ndarray:
        """Angles after one damped step; a joint that would leave its range stays and the others take over."""
        change = np.zeros_like(q)
        for _ in range(2):
            normal = jacobian.transpose(0, 2, 1) @ jacobian + damping[:, None, None] * np.eye(q.shape[1])
            change = np.linalg.solve(normal, (jacobian.transpose(0, 2, 1) @ error[:, :, None]))[:, :, 0]
            stuck = ((q >= self._high) & (change > 0)) | ((q <= self._low) & (change < 0))
            if not stuck.any():
                break
            jacobian = np.where(stuck[:, None, :], 0.0, jacobian)
        scale = np.minimum(1.0, STEP / np.maximum(np.abs(change).max(axis=1), 1e-12))
        return np.clip(q + scale[:, None] * change, self._low, self._high)

    def _keep_knee_bent(self, model: "RobotModel", margin: float) -> None:
        """Keep the knee on the side of straight where it is at home: IK that crosses over finds no way back."""
        steps = 200
        base = np.tile([0.0, 0, 0, 1, 0, 0, 0], (steps, 1))
        reach, angles = [], []
        for i in range(len(self.joints)):
            q = np.tile(self._home, (steps, 1))
            q[:, i] = np.linspace(self._low[i], self._high[i], steps)
            site, _, _, _, anchors = self._chain(base, q)
            end = anchors[-1] if self.flat else site
            reach.append(np.linalg.norm(end - anchors[0], axis=1))
            angles.append(q[:, i])
        knee = int(np.argmax([np.ptp(r) for r in reach]))
        straight = angles[knee][np.argmax(reach[knee])]
        if straight < self._home[knee]:
            self._low[knee] = max(self._low[knee], straight + margin)
        else:
            self._high[knee] = min(self._high[knee], straight - margin)

    def _chain(self, base: np.ndarray, q: np.ndarray):
        """Site position and quaternion, the foot body's, the site's Jacobian (K, 6, L), the joints' anchors; world."""
        position, quat = base[:, :3], base[:, 3:7]
        axes, anchors, at = [], [], 0
        for link in self._links:
            position = position + quat_rotate(quat, link.position)
            quat = quat_mul(quat, link.quat)
            for place, axis, pivot, fixed in link.hinges:
                anchor, direction = position + quat_rotate(quat, pivot), quat_rotate(quat, axis)
                if place >= 0:
                    axes.append(direction)
                    anchors.append(anchor)
                    angle, at = q[:, at], at + 1
                else:
                    angle = np.zeros(len(q))
                quat = quat_mul(quat, quat_exp((angle - fixed)[:, None] * axis))
                position = anchor - quat_rotate(quat, pivot)
        site = position + quat_rotate(quat, self._site[0])
        jacobian = np.empty((len(q), 6, len(axes)))
        for i, (axis, anchor) in enumerate(zip(axes, anchors, strict=True)):
            jacobian[:, :3, i] = cross(axis, site - anchor)
            jacobian[:, 3:, i] = axis
        return site, quat_mul(quat, self._site[1]), (position, quat), jacobian, anchors


class _Link:
    """A body of the chain: where it sits in its parent, and its hinges."""

    def __init__(self, model: "RobotModel", body: int, actuated: dict[int, int]) -> None:
        mj = model.mj
        self.position, self.quat = mj.body_pos[body].copy(), mj.body_quat[body].copy()
        self.hinges: list[tuple[int, np.ndarray, np.ndarray, float]] = []
        first = mj.body_jntadr[body]
        for joint in range(first, first + mj.body_jntnum[body]):
            adr = int(mj.jnt_qposadr[joint])
            place = actuated.get(adr, -1)
            # A hinge turns by its angle less the one it was drawn at; one without a servo stays at home.
            fixed = float(mj.qpos0[adr]) - (0.0 if place >= 0 else float(model.home_qpos[adr]))
            self.hinges.append((place, mj.jnt_axis[joint].copy(), mj.jnt_pos[joint].copy(), fixed))
        self.places = [hinge[0] for hinge in self.hinges]


class _Sole:
    """The colliding geoms of a foot: balls, and boxes around everything else, as in :class:`Feet`."""

    def __init__(self, mj: mujoco.MjModel, body: int, site: np.ndarray) -> None:
        self.balls: list[tuple[np.ndarray, float]] = []
        self.boxes: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        for geom in np.flatnonzero((mj.geom_bodyid == body) & ((mj.geom_contype | mj.geom_conaffinity) != 0)):
            position, quat = mj.geom_pos[geom].copy(), mj.geom_quat[geom].copy()
            if mj.geom_type[geom] == mujoco.mjtGeom.mjGEOM_SPHERE:
                self.balls.append((position, float(mj.geom_size[geom, 0])))
            else:
                centre = position + quat_rotate(quat, mj.geom_aabb[geom, :3])
                self.boxes.append((centre, quat, mj.geom_aabb[geom, 3:].copy()))
        if not self.balls and not self.boxes:
            self.balls.append((site, 0.0))

    def lowest(self, position: np.ndarray, quat: np.ndarray) -> np.ndarray:
        """Height of the lowest point [m], from the body's pose. Shape (K,)."""
        low = np.full(len(position), np.inf)
        for centre, radius in self.balls:
            low = np.minimum(low, position[:, 2] + quat_rotate(quat, centre)[:, 2] - radius)
        for centre, turn, half in self.boxes:
            up = quat_rotate(quat_conj(quat_mul(quat, turn)), np.array([0.0, 0.0, 1.0]))
            low = np.minimum(low, position[:, 2] + quat_rotate(quat, centre)[:, 2] - np.abs(up) @ half)
        return low
