"""Walking clips from a footstep plan and inverse kinematics, for bipeds and quadrupeds.

The base moves with a constant planar velocity, plus a little sway, bounce and lean. A footstep is where the
foot's home place lies at the middle of its stance, and there the foot stays: planted feet do not slide by
construction. Between two footsteps the foot swings along a path with continuous acceleration that leaves and
meets the ground at rest. A cycle is a whole number of frames, so the loop closes exactly.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from robopolicy.errors import UserError, unknown
from robopolicy.motion.clip import Clip, velocities
from robopolicy.motion.ik import FootIK
from robopolicy.motion.pose import compose2, quat_from_euler, rotate2

if TYPE_CHECKING:
    from robopolicy.robot import RobotModel

FPS = 50.0
REACH = 1e-6
"""How far a foot may stay from its plan before the gait is refused [m]."""

OFFSETS = {
    "walk": {2: (0.0, 0.5), 4: (0.0, 0.5, 0.75, 0.25)},
    "trot": {4: (0.0, 0.5, 0.5, 0.0)},
    "pace": {4: (0.0, 0.5, 0.0, 0.5)},
    "bound": {4: (0.0, 0.0, 0.5, 0.5)},
}
"""Phase at which each foot touches down, by style and number of feet: left, right; or front left, front right,
rear left, rear right."""


@dataclass(frozen=True)
class Gait:
    """A gait in a handful of numbers.

    Attributes:
        vx, vy: Base velocity, forward and to the left [m/s].
        wz: Yaw rate, to the left [rad/s].
        style: A key of :data:`OFFSETS`, or ``"stand"``: all feet stay down.
        period: Duration of a cycle [s]; rounded to a whole number of frames.
        duty: Share of the cycle that a foot is on the ground.
        cycles: Cycles in the clip.
        step_height: How high a foot is lifted [m].
        height: Mean height of the base [m]; by default that of the robot's home pose.
        forward: Shift of the base over its feet [m].
        spread: Shift of every foot outwards [m].
        sway: Sideways swing of the base towards the standing foot [m].
        bounce: Vertical swing of the base, highest over a standing foot, twice a cycle [m].
        roll, yaw: Lean towards the standing foot, and turn with the stepping leg [rad].
        pitch: Constant pitch of the base, positive nose down [rad].
        rock: Swing of the pitch, twice a cycle; the nose dips as the weight comes onto a foot [rad].
        toe: Pitch of the sole in mid-swing, positive toe up [rad].
    """

    vx: float = 0.0
    vy: float = 0.0
    wz: float = 0.0
    style: str = "walk"
    period: float = 0.64
    duty: float = 0.62
    cycles: int = 4
    step_height: float = 0.045
    height: float | None = None
    forward: float = 0.0
    spread: float = 0.0
    sway: float = 0.0
    bounce: float = 0.0
    roll: float = 0.0
    yaw: float = 0.0
    pitch: float = 0.0
    rock: float = 0.0
    toe: float = 0.0

    @property
    def frames_per_cycle(self) -> int:
        """Frames in a cycle at 50 frames per second."""
        return round(self.period * FPS)

    @property
    def standing(self) -> bool:
        """Whether all feet stay down."""
        return self.style == "stand"


Posture = Callable[[np.ndarray, np.ndarray], dict[str, np.ndarray]]
"""(phase in cycles from the clip's start (K,), share of the clip played (K,)) -> offsets from the home pose
by name:
joints outside the legs [rad]; and ``x``, ``y``, ``z`` [m], ``roll``, ``pitch``, ``yaw`` [rad] of the base."""


def generate(name: str, model: "RobotModel", gait: Gait, posture: Posture | None = None) -> Clip:
    """Make a looping clip of a gait.

    Args:
        name: Name of the clip.
        model: The robot; its home pose gives the place of the feet under the base.
        gait: What to do.
        posture: What the head does, and anything the base does beyond the gait. It must repeat with the clip.

    Raises:
        UserError: A foot cannot reach its footstep inside the joint limits; the message names frame and foot.
    """
    count = gait.cycles * gait.frames_per_cycle
    cycle_time = gait.frames_per_cycle / FPS
    phase = np.arange(count) / gait.frames_per_cycle
    ik = FootIK(model)
    home = _home_feet(model, ik, gait)
    offsets = np.zeros(len(home)) if gait.standing else _offsets(gait, home, model.robot.name)

    extra = posture(phase, np.arange(count) / count) if posture is not None else {}
    base = _base(model, gait, phase, cycle_time, extra)
    joints = np.tile(model.default_pose, (count, 1))
    for joint, values in extra.items():
        if joint in model.joint_names:
            joints[:, model.joint_names.index(joint)] += values

    feet = [_foot(gait, phase - offset, cycle_time, offset, place) for offset, place in zip(offsets, home, strict=True)]
    qpos = np.empty((count, 7 + len(model.joint_names)))
    legs = model.default_pose[ik.leg_joints]
    for k in range(count):
        joints[k, ik.leg_joints] = legs
        places, headings, pitches = (np.array([foot[i][k] for foot in feet]) for i in range(3))
        qpos[k], error = ik.solve(base[k], joints[k], places, headings, pitches)
        if error > REACH:
            raise UserError(
                f"clip {name!r}: in frame {k} ({k / FPS:.2f} s) {ik.complaint(qpos[k])} off plan: at "
                f"{gait.vx:g} m/s forward, {gait.vy:g} m/s left, {gait.wz:g} rad/s, feet lifted {gait.step_height:g} m "
                f"and the base at {base[k, 2]:.3g} m, the gait asks for more than the joints allow"
            )
        legs = qpos[k, 7 + ik.leg_joints]
    cycle = _travel(gait, np.array(count / FPS))
    return Clip(
        name=name,
        fps=FPS,
        joint_names=tuple(model.joint_names),
        qpos=qpos,
        qvel=velocities(qpos, FPS, cycle),
        loop=True,
        phase=np.mod(phase, 1.0),
        robot=model.robot.name,
        source=f"generated by robopolicy.motion.generate: {gait.style} at {gait.vx:+.2f} m/s forward, "
        f"{gait.vy:+.2f} m/s left, {gait.wz:+.2f} rad/s",
    )


def _offsets(gait: Gait, home: np.ndarray, robot: str) -> np.ndarray:
    """Phase at which each foot touches down, whatever order the robot names its feet in. Shape (F,).

    Raises:
        UserError: The style does not exist, or not for so many feet; or all feet would be off the ground.
    """
    if gait.style not in OFFSETS:
        raise unknown("style", gait.style, [*OFFSETS, "stand"])
    if len(home) not in OFFSETS[gait.style]:
        needed = " or ".join(str(n) for n in OFFSETS[gait.style])
        raise UserError(f"a {gait.style} needs {needed} feet; {robot} has {len(home)}")
    offsets = np.array(OFFSETS[gait.style][len(home)])
    gap = np.diff(np.append(np.unique(offsets), 1.0)).max()
    if not gap <= gait.duty < 1.0:
        raise UserError(
            f"duty {gait.duty:g}: in a {gait.style} of {robot} a foot must be on the ground for {gap:g} to 1 of the "
            "cycle, or all of them would be in the air"
        )
    front = home[:, 0] > home[:, 0].mean() if len(home) == 4 else np.ones(len(home), bool)
    return offsets[2 * ~front + (home[:, 1] < 0)]


def _travel(gait: Gait, time: np.ndarray) -> np.ndarray:
    """Planar pose [x, y, yaw] after a time at constant velocity, heading frame. Shape (...) -> (..., 3)."""
    turn = gait.wz * time
    half = 0.5 * turn
    chord = time * np.sinc(half / np.pi)
    velocity = np.broadcast_to([gait.vx, gait.vy], (*np.shape(time), 2))
    return np.concatenate([chord[..., None] * rotate2(half, velocity), turn[..., None]], axis=-1)


def _base(model: "RobotModel", gait: Gait, phase: np.ndarray, cycle_time: float, extra: dict) -> np.ndarray:
    """Base poses. Shape (K, 7)."""
    zero = np.zeros_like(phase)
    get = {name: extra.get(name, zero) for name in ("x", "y", "z", "roll", "pitch", "yaw")}
    # Over the first foot (left, or the pair that touches down at 0) in the middle of its stance.
    over = 2 * np.pi * (phase - 0.5 * gait.duty)
    side = np.cos(over)
    # A little third harmonic keeps the pressure point on the standing foot instead of rolling across it.
    sway = gait.sway * (side - 0.047 * np.cos(3 * over))
    local = np.stack([gait.forward + get["x"], sway + get["y"]], axis=-1)
    path = compose2(_travel(gait, phase * cycle_time), np.concatenate([local, zero[:, None]], axis=-1))
    height = float(model.home_qpos[2]) if gait.height is None else gait.height
    z = height + gait.bounce * np.cos(2 * over) + get["z"]
    quat = quat_from_euler(
        -gait.roll * side + get["roll"],
        gait.pitch + gait.rock * np.cos(2 * over + 1.2) + get["pitch"],
        path[:, 2] - gait.yaw * np.cos(2 * np.pi * phase) + get["yaw"],
    )
    return np.concatenate([path[:, :2], z[:, None], quat], axis=1)


def _foot(gait: Gait, since: np.ndarray, cycle_time: float, offset: float, home: np.ndarray):
    """Path of a foot ``since`` cycles after touch-down: places (K, 3), headings (K,), pitches (K,)."""
    if gait.standing:
        count = len(since)
        return np.tile([home[0], home[1], 0.0], (count, 1)), np.zeros(count), np.zeros(count)
    # Round off, so that a frame exactly at touch-down or lift-off falls on the same side in every cycle.
    since = np.round(since, 9)
    step = np.floor(since)
    swing = np.clip((since - step - gait.duty) / (1 - gait.duty), 0.0, 1.0)

    def footstep(n: np.ndarray) -> np.ndarray:
        middle = _travel(gait, (n + offset + 0.5 * gait.duty) * cycle_time)
        return compose2(middle, np.broadcast_to([*home, 0.0], middle.shape))

    start, end = footstep(step), footstep(step + 1)
    along = start + glide((swing - 0.08) / 0.84)[:, None] * (end - start)
    lift = (4 * swing * (1 - swing)) ** 2.5
    return (
        np.stack([along[:, 0], along[:, 1], gait.step_height * lift], axis=1),
        along[:, 2],
        -gait.toe * lift,
    )


def glide(u: np.ndarray, ramp: float = 0.4) -> np.ndarray:
    """From 0 to 1 with continuous acceleration: the speed eases in, stays, and eases out by smoothsteps."""
    u = np.clip(u, 0.0, 1.0)

    def ease(x: np.ndarray) -> np.ndarray:  # integral of the smoothstep 3 s^2 - 2 s^3 up to s = x / ramp
        s = np.clip(x / ramp, 0.0, 1.0)
        return ramp * (s**3 - 0.5 * s**4) + np.maximum(x - ramp, 0.0)

    end = 1.0 - ramp
    late = np.maximum(u - end, 0.0)
    return (ease(u) - late + (ramp * 0.5 - ease(ramp - late)) * (late > 0)) / end


def _home_feet(model: "RobotModel", ik: FootIK, gait: Gait) -> np.ndarray:
    """Home places of the feet relative to the base, in its heading frame [m]. Shape (F, 2)."""
    home = np.concatenate([model.home_qpos[:7], model.default_pose])
    home[:2], home[3:7] = 0.0, [1.0, 0.0, 0.0, 0.0]
    places = ik.feet.trajectories(home[None])[1][0, :, :2]
    places[:, 1] += np.sign(places[:, 1]) * gait.spread
    return places


def with_velocity(gait: Gait, vx: float = 0.0, vy: float = 0.0, wz: float = 0.0) -> Gait:
    """The same gait at another velocity."""
    return dataclasses.replace(gait, vx=vx, vy=vy, wz=wz)
