"""The pickles of GMR (general motion retargeting).

A dict with ``fps``, ``root_pos`` (K, 3) [m], ``root_rot`` (K, 4) **xyzw**, ``dof_pos`` (K, J) [rad] in the order of the
robot's MJCF, and ``local_body_pos`` and ``link_body_list``, which are not read.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from robopolicy.errors import UserError
from robopolicy.motion.clip import Clip
from robopolicy.motion.importing.arrays import number, numbers, read_pickle, starts_with
from robopolicy.motion.importing.recording import AS_WRITTEN, Options, Recording, robot_joints, to_clip

if TYPE_CHECKING:
    from robopolicy.robot import RobotModel

LAYOUT = "pickled dict with fps, root_pos, root_rot (xyzw), dof_pos (GMR)"
FIELDS = ("fps", "root_pos", "root_rot", "dof_pos")


def mismatch(path: Path) -> str:
    """Why the file is not of this layout; empty if it is."""
    if not starts_with(path, b"\x80", b"(", b"}"):
        return "not a pickle"
    try:
        data = read_pickle(path)
    except UserError as error:
        return str(error).partition(": ")[2]
    if not isinstance(data, dict):
        return f"pickles a {type(data).__name__}, not a dict"
    missing = [field for field in FIELDS if field not in data]
    return f"no field {', '.join(missing)}" if missing else ""


def read(path: Path, model: "RobotModel", options: Options = AS_WRITTEN) -> Clip:
    """The file's motion on the robot.

    Raises:
        UserError: The pickle names what it may not, the content is broken, or the robot has another number of joints.
    """
    data = read_pickle(path)
    angles = numbers(path, data, "dof_pos")
    recording = Recording(
        layout="gmr",
        fps=options.fps or number(path, data, "fps"),
        joints=robot_joints(path, angles.shape[1], model, "GMR"),
        position=numbers(path, data, "root_pos", 3),
        quat=numbers(path, data, "root_rot", 4),
        order="xyzw",
        angles=angles,
    )
    return to_clip(path, recording, model, options)
