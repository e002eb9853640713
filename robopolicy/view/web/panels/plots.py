"""Torques and joint angles over the last seconds."""

from collections import deque
from collections.abc import Sequence

import numpy as np
import viser
from viser.uplot import Series

from robopolicy.view.web.panel import Moment

_KEPT = 100  # points of a curve
_COLOURS = ("#1c7ed6", "#e8590c", "#2b8a3e", "#9c36b5", "#c92a2a", "#0c8599", "#f08c00", "#5f3dc4")


class PlotsPanel:
    """Two charts: the angles of one joint or of all, with the servo's target for one; and their torques.

    Args:
        gui: Where to put it.
        joints: Their names.
        torques: Whether torques are known.
    """

    def __init__(self, gui: viser.GuiApi, joints: Sequence[str], torques: bool):
        self._joints = tuple(joints)
        self._rows: deque[tuple[float, np.ndarray, np.ndarray, np.ndarray]] = deque(maxlen=_KEPT)
        self._menu = gui.add_dropdown("joint", (*self._joints, "all"))
        data, series = (np.zeros(2), np.zeros(2)), _series(["-"])
        self._angle = gui.add_uplot(data, series, title="angle [rad]", aspect=1.9)
        self._torque = gui.add_uplot(data, series, title="torque [N m]", aspect=1.9) if torques else None
        self._shown = ""

    def note(self, moment: Moment) -> None:
        """Remember an instant."""
        unknown = np.full(len(self._joints), np.nan)
        target = unknown if moment.look.target is None else moment.look.target
        torque = unknown if moment.look.torque is None else moment.look.torque
        self._rows.append((moment.time, moment.qpos[7:], target, torque))

    def update(self, moment: Moment) -> None:
        """Draw the curves anew."""
        if len(self._rows) < 2:
            return
        time, angle, target, torque = (np.array(column) for column in zip(*self._rows, strict=True))
        if self._menu.value == "all":
            columns, names = list(range(len(self._joints))), list(self._joints)
            angles, angle_names = [angle[:, i] for i in columns], names
        else:
            i = self._joints.index(self._menu.value)
            columns, names = [i], [self._joints[i]]
            angles, angle_names = [angle[:, i], target[:, i]], [self._joints[i], "target"]
            if np.isnan(target).all():
                angles, angle_names = angles[:1], angle_names[:1]
        if self._menu.value != self._shown:
            self._shown = self._menu.value
            self._angle.series = _series(angle_names)
            if self._torque is not None:
                self._torque.series = _series(names)
        self._angle.data = (time, *angles)
        if self._torque is not None:
            self._torque.data = (time, *(torque[:, i] for i in columns))


def _series(names: Sequence[str]) -> tuple[Series, ...]:
    colours = [_COLOURS[i % len(_COLOURS)] for i in range(len(names))]
    curves = (Series(label=n, stroke=c, width=1.5) for n, c in zip(names, colours, strict=True))
    return (Series(label="s"), *curves)
