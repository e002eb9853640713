"""``robopolicy clip show``: what a clip or a keyframe file does, in numbers and pictures."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from robopolicy.errors import UserError
from robopolicy.motion.clip import Clip, find_clip
from robopolicy.motion.commands import summary
from robopolicy.paths import clips_dir

if TYPE_CHECKING:
    from robopolicy.robot import RobotModel


def show_clip(
    file: str | Path, robot: str | None = None, output: str | Path | None = None, watch: bool = False
) -> None:
    """Print what a clip does: duration, speeds, joint ranges; and film it.

    Args:
        file: A clip or a keyframe file (.toml), or the name of one of the robot's own clips.
        robot: Name or path of the robot; by default the one that the file names.
        output: A film (.mp4) or a sheet of pictures (.png) to write; by default none is made.
        watch: Draw it again whenever the file is saved, until Ctrl-C.

    Raises:
        UserError: The file is unreadable, or for another robot; or the output cannot be written.
    """
    from robopolicy.robot import load_robot
    from robopolicy.view.clip_film import check_output, film_clip

    if output is not None:
        check_output(Path(output))
    elif watch:
        raise UserError("--watch draws again and again: give --output FILE.mp4 or FILE.png")
    path = Path(file)
    model = load_robot(robot or _robot_of(path)).compile()
    path = path if path.is_file() else find_clip(model.robot.name, str(file))
    if watch and output is not None:
        from robopolicy.view import watch as watcher

        print(f"watching {path}; Ctrl-C ends")
        watcher.watch(path, lambda: _draw(path, model, Path(output)))
        return
    clip = _load(path, model)
    print(summary(clip, model))
    if output is not None:
        film_clip(clip, model, Path(output))
        print(f"wrote {output}")


def _draw(path: Path, model: "RobotModel", output: Path) -> str:
    """Film a clip, and say what is wrong with it."""
    from robopolicy.motion.check import check
    from robopolicy.view.clip_film import film_clip

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        clip = _load(path, model)
    film_clip(clip, model, output)
    complaints = [str(warning.message) for warning in caught] + [str(defect) for defect in check(clip, model)]
    return "\n  ".join([f"wrote {output}: {clip.duration:.2f} s", *complaints])


def _load(path: Path, model: "RobotModel") -> Clip:
    """A clip, or a keyframe file as a clip, with its joints in the robot's order."""
    if path.suffix == ".toml":
        from robopolicy.motion.keyframes import compile_keyframes

        return compile_keyframes(path, model)
    return Clip.load(path).for_robot(model)


def _robot_of(path: Path) -> str:
    """The robot that a clip or keyframe file names."""
    if path.suffix == ".toml":
        from robopolicy.motion.keyframes.parse import robot_of

        return robot_of(path)
    if not path.exists() and path.name == str(path):
        name = path.name.removesuffix(".npz")
        owners = [folder.name for folder in sorted(clips_dir().iterdir()) if (folder / f"{name}.npz").is_file()]
        whose = " or ".join(owners) or "NAME"
        raise UserError(f"no clip file {path}; if it is a robot's own clip, say whose: --robot {whose}")
    robot = Clip.load(path).robot
    if not robot:
        raise UserError(f"{path}: does not say which robot it is for; give --robot NAME")
    return robot
