"""Copies and mirror images of what is keyed."""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from robopolicy.errors import UserError
from robopolicy.motion.keyframes.script import Lift, Part, Pose, Script, Wave
from robopolicy.motion.mirror import Mirror, other_side

if TYPE_CHECKING:
    from robopolicy.robot import RobotModel

ODD = ("y", "roll", "yaw")
"""What changes its sign in the mirror, of the base, of feet and of targets."""
SAME_TIME = 1e-9
"""Two times this near are one [s]."""


class Reflection:
    """What the mirror does to the parts of a robot. The map is made when it is first asked for: a robot that is
    not symmetric can have keyframes too."""

    def __init__(self, model: "RobotModel") -> None:
        self._model = model
        self._mirror: Mirror | None = None
        mj = model.mj
        self._frames = [mj.site(i).name for i in range(mj.nsite)] + [mj.body(i).name for i in range(mj.nbody)]

    def part(self, part: Part) -> tuple[Part, float]:
        """The part that shows this one in the mirror, and the sign of its value there.

        Raises:
            UserError: The robot is not symmetric, or a target has no partner.
        """
        if part.group != "joints":
            of = self.foot(part.of) if part.group == "feet" else self._target(part.of)
            return part._replace(of=of), -1.0 if part.name in ODD else 1.0
        mirror, names = self._map(), self._model.joint_names
        partner = int(mirror.joint_index[names.index(part.name)])
        return part._replace(name=names[partner]), float(mirror.joint_sign[partner])

    def foot(self, foot: str) -> str:
        """The foot of the other side."""
        names = [self._model.mj.site(i).name for i in self._model.foot_sites]
        return names[int(np.flatnonzero(self._map().foot_index == names.index(foot))[0])]

    def _target(self, name: str) -> str:
        partner = other_side(name, self._frames)
        if partner is None:
            raise UserError(f"target {name!r} has no partner on the other side of robot {self._model.robot.name!r}")
        return partner

    def _map(self) -> Mirror:
        self._mirror = self._mirror or Mirror(self._model)
        return self._mirror


def in_the_mirror(values: dict[Part, float], reflection: Reflection) -> dict[Part, float]:
    """Keyed values, left for right."""
    found = ((reflection.part(part), value) for part, value in values.items())
    return {part: sign * value for (part, sign), value in found}


def copied(script: Script, start: float, end: float, at: float, mirror: bool, reflection: Reflection) -> Script:
    """The script with what it says from ``start`` to ``end`` said once more from ``at`` on.

    Raises:
        UserError: Something would be keyed twice at one time.
    """
    later = at - start
    poses = [_shifted(p, later, mirror, reflection) for p in script.poses if _within(p.time, p.time, start, end)]
    lifts = [_shifted_lift(x, later, mirror, reflection) for x in script.lifts if _within(x.start, x.end, start, end)]
    flights = [
        dataclasses.replace(f, start=f.start + later, end=f.end + later)
        for f in script.flights
        if _within(f.start, f.end, start, end)
    ]
    return dataclasses.replace(
        script,
        poses=_merged(script, poses),
        lifts=(*script.lifts, *lifts),
        flights=(*script.flights, *flights),
    )


def reflected(script: Script, reflection: Reflection) -> Script:
    """The script of a half with the other half, its mirror image, said as well.

    Raises:
        UserError: A wave is not its own mirror image half a duration later.
    """
    half = script.duration / 2
    whole = copied(script, 0.0, half, half, True, reflection)
    lags = dict(script.lags)
    for part, lag in script.lags.items():
        lags.setdefault(reflection.part(part)[0], lag)
    waves = [other for wave in script.waves for other in _wave_images(script, wave, half, reflection)]
    return dataclasses.replace(whole, lags=lags, waves=(*script.waves, *waves))


def _wave_images(script: Script, wave: Wave, half: float, reflection: Reflection) -> list[Wave]:
    """The wave on the other side, half the duration later; none if it is the wave itself."""
    part, sign = reflection.part(wave.of)
    if part != wave.of:
        return [Wave(part, sign * wave.amplitude, wave.period, wave.shift + half / wave.period)]
    # Half a duration later it must be the same, or the opposite if the mirror turns it round.
    turns = half / wave.period - (0.0 if sign > 0 else 0.5)
    if abs(turns - round(turns)) > 1e-6:
        fits = "an even" if sign > 0 else "an odd"
        raise UserError(
            f"{script.path}: wave of {wave.of.name}: with mirror = true {fits} number of periods must fit into "
            f"{script.duration:g} s, or its second half is no mirror image; {wave.period:g} s fits "
            f"{script.duration / wave.period:g} times"
        )
    return []


def _within(first: float, last: float, start: float, end: float) -> bool:
    return start - SAME_TIME <= first and last <= end + SAME_TIME


def _shifted(pose: Pose, later: float, mirror: bool, reflection: Reflection) -> Pose:
    values = in_the_mirror(pose.values, reflection) if mirror else pose.values
    return Pose(pose.time + later, pose.ease, values, f"the copy of {pose.where}")


def _shifted_lift(lift: Lift, later: float, mirror: bool, reflection: Reflection) -> Lift:
    lift = dataclasses.replace(lift, start=lift.start + later, end=lift.end + later, where=f"the copy of {lift.where}")
    if not mirror:
        return lift
    place = {name: -value if name in ODD else value for name, value in lift.place.items()}
    return dataclasses.replace(lift, foot=reflection.foot(lift.foot), place=place)


def _merged(script: Script, poses: list[Pose]) -> tuple[Pose, ...]:
    """All poses in order of time."""
    end = script.duration
    wrapped = [dataclasses.replace(p, time=0.0) if script.loop and p.time > end - SAME_TIME else p for p in poses]
    together = sorted([*script.poses, *wrapped], key=lambda pose: pose.time)
    seen: dict[Part, Pose] = {}
    for pose in together:
        for part in pose.values:
            before = seen.get(part)
            if before is None or pose.time - before.time > SAME_TIME:
                seen[part] = pose
            elif abs(pose.values[part] - before.values[part]) > 1e-9:
                raise UserError(f"{script.path}: {pose.where} and {before.where} both key {part} at {pose.time:g} s")
    return tuple(together)
