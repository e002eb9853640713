"""Read a keyframe file: TOML to a checked `Script`. Every mistake is named with its place in the file."""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from robopolicy.errors import UserError, unknown
from robopolicy.motion.keyframes.mirrored import Reflection, copied, in_the_mirror, reflected
from robopolicy.motion.keyframes.script import BASE, EASES, FOOT, TARGET, Flight, Lift, Part, Pose, Script, Wave

TOP = (
    *("robot", "unit", "duration", "loop", "fps", "feet", "mirror", "world", "lag"),
    *("pose", "wave", "lift", "flight", "copy"),
)
LIFT_HEIGHT, TUCK = 0.04, 0.02
"""How high a foot is lifted, and tucked up in flight, where the file does not say [m]."""


def robot_of(path: Path) -> str:
    """The robot that a keyframe file is for.

    Raises:
        UserError: It does not say one, or is no TOML.
    """
    robot = read_toml(path).get("robot")
    if not isinstance(robot, str):
        raise UserError(f'{path}: does not say which robot it is for: robot = "NAME"')
    return robot


def read_toml(path: Path) -> dict[str, Any]:
    """The file as it is.

    Raises:
        UserError: It is absent, or no TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"no keyframe file {path}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not TOML: {error}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None


class Parser:
    """Turns one file into a `Script`.

    Args:
        path: The TOML file.
        robot: Name of the robot it must be for.
        joints, legs: Joints that can be keyed freely, and those of the legs.
        feet: Names of the feet.
        effectors: Names of the sites and bodies that can be targets.
        reflection: What the mirror does to a part.
    """

    def __init__(
        self,
        path: Path,
        robot: str,
        joints: Sequence[str],
        legs: Sequence[str],
        feet: Sequence[str],
        effectors: Sequence[str],
        reflection: Reflection,
    ) -> None:
        self.path, self.robot, self.reflection = path, robot, reflection
        self.joints, self.legs, self.feet, self.effectors = joints, legs, feet, effectors

    def script(self) -> Script:
        """The whole file.

        Raises:
            UserError: It is broken, or names something that does not exist.
        """
        data = self._read()
        self.planted = data["feet"] == "planted"
        self.joints = [name for name in self.joints if not (self.planted and name in self.legs)]
        self.duration, self.loop = self._number("duration", data["duration"]), self._flag(data, "loop")
        fps, half = self._number("fps", data["fps"]), self._flag(data, "mirror")
        self.scale = np.pi / 180 if data["unit"] == "deg" else 1.0
        if half and not self.loop:
            raise UserError(f"{self.path}: mirror = true needs loop = true: its second half leads back to the first")
        frames = self.duration * fps
        if abs(frames - round(frames)) > 1e-6 or round(frames) < 4:
            raise UserError(
                f"{self.path}: duration {self.duration} s is not a whole number of frames (4 or more) "
                f"at {fps:g} a second"
            )
        if half and round(frames) % 2:
            raise UserError(f"{self.path}: mirror = true needs an even number of frames, not {round(frames)}")
        for name in data["world"]:
            if name not in self.effectors:
                raise unknown("target", str(name), list(self.effectors), f"{self.path}, world")
        named: dict[str, dict[Part, float]] = {}
        self.end = self.duration / 2 if half else self.duration
        script = Script(
            path=self.path,
            duration=self.duration,
            fps=fps,
            loop=self.loop,
            planted=self.planted,
            world=frozenset(data["world"]),
            poses=tuple(self._pose(n, table, named) for n, table in enumerate(data["pose"])),
            waves=tuple(self._wave(n, table) for n, table in enumerate(data["wave"])),
            lifts=tuple(lift for n, table in enumerate(data["lift"]) for lift in self._lifts(n, table)),
            flights=tuple(self._flight(n, table) for n, table in enumerate(data["flight"])),
            lags={self._part(name, "lag"): self._number(f"lag: {name}", value) for name, value in data["lag"].items()},
        )
        self._rising(script)
        for n, table in enumerate(data["copy"]):
            script = copied(script, *self._copy(n, table), self.reflection)
        return reflected(script, self.reflection) if half else script

    def _read(self) -> dict[str, Any]:
        """The file with defaults filled in."""
        data = read_toml(self.path)
        self._only("top level", data, TOP)
        for key in ("robot", "unit", "duration", "pose"):
            if key not in data:
                raise UserError(
                    f"{self.path}: {key!r} is missing; a keyframe file needs robot, unit, duration and [[pose]]"
                )
        if data["robot"] != self.robot:
            raise UserError(f"{self.path}: is for robot {data['robot']!r}, not {self.robot!r}")
        for key in ("pose", "wave", "lift", "flight", "copy", "world"):
            if not isinstance(data.setdefault(key, []), list):
                wanted = '["head"]' if key == "world" else f"[[{key}]], in double brackets"
                raise UserError(f"{self.path}: {key} must be a list: {wanted}")
        data = {"loop": False, "mirror": False, "feet": "planted", "fps": 50, "lag": {}, **data}
        for key, choices in (("unit", ("deg", "rad")), ("feet", ("planted", "free"))):
            if data[key] not in choices:
                raise unknown(key, str(data[key]), choices, str(self.path))
        if data["feet"] == "free" and (data["lift"] or data["flight"]):
            raise UserError(
                f'{self.path}: feet = "free" leaves the legs to their joints; lifts and flights need planted'
            )
        if not isinstance(data["lag"], dict):
            raise UserError(f"{self.path}: lag is {data['lag']!r}, not a table of names and seconds")
        data["lag"] = _flattened(data["lag"])
        return data

    def _pose(self, n: int, table: Any, named: dict[str, dict[Part, float]]) -> Pose:
        where = f"pose {n + 1}"
        self._only(where, table, ("time", "ease", "name", "like", "mirror", "base", "joints", "feet", "targets"))
        time = self._number(f"{where}: time", table.get("time"))
        ease = table.get("ease", "smooth")
        if ease not in EASES:
            raise unknown("ease", str(ease), EASES, f"{self.path}, {where}")
        values: dict[Part, float] = {}
        for key in ("like", "mirror"):
            if key in table:
                if not isinstance(table[key], str):
                    raise UserError(f'{self.path}: {where}: {key} is {table[key]!r}, no name of a pose: {key} = "NAME"')
                if table[key] not in named:
                    raise unknown("pose name", str(table[key]), list(named), f"{self.path}, {where} (named above it)")
                source = named[table[key]]
                values |= in_the_mirror(source, self.reflection) if key == "mirror" else source
        values |= self._values(where, table)
        if "name" in table:
            named[str(table["name"])] = values
        return Pose(time, ease, values, where)

    def _values(self, where: str, table: dict[str, Any]) -> dict[Part, float]:
        """What a pose keys itself [m, rad]."""
        values: dict[Part, float] = {}
        base, joints = table.get("base", {}), table.get("joints", {})
        self._only(f"{where}, base", base, BASE)
        self._only(f"{where}, joints", joints, None)
        found = [(Part("base", "", name), value) for name, value in base.items()]
        for name, value in joints.items():
            self._joint(name, where)
            found.append((Part("joints", "", name), value))
        for group, names, parts in (("feet", self.feet, FOOT), ("targets", self.effectors, TARGET)):
            self._only(f"{where}, {group}", table.get(group, {}), None)
            for of, tables in table.get(group, {}).items():
                if of not in names:
                    raise unknown(group.removesuffix("s"), of, list(names), f"{self.path}, {where}")
                self._only(f"{where}, {group}.{of}", tables, parts)
                found += [(Part(group, of, name), value) for name, value in tables.items()]
        if "feet" in table and not self.planted:
            raise UserError(f'{self.path}: {where} places feet, but feet = "free": key the joints of the legs')
        for part, value in found:
            values[part] = self._scaled(part, self._number(f"{where}: {part}", value))
        return values

    def _wave(self, n: int, table: Any) -> Wave:
        where = f"wave {n + 1}"
        self._only(where, table, ("of", "amplitude", "period", "shift"))
        part = self._part(table.get("of"), where)
        amplitude, period = (self._number(f"{where}: {key}", table.get(key)) for key in ("amplitude", "period"))
        if period <= 0:
            raise UserError(f"{self.path}: {where}: period is {period}; it must be positive")
        periods = self.duration / period
        if self.loop and abs(periods - round(periods)) > 1e-6:
            raise UserError(
                f"{self.path}: wave of {table['of']}: {period} s does not fit a loop of {self.duration} s a whole "
                f"number of times; {self.duration / max(round(periods), 1):.4g} s would"
            )
        shift = self._number(f"{where}: shift", table.get("shift", 0.0))
        return Wave(part, self._scaled(part, amplitude), period, shift)

    def _lifts(self, n: int, table: Any) -> list[Lift]:
        where = f"lift {n + 1}"
        self._only(where, table, ("feet", "from", "to", "height", "pitch", "place"))
        start, end = self._span(where, table)
        place = table.get("place", {})
        self._only(f"{where}, place", place, ("x", "y", "yaw"))
        place = {k: self._number(f"{where}: {k}", v) * (self.scale if k == "yaw" else 1.0) for k, v in place.items()}
        height = self._number(f"{where}: height", table.get("height", LIFT_HEIGHT))
        pitch = self.scale * self._number(f"{where}: pitch", table.get("pitch", 0.0))
        feet = table.get("feet")
        feet = list(self.feet) if feet == "all" else [feet] if isinstance(feet, str) else feet
        if not isinstance(feet, list) or not feet:
            raise UserError(f'{self.path}: {where}: feet is {feet!r}; write a foot, a list of feet or "all"')
        for foot in feet:
            if foot not in self.feet:
                raise unknown("foot", str(foot), list(self.feet), f"{self.path}, {where}")
        return [Lift(foot, start, end, height, pitch, place, where) for foot in feet]

    def _flight(self, n: int, table: Any) -> Flight:
        where = f"flight {n + 1}"
        self._only(where, table, ("from", "to", "tuck"))
        return Flight(*self._span(where, table), self._number(f"{where}: tuck", table.get("tuck", TUCK)))

    def _copy(self, n: int, table: Any) -> tuple[float, float, float, bool]:
        where = f"copy {n + 1}"
        self._only(where, table, ("from", "to", "at", "mirror"))
        start, end = self._span(where, table)
        at = self._number(f"{where}: at", table.get("at"))
        last = at + end - start
        if not 0 <= at <= last <= self.end + 1e-9 or (at < end - 1e-9 and last > start + 1e-9):
            raise UserError(
                f"{self.path}: {where} says {start:g} to {end:g} s again from {at:g} to {last:g} s: they must not "
                f"overlap, and lie in 0 to {self.end:g} s"
            )
        return start, end, at, self._flag(table, "mirror")

    def _rising(self, script: Script) -> None:
        last = -np.inf
        for pose in script.poses:
            if pose.time < 0 or not last < pose.time or pose.time > self.end or (self.loop and pose.time >= self.end):
                what = f"half the duration, {self.end} s" if self.end < self.duration else f"the duration, {self.end} s"
                raise UserError(
                    f"{self.path}: {pose.where} is at {pose.time:g} s; times must rise from 0 to {what}"
                    + (", which in a loop is the first pose again" if self.loop else "")
                )
            last = pose.time

    def _span(self, where: str, table: dict[str, Any]) -> tuple[float, float]:
        start, end = (self._number(f"{where}: {key}", table.get(key)) for key in ("from", "to"))
        if not 0 <= start < end <= self.end + 1e-9:
            raise UserError(
                f"{self.path}: {where} goes from {start:g} to {end:g} s; it must lie in 0 to {self.end:g} s"
            )
        return start, end

    def _part(self, name: Any, where: str) -> Part:
        """What a wave or a lag is of: ``height``, a joint, or ``targets.head.yaw``."""
        words = str(name).split(".")
        if len(words) == 3 and words[0] == "targets" and words[1] in self.effectors and words[2] in TARGET:
            return Part(*words)
        if name in BASE:
            return Part("base", "", name)
        if name not in self.joints:
            raise unknown("quantity", str(name), [*BASE, *self.joints, "targets.NAME.PART"], f"{self.path}, {where}")
        return Part("joints", "", name)

    def _joint(self, name: str, where: str) -> None:
        if name not in self.joints:
            why = " (feet are planted: legs follow)" if name in self.legs else ""
            raise unknown("joint", name, list(self.joints), f"{self.path}, {where}{why}")

    def _scaled(self, part: Part, value: float) -> float:
        return value if part.is_length else self.scale * value

    def _flag(self, table: dict[str, Any], key: str) -> bool:
        value = table.get(key, False)
        if not isinstance(value, bool):
            raise UserError(f"{self.path}: {key} is {value!r}, not true or false")
        return value

    def _only(self, where: str, table: Any, keys: Sequence[str] | None) -> None:
        if not isinstance(table, dict):
            raise UserError(f"{self.path}: {where} is {table!r}, not a table")
        for key in table:
            if keys is not None and key not in keys:
                raise unknown("key", key, list(keys), f"{self.path}, {where}")

    def _number(self, what: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
            raise UserError(f"{self.path}: {what} is {value!r}, not a number")
        return float(value)


def _flattened(table: dict[str, Any]) -> dict[str, Any]:
    """Tables within tables as one, by dotted names: TOML reads ``targets.head.yaw = 0.1`` as three."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        inner = _flattened(value) if isinstance(value, dict) else {"": value}
        flat |= {f"{key}.{name}" if name else key: x for name, x in inner.items()}
    return flat
