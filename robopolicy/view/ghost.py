"""Two robots in one picture: one as it is, and a pale one over or beside it to compare with."""

import mujoco
import numpy as np

from robopolicy.view.opengl import context_class
from robopolicy.view.stage import stage

_TINT = (0.10, 0.42, 0.85)
_SHRINK = 0.97


def can_overlay() -> bool:
    """Whether pictures have see-through shapes here; cast rays have not."""
    return context_class() is not None


def ghost_stage(spec: mujoco.MjSpec, opacity: float) -> mujoco.MjModel:
    """A stage with the robot and its ghost, blue and see-through.

    Args:
        spec: The robot; it is not changed.
        opacity: Of the ghost.

    Returns:
        A model for pictures; its qpos is that of the robot, then that of the ghost.
    """
    both, ghost = spec.copy(), spec.copy()
    for one in (both, ghost):
        for key in list(one.keys):
            one.delete(key)
        for sensor in list(one.sensors):
            one.delete(sensor)
    for geom in list(ghost.worldbody.geoms):
        ghost.delete(geom)
    for light in list(ghost.lights):
        ghost.delete(light)
    for geom in ghost.geoms:
        geom.material, geom.rgba = "", [*_TINT, opacity]
        # A little smaller than the robot, so that it is seen where the two differ and hidden where they agree.
        geom.size = geom.size * _SHRINK
    for mesh in ghost.meshes:
        mesh.scale = mesh.scale * _SHRINK
    both.attach(ghost, prefix="ghost_", frame=both.worldbody.add_frame())
    model = stage(both)
    model.vis.map.shadowclip = 5.0  # the view from the side reaches farther
    return model


def with_ghost(qpos: np.ndarray, ghost: np.ndarray, beside: float = 0.0) -> np.ndarray:
    """States of a ``ghost_stage``.

    Args:
        qpos: Of the robot. Shape (K, nq).
        ghost: Of the ghost. Shape (K, nq).
        beside: The ghost is moved so far along y [m].

    Returns:
        Shape (K, 2 nq).
    """
    moved = ghost.copy()
    moved[:, 1] += beside
    return np.concatenate((qpos, moved), axis=1)
