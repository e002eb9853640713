"""The ``.npy`` files of amp-rsl-rl: a dict pickled inside an array.

It holds ``joints_list`` (names), ``joint_positions`` (K arrays of J) [rad], ``root_position`` (K of 3) [m],
``root_quaternion`` (K of 4) **xyzw**, and ``fps``.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from robopolicy.errors import UserError
from robopolicy.motion.clip import Clip
from robopolicy.motion.importing.arrays import names, number, numbers, read_npy, starts_with
from robopolicy.motion.importing.recording import AS_WRITTEN, Options, Recording, to_clip

if TYPE_CHECKING:
    from robopolicy.robot import RobotModel

LAYOUT = "npy with a dict of joints_list, joint_positions, root_position, root_quaternion (xyzw), fps (amp-rsl-rl)"
FIELDS = ("joints_list", "joint_positions", "root_position", "root_quaternion", "fps")


def mismatch(path: Path) -> str:
    """Why the file is not of this layout; empty if it is."""
    if not starts_with(path, b"\x93NUMPY"):
        return "not an .npy"
    try:
        data = read_npy(path)
    except UserError as error:
        return str(error).partition(": ")[2]
    if not isinstance(data, dict):
        return "holds no dict"
    missing = [field for field in FIELDS if field not in data]
    return f"no field {', '.join(missing)}" if missing else ""


def read(path: Path, model: "RobotModel", options: Options = AS_WRITTEN) -> Clip:
    """The file's motion on the robot, joints by name.

    Raises:
        UserError: The pickle names what it may not, the content is broken, or the robot has other joints.
    """
    data = read_npy(path)
    joints = names(path, data, "joints_list")
    recording = Recording(
        layout="amp_rsl_rl",
        fps=options.fps or number(path, data, "fps"),
        joints=joints,
        position=numbers(path, data, "root_position", 3),
        quat=numbers(path, data, "root_quaternion", 4),
        order="xyzw",
        angles=numbers(path, data, "joint_positions", len(joints)),
    )
    return to_clip(path, recording, model, options)
