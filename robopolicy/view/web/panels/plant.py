"""Pushing the robot, and changing it and the ground."""

import numpy as np
import viser

from robopolicy.motion.pose import heading, rotate2
from robopolicy.view.web.panel import Guard, Moment
from robopolicy.view.web.subject import Plant, Subject

_WAYS = {"forward": (1, 0), "backward": (-1, 0), "left": (0, 1), "right": (0, -1)}


class PlantPanel:
    """Pushes the chosen robot; changes all of them while they move.

    Args:
        gui: Where to put it.
        subject: The robots.
        guard: Runs what is clicked.
    """

    def __init__(self, gui: viser.GuiApi, subject: Subject, guard: Guard):
        self._subject = subject
        self._yaw = 0.0
        self._strength = gui.add_slider("push [m/s]", 0.1, 2.0, 0.1, 0.5, hint="how much the velocity changes at once")
        ways = gui.add_button_group("push", tuple(_WAYS))
        ways.on_click(lambda event: guard.later("push", lambda: self.push(event.target.value)))
        self._friction = gui.add_slider("floor friction", 0.1, 2.0, 0.05, 1.0, hint="times what it was")
        least, most = -0.5 * subject.base_mass, 1.0 * subject.base_mass
        self._mass = gui.add_slider("load [kg]", round(least, 1), round(most, 1), 0.1, 0.0, hint="added to the base")
        step, last = 1000 * subject.step_latency, 1000 * subject.max_latency
        self._latency = gui.add_slider("latency [ms]", 0.0, last, step, 0.0, hint="added")
        for slider in (self._friction, self._mass, self._latency):
            slider.on_update(lambda _: guard.later("plant", self._change))
        gui.add_button("as it was").on_click(lambda _: self._undo())

    def push(self, way: str) -> None:
        """Push, as strongly as the slider says, ``forward``, ``backward``, ``left`` or ``right``."""
        velocity = self._strength.value * np.array(_WAYS[way], dtype=float)
        self._subject.push(rotate2(np.array(self._yaw), velocity))

    def _change(self) -> None:
        told = [float(np.clip(np.nan_to_num(s.value), s.min, s.max)) for s in (self._friction, self._mass)]
        latency = float(np.clip(np.nan_to_num(self._latency.value), 0.0, self._latency.max)) / 1000
        self._subject.change(Plant(told[0], told[1], latency))

    def _undo(self) -> None:
        self._friction.value, self._mass.value, self._latency.value = 1.0, 0.0, 0.0

    def update(self, moment: Moment) -> None:
        """Remember where the robot faces."""
        self._yaw = float(heading(moment.qpos[3:7]))
