"""The pickles of MimicKit.

A dict with ``loop_mode`` (0 clamp, 1 wrap), ``fps`` and ``frames`` (K, 6 + J): base position 3 [m], base rotation 3 as
an exponential map (a rotation vector) [rad], then the joints depth first, in the order of the character's MJCF [rad]. A
ball joint has three columns there; a robot has none of those. A loop's last frame repeats its first.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from robopolicy.errors import UserError
from robopolicy.motion.clip import Clip
from robopolicy.motion.importing.arrays import number, numbers, read_pickle, starts_with
from robopolicy.motion.importing.recording import AS_WRITTEN, SETTLED, Options, Recording, robot_joints, to_clip
from robopolicy.motion.importing.unpickle import shown
from robopolicy.motion.pose import quat_exp

if TYPE_CHECKING:
    from robopolicy.robot import RobotModel

LAYOUT = "pickled dict with loop_mode, fps, frames of position 3, exponential map 3, joints (MimicKit)"
FIELDS = ("loop_mode", "fps", "frames")


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
    if options.quat:
        raise UserError(f"{path}: --quat {options.quat}: a MimicKit file has rotation vectors, no quaternions")
    frames = numbers(path, data, "frames")
    if frames.shape[1] < 7:
        raise UserError(f"{path}: frames have {frames.shape[1]} columns; they need 6 for the base, and joints")
    if not isinstance(data["loop_mode"], int | float | np.number) or data["loop_mode"] not in (0, 1):
        raise UserError(f"{path}: loop_mode is {shown(data['loop_mode'])}; it must be 0 (clamp) or 1 (wrap)")
    recording = Recording(
        layout="mimickit",
        fps=options.fps or number(path, data, "fps"),
        joints=robot_joints(path, frames.shape[1] - 6, model, "MimicKit"),
        position=frames[:, :3],
        quat=np.asarray(quat_exp(frames[:, 3:6])),
        order=SETTLED,
        angles=frames[:, 6:],
        loop=bool(data["loop_mode"]),
    )
    return to_clip(path, recording, model, options)
