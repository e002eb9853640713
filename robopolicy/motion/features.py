"""What the discriminator sees: one function for a clip and for the simulation."""

import torch
from torch import Tensor

from robopolicy.rotation import matrix


def motion_features(qpos: Tensor, qvel: Tensor, foot_pos_w: Tensor, rotation: Tensor | None = None) -> Tensor:
    """Heading- and place-invariant description of one instant.

    Joint positions [rad] and velocities [rad/s], base velocity [m/s] and angular velocity [rad/s] in the base's frame,
    gravity's direction in the base's frame, base height [m], foot positions relative to the base in its frame [m].

    Args:
        qpos: World position 3, quaternion wxyz 4, joints J. Shape (..., 7 + J).
        qvel: World velocity 3, body angular velocity 3, joints J. Shape (..., 6 + J).
        foot_pos_w: Shape (..., F, 3).
        rotation: The quaternion's matrix, if the caller has it. Shape (..., 3, 3).

    Returns:
        Shape (..., 2 J + 10 + 3 F).
    """
    rotation = matrix(qpos[..., 3:7]) if rotation is None else rotation
    world = torch.cat((qvel[..., None, :3], foot_pos_w - qpos[..., None, :3]), dim=-2)
    velocity, feet = (world @ rotation).split((1, foot_pos_w.shape[-2]), dim=-2)
    return torch.cat(
        (
            qpos[..., 7:],
            qvel[..., 6:],
            velocity.squeeze(-2),
            qvel[..., 3:6],
            -rotation[..., 2, :],
            qpos[..., 2:3],
            feet.flatten(-2),
        ),
        dim=-1,
    )
