"""Draw by casting rays with MuJoCo itself: slower and plainer than OpenGL, but needs no graphics library."""

import mujoco
import numpy as np

from robopolicy.view.stage import shown_groups

_SKY_TOP = np.array([0.52, 0.64, 0.78], dtype=np.float32)
_SKY_LOW = np.array([0.93, 0.95, 0.97], dtype=np.float32)
_FLOOR = np.array([[0.80, 0.82, 0.84], [0.72, 0.745, 0.77]], dtype=np.float32)
_SUN = np.array([0.35, 0.3, 1.0]) / np.linalg.norm([0.35, 0.3, 1.0])
_TILE = 0.5  # [m]
_SUN_DISTANCE = 30.0  # [m]


class RayPainter:
    """A `robopolicy.view.video.Painter` on `mujoco.mj_multiRay`."""

    def __init__(self, model: mujoco.MjModel, width: int, height: int) -> None:
        self.model, self.width, self.height = model, width, height
        self.groups = shown_groups(model)
        colour = model.geom_rgba[:, :3].copy()
        with_material = model.geom_matid >= 0
        colour[with_material] = model.mat_rgba[model.geom_matid[with_material], :3]
        self.colour = colour.astype(np.float32)
        self.is_floor = model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE
        tall = 2 * np.tan(np.radians(model.vis.global_.fovy) / 2)
        across = (np.arange(width) + 0.5 - width / 2) / height * tall
        up = (height / 2 - np.arange(height) - 0.5) / height * tall
        self.across, self.up = np.meshgrid(across, up)

    def draw(self, data: mujoco.MjData, camera: mujoco.MjvCamera) -> np.ndarray:
        """Draw the state in ``data``. Returns RGB bytes. Shape (height, width, 3)."""
        azimuth, elevation = np.radians(camera.azimuth), np.radians(camera.elevation)
        forward = np.array(
            [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)]
        )
        right = np.array([np.sin(azimuth), -np.cos(azimuth), 0.0])
        eye = np.asarray(camera.lookat) - camera.distance * forward
        rays = forward + self.across[..., None] * right + self.up[..., None] * np.cross(right, forward)
        rays = rays.reshape(-1, 3)
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        geom, distance, normal = self._cast(data, eye, rays)
        picture = _SKY_LOW + np.clip(rays[:, 2:], 0, 1).astype(np.float32) * 2 * (_SKY_TOP - _SKY_LOW)
        hit = np.flatnonzero(geom >= 0)
        point = eye + rays[hit] * distance[hit, None]
        facing = normal[hit]
        facing = np.where((facing * rays[hit]).sum(axis=1, keepdims=True) > 0, -facing, facing)
        base = self.colour[geom[hit]]
        floor = self.is_floor[geom[hit]]
        tile = np.floor(point[floor, :2] / _TILE).astype(int).sum(axis=1) % 2
        base[floor] = _FLOOR[tile]
        near = np.linalg.norm(point - np.asarray(camera.lookat), axis=1) < 0.5 * camera.distance
        lit = np.ones(len(hit))
        lit[near] = self._lit(data, point[near], np.asarray(camera.lookat))
        sun = np.clip(facing @ _SUN, 0, 1) * lit
        head = np.clip(-(facing * rays[hit]).sum(axis=1), 0, 1)
        light = 0.5 + 0.5 * sun + 0.16 * head
        colour = base * light[:, None].astype(np.float32)
        haze = np.clip((distance[hit] / camera.distance - 2) / 12, 0, 1) ** 0.7 * floor
        picture[hit] = colour + haze[:, None].astype(np.float32) * (_SKY_LOW - colour)
        return (np.clip(picture, 0, 1) * 255).astype(np.uint8).reshape(self.height, self.width, 3)

    def close(self) -> None:
        """Nothing is held."""

    def _cast(self, data: mujoco.MjData, origin: np.ndarray, rays: np.ndarray):
        """First geom on each ray (-1: none), its distance [m] and normal. Shapes (R,), (R,), (R, 3)."""
        count = len(rays)
        geom, distance, normal = np.full(count, -1, np.int32), np.zeros(count), np.zeros(3 * count)
        flat = np.ascontiguousarray(rays).ravel()
        mujoco.mj_multiRay(
            self.model, data, origin, flat, self.groups, 1, -1, geom, distance, normal, count, mujoco.mjMAXVAL
        )
        return geom, distance, normal.reshape(-1, 3)

    def _lit(self, data: mujoco.MjData, points: np.ndarray, centre: np.ndarray) -> np.ndarray:
        """1 where the sun reaches a point, 0 in shadow. Shape (R,).

        The sun is far but finite, so that all its rays start in one point.
        """
        if not len(points):
            return np.ones(0)
        sun = centre + _SUN_DISTANCE * _SUN
        rays = points - sun
        far = np.linalg.norm(rays, axis=1)
        _, distance, _ = self._cast(data, sun, rays / far[:, None])
        return (distance > far - 2e-3).astype(float)
