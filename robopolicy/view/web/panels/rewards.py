"""What every reward term gives now."""

import viser

from robopolicy.view.web.html import bar, box
from robopolicy.view.web.panel import Moment

_SHARE = 0.3  # of the newest value in what is shown: what is noisy stays readable


class RewardsPanel:
    """A bar per term, times its weight, per second; as long as the longest so far.

    Args:
        gui: Where to put it.
    """

    def __init__(self, gui: viser.GuiApi):
        self._html = gui.add_html("")
        self._mean: dict[str, float] = {}
        self._scale = 1e-3

    def update(self, moment: Moment) -> None:
        """Draw the bars anew."""
        for name, value in moment.look.rewards.items():
            self._mean[name] = self._mean.get(name, value) + _SHARE * (value - self._mean.get(name, value))
        self._scale = max(self._scale, *(abs(value) for value in self._mean.values()))
        rows = "".join(bar(name, value, self._scale, "reward") for name, value in self._mean.items())
        self._html.content = box(rows + bar("sum", sum(self._mean.values()), self._scale, "reward-sum"))
