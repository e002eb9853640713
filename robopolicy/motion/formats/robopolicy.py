"""Our own clip files."""

from pathlib import Path
from typing import TYPE_CHECKING

from robopolicy.motion.clip import REQUIRED, Clip
from robopolicy.motion.importing.arrays import npz_fields
from robopolicy.motion.importing.recording import AS_WRITTEN, Options

if TYPE_CHECKING:
    from robopolicy.robot import RobotModel

LAYOUT = "npz with fps, joint_names, qpos (K, 7 + J), qvel (K, 6 + J), loop"
TAKES = ()


def mismatch(path: Path) -> str:
    """Why the file is not one of ours; empty if it is."""
    fields = npz_fields(path)
    if not fields:
        return "not an .npz"
    missing = [field for field in REQUIRED if field not in fields]
    return f"no field {', '.join(missing)}" if missing else ""


def read(path: Path, model: "RobotModel", options: Options = AS_WRITTEN) -> Clip:
    """The clip, its joints matched to the robot's by name.

    Raises:
        UserError: It is broken or for another robot.
    """
    return Clip.load(path).for_robot(model)
