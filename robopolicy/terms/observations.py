"""Observations. The first group is all that a robot can measure or know, so only it may reach the actor."""

from torch import Tensor

from robopolicy.constants import constant
from robopolicy.env.state import State, clock_signal

# What hardware has: the runtime builds exactly these, under these names.


def angular_velocity(state: State) -> Tensor:
    """Gyroscope: angular velocity in the IMU's frame [rad/s]. Shape (N, 3)."""
    return (state.sensed.base_ang_vel_b.unsqueeze(1) @ state.imu_frame).squeeze(1) + state.gyro_bias


def projected_gravity(state: State) -> Tensor:
    """Direction of gravity in the IMU's frame, unit length. Shape (N, 3)."""
    return (state.sensed.gravity_b.unsqueeze(1) @ state.imu_frame).squeeze(1)


def command(state: State) -> Tensor:
    """The command. Shape (N, C)."""
    return state.command


def joint_position(state: State) -> Tensor:
    """Encoder readings relative to the default pose [rad]. Shape (N, J)."""
    return state.sensed.joint_pos + state.encoder_error - state.default_pose


def joint_velocity(state: State) -> Tensor:
    """Joint velocities [rad/s]. Shape (N, J)."""
    return state.sensed.joint_vel


def last_action(state: State) -> Tensor:
    """The latest action, clipped. Shape (N, J)."""
    return state.action


def gait_phase(state: State) -> Tensor:
    """Sine and cosine of the gait clock; zero while the command asks to stand. Shape (N, 2)."""
    return clock_signal(state.phase, state.moving)


DEPLOYABLE = (
    angular_velocity,
    projected_gravity,
    command,
    joint_position,
    joint_velocity,
    last_action,
    gait_phase,
)

# Privileged: for the critic alone.


def base_linear_velocity(state: State) -> Tensor:
    """Base velocity, base frame [m/s]. Shape (N, 3)."""
    return state.base_lin_vel_b


def mean_velocity(state: State) -> Tensor:
    """Velocity [m/s] and yaw rate [rad/s] in the heading frame, averaged over the last gait cycle. Shape (N, 3)."""
    return state.mean_velocity


def base_height(state: State) -> Tensor:
    """Height of the base [m]. Shape (N, 1)."""
    return state.base_height.unsqueeze(-1)


def foot_clearance(state: State) -> Tensor:
    """Distance of the feet to the floor [m]. Shape (N, F)."""
    return state.foot_clearance


def foot_contact(state: State) -> Tensor:
    """1 where a foot touches the floor. Shape (N, F)."""
    return state.foot_contact.float()


def gravity(state: State) -> Tensor:
    """Direction of gravity in the base's frame, however the IMU is mounted, unit length. Shape (N, 3)."""
    return state.gravity_b


def centre_of_mass(state: State) -> Tensor:
    """Centre of mass of the robot, load and all, from the base's origin, base frame [m]. Shape (N, 3)."""
    return ((state.tree_com_w - state.qpos[:, :3]).unsqueeze(1) @ state.rotation).squeeze(1)


def joint_torque(state: State) -> Tensor:
    """Torque of the servos relative to the limit that the model gives them. Shape (N, J)."""
    return state.torque / constant(tuple(float(limit) for limit in state.robot.torque_limit), state.qpos.device)


def joint_stiffness(state: State) -> Tensor:
    """Proportional gain of the servos relative to the model's, less 1. Shape (N, J)."""
    return state.kp / constant(tuple(float(kp) for kp in state.robot.kp), state.qpos.device) - 1
