"""Draw with MuJoCo's OpenGL renderer, on a screen's graphics or off-screen (EGL, OSMesa)."""

import copy
import importlib
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from robopolicy.errors import UserError
from robopolicy.view.stage import shown_groups

PACKAGES = {"egl": "libegl1", "osmesa": "libosmesa6", "glfw": "libgl1"}
"""Debian package that brings each kind of OpenGL."""

_TRIAL = """
import mujoco
context = mujoco.GLContext(64, 64)
context.make_current()
mujoco.MjrContext(mujoco.MjModel.from_xml_string("<mujoco/>"), 100)
"""


class OpenGlPainter:
    """A `robopolicy.view.video.Painter` on OpenGL."""

    def __init__(self, model: mujoco.MjModel, width: int, height: int, context: Any) -> None:
        self.model = _for_pictures(model, width, height)
        self.scene = mujoco.MjvScene(self.model, maxgeom=10_000)
        self.scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
        self.option = mujoco.MjvOption()
        self.option.geomgroup[:] = shown_groups(model)
        self.option.sitegroup[:] = 0
        self.gl = context(width, height)
        self.gl.make_current()
        self.context = mujoco.MjrContext(self.model, mujoco.mjtFontScale.mjFONTSCALE_150)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self.context)
        self.rect = mujoco.MjrRect(0, 0, width, height)
        self.picture = np.empty((height, width, 3), dtype=np.uint8)

    def draw(self, data: mujoco.MjData, camera: mujoco.MjvCamera) -> np.ndarray:
        """Draw the state in ``data``. Returns RGB bytes. Shape (height, width, 3)."""
        everything = mujoco.mjtCatBit.mjCAT_ALL
        mujoco.mjv_updateScene(self.model, data, self.option, None, camera, everything, self.scene)
        mujoco.mjr_render(self.rect, self.scene, self.context)
        mujoco.mjr_readPixels(self.picture, None, self.rect, self.context)
        return np.ascontiguousarray(self.picture[::-1])

    def close(self) -> None:
        """Free the OpenGL context."""
        self.context.free()
        self.gl.free()


@cache
def context_class() -> Any:
    """The OpenGL context to draw with, or None where there is none.

    ``MUJOCO_GL`` decides if it is set. Otherwise a screen's own graphics, else EGL on a graphics card, else
    OSMesa, else EGL in software: the first that works in a trial process.

    Raises:
        UserError: ``MUJOCO_GL`` names one that does not work.
    """
    asked = os.environ.get("MUJOCO_GL", "").lower().strip()
    if asked in ("disable", "disabled", "off", "false", "0"):
        return None
    if asked:
        if not works(asked):
            package = PACKAGES.get(asked)
            raise UserError(
                f"MUJOCO_GL={asked} does not work here: "
                + (f"apt install {package}, or unset it" if package else f"known: {', '.join(PACKAGES)}; or unset it")
            )
        return _load(asked)
    return next((_load(name) for name in _candidates() if works(name)), None)


def _candidates() -> list[str]:
    if sys.platform != "linux":
        return ["cgl" if sys.platform == "darwin" else "glfw"]
    screen = ["glfw"] if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") else []
    card = any(Path("/dev").glob("nvidia[0-9]*")) or any(Path("/dev/dri").glob("renderD*"))
    return [*screen, *(("egl", "osmesa") if card else ("osmesa", "egl"))]


def works(name: str) -> bool:
    """Try it in a process of its own: a missing driver may end the process, not just raise."""
    environment = {**os.environ, "MUJOCO_GL": name}
    environment.pop("PYOPENGL_PLATFORM", None)
    try:
        trial = subprocess.run([sys.executable, "-c", _TRIAL], env=environment, capture_output=True, timeout=60)
    except subprocess.TimeoutExpired:
        return False
    return trial.returncode == 0


def _load(name: str) -> Any:
    if name not in ("egl", "osmesa", "glfw", "cgl"):
        return mujoco.GLContext
    if name in ("egl", "osmesa"):
        os.environ["PYOPENGL_PLATFORM"] = name
    return importlib.import_module(f"mujoco.{name}").GLContext


def _for_pictures(model: mujoco.MjModel, width: int, height: int) -> mujoco.MjModel:
    """A copy of the model with the settings that draw fast: no multisampling, a small shadow map."""
    model = copy.copy(model)
    model.vis.quality.offsamples = 0
    model.vis.quality.shadowsize = 1024
    model.vis.global_.offwidth = max(width, model.vis.global_.offwidth)
    model.vis.global_.offheight = max(height, model.vis.global_.offheight)
    return model
