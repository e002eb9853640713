"""Hand-made clips, and where feet are, written apart from the code under test."""

import mujoco
import numpy as np

from robopolicy.motion.clip import Clip, velocities
from robopolicy.robot import RobotModel


def make_arc(frames: int = 40, fps: float = 20.0, vx: float = 0.5, wz: float = 0.4) -> Clip:
    """A loop of 40 frames at 20 per second, which is 2 s."""
    times = np.arange(frames) / fps
    qpos = arc_state(times, frames / fps, vx, wz)
    end = arc_state(np.array([frames / fps]), frames / fps, vx, wz)[0]
    cycle = np.array([end[0], end[1], wz * frames / fps])
    qvel = velocities(qpos, fps, cycle)
    return Clip("arc", fps, ("a", "b"), qpos, qvel, loop=True, phase=np.arange(frames) / frames, robot="toy")


def arc_state(times: np.ndarray, period: float, vx: float = 0.5, wz: float = 0.4) -> np.ndarray:
    """The arc at any time. Shape (K, 9)."""
    yaw = wz * times
    x, y = vx / wz * np.sin(yaw), vx / wz * (1 - np.cos(yaw))
    zero = np.zeros_like(times)
    swing = 2 * np.pi * times / period
    height = 0.3 + 0.01 * np.sin(swing)
    return np.stack(
        [
            x,
            y,
            height,
            np.cos(yaw / 2),
            zero,
            zero,
            np.sin(yaw / 2),
            0.3 * np.sin(swing),
            0.2 * np.cos(swing),
        ],
        axis=1,
    )


def foot_bottoms(model: RobotModel, qpos: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lowest points (K, F) and sites (K, F, 3) from the corners of boxes and the radii of spheres.

    Written apart from the code under test.
    """
    data, mj = mujoco.MjData(model.mj), model.mj
    heights, places = [], []
    for q in qpos:
        data.qpos[:] = q
        mujoco.mj_kinematics(mj, data)
        row = []
        for body in model.foot_bodies:
            low = np.inf
            for geom in range(mj.ngeom):
                if mj.geom_bodyid[geom] != body or not mj.geom_contype[geom]:
                    continue
                if mj.geom_type[geom] == mujoco.mjtGeom.mjGEOM_SPHERE:
                    low = min(low, data.geom_xpos[geom, 2] - mj.geom_size[geom, 0])
                else:
                    assert mj.geom_type[geom] == mujoco.mjtGeom.mjGEOM_BOX
                    signs = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1])).reshape(3, -1).T
                    corners = data.geom_xpos[geom] + (signs * mj.geom_size[geom]) @ data.geom_xmat[geom].reshape(3, 3).T
                    low = min(low, corners[:, 2].min())
            row.append(low)
        heights.append(row)
        places.append(data.site_xpos[model.foot_sites].copy())
    return np.array(heights), np.array(places)
