"""Domain randomization: functions that draw new values for some robots at the start of their episode.

A randomizer declares the fields it changes with ``@randomizes`` and works on a draft: every declared field starts at
the compiled default, so that values never accumulate from episode to episode, and randomizers of one field compose.
Model fields are named as in ``mujoco.MjModel``; the rest belong to the environment:

    encoder_offset  what the joint encoders read too much [rad], (n, J)
    imu_rotation    orientation of the inertial unit in the base, quaternion wxyz, (n, 4)
    no_load_speed   of the motors [rad/s], (n, J); corner: share of it up to which they have their full torque, (n, 1)
    supply, sag     voltage, as a share of the nominal, and how much of it all motors take at full torque, (n, 1)
    backlash        play of the gears, end to end [rad], (n, J)
    sensor_delay    physics steps by which the sensors are late, (n, 1)
    gyro_bias       what the gyroscope reads too much, in its own frame [rad/s], (n, 3)
    loss            share of the orders, and of the readings, that never arrive, (n, 1)
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from robopolicy.constants import constant
from robopolicy.env.actuation import CORNER
from robopolicy.errors import UserError
from robopolicy.mjcf import FLOOR
from robopolicy.robot import RobotModel
from robopolicy.rotation import from_rotation_vector, multiply

Range = tuple[float, float]
F = TypeVar("F", bound=Callable[..., None])


@dataclass
class Draft:
    """Values being drawn for n robots.

    Attributes:
        fields: Field name to its values so far, shape (n, ...); change them in place or replace them.
        robot: The compiled robot, to resolve names.
        generator: Source of randomness.
        n: Number of robots.
        widths: Shares of the way from nominal to a range's low and high end that are in use, see ``env/adr.py``; None
            uses all of every range. Shape (2,).
        pinned: Robots that get the low (-1) or the high (1) end of what is in use, the others 0. Shape (n,).
    """

    fields: dict[str, Tensor]
    robot: RobotModel
    generator: torch.Generator
    n: int
    widths: Tensor | None = None
    pinned: Tensor | None = None

    @property
    def dofs(self) -> Tensor:
        """Index of each joint among the degrees of freedom. Shape (J,)."""
        return constant(tuple(int(adr) for adr in self.robot.dof_adr), self.generator.device)

    def uniform(self, low: float, high: float, *shape: int, nominal: float | None = None) -> Tensor:
        """Uniform numbers of shape (n, *shape).

        Args:
            low, high: The range.
            shape: Of each robot's numbers.
            nominal: The number that changes nothing, from which the range may be widened step by step; a range without
                one is used as it is.
        """
        share = torch.rand(self.n, *shape, generator=self.generator, device=self.generator.device)
        if self.widths is None or self.pinned is None or nominal is None:
            return low + (high - low) * share
        pinned = self.pinned.view(-1, *(1 for _ in shape))
        share = torch.where(pinned == 0, share, (pinned + 1) / 2)
        bottom, top = nominal + self.widths[0] * (low - nominal), nominal + self.widths[1] * (high - nominal)
        return bottom + (top - bottom) * share


def randomizes(*fields: str) -> Callable[[F], F]:
    """Declare the fields that a randomizer changes."""

    def mark(function: F) -> F:
        function.fields = fields  # type: ignore[attr-defined]
        return function

    return mark


@randomizes("geom_friction")
def ground_friction(draft: Draft, friction: Range = (0.4, 1.2)) -> None:
    """Sliding friction of the floor, which decides at every contact."""
    floor = draft.robot.mj.geom(FLOOR).id
    nominal = float(draft.robot.mj.geom_friction[floor, 0])
    draft.fields["geom_friction"][:, floor, 0] = draft.uniform(*friction, nominal=nominal)


@randomizes("body_mass", "body_inertia")
def base_mass(draft: Draft, added: Range = (-1.0, 1.0)) -> None:
    """Mass added to the base [kg]; its inertia grows in proportion."""
    body = draft.robot.base_body
    mass = draft.fields["body_mass"]
    scale = 1 + draft.uniform(*added, nominal=0.0) / mass[:, body]
    mass[:, body] *= scale
    draft.fields["body_inertia"][:, body] *= scale.unsqueeze(-1)


@randomizes("body_mass", "body_inertia")
def link_mass(draft: Draft, scale: Range = (0.9, 1.1)) -> None:
    """Mass and inertia of every link times one factor each."""
    factor = draft.uniform(*scale, draft.robot.mj.nbody, nominal=1.0)
    draft.fields["body_mass"] *= factor
    draft.fields["body_inertia"] *= factor.unsqueeze(-1)


@randomizes("body_inertia")
def link_inertia(draft: Draft, scale: Range = (0.9, 1.1)) -> None:
    """Inertia of every link times one factor each, its mass unchanged."""
    draft.fields["body_inertia"] *= draft.uniform(*scale, draft.robot.mj.nbody, nominal=1.0).unsqueeze(-1)


@randomizes("body_ipos")
def base_com(draft: Draft, shift: float = 0.03) -> None:
    """Centre of mass of the base moved by at most ``shift`` along each axis [m]."""
    draft.fields["body_ipos"][:, draft.robot.base_body] += draft.uniform(-shift, shift, 3, nominal=0.0)


@randomizes("dof_frictionloss")
def joint_friction(draft: Draft, scale: Range = (0.5, 1.5)) -> None:
    """Dry friction of every joint times one factor each."""
    names, loss = draft.robot.joint_names, draft.robot.mj.dof_frictionloss[draft.robot.dof_adr]
    smooth = [name for name, friction in zip(names, loss, strict=True) if not friction]
    if smooth:
        raise UserError(f"joint_friction: no dry friction to scale in {', '.join(smooth)}; give Servo(friction=...)")
    draft.fields["dof_frictionloss"][:, draft.dofs] *= draft.uniform(*scale, len(names), nominal=1.0)


@randomizes("dof_armature")
def armature(draft: Draft, scale: Range = (0.9, 1.1)) -> None:
    """Rotor inertia of every joint times one factor each."""
    draft.fields["dof_armature"][:, draft.dofs] *= draft.uniform(*scale, len(draft.dofs), nominal=1.0)


@randomizes("actuator_gainprm", "actuator_biasprm", "actuator_forcerange")
def motor_strength(draft: Draft, scale: Range = (0.9, 1.1)) -> None:
    """Torque of every motor, and its limit, times one factor each."""
    factor = draft.uniform(*scale, draft.robot.mj.nu, 1, nominal=1.0)
    for field in ("actuator_gainprm", "actuator_biasprm", "actuator_forcerange"):
        draft.fields[field] *= factor


@randomizes("actuator_gainprm", "actuator_biasprm", "actuator_forcerange")
def side_strength(draft: Draft, difference: Range = (-0.1, 0.1)) -> None:
    """Torque and its limit of the left motors so much more, as a share, and of the right ones so much less."""
    sides = constant(draft.robot.sides, draft.generator.device).unsqueeze(-1)
    factor = 1 + draft.uniform(*difference, 1, 1, nominal=0.0) * sides
    for field in ("actuator_gainprm", "actuator_biasprm", "actuator_forcerange"):
        draft.fields[field] *= factor


@randomizes("actuator_gainprm", "actuator_biasprm")
def pd_gains(draft: Draft, kp: Range = (0.9, 1.1), kd: Range = (0.9, 1.1)) -> None:
    """Position and velocity gain of every servo times one factor each."""
    nu = draft.robot.mj.nu
    stiffness = draft.uniform(*kp, nu, nominal=1.0)
    draft.fields["actuator_gainprm"][..., 0] *= stiffness
    draft.fields["actuator_biasprm"][..., 1] *= stiffness
    draft.fields["actuator_biasprm"][..., 2] *= draft.uniform(*kd, nu, nominal=1.0)


@randomizes("encoder_offset")
def encoder_offset(draft: Draft, limit: float = 0.02) -> None:
    """Constant error of every joint encoder, at most ``limit`` [rad]; the servo regulates the reading."""
    draft.fields["encoder_offset"] += draft.uniform(-limit, limit, len(draft.robot.joint_names), nominal=0.0)


@randomizes("imu_rotation")
def imu_orientation(draft: Draft, limit: float = 0.02) -> None:
    """Mounting error of the inertial unit, at most ``limit`` about each axis [rad]."""
    error = from_rotation_vector(draft.uniform(-limit, limit, 3, nominal=0.0))
    draft.fields["imu_rotation"] = multiply(draft.fields["imu_rotation"], error)


@randomizes("gyro_bias")
def gyro_bias(draft: Draft, limit: float = 0.05) -> None:
    """Constant error of the gyroscope, at most ``limit`` about each axis [rad/s]."""
    draft.fields["gyro_bias"] += draft.uniform(-limit, limit, 3, nominal=0.0)


@randomizes("loss")
def packet_loss(draft: Draft, share: Range = (0.0, 0.1)) -> None:
    """Share of the orders, and of the readings, that never arrive; the ones before them stand.

    Where the gears have play, where the motor lies in it is told as of now.
    """
    draft.fields["loss"] += draft.uniform(*share, 1, nominal=0.0)


@randomizes("actuator_delay")
def action_latency(draft: Draft, steps: Range = (0, 3)) -> None:
    """Physics steps before an action reaches the servos; drawn once, so it is latency and not jitter."""
    low, high = steps
    late = torch.floor(draft.uniform(low, high + 1, 1, nominal=0.0)).clamp(max=high)
    # Half a step less, so that rounding of the time cannot make it one step more.
    seconds = ((late - 0.5) * draft.robot.mj.opt.timestep).clamp(min=0)
    draft.fields["actuator_delay"] = seconds.expand_as(draft.fields["actuator_delay"]).clone()


@randomizes("sensor_delay")
def sensor_latency(draft: Draft, steps: Range = (0, 2)) -> None:
    """Physics steps by which all sensors are late, at most a control period; drawn once."""
    low, high = steps
    draft.fields["sensor_delay"] = torch.floor(draft.uniform(low, high + 1, 1, nominal=0.0)).clamp(max=high)


@randomizes("no_load_speed", "corner")
def torque_speed(draft: Draft, no_load: Range = (0.7, 1.1), corner: Range = (0.2, 0.7)) -> None:
    """Torque that falls with the speed: no-load speed of every motor times one factor, full torque up to a corner.

    ``corner`` is that speed as a share of the no-load speed; at 0 it is a DC motor.
    """
    names, limit = draft.robot.joint_names, draft.robot.velocity_limit
    boundless = [name for name, speed in zip(names, limit, strict=True) if speed == float("inf")]
    if boundless:
        raise UserError(f"torque_speed: no no-load speed of {', '.join(boundless)}; give Servo(velocity=...)")
    draft.fields["no_load_speed"] *= draft.uniform(*no_load, len(names), nominal=1.0)
    draft.fields["corner"] = draft.uniform(*corner, 1, nominal=CORNER)


@randomizes("supply", "sag")
def supply_voltage(draft: Draft, voltage: Range = (0.8, 1.1), sag: Range = (0.0, 0.2)) -> None:
    """Supply of all motors as a share of the nominal; torque and no-load speed follow it.

    ``sag`` of it is lost while every motor gives its full torque.
    """
    draft.fields["supply"] *= draft.uniform(*voltage, 1, nominal=1.0)
    draft.fields["sag"] += draft.uniform(*sag, 1, nominal=0.0)


@randomizes("backlash")
def backlash(draft: Draft, play: Range = (0.0, 0.035)) -> None:
    """Play of every gear, end to end [rad]: the encoder sits at the motor and reads up to half of it too much."""
    draft.fields["backlash"] += draft.uniform(*play, len(draft.robot.joint_names), nominal=0.0)


@randomizes("dof_damping")
def joint_damping(draft: Draft, added: Range = (0.0, 0.1)) -> None:
    """Viscous friction of every joint, as a share of its servo's velocity gain, added to what the model has."""
    kd = constant(tuple(float(gain) for gain in draft.robot.kd), draft.generator.device)
    draft.fields["dof_damping"][:, draft.dofs] += kd * draft.uniform(*added, len(kd), nominal=0.0)
