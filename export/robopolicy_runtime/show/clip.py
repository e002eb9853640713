"""A clip of a show: a few named numbers over time, keyed by hand or taken from a motion clip of the robot."""

import re
import zipfile
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from robopolicy_runtime.show.table import Table

EASES = ("smooth", "linear", "hold")


def smooth(part: float) -> float:
    """``3 t^2 - 2 t^3`` with t within [0, 1]: from 0 to 1, at rest at both ends."""
    t = min(max(part, 0.0), 1.0)
    return t * t * (3 - 2 * t)


@dataclass(frozen=True)
class Track:
    """One number over time. Before the first key it has the first one's value, after the last one the last one's.

    Attributes:
        times: When it has which value, rising [s].
        values: Deviation from rest: from the channel's default in its unit, or from the joint's default pose [rad].
        eases: How it comes to each key from the one before: ``smooth``, ``linear``, or ``hold``, which jumps.
    """

    times: tuple[float, ...]
    values: tuple[float, ...]
    eases: tuple[str, ...]

    def at(self, time_s: float) -> float:
        """Its value."""
        k = bisect_right(self.times, time_s)
        if k == 0 or k == len(self.times):
            return self.values[max(k - 1, 0)]
        ease, begin, low = self.eases[k], self.times[k - 1], self.values[k - 1]
        if ease == "hold":
            return low
        part = (time_s - begin) / (self.times[k] - begin)
        return low + (smooth(part) if ease == "smooth" else part) * (self.values[k] - low)

    def looped(self, duration_s: float) -> "Track":
        """The same with its last key also before the first one, and its first one after the last."""
        if self.times[-1] >= duration_s:  # keyed at the seam: what is there also begins the next round
            times, values, eases = self.times, self.values, self.eases
            return self if times[0] <= 0 else Track((0.0, *times), (values[-1], *values), (eases[0], *eases))
        before, after = self.times[-1] - duration_s, self.times[0] + duration_s
        return Track(
            (before, *self.times, after),
            (self.values[-1], *self.values, self.values[0]),
            (self.eases[-1], *self.eases, self.eases[0]),
        )


@dataclass(frozen=True)
class Clip:
    """What is played on top of a policy.

    Attributes:
        name: Its name in the show.
        tracks: By the name of a command channel or a joint.
        duration_s: [s].
        loop: It begins again at its end, until it is told to end.
        fade_in_s, fade_out_s: How long it takes to come and to go [s].
        replaces: It takes the place of what plays below, instead of being added to it.
    """

    name: str
    tracks: Mapping[str, Track]
    duration_s: float
    loop: bool = False
    fade_in_s: float = 0.2
    fade_out_s: float = 0.2
    replaces: bool = False

    def at(self, time_s: float) -> dict[str, float]:
        """The deviations at that time since its start [s], by name."""
        t = time_s % self.duration_s if self.loop else time_s
        return {name: track.at(t) for name, track in self.tracks.items()}

    def left(self, time_s: float, ended_s: float | None) -> float:
        """How long it goes on [s], at ``time_s`` since its start, if it was told to end ``ended_s`` after it."""
        left = np.inf if self.loop else self.duration_s - time_s
        return left if ended_s is None else min(left, ended_s + self.fade_out_s - time_s)

    def weight(self, time_s: float, ended_s: float | None = None) -> float:
        """How much of it plays, from 0 to 1; the arguments are those of ``left``."""
        left = self.left(time_s, ended_s)
        if left <= 0:
            return 0.0
        come = smooth(time_s / self.fade_in_s) if self.fade_in_s > 0 else 1.0
        return come * (smooth(left / self.fade_out_s) if self.fade_out_s > 0 else 1.0)


