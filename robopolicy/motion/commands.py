"""``robopolicy clip import | check``: what the command line calls. ``clip show`` is in `robopolicy.motion.show`."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from robopolicy.errors import UserError
from robopolicy.motion.clip import Clip
from robopolicy.motion.recording import AS_WRITTEN, ImportNote, Options

if TYPE_CHECKING:
    from robopolicy.robot import RobotModel


OURS = ("keyframes", "layout robopolicy")
"""Files of ours: their feet are where their author wants them."""


def import_clip(
    file: str | Path,
    robot: str,
    output: str | Path,
    layout: str = "",
    options: Options = AS_WRITTEN,
    lock: bool | None = None,
) -> Clip:
    """Read a motion file of any known layout, put its feet on the ground, write it as a clip, and say what it is, what
    was settled and why, and what is wrong with it.

    Args:
        file: The foreign file; its content decides its layout. A ``.toml`` is compiled as a keyframe file.
        robot: Name or path of the robot.
        output: The ``.npz`` to write.
        layout: The file's layout; by default recognised.
        options: What the file does not say.
        lock: Whether feet are held at rest while they stand; by default where they slide or sink in.

    Returns:
        The clip.

    Raises:
        UserError: The file, its layout, its joints or the output cannot be used.
    """
    from robopolicy.motion.check import check

    model = _compile(robot)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        clip, what = _read(Path(file), model, layout, options)
    for warning in caught:
        print(f"{'note' if issubclass(warning.category, ImportNote) else 'warning'}: {warning.message}")
    if what not in OURS:
        clip = _settle(clip, model, lock)
    clip.save(output)
    kind = "loop" if clip.loop else "open"
    print(f"{file}: {what}; {len(clip)} frames at {clip.fps:.4g} per second, {clip.duration:.2f} s, {kind}")
    for defect in check(clip, model):
        print(f"warning: {defect}")
    print(f"wrote {output}")
    return clip


def _settle(clip: Clip, model: "RobotModel", lock: bool | None) -> Clip:
    """The clip with its feet on the ground, and at rest there; says what was done."""
    from robopolicy.motion.footlock import lock_feet_report
    from robopolicy.motion.ground import on_ground, stand

    clip, shifted = on_ground(clip, model)
    if shifted:
        print(f"note: {shifted}")
    how = stand(clip, model)
    if lock is None and how.restless:
        print(
            f"note: feet slide at {100 * how.slide:.1f} cm/s on average and sink in by up to {1000 * how.depth:.0f} mm"
        )
    if how.restless if lock is None else lock:
        clip, report = lock_feet_report(clip, model, ground=False)
        print(f"note: {report} (--no-lock-feet leaves them)")
    return clip


def check_clip(file: str | Path, robot: str) -> int:
    """Name every defect of a clip file on standard output.

    Args:
        file: A path, or the name of one of the robot's own clips.
        robot: Name or path of the robot.

    Returns:
        Exit status: 0 if the clip is clean, 1 if not.

    Raises:
        UserError: The file is unreadable, or for another robot.
    """
    from robopolicy.motion.check import check

    model = _compile(robot)
    path = _path(file, model)
    defects = check(Clip.load(path, strict=False), model)
    for defect in defects:
        print(f"{path}: {defect}")
    print(f"{path}: {len(defects)} defects" if defects else f"{path}: clean")
    return 1 if defects else 0


def summary(clip: Clip, model: "RobotModel") -> str:
    """What a clip does, as text. The clip's joints are in the robot's order."""
    kind = "loop" if clip.loop else "open"
    lines = [
        f"{clip.name}: {clip.robot or 'unknown robot'}, {len(clip)} frames at {clip.fps:.4g} per second, "
        f"{clip.duration:.2f} s, {kind}, {'with' if clip.phase is not None else 'without'} gait phase",
    ]
    if clip.source:
        lines.append(f"source: {clip.source}")
    lines.append("base               mean     least      most")
    velocity = clip.planar_velocity(0.0)
    rows = [
        ("forward [m/s]", velocity[:, 0]),
        ("left [m/s]", velocity[:, 1]),
        ("turn [rad/s]", velocity[:, 2]),
        ("height [m]", clip.qpos[:, 2]),
    ]
    lines += [f"{name:14s} {v.mean():+9.3f} {v.min():+9.3f} {v.max():+9.3f}" for name, v in rows]
    width = max(len(name) for name in clip.joint_names)
    lines.append(f"{'joint':{width}s}  from [rad]   to [rad]   of range      fastest [rad/s]   of motor")
    q, qd = clip.qpos[:, 7:], np.abs(clip.qvel[:, 6:]).max(axis=0)
    for j, name in enumerate(clip.joint_names):
        limits = f"{model.lower[j]:+.2f}..{model.upper[j]:+.2f}"
        lines.append(
            f"{name:{width}s}  {q[:, j].min():+10.3f} {q[:, j].max():+10.3f}   {limits}  {qd[j]:13.2f}"
            f"   {model.velocity_limit[j]:12.4g}"
        )
    return "\n".join(lines)


def _compile(robot: str) -> "RobotModel":
    from robopolicy.robot import load_robot

    return load_robot(robot).compile()


def _path(file: str | Path, model: "RobotModel") -> Path:
    from robopolicy.motion.clip import find_clips

    path = Path(file)
    return path if path.is_file() else find_clips(model.robot.name, str(file))[0]


def _read(path: Path, model: "RobotModel", layout: str, options: Options) -> tuple[Clip, str]:
    from robopolicy.motion import formats

    if path.suffix == ".toml" and not layout:
        from robopolicy.motion.keyframes import compile_keyframes

        if options != AS_WRITTEN:
            raise UserError(f"{path}: a keyframe file says all itself: leave out --fps, --quat and --units")
        return compile_keyframes(path, model), "keyframes"
    layout = layout or formats.recognise(path)
    return formats.read(path, model, options, layout), f"layout {layout}"
