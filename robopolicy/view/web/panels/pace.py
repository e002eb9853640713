"""Pause, one step, slow motion, begin anew."""

from collections.abc import Callable

import viser

from robopolicy.view.web.pace import Pace
from robopolicy.view.web.panel import Guard, Moment

_SPEEDS = {"real time": 1.0, "1/2": 0.5, "1/4": 0.25, "1/10": 0.1}


class PacePanel:
    """Controls time.

    Args:
        gui: Where to put it.
        pace: What it controls.
        restart: Puts the robot at its start.
        guard: Runs what is clicked.
    """

    def __init__(self, gui: viser.GuiApi, pace: Pace, restart: Callable[[], None], guard: Guard):
        self._pace = pace
        self._paused = gui.add_checkbox("pause", False)
        self._speed = gui.add_dropdown("speed", tuple(_SPEEDS), initial_value="real time")
        buttons = gui.add_button_group("time", ("step", "reset"))
        actions = {"step": self._step, "reset": restart}
        buttons.on_click(lambda event: guard.later("time", actions[event.target.value]))
        self._paused.on_update(lambda _: guard.later("time", self._read))
        self._speed.on_update(lambda _: guard.later("time", self._read))

    def _read(self) -> None:
        self._pace.paused, self._pace.speed = self._paused.value, _SPEEDS[self._speed.value]

    def halt(self) -> None:
        """Pause, as if a person had."""
        self._paused.value = self._pace.paused = True

    def turn(self) -> None:
        """Pause or go on, as if a person had."""
        self._paused.value = self._pace.paused = not self._pace.paused

    def _step(self) -> None:
        self.halt()
        self._pace.ask_step()

    def update(self, moment: Moment) -> None:
        """Nothing to show."""
