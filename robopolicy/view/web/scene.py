"""The robots in three dimensions, on a ground that moves under them."""

import mujoco
import numpy as np
import torch
import viser
from mjviser import ViserMujocoScene
from mjviser.conversions import merge_geoms

from robopolicy.env.terrain import Ground, Terrain
from robopolicy.view.ghost import ghost_stage, with_ghost
from robopolicy.view.stage import shown_groups
from robopolicy.view.video import bounds
from robopolicy.view.web.landscape import Landscape

_OPACITY, _TINT = 0.4, (26, 107, 217)
_AZIMUTH, _ELEVATION, _DISTANCE = np.radians(145.0), np.radians(-13.0), 2.1  # as in a film; the last in robot sizes
_BESIDE = 0.9  # distance of the ghost, in robot sizes
_FOLLOW_S = 0.3  # the camera follows the robot over this long [s], so that its steps are seen
_FOV = np.radians(45.0)
_CELL = 0.5  # of the floor's grid [m]
_REACH, _SQUARE = 4.0, 6  # of the landscape around one robot [m], and cells of its chessboard's squares
_NARROW = 2  # the same cells where several robots stand side by side, each on a piece of its own


class Scene:
    """Draws states.

    Args:
        server: The page.
        spec: The robot.
        home: A state to place the camera by. Shape (nq,).
        count: How many robots stand side by side.
        terrain: What they stand on, if it is no plane.

    Attributes:
        size: Largest side of the robot [m].
        beside: From the robot to its ghost, to the left on the page wherever the robot faces [m]. Shape (2,).
    """

    def __init__(
        self,
        server: viser.ViserServer,
        spec: mujoco.MjSpec,
        home: np.ndarray,
        count: int = 1,
        terrain: Terrain | None = None,
    ):
        self._server = server
        self._model = model = ghost_stage(spec, _OPACITY)
        self._data = mujoco.MjData(model)
        shown = np.flatnonzero(shown_groups(model))
        ghost = np.array([model.body(b).name.startswith("ghost_") for b in range(model.nbody)])
        seen = np.isin(model.geom_group, shown)
        # mjviser shows the groups 0, 1 and 2, and nothing that can be seen through: the ghost is drawn apart.
        model.geom_group[:] = np.where(seen & ~ghost[model.geom_bodyid], 0, 5)
        model.site_group[:] = 5
        self._scene = ViserMujocoScene(server, model, count)
        self._scene.camera_tracking_enabled = False
        self._scene.fixed_bodies_frame.visible = False  # its floor would stand still: ours is below
        self._ghost: dict[int, viser.MeshHandle] = {}
        for body in np.flatnonzero(ghost):
            geoms = np.flatnonzero(seen & (model.geom_bodyid == body))
            if len(geoms):
                mesh = merge_geoms(model, geoms.tolist())
                self._ghost[int(body)] = server.scene.add_mesh_simple(
                    f"/ghost/{body}", np.asarray(mesh.vertices), np.asarray(mesh.faces), color=_TINT,
                    opacity=_OPACITY, cast_shadow=False, receive_shadow=False, visible=False,
                )  # fmt: skip
        self._centre: np.ndarray | None = None
        self._ground = None if terrain is None else Ground(terrain, torch.device("cpu"))
        home = home.copy()
        if self._ground is not None:
            home[2] -= float(self._ground.standing_height(torch.as_tensor(home[None, :2]))[0])
        self._standing = home[2]
        self._data.qpos[:] = with_ghost(home[None], home[None])[0]
        mujoco.mj_kinematics(model, self._data)
        middle, self.size = bounds(model, self._data)
        self._spacing = 1.2 * self.size
        self.beside = _BESIDE * self.size * np.array([-np.sin(_AZIMUTH), np.cos(_AZIMUTH)])
        self._floor = server.scene.add_grid(
            "/floor", infinite_grid=True, cell_size=_CELL, section_size=2 * _CELL, cell_color=(205, 208, 212),
            section_color=(170, 176, 184), fade_distance=12 * self.size, plane_color=(236, 238, 240), plane_opacity=1.0,
            shadow_opacity=0.25, visible=terrain is None,
        )  # fmt: skip
        self._land: list[Landscape] = []
        if terrain is not None:
            reach, square = _REACH, _SQUARE
            if count > 1:  # pieces move by steps, and must not reach their neighbours
                square, room = _NARROW, 4 * _NARROW * terrain.cell
                self._spacing += room
                reach = self._spacing / 2 - room / 4
            self._land = [Landscape(server, f"/land/{i}", terrain, reach, square) for i in range(count)]
        away = -np.array(
            [np.cos(_AZIMUTH) * np.cos(_ELEVATION), np.sin(_AZIMUTH) * np.cos(_ELEVATION), np.sin(_ELEVATION)]
        )
        camera = server.initial_camera
        camera.look_at, camera.up = (0.0, 0.0, float(middle[2])), (0.0, 0.0, 1.0)
        x, y, z = np.array([0.0, 0.0, middle[2]]) + _DISTANCE * self.size * away
        camera.position, camera.fov = (float(x), float(y), float(z)), float(_FOV)

    def draw(self, qpos: np.ndarray, chosen: int, dt: float, ghost: np.ndarray | None = None) -> None:
        """Show all robots, each above its place in a row, the chosen one in the middle of the page.

        Args:
            qpos: Shape (count, nq).
            chosen: Which robot the camera follows.
            dt: Time since the last picture [s].
            ghost: State of the chosen robot's ghost. Shape (nq,).
        """
        turned = np.empty((self._model.nbody, 4))
        self._follow(qpos[:, :3], dt)
        assert self._centre is not None
        place = np.zeros((len(qpos), 3))
        place[:, 1] = self._spacing * (np.arange(len(qpos)) - chosen)
        place -= self._centre
        position = np.empty((len(qpos), self._model.nbody, 3))
        rotation = np.empty((len(qpos), self._model.nbody, 3, 3))
        for i, state in enumerate(qpos):
            second = ghost if ghost is not None and i == chosen else state
            self._data.qpos[:] = with_ghost(state[None], second[None])[0]
            mujoco.mj_kinematics(self._model, self._data)
            position[i] = self._data.xpos + place[i]
            rotation[i] = self._data.xmat.reshape(-1, 3, 3)
            if i == chosen:
                turned = self._data.xquat.copy()
        with self._server.atomic():
            self._floor.position = (*(-np.mod(self._centre[chosen, :2], 2 * _CELL)), 0.0)
            for land, centre, shift in zip(self._land, self._centre, place):
                land.draw(centre[:2], shift)
            for body, mesh in self._ghost.items():
                mesh.visible = ghost is not None
                mesh.position, mesh.wxyz = position[chosen, body], turned[body]
            self._scene.update_from_arrays(position, rotation, env_idx=chosen)

    def height(self, place: np.ndarray) -> float:
        """Of the ground [m] at a place in the world [m], (2,)."""
        return 0.0 if self._ground is None else float(self._ground.height(torch.as_tensor(place)))

    def _follow(self, base: np.ndarray, dt: float) -> None:
        """Centre of every robot's place, at the height of its feet; that of a plane is 0. Shape (count, 3)."""
        feet = base - [0.0, 0.0, self._standing]
        if self._ground is None:
            feet[:, 2] = 0.0
        if self._centre is None:
            self._centre = feet.copy()
        gone = np.linalg.norm((feet - self._centre)[:, :2], axis=1) > self.size  # it began anew elsewhere
        self._centre += min(1.0, dt / _FOLLOW_S) * (feet - self._centre)
        self._centre[gone] = feet[gone]
