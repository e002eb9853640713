"""Dog keypoints: the text files that the quadruped imitation projects retarget from (``dog_walk00_joint_pos.txt``).

No header; a line per frame of 81 numbers with commas between them: 27 points x, y, z in metres, y up, at 60 frames a
second unless told otherwise. The points are a dog's joints: 0 hips, 1 and 2 spine, 3 neck, 4 head, 6 to 10 the left
front leg from shoulder to toe, 11 to 15 the right one, 16 to 19 the left hind leg from hip to toe, 20 to 23 the right
one, 24 to 26 the tail.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from robopolicy.errors import UserError
from robopolicy.motion.clip import Clip
from robopolicy.motion.importing.recording import AS_WRITTEN, Options, note
from robopolicy.motion.pose import quat_rotate
from robopolicy.motion.retarget.skeleton import Y_TO_Z_UP, SkeletonMotion

if TYPE_CHECKING:
    from robopolicy.robot import RobotModel

LAYOUT = "text of 81 numbers a line: 27 points of a dog, y up (dog_*_joint_pos.txt)"
TAKES = ("fps",)
POINTS = {
    "pelvis": 0, "neck": 3,
    "fl_hip": 6, "fl_toe": 10, "fr_hip": 11, "fr_toe": 15,
    "rl_hip": 16, "rl_toe": 19, "rr_hip": 20, "rr_toe": 23,
}  # fmt: skip
COLUMNS = 81
FPS = 60.0


def mismatch(path: Path) -> str:
    """Why the file is not of this layout; empty if it is."""
    with path.open("rb") as file:
        first = file.readline(COLUMNS * 40).decode("utf-8", errors="replace").strip()
    words = first.split(",")
    if len(words) != COLUMNS:
        return f"the first line has {len(words)} numbers, not {COLUMNS}"
    try:
        np.array(words, dtype=float)
    except ValueError:
        return "the first line holds something that is not a number"
    return ""


def read(path: Path, model: "RobotModel", options: Options = AS_WRITTEN) -> Clip:
    """The dog's motion retargeted to a quadruped, its feet as they come: not locked.

    Raises:
        UserError: The file is broken, or the robot has no four feet.
    """
    from robopolicy.motion.retarget.solve import retarget

    return retarget(load(path, options), model)


def load(path: Path, options: Options = AS_WRITTEN) -> SkeletonMotion:
    """The dog's points, z up.

    Raises:
        UserError: The file is broken; the message has the line.
    """
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = np.array(line.split(","), dtype=float)
        except ValueError:
            raise UserError(f"{path}: line {number} holds something that is not a number") from None
        if len(row) != COLUMNS or not np.isfinite(row).all():
            raise UserError(f"{path}: line {number} has {len(row)} numbers, not {COLUMNS}, or one that is not finite")
        rows.append(row)
    if len(rows) < 4:
        raise UserError(f"{path}: has {len(rows)} frames; a motion needs at least 4")
    if options.fps is None:
        note(path, f"dog keypoints do not say their rate: taken as {FPS:g} frames per second (or give --fps)")
    points = np.array(rows).reshape(len(rows), -1, 3)[:, list(POINTS.values())]
    return SkeletonMotion(
        name=path.stem,
        fps=FPS if options.fps is None else options.fps,
        joint_names=tuple(POINTS),
        parents=(),
        positions=quat_rotate(Y_TO_Z_UP, points),
        source=f"imported from {path.name} (dog keypoints)",
    )
