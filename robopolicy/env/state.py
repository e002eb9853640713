"""What a term may read: one instant of N robots."""

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from robopolicy.motion.features import motion_features
from robopolicy.robot import RobotModel
from robopolicy.rotation import matrix

_PLAY_TORQUE = 0.02  # share of the largest torque that takes a motor most of the way across the play of its gear


@dataclass(eq=False)
class State:
    """A snapshot after a control step; every quantity describes the same moment.

    N robots, J actuated joints in contract order, F feet, C command channels. ``_w`` is the world's frame, ``_b`` the
    base's. What is not stored is computed when first read.

    Attributes:
        robot: The compiled robot, for names, limits and defaults.
        control_dt: Time between two actions [s].
        qpos: World position [m] 3, quaternion wxyz 4, joint angles [rad] J. Shape (N, 7 + J).
        qvel: World velocity [m/s] 3, body angular velocity [rad/s] 3, joint velocities [rad/s] J. Shape (N, 6 + J).
        foot_pos_w: Position of the foot sites, world frame [m]. Shape (N, F, 3).
        foot_clearance: Distance of the feet to the floor, negative inside it, at most 0.1 [m]. Shape (N, F).
        body_velocity: Spatial velocity of each foot's body (rotation, then translation) about ``tree_com_w``, world
            frame. Shape (N, F, 6).
        ground: Height of the ground below the base [m], (N,); None where it is a plane at 0.
        tree_com_w: Centre of mass of the robot, world frame [m]. Shape (N, 3).
        mean_velocity: Forward and sideways velocity in the heading frame [m/s] and yaw rate [rad/s], averaged over the
            last gait cycle, so that the sway of a step is not in it. Shape (N, 3).
        action: Latest action, clipped. Shape (N, J).
        previous_action: The one before. Shape (N, J).
        target: Joint targets of the latest action [rad]. Shape (N, J).
        order: Those that the servos follow: earlier ones where orders are late by more than a control period, or lost.
            Shape (N, J).
        command: What the robot was told. Shape (N, C).
        phase: Gait clock in [0, 1). Shape (N,).
        moving: Whether the command asks for motion. Shape (N,) bool.
        age: Control steps since the episode began. Shape (N,) int.
        kp, kd: Gains of each robot [N m/rad], [N m s/rad]. Shape (N, J).
        torque_limit: Shape (N, J) [N m].
        encoder_offset: What the joint encoders read too much [rad]. Shape (N, J).
        imu_rotation: Orientation of the inertial unit in the base, quaternion wxyz. Shape (N, 4).
        gyro_bias: What the gyroscope reads too much, in its own frame [rad/s]. Shape (N, 3).
        backlash: Play of the gears, end to end [rad], (N, J); None where there is none.
        torque_range: Lowest and highest torque that the motors could give at their speed [N m], (N, J, 2); None where
            the speed is no matter.
        late: What the sensors tell of if not of the present: qpos and qvel of a moment ago, shapes as above.
        default_pose: Joint angles of the home pose [rad]. Shape (J,).
        lower, upper: Joint range [rad]. Shape (J,).
    """

    robot: RobotModel
    control_dt: float
    qpos: Tensor
    qvel: Tensor
    foot_pos_w: Tensor
    foot_clearance: Tensor
    body_velocity: Tensor
    tree_com_w: Tensor
    mean_velocity: Tensor
    action: Tensor
    previous_action: Tensor
    target: Tensor
    order: Tensor
    command: Tensor
    phase: Tensor
    moving: Tensor
    age: Tensor
    kp: Tensor
    kd: Tensor
    torque_limit: Tensor
    encoder_offset: Tensor
    imu_rotation: Tensor
    gyro_bias: Tensor
    default_pose: Tensor
    lower: Tensor
    upper: Tensor
    backlash: Tensor | None = None
    torque_range: Tensor | None = None
    late: tuple[Tensor, Tensor] | None = None
    ground: Tensor | None = None

    @property
    def quat(self) -> Tensor:
        """Base orientation, wxyz. Shape (N, 4)."""
        return self.qpos[:, 3:7]

    @property
    def base_height(self) -> Tensor:
        """Height of the base's origin above the ground [m]. Shape (N,)."""
        return self.qpos[:, 2] if self.ground is None else self.qpos[:, 2] - self.ground

    @property
    def joint_pos(self) -> Tensor:
        """True joint angles [rad]. Shape (N, J)."""
        return self.qpos[:, 7:]

    @property
    def joint_vel(self) -> Tensor:
        """True joint velocities [rad/s]. Shape (N, J)."""
        return self.qvel[:, 6:]

    @property
    def base_ang_vel_b(self) -> Tensor:
        """Base angular velocity, base frame [rad/s]. Shape (N, 3)."""
        return self.qvel[:, 3:6]

    @cached_property
    def rotation(self) -> Tensor:
        """From the base's frame to the world's. Shape (N, 3, 3)."""
        return matrix(self.quat)

    @cached_property
    def imu_frame(self) -> Tensor:
        """From the inertial unit's frame to the base's. Shape (N, 3, 3)."""
        return matrix(self.imu_rotation)

    @cached_property
    def base_lin_vel_b(self) -> Tensor:
        """Base linear velocity, base frame [m/s]. Shape (N, 3)."""
        return (self.qvel[:, None, :3] @ self.rotation).squeeze(1)

    @cached_property
    def base_lin_vel_h(self) -> Tensor:
        """Base linear velocity in the heading frame (world z up, x where the base faces) [m/s]. Shape (N, 3)."""
        c, s = self.rotation[:, 0, 0], self.rotation[:, 1, 0]
        x, y, z = self.qvel[:, :3].unbind(-1)
        length = torch.hypot(c, s).clamp(min=1e-12)
        return torch.stack(((c * x + s * y) / length, (c * y - s * x) / length, z), dim=-1)

    @cached_property
    def yaw_rate(self) -> Tensor:
        """Turning speed about the world's z [rad/s]. Shape (N,)."""
        return (self.rotation[:, 2] * self.base_ang_vel_b).sum(-1)

    @cached_property
    def gravity_b(self) -> Tensor:
        """Direction of gravity, base frame, unit length. Shape (N, 3)."""
        return -self.rotation[:, 2]

    @cached_property
    def torque(self) -> Tensor:
        """Torque of the servos at this instant [N m]. Shape (N, J)."""
        raw = self.kp * (self.order - self.encoder_offset - self.joint_pos) - self.kd * self.joint_vel
        if self.torque_range is None:
            return torch.clamp(raw, -self.torque_limit, self.torque_limit)
        return torch.clamp(raw, self.torque_range[..., 0], self.torque_range[..., 1])

    @cached_property
    def sensed(self) -> "State":
        """The moment that the sensors tell of: this one, or a slightly earlier one where they are late."""
        return self if self.late is None else replace(self, qpos=self.late[0], qvel=self.late[1], late=None)

    @cached_property
    def encoder_error(self) -> Tensor:
        """What the joint encoders read too much [rad]: their offset, and where the motor lies in the play of its gear,
        which follows its torque (Grandia et al. 2024). Shape (N, J)."""
        if self.backlash is None:
            return self.encoder_offset
        return self.encoder_offset + self.backlash / 2 * torch.tanh(self.torque / (_PLAY_TORQUE * self.torque_limit))

    @cached_property
    def foot_contact(self) -> Tensor:
        """Whether each foot touches the floor (within 1 mm). Shape (N, F) bool."""
        return self.foot_clearance < (1e-3 if self.ground is None else 0.01)

    @cached_property
    def foot_vel_w(self) -> Tensor:
        """Velocity of the foot sites, world frame [m/s]. Shape (N, F, 3)."""
        rotation, translation = self.body_velocity[..., :3], self.body_velocity[..., 3:]
        return translation + torch.linalg.cross(rotation, self.foot_pos_w - self.tree_com_w[:, None])

    @cached_property
    def motion(self) -> Tensor:
        """What the discriminator sees, see ``motion_features``; heights are above the ground. Shape (N, D)."""
        if self.ground is None:
            return motion_features(self.qpos, self.qvel, self.foot_pos_w, self.rotation)
        up = torch.nn.functional.pad(self.ground.unsqueeze(-1), (2, 0))
        qpos = torch.cat((self.qpos[:, :3] - up, self.qpos[:, 3:]), dim=-1)
        return motion_features(qpos, self.qvel, self.foot_pos_w - up.unsqueeze(1), self.rotation)


def clock_signal(phase: Tensor, moving: Tensor) -> Tensor:
    """Sine and cosine of phases (n,) in [0, 1); zero where nobody moves (n,). Shape (n, 2)."""
    angle = 2 * torch.pi * phase
    return torch.stack((torch.sin(angle), torch.cos(angle)), dim=-1) * moving.unsqueeze(-1)
