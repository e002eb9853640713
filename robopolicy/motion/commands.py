"""``robopolicy clip import | retarget``: what the command line calls."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from robopolicy.errors import UserError
from robopolicy.motion.clip import Clip, clip_path
from robopolicy.motion.cut import WHOLE, Piece, cut
from robopolicy.motion.importing.recording import AS_WRITTEN, ImportNote, Options

if TYPE_CHECKING:
    from robopolicy.robot import RobotModel


KEYFRAMES, OURS, PLANTED = "keyframes", "layout robopolicy", "layout amp_hardware"
"""What is read where feet are a matter of their own: in files of ours they are where their author wants them, and the
reader of AMP_for_hardware's holds them already."""


def import_clip(
    file: str | Path,
    robot: str,
    output: str | Path,
    layout: str = "",
    options: Options = AS_WRITTEN,
    lock: bool | None = None,
    piece: Piece = WHOLE,
) -> Clip:
    """Read a motion file of any known layout, put its feet on the ground, write it as a clip, and say what it is, what
    was settled and why, and what is wrong with it.

    Args:
        file: The foreign file; its content decides its layout. A ``.toml`` is compiled as a keyframe file.
        robot: Name or path of the robot.
        output: The ``.npz`` to write.
        layout: The file's layout; by default recognised.
        options: What the file does not say.
        lock: Whether feet are held at rest while they stand; by default where they slide or sink in, and never in a
            clip of ours.
        piece: What is wanted of it, by the file's own times.

    Returns:
        The clip.

    Raises:
        UserError: The file, its layout, its joints or the output cannot be used, ``lock`` is not for this file, or the
            piece is none of it.
    """
    from robopolicy.motion.check import check

    clip_path(output)
    model = _compile(robot)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        clip, what = _read(Path(file), model, layout, options)
    if lock is not None:
        _refuse_lock(file, what)
    for warning in caught:
        print(f"{'note' if issubclass(warning.category, ImportNote) else 'warning'}: {warning.message}")
    clip = clip if piece == WHOLE else cut(clip, piece)
    if what not in (KEYFRAMES, OURS) or lock:
        clip = _settle(clip, model, lock)
    clip.save(output)
    kind = "loop" if clip.loop else "open"
    print(f"{file}: {what}; {len(clip)} frames at {clip.fps:.4g} per second, {clip.duration:.2f} s, {kind}")
    for defect in check(clip, model):
        print(defect.told)
    print(f"wrote {output}")
    return clip


def _refuse_lock(file: str | Path, what: str) -> None:
    """Refuse ``--lock-feet`` and ``--no-lock-feet`` where feet are settled already as the file is read."""
    if what == KEYFRAMES:
        raise UserError(
            f"{file}: a keyframe file says itself which feet stand: leave out --lock-feet and --no-lock-feet"
        )
    if what == PLANTED:
        raise UserError(
            f"{file}: {what} is read with its feet planted already: leave out --lock-feet and --no-lock-feet"
        )


def _settle(clip: Clip, model: "RobotModel", lock: bool | None) -> Clip:
    """The clip with its feet on the ground, and at rest there; says what was done."""
    from robopolicy.motion.footlock import lock_feet_report
    from robopolicy.motion.ground import on_ground

    grounded, how = on_ground(clip, model)
    if lock is None and how.restless:
        print(
            f"note: feet slide at {100 * how.slide:.1f} cm/s on average, {100 * how.peak:.0f} cm/s at most, and sink "
            f"in by up to {1000 * how.depth:.0f} mm"
        )
    if not (how.restless if lock is None else lock):
        if how.shift:
            print(f"note: feet stand at {-1000 * how.shift:+.0f} mm, by which the whole clip is shifted")
        return grounded
    locked, report = lock_feet_report(clip, model)  # finds its own ground, under the feet that it holds
    print(f"note: {report} (--no-lock-feet leaves them)")
    return locked


def retarget_file(
    file: str | Path,
    source: str,
    robot: str,
    output: str | Path,
    layout: str = "",
    options: Options = AS_WRITTEN,
) -> Clip:
    """Carry a robot's motion over to another robot, write it as a clip, and say what is wrong with it.

    Args:
        file: A clip of the source robot, by path or name, or a motion file of any known layout for it.
        source: Name or path of the robot that the motion is of.
        robot: Name or path of the robot that it is for.
        output: The ``.npz`` to write.
        layout: The file's layout; by default recognised.
        options: What the file does not say.

    Returns:
        The clip.

    Raises:
        UserError: The file, the robots or the output cannot be used.
    """
    from robopolicy.motion.check import check
    from robopolicy.motion.footlock import lock_feet_report
    from robopolicy.motion.retarget.robot_body import RobotBody
    from robopolicy.motion.retarget.solve import to_robot

    clip_path(output)
    mover, model = _compile(source), _compile(robot)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        motion, what = _read(_path(file, mover), mover, layout, options)
    for warning in caught:
        print(f"{'note' if issubclass(warning.category, ImportNote) else 'warning'}: {warning.message}")
    clip, locked = lock_feet_report(to_robot(RobotBody(mover).landmarks(motion), model), model)
    clip.save(output)
    print(f"{file}: {what}; {len(clip)} frames, from {mover.robot.name} to {model.robot.name}")
    print(f"note: {locked}")
    for defect in check(clip, model):
        print(defect.told)
    print(f"wrote {output}")
    return clip


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
    from robopolicy.motion.clip import find_clip

    path = Path(file)
    return path if path.is_file() else find_clip(model.robot.name, str(file))


def _read(path: Path, model: "RobotModel", layout: str, options: Options) -> tuple[Clip, str]:
    from robopolicy.motion import formats

    if path.suffix == ".toml" and not layout:
        from robopolicy.motion.keyframes import compile_keyframes

        if options != AS_WRITTEN:
            raise UserError(f"{path}: a keyframe file says all itself: leave out {', '.join(options.given.values())}")
        return compile_keyframes(path, model), KEYFRAMES
    layout = layout or formats.recognise(path)
    return formats.read(path, model, options, layout), f"layout {layout}"
