"""A kind of joint motor."""

import re
from dataclasses import dataclass

from robopolicy.errors import UserError


@dataclass(frozen=True)
class Servo:
    """A kind of joint motor under PD control: ``torque = kp (target - q) - kd qd``, clamped.

    Attributes:
        joints: Regular expression that the whole joint name must match.
        kp: Proportional gain [N m/rad].
        kd: Derivative gain [N m s/rad].
        torque: Largest torque [N m].
        velocity: No-load speed [rad/s].
        armature: Rotor inertia seen at the joint [kg m^2].
        friction: Dry friction [N m].
        action_scale: Joint target per unit of action [rad]; by default 0.4, or ``torque / kp`` where that is less.
    """

    joints: str
    kp: float
    kd: float
    torque: float
    velocity: float
    armature: float
    friction: float = 0.0
    action_scale: float | None = None

    def __post_init__(self) -> None:
        try:
            re.compile(self.joints)
        except re.error as error:
            raise UserError(f"servo {self.joints!r} is no regular expression: {error}") from None
        for name in ("kp", "torque", "velocity", "action_scale"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UserError(f"servo {self.joints!r}: {name} is {value}; it must be positive")
        for name in ("kd", "armature", "friction"):
            if not getattr(self, name) >= 0:
                raise UserError(f"servo {self.joints!r}: {name} is {getattr(self, name)}; it must not be negative")

    @property
    def scale(self) -> float:
        """Joint target per unit of action [rad]."""
        return self.action_scale if self.action_scale is not None else min(0.4, self.torque / self.kp)
