"""Domain randomization: functions that draw new values for some robots at the start of their episode.

A randomizer declares the fields it changes with ``@randomizes`` and works on a draft: every declared field starts at
the compiled default, so that values never accumulate from episode to episode, and randomizers of one field compose.
Model fields are named as in ``mujoco.MjModel``; the rest belong to the environment:

    encoder_offset  what the joint encoders read too much [rad], (n, J)
    imu_rotation    orientation of the inertial unit in the base, quaternion wxyz, (n, 4)
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from robopolicy.constants import constant
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
    """

    fields: dict[str, Tensor]
    robot: RobotModel
    generator: torch.Generator
    n: int

    @property
    def dofs(self) -> Tensor:
        """Index of each joint among the degrees of freedom. Shape (J,)."""
        return constant(tuple(int(adr) for adr in self.robot.dof_adr), self.generator.device)

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Uniform numbers of shape (n, *shape)."""
        device = self.generator.device
        return low + (high - low) * torch.rand(self.n, *shape, generator=self.generator, device=device)


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
    draft.fields["geom_friction"][:, floor, 0] = draft.uniform(*friction)


@randomizes("body_mass", "body_inertia")
def base_mass(draft: Draft, added: Range = (-1.0, 1.0)) -> None:
    """Mass added to the base [kg]; its inertia grows in proportion."""
    body = draft.robot.base_body
    mass = draft.fields["body_mass"]
    scale = 1 + draft.uniform(*added) / mass[:, body]
    mass[:, body] *= scale
    draft.fields["body_inertia"][:, body] *= scale.unsqueeze(-1)


@randomizes("body_mass", "body_inertia")
def link_mass(draft: Draft, scale: Range = (0.9, 1.1)) -> None:
    """Mass and inertia of every link times one factor each."""
    factor = draft.uniform(*scale, draft.robot.mj.nbody)
    draft.fields["body_mass"] *= factor
    draft.fields["body_inertia"] *= factor.unsqueeze(-1)


@randomizes("body_inertia")
def link_inertia(draft: Draft, scale: Range = (0.9, 1.1)) -> None:
    """Inertia of every link times one factor each, its mass unchanged."""
    draft.fields["body_inertia"] *= draft.uniform(*scale, draft.robot.mj.nbody).unsqueeze(-1)


@randomizes("body_ipos")
def base_com(draft: Draft, shift: float = 0.03) -> None:
    """Centre of mass of the base moved by at most ``shift`` along each axis [m]."""
    draft.fields["body_ipos"][:, draft.robot.base_body] += draft.uniform(-shift, shift, 3)


@randomizes("dof_frictionloss")
def joint_friction(draft: Draft, scale: Range = (0.5, 1.5)) -> None:
    """Dry friction of every joint times one factor each."""
    names, loss = draft.robot.joint_names, draft.robot.mj.dof_frictionloss[draft.robot.dof_adr]
    smooth = [name for name, friction in zip(names, loss, strict=True) if not friction]
    if smooth:
        raise UserError(f"joint_friction: no dry friction to scale in {', '.join(smooth)}; give Servo(friction=...)")
    draft.fields["dof_frictionloss"][:, draft.dofs] *= draft.uniform(*scale, len(names))


@randomizes("dof_armature")
def armature(draft: Draft, scale: Range = (0.9, 1.1)) -> None:
    """Rotor inertia of every joint times one factor each."""
    draft.fields["dof_armature"][:, draft.dofs] *= draft.uniform(*scale, len(draft.dofs))


@randomizes("actuator_gainprm", "actuator_biasprm", "actuator_forcerange")
def motor_strength(draft: Draft, scale: Range = (0.9, 1.1)) -> None:
    """Torque of every motor, and its limit, times one factor each."""
    factor = draft.uniform(*scale, draft.robot.mj.nu, 1)
    for field in ("actuator_gainprm", "actuator_biasprm", "actuator_forcerange"):
        draft.fields[field] *= factor


@randomizes("actuator_gainprm", "actuator_biasprm")
def pd_gains(draft: Draft, kp: Range = (0.9, 1.1), kd: Range = (0.9, 1.1)) -> None:
    """Position and velocity gain of every servo times one factor each."""
    nu = draft.robot.mj.nu
    stiffness = draft.uniform(*kp, nu)
    draft.fields["actuator_gainprm"][..., 0] *= stiffness
    draft.fields["actuator_biasprm"][..., 1] *= stiffness
    draft.fields["actuator_biasprm"][..., 2] *= draft.uniform(*kd, nu)


@randomizes("encoder_offset")
def encoder_offset(draft: Draft, limit: float = 0.02) -> None:
    """Constant error of every joint encoder, at most ``limit`` [rad]; the servo regulates the reading."""
    draft.fields["encoder_offset"] += draft.uniform(-limit, limit, len(draft.robot.joint_names))


@randomizes("imu_rotation")
def imu_orientation(draft: Draft, limit: float = 0.02) -> None:
    """Mounting error of the inertial unit, at most ``limit`` about each axis [rad]."""
    error = from_rotation_vector(draft.uniform(-limit, limit, 3))
    draft.fields["imu_rotation"] = multiply(draft.fields["imu_rotation"], error)


@randomizes("actuator_delay")
def action_latency(draft: Draft, steps: Range = (0, 3)) -> None:
    """Physics steps before an action reaches the servos; drawn once, so it is latency and not jitter."""
    low, high = steps
    late = torch.floor(draft.uniform(low, high + 1, 1)).clamp(max=high)
    # Half a step less, so that rounding of the time cannot make it one step more.
    seconds = ((late - 0.5) * draft.robot.mj.opt.timestep).clamp(min=0)
    draft.fields["actuator_delay"] = seconds.expand_as(draft.fields["actuator_delay"]).clone()
