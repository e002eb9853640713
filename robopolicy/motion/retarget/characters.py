"""The bodies of DeepMimic's motions, ``humanoid3d`` and ``dog3d``: what a file's numbers are the joints of.

x forward, y up, z to the right. Places of the joints: DeepMimic's own character files (Peng et al. 2018, "DeepMimic").
"""

from dataclasses import dataclass

import numpy as np

from robopolicy.motion.pose import quat_exp, quat_mul, quat_rotate
from robopolicy.motion.retarget.skeleton import Y_TO_Z_UP, SkeletonMotion, forward

BALL, HINGE, FIXED = 4, 1, 0
"""Numbers of a joint in a frame: a quaternion, an angle about z [rad], or none."""
Joint = tuple[str, str, int, tuple[float, float, float]]


@dataclass(frozen=True)
class Character:
    """A tree of joints.

    Attributes:
        name: DeepMimic's.
        joints: Name, parent's name, kind, and place in the parent's frame [m]; parents first, the base is ``root``.
        points: Names of its joints for a robot that has four feet; empty for a human, whose names are usual ones.
    """

    name: str
    joints: tuple[Joint, ...]
    points: dict[str, str]

    @property
    def columns(self) -> int:
        """Numbers of all joints in a frame."""
        return sum(kind for _, _, kind, _ in self.joints)

    @property
    def balls(self) -> list[int]:
        """Column at which each quaternion begins."""
        starts = np.cumsum([0] + [kind for _, _, kind, _ in self.joints])
        return [int(starts[i]) for i, joint in enumerate(self.joints) if joint[2] == BALL]

    def skeleton(
        self, name: str, fps: float, base: np.ndarray, pose: np.ndarray, loop: bool, source: str
    ) -> SkeletonMotion:
        """The character's motion, z up.

        Args:
            name: Of the motion.
            fps: Frames per second.
            base: Position [m], y up, and quaternion wxyz. Shape (K, 7).
            pose: The joints' numbers, quaternions wxyz. Shape (K, columns).
            loop: The motion goes on from its last frame to its first.
            source: Where it comes from, for people.
        """
        names = ["root", *(joint[0] for joint in self.joints)]
        parents = [-1, *(names.index(joint[1]) for joint in self.joints)]
        offsets = np.array([(0.0, 0.0, 0.0), *(joint[3] for joint in self.joints)])
        turns, column = [base[:, 3:7]], 0
        for _, _, kind, _ in self.joints:
            numbers = pose[:, column : column + kind]
            turns.append(numbers if kind == BALL else quat_exp(_about_z(numbers, len(pose))))
            column += kind
        positions, rotations = forward(parents, offsets, base[:, :3], np.stack(turns, axis=1))
        if self.points:
            positions = positions[:, [names.index(joint) for joint in self.points.values()]]
            names, parents = list(self.points), []
        return SkeletonMotion(
            name=name,
            fps=fps,
            joint_names=tuple(names),
            parents=tuple(parents),
            positions=quat_rotate(Y_TO_Z_UP, positions),
            rotations=None if self.points else quat_mul(Y_TO_Z_UP, rotations),
            loop=loop,
            source=source,
        )


def _about_z(angle: np.ndarray, count: int) -> np.ndarray:
    """Rotation vectors about z; none for a joint without numbers. Shape (K, 3)."""
    turn = np.zeros((count, 3))
    turn[:, 2:] = angle if angle.shape[1] else 0.0
    return turn


def _human() -> tuple[Joint, ...]:
    joints: list[Joint] = [("chest", "root", BALL, (0.0, 0.236151, 0.0)), ("neck", "chest", BALL, (0.0, 0.223894, 0.0))]
    for side, z in (("right", 1.0), ("left", -1.0)):
        joints += [
            (f"{side}_hip", "root", BALL, (0.0, 0.0, 0.084887 * z)),
            (f"{side}_knee", f"{side}_hip", HINGE, (0.0, -0.421546, 0.0)),
            (f"{side}_ankle", f"{side}_knee", BALL, (0.0, -0.40987, 0.0)),
            # Its foot is a box from -0.0435 to 0.1335 and 0.05 below the ankle; the ball of a foot, two thirds of it.
            (f"{side}_toe", f"{side}_ankle", FIXED, (0.118, -0.05, 0.0)),
            (f"{side}_shoulder", "chest", BALL, (-0.02405, 0.2435, 0.18311 * z)),
            (f"{side}_elbow", f"{side}_shoulder", HINGE, (0.0, -0.274788, 0.0)),
            (f"{side}_wrist", f"{side}_elbow", FIXED, (0.0, -0.258947, 0.0)),
        ]
    return (*joints, ("head", "neck", FIXED, (0.0, 0.175, 0.0)))


def _dog() -> tuple[Joint, ...]:
    joints: list[Joint] = [
        ("spine0", "root", BALL, (0.0, 0.0, 0.0)),
        ("spine1", "spine0", BALL, (0.2375, 0.0, 0.0)),
        ("neck", "spine1", BALL, (0.28135, 0.0, 0.0)),
        ("head", "neck", BALL, (0.175, 0.0, 0.0)),
    ]
    for side, z in (("left", -1.0), ("right", 1.0)):
        joints += [
            (f"{side}_shoulder", "spine1", BALL, (0.304074, -0.109983, 0.106071 * z)),
            (f"{side}_forearm", f"{side}_shoulder", HINGE, (0.0, -0.19, 0.0)),
            (f"{side}_hand", f"{side}_forearm", BALL, (0.0, -0.2225, 0.0)),
            (f"{side}_finger", f"{side}_hand", BALL, (0.0, -0.09, 0.0)),
        ]
    for side, z in (("left", -1.0), ("right", 1.0)):
        joints += [
            (f"{side}_upper_leg", "root", BALL, (-0.074803, -0.095825, 0.05986 * z)),
            (f"{side}_leg", f"{side}_upper_leg", HINGE, (0.0, -0.2, 0.0)),
            (f"{side}_foot", f"{side}_leg", BALL, (0.0, -0.225, 0.0)),
            (f"{side}_toe", f"{side}_foot", BALL, (0.0, -0.135, 0.0)),
        ]
    return (*joints, ("tail0", "root", BALL, (-0.086, 0.0, 0.0)), ("tail1", "tail0", BALL, (-0.2, 0.0, 0.0)))


DOG_POINTS = {
    "pelvis": "root", "neck": "neck",
    "fl_hip": "left_shoulder", "fl_toe": "left_finger", "fr_hip": "right_shoulder", "fr_toe": "right_finger",
    "rl_hip": "left_upper_leg", "rl_toe": "left_toe", "rr_hip": "right_upper_leg", "rr_toe": "right_toe",
}  # fmt: skip
CHARACTERS = (Character("humanoid3d", _human(), {}), Character("dog3d", _dog(), DOG_POINTS))
