"""Clips from keyframes: a text file that a person edits, compiled with splines and inverse kinematics.

A keyframe file is TOML::

    robot = "droid"          # whose joints are meant
    unit = "deg"             # of every angle in the file: "deg" or "rad"; lengths are metres, times seconds
    duration = 4.8           # a loop is back at its start then; an open clip ends there
    loop = true              # default false
    feet = "planted"         # default: legs follow from the base; "free": leg joints are keyed like all
    others fps = 50                 # default 50

    [[pose]]                 # what to be at, and when. Only what is named is keyed.
    time = 0.0
    ease = "smooth"          # default; "flow" passes through with speed, "stop" comes to rest
    base = { x = -0.01, height = -0.005, pitch = 2.0 }   # offsets from the home pose: x y height, roll pitch
    yaw joints = { head_yaw = 20.0 }                         # joint angles

    [[wave]]                 # a small sine on top, so that nothing is ever quite still
    of = "height"            # any base offset or joint
    amplitude = 0.002
    period = 2.4             # in a loop, a whole number of periods must fit
    shift = 0.25             # start this share of a period late; default 0

Every quantity is a track of its own, with keys only in the poses that name it. That is how a head can lag
behind its body: key it a little later. Between keys runs a cubic spline with continuous velocity; ``smooth``
never overshoots.
"""

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from robopolicy.errors import UserError, unknown
from robopolicy.motion.clip import Clip, velocities
from robopolicy.motion.ik import FootIK
from robopolicy.motion.pose import quat_from_euler

if TYPE_CHECKING:
    from robopolicy.robot import RobotModel

REACH = 1e-6
"""How far a foot may stay from its place before the file is refused [m]."""
LENGTHS, ANGLES = ("x", "y", "height"), ("roll", "pitch", "yaw")
EASES = ("smooth", "flow", "stop")
TOP = ("robot", "unit", "duration", "loop", "feet", "fps", "pose", "wave")

Key = tuple[float, float, str]
"""Time [s], value, ease."""


def compile_keyframes(path: str | Path, model: "RobotModel") -> Clip:
    """Compile a keyframe file to a clip.

    Args:
        path: The TOML file.
        model: The robot it is for.

    Raises:
        UserError: The file is broken, names a joint or key that does not exist, or asks for more than the
            joints allow.
    """
    path = Path(path)
    data = _parse(path)
    if data["robot"] != model.robot.name:
        raise UserError(f"{path}: is for robot {data['robot']!r}, not {model.robot.name!r}")
    ik = FootIK(model)
    planted = data["feet"] == "planted"
    keyable = [n for i, n in enumerate(model.joint_names) if not (planted and i in ik.leg_joints)]
    tracks = _tracks(path, data, keyable)

    fps, duration, loop = float(data["fps"]), float(data["duration"]), bool(data["loop"])
    count = round(duration * fps)
    if abs(duration * fps - count) > 1e-6 or count < 4:
        raise UserError(
            f"{path}: duration {duration} s is not a whole number of frames (4 or more) at {fps:g} a second"
        )
    times = np.arange(count if loop else count + 1) / fps
    values = {name: spline(keys, times, duration if loop else None) for name, keys in tracks.items()}
    for wave in data["wave"]:
        values[wave["of"]] = values.get(wave["of"], _rest(wave["of"], model)) + _wave(path, wave, times, duration, loop)

    qpos = _pose(path, model, ik, values, len(times), planted)
    return Clip(
        name=path.stem,
        fps=fps,
        joint_names=tuple(model.joint_names),
        qpos=qpos,
        qvel=velocities(qpos, fps, np.zeros(3) if loop else None),
        loop=loop,
        robot=model.robot.name,
        source=f"keyframed by hand: keyframes/{path.name}",
    )


def spline(keys: list[Key], times: np.ndarray, cycle: float | None = None) -> np.ndarray:
    """Cubic Hermite interpolation of keys, continuous in value and velocity.

    Args:
        keys: In order of time.
        times: Where to evaluate [s]. Shape (K,).
        cycle: Duration after which the keys repeat [s]; None holds the first and the last value.

    Returns:
        Shape (K,).
    """
    if len(keys) == 1:
        return np.full(len(times), keys[0][1])
    if cycle is not None:
        keys = [
            *((t - cycle, v, e) for t, v, e in keys[-2:]),
            *keys,
            *((t + cycle, v, e) for t, v, e in keys[:2]),
        ]
    t, v = np.array([k[0] for k in keys]), np.array([k[1] for k in keys])
    slope = np.diff(v) / np.diff(t)
    tangent = np.zeros(len(keys))  # an open track starts and ends at rest
    for i in range(1, len(keys) - 1):
        a, b = slope[i - 1], slope[i]
        if keys[i][2] == "flow":  # Catmull and Rom, 1974, for keys at uneven times
            tangent[i] = (v[i + 1] - v[i - 1]) / (t[i + 1] - t[i - 1])
        elif keys[i][2] == "smooth" and a * b > 0:  # Fritsch and Butland, 1984: monotone, so no overshoot
            w = (1 + (t[i + 1] - t[i]) / (t[i + 1] - t[i - 1])) / 3
            tangent[i] = a * b / (w * b + (1 - w) * a)
    i = np.clip(np.searchsorted(t, times, side="right") - 1, 0, len(keys) - 2)
    h = t[i + 1] - t[i]
    s = np.clip((times - t[i]) / h, 0.0, 1.0)
    return (
        (2 * s**3 - 3 * s**2 + 1) * v[i]
        + (s**3 - 2 * s**2 + s) * h * tangent[i]
        + (3 * s**2 - 2 * s**3) * v[i + 1]
        + (s**3 - s**2) * h * tangent[i + 1]
    )


