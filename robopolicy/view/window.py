"""Watch in MuJoCo's own window, and drive with the keys."""

import os
import sys
import threading
import time
from collections.abc import Sequence

import numpy as np

from robopolicy.view.caption import Captions
from robopolicy.view.opengl import works
from robopolicy.view.performers import Performer
from robopolicy.view.tour import Channel, Part, at, drives, neutral
from robopolicy.view.video import bounds

UP, DOWN, LEFT, RIGHT, HOME, END, SPACE, ENTER = 265, 264, 263, 262, 268, 269, 32, 257  # GLFW's key codes
_PART_S = 3.0  # each part of a tour lasts so long [s]
_STEPS = 8  # key presses from the middle of a range to its end


class Keys:
    """A command set by key presses; until the first one, the tour goes on.

    Args:
        channels: What can be told.
    """

    def __init__(self, channels: Sequence[Channel]):
        self.channels = channels
        self.command: np.ndarray | None = None
        self._chosen = 0
        self._moves = {UP: (0, 1), DOWN: (0, -1)}
        if drives(channels):
            self._moves |= {LEFT: (2, 1), RIGHT: (2, -1), HOME: (1, 1), END: (1, -1)}

    @property
    def help(self) -> str:
        """The keys, for a person."""
        if drives(self.channels):
            return "up/down: faster/slower   left/right: turn   Home/End: sideways   Space: stop   Enter: tour"
        return "left/right: choose   up/down: change   Space: all to rest   Enter: tour"

    @property
    def chosen(self) -> str:
        """The channel that up and down change, where that is a choice."""
        return "" if drives(self.channels) or not self.channels else self.channels[self._chosen].name

    def press(self, key: int) -> None:
        """Change the command by a key (a GLFW code); other keys do nothing."""
        if not self.channels:
            return
        if key == ENTER:
            self.command = None
        elif key == SPACE:
            self.command = neutral(self.channels)
        elif key in self._moves:
            which, sign = self._moves[key]
            self._add(which if drives(self.channels) else self._chosen, sign)
        elif key in (LEFT, RIGHT):
            self._chosen = (self._chosen + (1 if key == RIGHT else -1)) % len(self.channels)

    def _add(self, which: int, sign: int) -> None:
        channel = self.channels[which]
        command = neutral(self.channels) if self.command is None else self.command.copy()
        moved = command[which] + sign * (channel.high - channel.low) / (2 * _STEPS)
        command[which] = np.clip(moved, channel.low, channel.high)
        self.command = np.where(np.abs(command) < 1e-9, 0.0, command)


def no_window() -> str:
    """Why no window can be opened here; empty where one can."""
    if sys.platform == "darwin":
        import mujoco.viewer

        if mujoco.viewer._MJPYTHON is None:
            return "on macOS a window needs mjpython: mjpython -m robopolicy.cli play ..."
        return ""
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return "there is no screen here (neither DISPLAY nor WAYLAND_DISPLAY is set)"
    return "" if works("glfw") else "the screen here gives no OpenGL window"


def show(performer: Performer, parts: Sequence[Part]) -> None:
    """Open a window and move in real time until it is closed.

    Args:
        performer: Who moves; a clip with an end begins anew.
        parts: What it is told, over and over, until a key takes over.
    """
    import mujoco
    import mujoco.viewer

    keys, captions = Keys(performer.channels), Captions(performer)
    data = mujoco.MjData(performer.model)
    qpos, qvel = performer.start()
    data.qpos[:] = qpos
    mujoco.mj_kinematics(performer.model, data)
    _, size = bounds(performer.model, data)
    print(keys.help if performer.channels else f"{performer.title}; close the window to end")
    others = set(threading.enumerate())
    with mujoco.viewer.launch_passive(
        performer.model, data, key_callback=keys.press, show_left_ui=False, show_right_ui=False
    ) as viewer:
        viewer.cam.type = mujoco.mjtCamera.mjCAMERA_TRACKING
        viewer.cam.trackbodyid = int(performer.model.jnt_bodyid[0])
        viewer.cam.distance, viewer.cam.azimuth, viewer.cam.elevation = 2.1 * size, 145, -13
        begin, step, fell = time.perf_counter(), 0, False
        while viewer.is_running():
            now = step * performer.dt
            whole = _PART_S * len(parts)
            part = at(parts, now % whole, whole)
            command = part.command if keys.command is None else keys.command
            label = keys.chosen if keys.command is not None else part.label
            rows = captions.read(command, qpos, qvel, fell)
            names = "\n".join([label or performer.title, *(row.name for row in rows)])
            values = "\n".join(["command  measured", *(f"{row.command}  {row.measured}" for row in rows)])
            with viewer.lock():
                data.qpos[:] = qpos
                mujoco.mj_forward(performer.model, data)
            viewer.set_texts((None, None, names, values))
            viewer.sync()
            qpos, qvel, fell = performer.step(command)
            step += 1
            if step * performer.dt >= performer.seconds:
                (qpos, qvel), step, begin = performer.start(), 0, time.perf_counter()
            late = time.perf_counter() - begin - step * performer.dt
            if late > 0.5:
                begin += late  # too slow a machine: play slowly rather than in leaps
            time.sleep(max(0.0, -late))
    for thread in set(threading.enumerate()) - others:
        thread.join(5.0)  # the window's own thread: it must let go of the graphics before the program ends
