"""What a clip's defects mean for training, and what to do about them."""

from robopolicy.motion.check.defect import NOTES, Defect

MEANING = {
    "too short": "there is nothing to learn from",
    "not a number": "training would stop at once",
    "quaternion norm": "rotations and all that follows from them are wrong",
    "quaternion sign": "interpolation spins the base round",
    "duplicated frames": "velocities alternate between zero and twice the truth",
    "jump": "no robot can follow a teleport, and the prior would know its clips by it",
    "velocity": "the prior would ask for speeds that the poses do not have",
    "loop seam": "every turn of the loop has a jerk that no robot makes",
    "joint limit": "the robot cannot take that pose",
    "joint speed": "the motors cannot follow, so the prior always wins",
    "torque": "the motors cannot hold or drive it, so the prior always wins",
    "foot sliding": "the policy would learn to slip",
    "penetration": "no policy can stand in the ground, so its height is never the clip's",
    "floating": "no policy can float, so its height is never the clip's",
    "self-collision": "the robot's parts would hit each other",
    "wrong rate": "the whole motion is too fast or too slow",
}
"""One clause for each kind."""
NOT_FIXED = {
    "too short": "record more",
    "joint speed": "slow it down, or choose a calmer motion",
    "torque": "slow it down, or choose a motion that this robot is strong enough for",
    "self-collision": "retarget it with the limbs further apart, or change the keyframes",
}
"""What to do about kinds that ``--fix`` does not touch."""
LEAPS = {"jump", "duplicated frames", "loop seam"}
"""Kinds that ``--fix`` takes away, and with them the speed of the joints there."""
AFTER_FIX = {
    "not a number": "the gap is too long to be filled: cut it out (robopolicy clip cut), or record again",
    "jump": "cut the clip there (robopolicy clip cut), or record again",
    "wrong rate": "import it again with the true rate: only its author knows it",
    "loop seam": "record again, or save it as an open clip (robopolicy clip cut --open)",
    "foot sliding": "retarget it again, or record again",
    "penetration": "retarget it again, or record again",
    "floating": "retarget it again, or record again",
}
"""... and about those that it could not repair."""


def verdict(defects: list[Defect], fixed: bool = False) -> str:
    """One line: whether the clip is fit for training, why not, and what to do.

    Args:
        defects: From :func:`robopolicy.motion.check.check`.
        fixed: The clip has been through :func:`robopolicy.motion.fix.fix` already.
    """
    notes = "; ".join(f"{d.kind}: {NOTES[d.kind]}" for d in defects if d.note)
    defects = [defect for defect in defects if not defect.note]
    if not defects:
        return "usable for training" + (f" ({notes})" if notes else "")
    kinds = list(dict.fromkeys(defect.kind for defect in defects))
    meaning = "; ".join(f"{kind}: {MEANING[kind]}" for kind in kinds)
    leap = {frame + offset for d in defects if d.kind in LEAPS for frame in d.frames for offset in (-1, 0, 1)}
    stays = {d.kind for d in defects if d.kind != "joint speed" or not leap.issuperset(d.frames)}
    lasting = [kind for kind in kinds if fixed or (kind in NOT_FIXED and kind in stays)]
    if not lasting:
        return f"repair with --fix OUTPUT.npz ({meaning})"
    other = "record again"
    advice = "; ".join(dict.fromkeys(NOT_FIXED.get(kind) or AFTER_FIX.get(kind, other) for kind in lasting))
    rest = " and repair the rest with --fix OUTPUT.npz" if len(lasting) < len(kinds) else ""
    return f"not usable as it is ({meaning}): {advice}{rest}"
