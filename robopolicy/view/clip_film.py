"""A clip as a film, or as a sheet of pictures."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from robopolicy.errors import UserError
from robopolicy.motion.feet import full_qpos
from robopolicy.view.stage import stage
from robopolicy.view.video import contact_sheet, frames, render, write_on

if TYPE_CHECKING:
    from robopolicy.motion.clip import Clip
    from robopolicy.robot import RobotModel

FPS = 30.0
"""Pictures per second of a film."""
SHEET = 12
"""Pictures on a sheet."""


def check_output(path: Path) -> None:
    """Refuse what cannot be written before any work is done.

    Raises:
        UserError: It is neither film nor picture, or its folder does not exist.
    """
    if path.suffix not in (".mp4", ".png"):
        raise UserError(f"--output {path}: a film ends in .mp4, a sheet of pictures in .png")
    if not path.resolve().parent.is_dir():
        raise UserError(f"--output {path}: no folder {path.resolve().parent}")


def film_clip(clip: "Clip", model: "RobotModel", path: Path) -> None:
    """Draw a clip at its own speed; an earlier file stays whole if anything goes wrong.

    Args:
        clip: In the robot's joint order.
        model: The robot.
        path: An .mp4, or a .png with pictures at equal times.

    Raises:
        UserError: The file cannot be written.
    """
    check_output(path)
    film = path.suffix == ".mp4"
    count = max(1, round(clip.duration * FPS)) if film else SHEET
    times = np.arange(count) / FPS if film else np.linspace(0.0, clip.duration, count, endpoint=not clip.loop)
    qpos = np.array([full_qpos(model, q) for q in clip.sample(times)[0]])
    if film:
        render(stage(model.spec), qpos, path, FPS)
        return
    pictures = frames(stage(model.spec), qpos, width=480, height=400, zoom=1.15)
    contact_sheet((write_on(p, f"{t:.2f} s") for p, t in zip(pictures, times, strict=True)), path)
