"""The robot's clips: as a ghost beside it, or, where nobody else moves it, played by the robot itself."""

import numpy as np
import viser

from robopolicy.view.tour import drives
from robopolicy.view.web.panel import Guard, Moment
from robopolicy.view.web.repertoire import Repertoire
from robopolicy.view.web.subject import Subject

_NONE, _NEAREST = "none", "nearest"
_PER_ROW = 2  # emotes


class ClipsPanel:
    """Chooses the ghost, and the clip that is played.

    Args:
        gui: Where to put it.
        subject: The robot.
        repertoire: Its clips.
        guard: Runs what is clicked.

    Attributes:
        ghost: Name of the ghost's clip; None without one.
        began: When the ghost began it [s].
    """

    def __init__(self, gui: viser.GuiApi, subject: Subject, repertoire: Repertoire, guard: Guard):
        self._subject, self._repertoire = subject, repertoire
        self.ghost: str | None = None
        names = tuple(repertoire.clips)
        can_follow = drives(subject.channels) and bool(subject.clips)
        choices = (_NONE, *([_NEAREST] if can_follow else []), *names)
        first = _NEAREST if can_follow else _NONE
        self._menu = gui.add_dropdown("ghost", choices, initial_value=first, hint="nearest: to the command")
        self.began = 0.0
        act = self._imagine if subject.channels else self._play
        if not subject.channels:
            other = gui.add_dropdown("play", names)
            other.on_update(lambda _: guard.later("play", lambda: subject.perform(other.value, once=False)))
        for k in range(0, len(repertoire.emotes), _PER_ROW):
            row = gui.add_button_group("" if k else "emotes", repertoire.emotes[k : k + _PER_ROW])
            row.on_click(lambda event: guard.later("emote", lambda: act(event.target.value)))

    def _play(self, name: str) -> None:
        self._subject.perform(name, once=True)

    def _imagine(self, name: str) -> None:
        self._menu.value = name

    def follow(self, time: float, command: np.ndarray, style: str) -> str | None:
        """Name of the clip that the ghost shows.

        Args:
            time: Now [s].
            command: What the robot is told. Shape (C,).
            style: The style that it is told, where there are several.
        """
        chosen = self._menu.value
        if chosen == _NEAREST:
            name = self._repertoire.nearest(command, style)
        else:
            name = None if chosen == _NONE else chosen
        if name != self.ghost:
            self.ghost, self.began = name, time
        return name

    def update(self, moment: Moment) -> None:
        """Nothing to show: the ghost is in the scene."""
