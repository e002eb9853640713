"""Landmarks of a human skeleton or of a dog's points: rotations from where joints lie, heights from the clip itself."""

import numpy as np

from robopolicy.errors import UserError
from robopolicy.motion.pose import continuous, heading, quat_conj, quat_from_euler, quat_mul, quat_rotate
from robopolicy.motion.retarget.landmarks import Landmarks, facing, frame, lean, mean_rotation, pitched
from robopolicy.motion.retarget.roles import Mapping, find_joints
from robopolicy.motion.retarget.skeleton import SkeletonMotion

DOG = ("pelvis", "neck", "fl_hip", "fr_hip", "rl_hip", "rr_hip", "fl_toe", "fr_toe", "rl_toe", "rr_toe")
"""Points that a quadruped's file must have; ``fl_hip`` is the left shoulder."""
GROUND = 5.0
"""A foot's lowest place: this percentile of its height."""
SOLE_RATIO = 1.5
"""Length of a human sole over the distance from ankle to toe joint: heel and toes go beyond them."""

STEEP = 0.5
"""A foot whose toe is less far ahead than this share of its distance from the ankle points up or down."""


def landmarks_of(motion: SkeletonMotion, mapping: Mapping) -> Landmarks:
    """Landmarks of a skeleton: a dog's if it has the points of :data:`DOG`, else a human's.

    Raises:
        UserError: Joints that are needed are not found, or bones have no length.
    """
    if set(DOG) <= set(motion.joint_names):
        return _dog(motion)
    told = f", whose joints {mapping.source} names" if mapping.joints else ""
    joints = find_joints(motion.joint_names, mapping.joints, f"skeleton {motion.name!r}{told}")
    return _human(motion, joints)


def _human(motion: SkeletonMotion, joints: dict[str, int]) -> Landmarks:
    at = {role: motion.positions[:, j] for role, j in joints.items()}
    legs = {part: np.stack([at[f"l_{part}"], at[f"r_{part}"]], axis=1) for part in ("hip", "knee", "ankle", "toe")}
    base, half_width = legs["hip"].mean(axis=1), 0.5 * np.median(_length(at["l_hip"] - at["r_hip"]))
    bones = [np.median(_length(legs[a] - legs[b])) for a, b in (("hip", "knee"), ("knee", "ankle"))]
    if min(half_width, *bones) < 1e-3:
        raise UserError(f"skeleton {motion.name!r}: hips, thighs or shins have no length; is its mapping right?")
    trunk = frame(at["l_hip"] - at["r_hip"], at["neck"] - base)
    # Hips and lower spine are one bone, but its spine may leave at an angle: the pelvis leans as the trunk on average.
    turn = frame(at["l_hip"] - at["r_hip"], at["spine"] - base)
    turn = continuous(pitched(turn, float(np.median(lean(trunk)) - np.median(lean(turn)))))
    turns = None
    if motion.rotations is not None:
        turns = np.stack([motion.rotations[:, joints[f"{side}_ankle"]] for side in "lr"], axis=1)
    feet, soles, length, ground = _feet(legs["ankle"], legs["toe"], turns)
    ankle = float(np.percentile(legs["ankle"][:, :, 2], GROUND)) - ground
    above = np.array([0.0, 0.0, ground])
    chest = head = arms = None
    if {"l_shoulder", "r_shoulder"} <= set(at):
        chest = frame(at["l_shoulder"] - at["r_shoulder"], at["neck"] - base)
    if "head" in joints and motion.rotations is not None:
        head = facing(motion.rotations[:, joints["head"]], turn if chest is None else chest)
    if {f"{s}_{p}" for s in "lr" for p in ("shoulder", "elbow", "hand")} <= set(at):
        chain = np.stack([np.stack([at[f"{s}_{p}"] for p in ("shoulder", "elbow", "hand")], axis=1) for s in "lr"], 1)
        arms = np.diff(chain, axis=2)
        arms = arms / np.maximum(_length(arms), 1e-9)[..., None]
    return Landmarks(
        name=motion.name,
        fps=motion.fps,
        base=base - above,
        turn=turn,
        height=sum(bones) + ankle,
        feet=feet,
        soles=soles,
        sole=length,
        neutral=np.array([[length / 3, half_width], [length / 3, -half_width]]),
        knees=legs["knee"] - above,
        chest=None if chest is None else continuous(chest),
        head=None if head is None else continuous(head),
        arms=arms,
        loop=motion.loop,
        source=motion.source,
    )


