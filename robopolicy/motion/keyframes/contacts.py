"""Where the feet are at every moment: planted in place, or lifted from one place to the next."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from robopolicy.errors import UserError
from robopolicy.motion.keyframes.script import FOOT, Flight, Lift, Part, Script
from robopolicy.motion.keyframes.spline import Key, spline

SAME_TIME = 1e-9
"""Two times this near are one [s]."""
SAME_PLACE = 1e-9
"""A foot that is keyed this near to where it stands is keyed there [m, rad]."""
PLACE = ("x", "y", "yaw")
"""What a planted foot keeps."""


@dataclass(frozen=True)
class FootPath:
    """One foot over K frames, as offsets from its home place.

    Attributes:
        values: ``x``, ``y``, ``height`` [m], ``pitch``, ``yaw`` [rad]. Shapes (K,).
        down: Whether it is on the ground. Shape (K,).
    """

    values: dict[str, np.ndarray]
    down: np.ndarray


def foot_path(script: Script, foot: str, times: np.ndarray, glide: Callable, gravity: float) -> FootPath:
    """Follow one foot through the file.

    Args:
        script: The file.
        foot: Name of the foot.
        times: Of the frames [s]. Shape (K,).
        glide: How a foot travels from place to place where nothing is keyed: shares (n,) -> shares (n,).
        gravity: [m/s^2].

    Raises:
        UserError: The foot is keyed while it is on the ground, two lifts overlap, a flight begins with the foot
            on the ground, or a loop ends with the foot elsewhere than it began.
    """
    lifts = _all_lifts(script, foot, gravity)
    place: dict[str, float] = dict.fromkeys(PLACE, 0.0)
    for lift in lifts if script.loop else ():  # a loop begins where it ends
        place |= lift.place
    for pose in script.poses:
        if pose.time == 0:
            place |= {name: value for name in PLACE if (value := pose.values.get(Part("feet", foot, name))) is not None}
    began = dict(place)
    keys = _keys(script, foot, lifts, began)
    values = {name: np.full(len(times), place.get(name, 0.0)) for name in FOOT}
    down = np.ones(len(times), bool)
    for lift in lifts:
        after = place | lift.place
        inside = (times > lift.start + SAME_TIME) & (times < lift.end - SAME_TIME)
        later = times >= lift.end - SAME_TIME
        share = (times[inside] - lift.start) / (lift.end - lift.start)
        bump = (4 * share * (1 - share)) ** 2
        for name in FOOT:
            first, last = place.get(name, 0.0), after.get(name, 0.0)
            between: list[Key] = [(t, v, e) for t, (v, e) in keys[name].items() if lift.start < t < lift.end]
            if between:
                track: list[Key] = [(lift.start, first, "stop"), *between, (lift.end, last, "stop")]
                values[name][inside] = spline(track, times[inside])
            elif name in PLACE:
                values[name][inside] = first + (last - first) * glide(share)
            else:
                values[name][inside] = bump * (lift.height if name == "height" else lift.pitch)
            values[name][later] = last
        down &= ~inside
        place = after
    apart = max(abs(place[name] - began[name]) for name in PLACE)
    if script.loop and apart > 1e-9:
        raise UserError(
            f"{script.path}: {foot} ends {1000 * apart:.0f} mm or mrad from where it began; in a loop the last lift "
            "must bring it back"
        )
    return FootPath(values, down)


def _keys(
    script: Script, foot: str, lifts: list[Lift], began: dict[str, float]
) -> dict[str, dict[float, tuple[float, str]]]:
    """Value and ease by time, for each part of the foot while it is lifted.

    Raises:
        UserError: The foot is on the ground at that time, and elsewhere.
    """
    keys: dict[str, dict[float, tuple[float, str]]] = {name: {} for name in FOOT}
    for pose in script.poses:
        place = dict(began)
        for lift in lifts:
            place |= lift.place if lift.end <= pose.time + SAME_TIME else {}
        for name in FOOT:
            value = pose.values.get(Part("feet", foot, name))
            if value is None:
                continue
            if not _lifted(lifts, pose.time):
                if name in PLACE and abs(value - place[name]) < SAME_PLACE:
                    continue
                spells = ", ".join(f"{x.start:g} to {x.end:g} s" for x in lifts) or "never"
                raise UserError(
                    f"{script.path}: {pose.where} moves {foot} at {pose.time:g} s, but it is on the ground then; "
                    f"it is lifted: {spells} ([[lift]]; where it lands is the lift's place)"
                )
            keys[name][pose.time] = (value, pose.ease)
    return keys


def _all_lifts(script: Script, foot: str, gravity: float) -> list[Lift]:
    """The foot's lifts in order of time, and one for each flight that has none."""
    lifts = [lift for lift in script.lifts if lift.foot == foot]
    for flight in script.flights:
        around = [x for x in lifts if x.start < flight.end - SAME_TIME and x.end > flight.start + SAME_TIME]
        if not around:
            lifts.append(_lift_of(flight, foot, gravity))
        elif around[0].start > flight.start + SAME_TIME or around[0].end < flight.end - SAME_TIME:
            raise UserError(
                f"{script.path}: in the flight from {flight.start:g} to {flight.end:g} s {foot} is on the ground: "
                f"{around[0].where} lifts it from {around[0].start:g} to {around[0].end:g} s only"
            )
    lifts.sort(key=lambda lift: lift.start)
    for before, lift in pairwise(lifts):
        if lift.start < before.end - SAME_TIME:
            raise UserError(
                f"{script.path}: {lift.where} lifts {foot} at {lift.start:g} s, but {before.where} holds it up "
                f"until {before.end:g} s"
            )
    return lifts


def _lift_of(flight: Flight, foot: str, gravity: float) -> Lift:
    """A foot goes up with the body, and a little more."""
    rise = gravity * (flight.end - flight.start) ** 2 / 8
    return Lift(foot, flight.start, flight.end, rise + flight.tuck, 0.0, {}, "the flight")


def _lifted(lifts: list[Lift], time: float) -> bool:
    return any(lift.start + SAME_TIME < time < lift.end - SAME_TIME for lift in lifts)
