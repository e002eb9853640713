"""Rewards: free functions of the state, shape (N,). A task multiplies each by its weight and by the control period."""

import torch
from torch import Tensor

from robopolicy.constants import constant
from robopolicy.env.state import State
from robopolicy.errors import UserError


def track_linear_velocity(state: State, std: float = 0.25) -> Tensor:
    """exp(-|v_xy - command_xy|^2 / std^2), velocity in the heading frame, std [m/s]."""
    error = (state.base_lin_vel_h[:, :2] - state.command[:, :2]).square().sum(-1)
    return torch.exp(-error / std**2)


def track_yaw_rate(state: State, std: float = 0.25) -> Tensor:
    """exp(-(yaw rate - command)^2 / std^2), std [rad/s]."""
    return torch.exp(-(state.yaw_rate - state.command[:, 2]).square() / std**2)


def track_mean_velocity(state: State, std: float = 0.25) -> Tensor:
    """exp(-|v_xy - command_xy|^2 / std^2), velocity averaged over a gait cycle: stepping costs nothing; std [m/s]."""
    error = (state.mean_velocity[:, :2] - state.command[:, :2]).square().sum(-1)
    return torch.exp(-error / std**2)


def track_mean_yaw_rate(state: State, std: float = 0.25) -> Tensor:
    """exp(-(yaw rate - command)^2 / std^2), yaw rate averaged over a gait cycle, std [rad/s]."""
    return torch.exp(-(state.mean_velocity[:, 2] - state.command[:, 2]).square() / std**2)


def alive(state: State) -> Tensor:
    """1 for every step of life."""
    return torch.ones_like(state.base_height)


def vertical_velocity(state: State) -> Tensor:
    """Square of the base's vertical velocity [m^2/s^2]."""
    return state.qvel[:, 2].square()


def roll_pitch_rate(state: State) -> Tensor:
    """Square of the base's roll and pitch rates [rad^2/s^2]."""
    return state.base_ang_vel_b[:, :2].square().sum(-1)


def tilt(state: State) -> Tensor:
    """Squared sine of the angle between the base and upright."""
    return state.gravity_b[:, :2].square().sum(-1)


def height_error(state: State, share: float = 1.0) -> Tensor:
    """Square of the base's distance from ``share`` of its height in the home pose [m^2]."""
    return (state.base_height - share * float(state.robot.home_qpos[2])).square()


def torque(state: State) -> Tensor:
    """Mean square of the servos' torque relative to its limit."""
    return (state.torque / state.torque_limit).square().mean(-1)


def power(state: State) -> Tensor:
    """Mechanical power of the servos at the end of the control period, braking counted as zero [W]."""
    return (state.torque * state.joint_vel).clamp(min=0).sum(-1)


def action_rate(state: State) -> Tensor:
    """Mean square change of the action."""
    return (state.action - state.previous_action).square().mean(-1)


def joint_limits(state: State, margin: float = 0.05) -> Tensor:
    """How far the joints are within ``margin`` [rad] of their range's ends, summed [rad]."""
    low = (state.lower + margin - state.joint_pos).clamp(min=0)
    high = (state.joint_pos - state.upper + margin).clamp(min=0)
    return (low + high).sum(-1)


def pose_deviation(state: State) -> Tensor:
    """Mean square distance of the joints from the default pose [rad^2]."""
    return (state.joint_pos - state.default_pose).square().mean(-1)


def foot_slip(state: State, max_speed: float = 1.0) -> Tensor:
    """Horizontal speed of the feet that touch the floor, each at most ``max_speed``, summed [m/s]."""
    speed = torch.hypot(state.foot_vel_w[..., 0], state.foot_vel_w[..., 1]).clamp(max=max_speed)
    return (speed * state.foot_contact).sum(-1)


def foot_clock(
    state: State, offsets: tuple[float, ...], duty: float = 0.6, height: float = 0.05, std: float = 0.03
) -> Tensor:
    """How well the feet follow a clock: on the floor in stance, lifted in swing.

    Foot k has phase ``p = phase + offsets[k]`` and touches down at p = 0. In swing (p > duty) its wanted clearance is
    ``height sin^2``. The reward is exp(-sum_k error_k^2 / std^2). While standing every foot should stay down.

    Args:
        state: The robots.
        offsets: Phase of each foot, length F.
        duty: Part of the cycle that a foot stands.
        height: Lift [m].
        std: Tolerance [m].
    """
    phase = _foot_phases(state, offsets)
    swing = ((phase - duty) / (1 - duty)).clamp(min=0)
    wanted = height * torch.sin(torch.pi * swing).square() * state.moving.unsqueeze(-1)
    error = (state.foot_clearance.clamp(min=0) - wanted).square().sum(-1)
    return torch.exp(-error / std**2)


def track_posture(state: State, std: float = 0.1) -> Tensor:
    """exp(-error^2 / std^2) for a command of base height offset [m], pitch and roll [rad] in its first channels.

    Args:
        state: The robots.
        std: Tolerance of pitch and roll [rad]; a tenth as many metres is that of the height.
    """
    home = float(state.robot.home_qpos[2])
    pitch = torch.asin(state.gravity_b[:, 0].clamp(-1, 1))
    roll = torch.asin(-state.gravity_b[:, 1].clamp(-1, 1))
    error = (
        (10 * (state.base_height - home - state.command[:, 0])).square()
        + (pitch - state.command[:, 1]).square()
        + (roll - state.command[:, 2]).square()
    )
    return torch.exp(-error / std**2)


def track_joints(state: State, joints: str, first: int, std: float = 0.2) -> Tensor:
    """exp(-sum error^2 / std^2) for joints whose angles [rad] are commanded.

    Args:
        state: The robots.
        joints: Names of the joints, separated by spaces.
        first: Index of the first of them in the command.
        std: Tolerance [rad].
    """
    ids = constant(tuple(state.robot.joint_names.index(name) for name in joints.split()), state.joint_pos.device)
    error = (state.joint_pos[:, ids] - state.command[:, first : first + len(ids)]).square().sum(-1)
    return torch.exp(-error / std**2)


def still_when_told(state: State) -> Tensor:
    """Horizontal and turning speed while the command asks to stand [m/s + rad/s]."""
    speed = torch.hypot(state.base_lin_vel_h[:, 0], state.base_lin_vel_h[:, 1]) + state.yaw_rate.abs()
    return speed * ~state.moving


def feet_down(state: State) -> Tensor:
    """Share of the feet that touch the floor."""
    return state.foot_contact.float().mean(-1)


def contact_clock(state: State, offsets: tuple[float, ...], duty: float = 0.6) -> Tensor:
    """Share of the feet that stand and swing when a clock says so; see ``foot_clock``. All should stand while standing.

    Unlike the height of the swing this is felt from the first millimetre, so it is what teaches to step at all.
    """
    swing = (_foot_phases(state, offsets) > duty) & state.moving.unsqueeze(-1)
    return (state.foot_contact != swing).float().mean(-1)


def _foot_phases(state: State, offsets: tuple[float, ...]) -> Tensor:
    """Phase of each foot in [0, 1). Shape (N, F)."""
    feet = state.robot.robot.feet
    if len(offsets) != len(feet):
        raise UserError(
            f"a foot clock has {len(offsets)} offsets {offsets}, robot {state.robot.robot.name!r} {len(feet)} feet: "
            f"{', '.join(feet)}; give one phase for each, in this order"
        )
    return (state.phase.unsqueeze(-1) + constant(offsets, state.phase.device)).remainder(1.0)