def _pose(path: Path, model: "RobotModel", ik: FootIK, values: dict, count: int, planted: bool) -> np.ndarray:
    """Configurations in contract order. Shape (K, 7 + J)."""
    zero = np.zeros(count)
    x, y, height, roll, pitch, yaw = (values.get(name, zero) for name in LENGTHS + ANGLES)
    base = np.concatenate(
        [np.stack([x, y, height + model.home_qpos[2]], axis=1), quat_from_euler(roll, pitch, yaw)], axis=1
    )
    joints = np.tile(model.default_pose, (count, 1))
    for j, name in enumerate(model.joint_names):
        joints[:, j] = values.get(name, joints[:, j])
    if not planted:
        return np.concatenate([base, joints], axis=1)
    home = np.concatenate([[0, 0, model.home_qpos[2], 1, 0, 0, 0], model.default_pose])
    places = ik.feet.trajectories(home[None])[1][0] * [1, 1, 0]
    level = np.zeros(len(places))
    qpos = np.empty((count, 7 + joints.shape[1]))
    legs = model.default_pose[ik.leg_joints]
    for k in range(count):
        joints[k, ik.leg_joints] = legs
        qpos[k], error = ik.solve(base[k], joints[k], places, level, level)
        if error > REACH:
            raise UserError(
                f"{path}: in frame {k} a foot stays {1000 * error:.1f} mm from its place: "
                "the base goes further than the legs can follow"
            )
        legs = qpos[k, 7 + ik.leg_joints]
    return qpos


def _rest(name: str, model: "RobotModel") -> float:
    return float(model.default_pose[model.joint_names.index(name)]) if name in model.joint_names else 0.0


def _wave(path: Path, wave: dict, times: np.ndarray, duration: float, loop: bool) -> np.ndarray:
    periods = duration / wave["period"]
    if loop and abs(periods - round(periods)) > 1e-6:
        raise UserError(
            f"{path}: wave of {wave['of']}: {wave['period']} s does not fit a loop of {duration} s a whole "
            f"number of times; {duration / max(round(periods), 1):.4g} s would"
        )
    return wave["amplitude"] * np.sin(2 * np.pi * (times / wave["period"] - wave.get("shift", 0.0)))


def _parse(path: Path) -> dict[str, Any]:
    """The file with defaults filled in; angles still in its own unit."""
    if not path.is_file():
        raise UserError(f"no keyframe file {path}")
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not TOML: {error}") from None
    _only(path, "top level", data, TOP)
    for key in ("robot", "unit", "duration", "pose"):
        if key not in data:
            raise UserError(f"{path}: {key!r} is missing; a keyframe file needs robot, unit, duration and [[pose]]")
    data = {"loop": False, "feet": "planted", "fps": 50, "wave": [], **data}
    for key, choices in (("unit", ("deg", "rad")), ("feet", ("planted", "free"))):
        if data[key] not in choices:
            raise unknown(key, str(data[key]), choices, str(path))
    for key in ("duration", "fps"):
        _number(path, key, data[key])
    return data


def _tracks(path: Path, data: dict[str, Any], joints: list[str]) -> dict[str, list[Key]]:
    """Keys of every quantity, radians and metres; waves are checked and converted in place."""
    scale = np.pi / 180 if data["unit"] == "deg" else 1.0
    tracks: dict[str, list[Key]] = {}
    last = -1.0
    for n, pose in enumerate(data["pose"]):
        where = f"pose {n + 1}"
        _only(path, where, pose, ("time", "ease", "base", "joints"))
        time = _number(path, f"{where}: time", pose.get("time"))
        end = data["duration"]
        if not last < time or time > end or (data["loop"] and time >= end):
            raise UserError(
                f"{path}: {where} is at {time:g} s; times must rise from 0 to the duration, {end} s"
                + (", which in a loop is the first pose again" if data["loop"] else "")
            )
        last = time
        ease = pose.get("ease", "smooth")
        if ease not in EASES:
            raise unknown("ease", str(ease), EASES, f"{path}, {where}")
        _only(path, f"{where}, base", pose.get("base", {}), LENGTHS + ANGLES)
        for name in pose.get("joints", {}):
            if name not in joints:
                raise unknown(
                    "joint",
                    name,
                    joints,
                    f"{path}, {where}" + " (feet are planted: legs follow)" * (data["feet"] == "planted"),
                )
        for name, value in (pose.get("base", {}) | pose.get("joints", {})).items():
            factor = 1.0 if name in LENGTHS else scale
            tracks.setdefault(name, []).append((time, factor * _number(path, f"{where}: {name}", value), ease))
    for n, wave in enumerate(data["wave"]):
        where = f"wave {n + 1}"
        _only(path, where, wave, ("of", "amplitude", "period", "shift"))
        if wave.get("of") not in (*LENGTHS, *ANGLES, *joints):
            raise unknown("quantity", str(wave.get("of")), [*LENGTHS, *ANGLES, *joints], f"{path}, {where}")
        for key in ("amplitude", "period"):
            _number(path, f"{where}: {key}", wave.get(key))
        if wave["period"] <= 0:
            raise UserError(f"{path}: {where}: period is {wave['period']}; it must be positive")
        wave["amplitude"] *= 1.0 if wave["of"] in LENGTHS else scale
    return tracks


def _only(path: Path, where: str, table: Any, keys: tuple[str, ...]) -> None:
    if not isinstance(table, dict):
        raise UserError(f"{path}: {where} is {table!r}, not a table")
    for key in table:
        if key not in keys:
            raise unknown("key", key, keys, f"{path}, {where}")


def _number(path: Path, what: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        raise UserError(f"{path}: {what} is {value!r}, not a number")
    return float(value)
