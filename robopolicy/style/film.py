"""The film: each policy with its clip over it as a ghost, in step."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from robopolicy.robot import RobotModel
from robopolicy.style.showcase import Showcase
from robopolicy.view.ghost import can_overlay, ghost_stage, with_ghost
from robopolicy.view.video import frames, write_mp4, write_on

SECONDS = 5.0
"""Length of the film, or as long as the longest of the policies stands."""
_WIDTH, _HEIGHT = 480, 400  # of one of several panels; one alone is larger
_STRIDE = 2  # every second control step is a picture
_AZIMUTH = 112.0  # nearly from the side: legs show most


def film(shows: Sequence[Showcase], robot: RobotModel, path: Path) -> np.ndarray:
    """Write the film, one panel per policy.

    Args:
        shows: What to show.
        robot: Their robot.
        path: The mp4.

    Returns:
        A sheet of pictures from its first stride. RGB bytes.
    """
    over = can_overlay()
    model = ghost_stage(robot.robot.compile().spec, 0.45 if over else 1.0)  # with all that a robot wears
    dt = shows[0].dt
    count = min(max(len(s.frame) for s in shows), round(SECONDS / dt))
    panels, scale = [], 2 if len(shows) == 1 else 1
    for show in shows:
        ours, theirs = show.ghost()
        kept = np.minimum(np.arange(0, count, _STRIDE), len(ours) - 1)  # who is done waits for the others
        states = with_ghost(ours[kept], theirs[kept], 0.0 if over else 0.6)
        text = _caption(show, over)
        drawn = frames(model, states, width=scale * _WIDTH, height=scale * _HEIGHT, azimuth=_AZIMUTH, zoom=1.25)
        panels.append([write_on(picture, text) for picture in drawn])
    pictures = [np.concatenate(parts, axis=1) for parts in zip(*panels, strict=True)]
    write_mp4(iter(pictures), path, 1 / (_STRIDE * dt))
    chosen = np.linspace(0, min(len(pictures) - 1, round(0.75 / (_STRIDE * dt))), 4).round().astype(int)
    return np.concatenate([np.concatenate([panel[k] for k in chosen], axis=1) for panel in panels], axis=0)


def _caption(show: Showcase, over: bool) -> str:
    forward, left, turn = show.command
    told = f"told {forward:.2f} m/s" + (f", {left:+.2f} left" if abs(left) > 0.02 else "")
    told += f", {turn:+.2f} rad/s" if abs(turn) > 0.05 else ""
    where = "blue ghost" if over else "blue, beside it"
    pace = "" if show.pace is None else f"\n{show.pace:.2f} x its stride rate"
    return f"{show.label}: {told}\n{where}: {show.clip}{pace}"
