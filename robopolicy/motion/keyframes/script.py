"""What a keyframe file says, checked, in radians, metres and seconds."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

LENGTHS, ANGLES = ("x", "y", "height"), ("roll", "pitch", "yaw")
BASE = LENGTHS + ANGLES
"""What of the base can be keyed: offsets from the home pose."""
FOOT = ("x", "y", "height", "pitch", "yaw")
"""What of a foot: offsets from its home place, height over the ground, pitch and heading of the sole."""
TARGET = BASE
"""What of another site or body: position and orientation, offsets from home."""
EASES = ("smooth", "flow", "stop")


class Part(NamedTuple):
    """A quantity that can be keyed: ``("base", "", "height")``, ``("joints", "", "head_yaw")``,
    ``("feet", "l_foot", "x")`` or ``("targets", "head", "pitch")``."""

    group: str
    of: str
    name: str

    def __str__(self) -> str:
        """As it is written in the file."""
        return ".".join(part for part in self if part)

    @property
    def is_length(self) -> bool:
        """Whether it is in metres; else it is an angle."""
        return self.group != "joints" and self.name in LENGTHS


@dataclass(frozen=True)
class Pose:
    """Values to be at, and when.

    Attributes:
        time: [s].
        ease: One of :data:`EASES`.
        values: Only what is keyed [m, rad].
        where: What to call it in a message.
    """

    time: float
    ease: str
    values: dict[Part, float]
    where: str


@dataclass(frozen=True)
class Wave:
    """A sine on top of a track."""

    of: Part
    amplitude: float
    period: float
    shift: float


@dataclass(frozen=True)
class Lift:
    """A foot is off the ground between two times.

    Attributes:
        foot: Its name.
        start, end: When it leaves the ground and when it is back [s].
        height: How high it is in the middle, where no pose keys its height [m].
        pitch: Pitch of the sole in the middle, where no pose keys it; positive toe down [rad].
        place: Where it lands: ``x``, ``y`` [m] and ``yaw`` [rad] from its home place; what is absent stays.
        where: What to call it in a message.
    """

    foot: str
    start: float
    end: float
    height: float
    pitch: float
    place: dict[str, float]
    where: str


@dataclass(frozen=True)
class Flight:
    """No foot is on the ground between two times, and gravity has the body.

    Attributes:
        start, end: Take-off and landing [s].
        tuck: How much further than the body the feet are lifted [m].
    """

    start: float
    end: float
    tuck: float


@dataclass(frozen=True)
class Script:
    """A whole file.

    Attributes:
        path: Where it lies.
        duration: [s].
        fps: Frames per second of the clip.
        loop: Whether its end is its beginning.
        planted: Whether the legs follow from the feet; else their joints are keyed like all others.
        world: Targets that are meant in the world's frame, not the base's.
        poses: In order of time.
        waves, lifts, flights: As the file has them.
        lags: How late a quantity follows its keys [s].
    """

    path: Path
    duration: float
    fps: float
    loop: bool
    planted: bool
    world: frozenset[str] = frozenset()
    poses: tuple[Pose, ...] = ()
    waves: tuple[Wave, ...] = ()
    lifts: tuple[Lift, ...] = ()
    flights: tuple[Flight, ...] = ()
    lags: dict[Part, float] = field(default_factory=dict)
