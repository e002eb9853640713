"""A skeleton in motion: joints in a tree, and where each is in every frame. What a human's or an animal's file says
before a robot is chosen."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from robopolicy.errors import UserError
from robopolicy.motion.pose import quat_mul, quat_rotate

Y_TO_Z_UP = np.array([np.sqrt(0.5), np.sqrt(0.5), 0.0, 0.0])
"""Rotation from axes with y up to ours: a quarter turn about x."""


@dataclass(frozen=True)
class SkeletonMotion:
    """N joints over K frames, x forward or any other heading, z up.

    Attributes:
        name: Short name, for messages.
        fps: Frames per second.
        joint_names: Length N.
        parents: Index of each joint's parent, -1 for the root; a parent comes before its children. Empty where the
            file has bare points. Length N or 0.
        positions: World [m]. Shape (K, N, 3).
        rotations: World quaternions wxyz, or None where the file has bare points. Shape (K, N, 4).
        loop: The motion goes on from its last frame to its first.
        source: Where it comes from, for people.
    """

    name: str
    fps: float
    joint_names: tuple[str, ...]
    parents: tuple[int, ...]
    positions: np.ndarray
    rotations: np.ndarray | None = None
    loop: bool = False
    source: str = ""

    def __len__(self) -> int:
        return len(self.positions)

    def __post_init__(self) -> None:
        joints = len(self.joint_names)
        twice = sorted({n for n in self.joint_names if self.joint_names.count(n) > 1})
        if twice:
            raise UserError(f"skeleton {self.name!r}: two joints are called {twice[0]!r}")
        if self.positions.shape[1:] != (joints, 3) or len(self.positions) < 2:
            raise UserError(
                f"skeleton {self.name!r}: positions have shape {self.positions.shape}; {joints} joints need "
                f"(K, {joints}, 3), K at least 2"
            )

    def place(self, joint: str) -> np.ndarray:
        """A joint's world position [m]. Shape (K, 3)."""
        return self.positions[:, self.joint_names.index(joint)]


def forward(
    parents: Sequence[int], offsets: np.ndarray, root: np.ndarray, rotations: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Forward kinematics of a tree of joints.

    Args:
        parents: Index of each joint's parent, -1 for the root; parents first. Length N.
        offsets: Place of each joint in its parent's frame [m]. Shape (N, 3), or (K, N, 3) where joints also slide.
        root: Place of the root, world [m]. Shape (K, 3).
        rotations: Local quaternions wxyz, in the parent's frame. Shape (K, N, 4).

    Returns:
        World positions (K, N, 3) [m] and world quaternions (K, N, 4).
    """
    offsets = np.broadcast_to(offsets, (len(root), len(parents), 3))
    positions, turns = np.empty((len(root), len(parents), 3)), np.empty((len(root), len(parents), 4))
    for joint, parent in enumerate(parents):
        if parent < 0:
            positions[:, joint], turns[:, joint] = root, rotations[:, joint]
            continue
        positions[:, joint] = positions[:, parent] + quat_rotate(turns[:, parent], offsets[:, joint])
        turns[:, joint] = quat_mul(turns[:, parent], rotations[:, joint])
    return positions, turns
