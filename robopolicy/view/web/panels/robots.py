"""Which robot to look at."""

import viser

from robopolicy.view.web.panel import Guard, Moment
from robopolicy.view.web.subject import Subject


class RobotsPanel:
    """Chooses one of several robots.

    Args:
        gui: Where to put it.
        subject: The robots.
        guard: Runs what is clicked.
    """

    def __init__(self, gui: viser.GuiApi, subject: Subject, guard: Guard):
        self._subject = subject
        self._names = tuple(f"robot {i + 1}" for i in range(subject.count))
        self._menu = gui.add_dropdown("look at", self._names, hint="each has another body, as in training")
        self._menu.on_update(lambda _: guard.later("look at", self._choose))

    def _choose(self) -> None:
        self._subject.chosen = self._names.index(self._menu.value)

    def update(self, moment: Moment) -> None:
        """Nothing to show."""
