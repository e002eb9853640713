"""``robopolicy clip ...``: its actions and their flags; what they do is in ``robopolicy/motion``."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from robopolicy.motion.cut import Piece
    from robopolicy.motion.importing.recording import Options

GAIT_FLAGS = (
    ("speed", "vx", "forward [m/s]"),
    ("sideways", "vy", "to the left [m/s]"),
    ("turn", "wz", "to the left [rad/s]"),
    ("period", "period", "of a cycle [s]"),
    ("duty", "duty", "share of the cycle that a foot is on the ground"),
    ("step-height", "step_height", "how high a foot is lifted [m]"),
    ("height", "height", "mean height of the base [m]"),
    ("sway", "sway", "swing of the base to the standing side [m]"),
    ("bounce", "bounce", "rise of the base over the standing foot; negative: the knees give [m]"),
    ("lean", "pitch", "pitch of the base, positive nose down [rad]"),
    ("toe", "toe", "pitch of the sole in mid-swing, positive toe up [rad]"),
)
"""Flag, field of a gait, and help."""


def add_actions(actions: Any) -> None:
    """Add every action to the subparsers of ``robopolicy clip``."""

    def add(name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        action = actions.add_parser(name, help=text, description=text)
        action.set_defaults(run_command=run)
        return action

    reading = add("import", _import, "read a motion file of another project, or a keyframe file")
    reading.add_argument("file", type=Path)
    reading.add_argument("--robot", required=True, help="robot the motion is for")
    reading.add_argument("--output", type=Path, required=True, help="file to write")
    _add_reading_flags(reading)
    reading.add_argument(
        "--mapping",
        type=Path,
        metavar="FILE",
        help="names of joints and bodies, where retargeting finds none; in place of the robot's own retarget.toml",
    )
    reading.add_argument(
        "--lock-feet",
        action=argparse.BooleanOptionalAction,
        help="hold feet at rest while they stand; by default where they slide or sink in",
    )
    _add_piece_flags(reading)
    cutting = add("cut", _cut, "take a piece out of a clip, or call it a loop")
    cutting.add_argument("file", type=Path)
    _add_piece_flags(cutting)
    cutting.add_argument("--output", type=Path, required=True, help="file to write")
    retarget = add("retarget", _retarget, "carry a robot's motion over to another robot")
    retarget.add_argument("file", type=Path)
    retarget.add_argument("--from", dest="source", required=True, help="robot whose motion the file is")
    _add_reading_flags(retarget)
    retarget.add_argument("--robot", required=True, help="robot the motion is for")
    retarget.add_argument("--output", type=Path, required=True, help="file to write")
    check = add("check", _check, "name the defects of clips, and repair them")
    check.add_argument(
        "files", nargs="+", metavar="FILE", help="clips, keyframe files, folders of clips, or names of ours"
    )
    check.add_argument("--robot", required=True, help="robot the motion is for")
    check.add_argument("--fix", type=Path, metavar="OUTPUT", help="repair into this .npz; a folder for several")
    check.add_argument("--json", action="store_true", help="print one JSON object")
    show = add("show", _show, "describe a clip or a keyframe file, and film it")
    show.add_argument("file", type=Path)
    show.add_argument("--robot", help="robot the motion is for; by default the one that the file names")
    show.add_argument("--output", type=Path, help="film (.mp4) or sheet of pictures (.png) to write")
    show.add_argument("--watch", action="store_true", help="draw it again whenever the file is saved")
    gait = add("gait", _gait, "make a walking clip from a few numbers")
    gait.add_argument("--robot", required=True, help="robot the motion is for")
    gait.add_argument("--output", type=Path, required=True, help="file to write")
    gait.add_argument("--style", help="walk, trot, pace, bound, or a character of the robot's own")
    for flag, field, text in GAIT_FLAGS:
        gait.add_argument(f"--{flag}", type=float, dest=field, metavar="X", help=text)


def _add_reading_flags(action: argparse.ArgumentParser) -> None:
    """What a motion file may not say; :func:`_options` reads it."""
    action.add_argument("--layout", default="", help="the file's layout; by default recognised by its content")
    action.add_argument("--fps", type=float, metavar="F", help="frames per second, where the file does not say")
    action.add_argument("--quat", default="", help="order of its quaternions: wxyz or xyzw")
    action.add_argument(
        "--units", default="", help="of its joint angles: rad or deg; of a BVH's lengths: m, cm, mm or cmu"
    )
    action.add_argument("--up", default="", help="the axis that is up, in a BVH or DeepMimic's: x, y or z")


def _add_piece_flags(action: argparse.ArgumentParser) -> None:
    """Which piece of a motion is wanted; :func:`_piece` reads it."""
    action.add_argument("--from", dest="start", type=float, metavar="S", help="begin at this time of the file [s]")
    action.add_argument(
        "--to", dest="end", type=float, metavar="S", help="end there [s]; of a loop, when it is back at its beginning"
    )
    kind = action.add_mutually_exclusive_group()
    kind.add_argument("--loop", action="store_true", default=None, help="the piece is a loop; refused if it is none")
    kind.add_argument("--open", action="store_false", dest="loop", help="it runs once, as any piece that is no --loop")


def _piece(arguments: argparse.Namespace) -> "Piece":
    from robopolicy.motion.cut import Piece

    return Piece(arguments.start, arguments.end, arguments.loop)


def _options(arguments: argparse.Namespace) -> "Options":
    from robopolicy.motion.importing.recording import Options
    from robopolicy.motion.retarget.roles import Mapping

    file = getattr(arguments, "mapping", None)
    mapping = None if file is None else Mapping.load(file)
    return Options(arguments.fps, arguments.quat, arguments.units, arguments.up, mapping)


def _import(arguments: argparse.Namespace) -> int:
    from robopolicy.motion.commands import import_clip

    a = arguments
    import_clip(a.file, a.robot, a.output, a.layout, _options(a), a.lock_feet, _piece(a))
    return 0


def _cut(arguments: argparse.Namespace) -> int:
    from robopolicy.motion.cut import cut_file

    cut_file(arguments.file, arguments.output, _piece(arguments))
    return 0


def _retarget(arguments: argparse.Namespace) -> int:
    from robopolicy.motion.commands import retarget_file

    a = arguments
    retarget_file(a.file, a.source, a.robot, a.output, a.layout, _options(a))
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from robopolicy.motion.check.command import check_clips

    return check_clips(arguments.files, arguments.robot, arguments.fix, arguments.json)


def _show(arguments: argparse.Namespace) -> int:
    from robopolicy.motion.show import show_clip

    show_clip(arguments.file, arguments.robot, arguments.output, arguments.watch)
    return 0


def _gait(arguments: argparse.Namespace) -> int:
    from robopolicy.motion.gait_command import make_gait

    numbers = {field: getattr(arguments, field) for _, field, _ in GAIT_FLAGS}
    make_gait(arguments.robot, arguments.output, arguments.style, numbers)
    return 0