def read_clip(name: str, table: Table, folder: Path, pose: Mapping[str, float], movable: frozenset[str]) -> Clip:
    """A clip from its table in the show file.

    Args:
        name: Its name.
        table: ``keys`` or ``file``, ``loop``, ``duration``, ``fade_in``, ``fade_out``, ``mode``, ``joints``.
        folder: Where ``file`` is looked for.
        pose: The robot's default pose [rad].
        movable: Channels and joints that some policy of the show has or lets be moved.

    Raises:
        ContractError: It does not read, or names what nothing is called.
    """
    if ("keys" in table) == ("file" in table):
        table.refuse("needs either keys or file")
    if "keys" in table:
        tracks, last, loop = *_keyed(table), False
        for track in tracks:
            if track not in movable:
                table.refuse(f"nothing that can be moved is called {track!r}; there are: {', '.join(sorted(movable))}")
    else:
        tracks, last, loop = _recorded(table, folder / table.text("file"), pose, movable)
    loop = table.flag("loop", loop)
    duration = table.number("duration", last, 1e-3)
    if duration < max(track.times[-1] for track in tracks.values()):
        table.refuse(f"duration {duration:g} s ends before its last key")
    found = Clip(
        name,
        {n: t.looped(duration) if loop else t for n, t in tracks.items()},
        duration,
        loop,
        table.number("fade_in", 0.2, 0.0),
        table.number("fade_out", 0.2, 0.0),
        table.text("mode", "add", ("add", "replace")) == "replace",
    )
    table.done()
    if not loop and found.fade_in_s + found.fade_out_s > duration:
        table.refuse(f"fade_in and fade_out take longer than its {duration:g} s")
    return found


def _keyed(table: Table) -> tuple[dict[str, Track], float]:
    """Tracks of hand-made keys, and the time of the last key."""
    keys = table.value("keys")
    if not isinstance(keys, list) or not keys:
        table.refuse("keys must be a list of tables such as { time = 0.5, head_yaw = 0.3 }")
    found: dict[str, list[tuple[float, float, str]]] = {}
    last = -np.inf
    for i, data in enumerate(keys):
        key = Table(data, f"{table.where}.keys[{i}]")
        time, ease = key.number("time", low=0.0), key.text("ease", "smooth", EASES)
        if time <= last:
            key.refuse(f"time {time:g} s is not after {last:g} s")
        last = time
        for name in key.names:
            if name not in ("time", "ease"):
                found.setdefault(name, []).append((time, key.number(name), ease))
        key.done()
    if not found:
        table.refuse("keys name nothing that moves")
    return {name: Track(*zip(*rows, strict=True)) for name, rows in found.items()}, last  # type: ignore[arg-type]


def _recorded(
    table: Table, path: Path, pose: Mapping[str, float], movable: frozenset[str]
) -> tuple[dict[str, Track], float, bool]:
    """Joints of a motion clip against the default pose, its duration, and whether it loops."""
    wanted = _pattern(table, table.text("joints", ".*"))
    try:
        with np.load(path, allow_pickle=False) as arrays:
            fps, loop = float(arrays["fps"]), bool(arrays["loop"])
            names, qpos = [str(n) for n in arrays["joint_names"]], np.asarray(arrays["qpos"], float)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        table.refuse(f"file {path} cannot be read: {getattr(error, 'strerror', None) or error}")
    except KeyError as error:
        table.refuse(f"file {path} is no motion clip: {error.args[0]}")
    if qpos.ndim != 2 or qpos.shape[1] != 7 + len(names) or len(qpos) < 2 or not fps > 0:
        table.refuse(f"file {path}: qpos of shape {qpos.shape} at {fps:g} per second for {len(names)} joints")
    if not np.isfinite(qpos).all():
        table.refuse(f"file {path}: qpos is not finite")
    chosen = [n for n in names if wanted.fullmatch(n) and n in movable and n in pose]
    if not chosen:
        table.refuse(f"none of the joints in {path} may be moved: {', '.join(names)}; joints = {wanted.pattern!r}")
    times = tuple(k / fps for k in range(len(qpos)))
    ease = ("linear",) * len(qpos)
    tracks = {n: Track(times, tuple((qpos[:, 7 + names.index(n)] - pose[n]).tolist()), ease) for n in chosen}
    return tracks, (len(qpos) if loop else len(qpos) - 1) / fps, loop


def _pattern(table: Table, text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        table.refuse(f"joints {text!r} is no pattern: {error}")
