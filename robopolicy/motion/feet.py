"""Where a robot's feet are: the lowest point of each, and its site, by MuJoCo's own kinematics."""

from typing import TYPE_CHECKING

import mujoco
import numpy as np

if TYPE_CHECKING:
    from robopolicy.robot import RobotModel

SLOW = 0.5
"""A foot that moves slower than this may stand [m/s]."""
FLIGHT_HEIGHT = 0.02
"""A foot whose lowest point is this far above the ground is off it [m]."""


class Feet:
    """The colliding geoms of a robot's feet, F of them, on flat ground at z = 0.

    Attributes:
        names: Names of the foot sites. Length F.
        flat: Whether each foot has a sole to keep flat on the ground (anything but a single sphere). Length
            F.
    """

    def __init__(self, model: "RobotModel") -> None:
        mj = model.mj
        self.model = model
        self.names = tuple(mj.site(i).name for i in model.foot_sites)
        self.geoms: list[np.ndarray] = []
        for site in model.foot_sites:
            own = np.flatnonzero((mj.geom_bodyid == mj.site_bodyid[site]) & (mj.geom_contype | mj.geom_conaffinity))
            away = np.linalg.norm(mj.geom_pos[own] - mj.site_pos[site], axis=1)
            ball = own[(mj.geom_type[own] == mujoco.mjtGeom.mjGEOM_SPHERE) & (away < 0.5 * mj.geom_size[own, 0])]
            self.geoms.append(ball if len(ball) == 1 else own)  # a ball around the site, and not the shin above it
        self.flat = tuple(
            len(g) > 0 and not (len(g) == 1 and mj.geom_type[g[0]] == mujoco.mjtGeom.mjGEOM_SPHERE) for g in self.geoms
        )
        self._data = mujoco.MjData(mj)

    def bottom(self, data: mujoco.MjData, foot: int, smooth: float = 0.0) -> float:
        """Height of the lowest point of a foot over the ground [m], after ``mj_kinematics``.

        Args:
            data: Current state.
            foot: Index of the foot.
            smooth: Round off the kink where a sole passes through flat, over about this tilt [rad]; the
                result is then too high by at most ``smooth`` times half the sole's size.
        """
        mj, lowest = self.model.mj, np.inf
        for geom in self.geoms[foot]:
            z = data.geom_xpos[geom, 2]
            if mj.geom_type[geom] == mujoco.mjtGeom.mjGEOM_SPHERE:
                lowest = min(lowest, z - mj.geom_size[geom, 0])
                continue
            row = data.geom_xmat[geom].reshape(3, 3)[2]
            centre, half = mj.geom_aabb[geom, :3], mj.geom_aabb[geom, 3:]
            extent = np.sqrt(row**2 + smooth**2) - smooth if smooth else np.abs(row)
            lowest = min(lowest, z + row @ centre - extent @ half)
        return float(lowest if len(self.geoms[foot]) else data.site_xpos[self.model.foot_sites[foot], 2])

    def lowest(self, sites: np.ndarray, rotations: np.ndarray) -> np.ndarray:
        """Heights of the feet's lowest points [m], as :meth:`bottom`, for many frames at once. Shape (K, F).

        Args:
            sites: Positions of the foot sites, world [m]. Shape (K, F, 3).
            rotations: Of the foot sites. Shape (K, F, 3, 3).
        """
        mj, heights = self.model.mj, sites[:, :, 2].copy()
        for foot, (site, geoms) in enumerate(zip(self.model.foot_sites, self.geoms, strict=True)):
            to_site = _matrix(mj.site_quat[site]).T
            low = np.empty((len(geoms), len(sites)))
            for i, geom in enumerate(geoms):
                up = rotations[:, foot, 2] @ to_site  # the world's z in the body's frame
                z = sites[:, foot, 2] + up @ (mj.geom_pos[geom] - mj.site_pos[site])
                row = up @ _matrix(mj.geom_quat[geom])
                sphere = mj.geom_type[geom] == mujoco.mjtGeom.mjGEOM_SPHERE
                centre, half = mj.geom_aabb[geom, :3], mj.geom_aabb[geom, 3:]
                low[i] = z - mj.geom_size[geom, 0] if sphere else z + row @ centre - np.abs(row) @ half
            if len(geoms):
                heights[:, foot] = low.min(axis=0)
        return heights

    def heights(self, qpos: np.ndarray) -> np.ndarray:
        """Height of each foot's lowest point [m]. ``qpos`` in contract order (K, 7 + J) -> (K, F)."""
        return self.trajectories(qpos)[0]

    def trajectories(self, qpos: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where the feet go, world frame [m].

        Args:
            qpos: In contract order. Shape (K, 7 + J).

        Returns:
            Heights of the lowest points (K, F) and positions of the sites (K, F, 3).
        """
        data, model = self._data, self.model
        heights = np.empty((len(qpos), len(self.names)))
        places = np.empty((len(qpos), len(self.names), 3))
        for k, q in enumerate(qpos):
            data.qpos[:] = full_qpos(model, q)
            mujoco.mj_kinematics(model.mj, data)
            places[k] = data.site_xpos[model.foot_sites]
            heights[k] = [self.bottom(data, foot) for foot in range(len(self.names))]
        return heights, places


def ground_height(heights: np.ndarray, places: np.ndarray, fps: float) -> float:
    """Height of the ground [m]: the median of the lowest foot's, over the frames in which that foot is slow.

    At the top of a flight feet are slow, too: frames that are so far above the lowest ones do not count.

    Args:
        heights: Lowest point of each foot [m]. Shape (K, F).
        places: Position of each foot, world [m]. Shape (K, F, 3).
        fps: Frames per second.
    """
    lowest = heights.argmin(axis=1)[:, None]
    speed = np.linalg.norm(np.gradient(places, 1 / fps, axis=0), axis=2)
    slow = np.take_along_axis(speed, lowest, axis=1)[:, 0] < SLOW
    low = np.take_along_axis(heights, lowest, axis=1)[:, 0]
    if not slow.any():
        return float(np.percentile(low, 5))
    low = low[slow]
    floor = max(np.percentile(low, 5), 0.0)  # what is below zero may be a spell in the ground
    return float(np.median(low[low <= floor + FLIGHT_HEIGHT]))


def full_qpos(model: "RobotModel", q: np.ndarray) -> np.ndarray:
    """A clip's configuration (7 + J,) as the model's qpos (nq,); joints without a servo stay at home."""
    qpos = model.home_qpos.copy()
    qpos[:7] = q[:7]
    qpos[model.qpos_adr] = q[7:]
    return qpos


def _matrix(quat: np.ndarray) -> np.ndarray:
    matrix = np.empty(9)
    mujoco.mju_quat2Mat(matrix, quat)
    return matrix.reshape(3, 3)