def _feet(ankle: np.ndarray, toe: np.ndarray, turns: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Soles from ankles and toes, (K, 2, 3) each, and the ankles' rotations, (K, 2, 4) or None.

    Returns:
        Their middle points over the ground (K, 2, 3), rotations (K, 2, 4), length, and the height of the ground [m].
    """
    reach = toe - ankle
    flat = _length(reach[..., :2])
    low = ankle[..., 2] <= np.percentile(ankle[..., 2], 30, axis=0)
    if turns is None:
        yaw = np.stack([_foot_yaw(reach[:, f]) for f in range(2)], axis=1)
    else:
        yaw = np.stack([_turned_yaw(reach[:, f], turns[:, f], low[:, f]) for f in range(2)], axis=1)
    ahead = reach[..., 0] * np.cos(yaw) + reach[..., 1] * np.sin(yaw)
    angle = np.arctan2(-reach[..., 2], ahead)  # positive toe down
    level = np.array([np.median(angle[low[:, f], f]) for f in range(2)])
    soles = continuous(quat_from_euler(0.0, angle - level, yaw))
    length = SOLE_RATIO * float(np.median(flat[low]))
    middle = 0.5 * (ankle + toe)
    ground = float(np.percentile(np.minimum(ankle, toe)[..., 2].min(axis=1), GROUND))
    # Each foot's own lowest place is the ground, unless it never comes near: then it hangs in the air.
    lowest = np.percentile(middle[..., 2], GROUND, axis=0)
    middle[..., 2] -= np.minimum(lowest, lowest.min() + 0.05)
    return middle, soles, length, ground


def _foot_yaw(reach: np.ndarray) -> np.ndarray:
    """Heading of a foot [rad] from ankle to toe, (K, 3). Where it points up or down it has none: there it is between
    those before and after."""
    yaw = np.arctan2(reach[:, 1], reach[:, 0])
    told = np.flatnonzero(_length(reach[:, :2]) >= STEEP * _length(reach))
    if not len(told):
        return np.unwrap(yaw)
    return np.interp(np.arange(len(yaw)), told, np.unwrap(yaw[told]))


def _turned_yaw(reach: np.ndarray, turn: np.ndarray, low: np.ndarray) -> np.ndarray:
    """Heading of a foot [rad] by its left side, which stays level however far the toe points down, and beyond.

    Args:
        reach: From ankle to toe, which does not move in the ankle's frame. Shape (K, 3).
        turn: Rotation of the ankle; its axes can be any. Shape (K, 4).
        low: Frames in which the foot stands: there its heading is that of ``reach``. Shape (K,).
    """
    level = quat_from_euler(0.0, 0.0, np.arctan2(reach[low, 1], reach[low, 0]))
    own = mean_rotation(quat_mul(quat_conj(level), turn[low]))
    left = quat_rotate(quat_mul(turn, quat_conj(own)), np.array([0.0, 1.0, 0.0]))
    return np.unwrap(np.arctan2(-left[:, 0], left[:, 1]))


def _dog(motion: SkeletonMotion) -> Landmarks:
    place = {name: motion.place(name) for name in DOG}
    hips = np.stack([place[f"{leg}_hip"] for leg in ("fl", "fr", "rl", "rr")], axis=1)
    toes = np.stack([place[f"{leg}_toe"] for leg in ("fl", "fr", "rl", "rr")], axis=1)
    base = hips.mean(axis=1)
    forward = hips[:, :2].mean(axis=1) - hips[:, 2:].mean(axis=1)
    left = hips[:, [0, 2]].mean(axis=1) - hips[:, [1, 3]].mean(axis=1)
    if min(_length(forward).min(), _length(left).min()) < 1e-3:
        raise UserError(f"skeleton {motion.name!r}: its hips and shoulders lie on top of each other")
    turn = frame(left, np.cross(forward, left))
    # Shoulders and hips of a dog are not level: its trunk is, on average.
    turn = continuous(pitched(turn, -float(np.median(lean(turn)))))
    lowest = np.percentile(toes[..., 2], GROUND, axis=0)
    ground = float(lowest.min())
    toes[..., 2] -= np.minimum(lowest, ground + 0.05)
    base = base - np.array([0.0, 0.0, ground])
    yaw = quat_from_euler(0.0, 0.0, heading(turn))
    under = quat_rotate(quat_conj(yaw)[:, None], toes - base[:, None])
    # Where each foot is on average in its stance: half way between where it lands and where it leaves.
    low = toes[..., 2] < 0.03
    neutral = np.array(
        [np.median(under[low[:, f], f, :2] if low[:, f].any() else under[:, f, :2], 0) for f in range(4)]
    )
    return Landmarks(
        name=motion.name,
        fps=motion.fps,
        base=base,
        turn=turn,
        height=float(np.median(base[:, 2])),
        feet=toes,
        soles=None,
        sole=0.0,
        neutral=neutral,
        loop=motion.loop,
        source=motion.source,
    )


def _length(vectors: np.ndarray) -> np.ndarray:
    return np.linalg.norm(vectors, axis=-1)
