"""Motors and sensors as they are: torque that falls with the speed, a supply that sags, readings that come late.

The engine applies ``clamp(kp (target - q) - kd qd, lowest, highest)`` at every physics step. What is added here are
those two limits, which follow from the speed and the supply, and so change from physics step to physics step:

    highest = torque u min(1, (no_load u - qd) / (no_load u (1 - corner)))    and not below 0,    u = supply - sag load

and ``lowest`` its mirror image: full torque up to ``corner`` of the no-load speed and while the motor brakes, then
falling to nothing at the no-load speed. A corner at 0 is a DC motor at its supply voltage. ``load`` is the mean share
of their torque that the motors gave in the physics step before.
Source: Grandia et al., "Design and Control of a Bipedal Robotic Character", 2024 (the envelope); the supply scales a DC
motor's stall torque and no-load speed alike.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from robopolicy.robot import RobotModel
from robopolicy.sim.simulation import Simulation

CORNER = 0.5
"""Share of the no-load speed up to which a motor has its full torque, where no randomizer says otherwise."""
LIMITS = ("no_load_speed", "corner", "supply", "sag")
"""Fields of the environment that decide on the limits of the torque."""


class Actuation:
    """Advances the physics by one control period, physics step by physics step where something changes within it.

    Args:
        sim: The physics.
        fields: What the randomizers of the task change; without any of ours the engine is left alone.
        own: The environment's tensors: ``kd``, ``torque_limit``, ``no_load_speed``, ``corner``, ``supply``, ``sag`` and
            ``sensor_delay``.
        dofs: Columns of the joints in qvel.

    Attributes:
        load: Mean share of their torque that the motors gave in the last physics step. Shape (N, 1).
        torque_range: Lowest and highest torque of the last physics step [N m], (N, J, 2); None if the speed is no
            matter.
        late: State that the sensors tell of, qpos (N, nq) and qvel (N, nv); None if it is always the present one.
        power: Magnitude of each joint's mechanical power, mean over the last control period [W], (N, J); None unless
            ``measure_power`` was called.
    """

    def __init__(self, sim: Simulation, fields: list[str], own: Mapping[str, Tensor], dofs: Tensor | slice):
        self.sim, self._own, self._dofs = sim, own, dofs
        self._qpos, self._qvel = sim.bind("qpos"), sim.bind("qvel")
        self.torque_range = sim.expand("actuator_forcerange") if any(f in fields for f in LIMITS) else None
        self._force = sim.bind("actuator_force") if "sag" in fields else None
        self.load = torch.zeros(sim.num_envs, 1, device=sim.device)
        self.power: Tensor | None = None
        self.late: tuple[Tensor, Tensor] | None = None
        if "sensor_delay" in fields or "loss" in fields:
            self.late = (self._qpos.float().clone(), self._qvel.float().clone())

    def measure_power(self) -> None:
        """Work out ``power`` from now on, which takes the physics step by step and so is slower.

        Torque times speed at the end of a control period would not do: by then a joint has come close to its target
        and brakes, so that the motors seem to take more work out of the robot than they put in.
        """
        self._force = self.sim.bind("actuator_force")
        self.power = torch.zeros(self.sim.num_envs, self._force.shape[1], device=self.sim.device)

    def advance(self, substeps: int, lost: Tensor | None = None) -> None:
        """Advance by ``substeps`` physics steps under the controls as they are.

        Args:
            substeps: How many.
            lost: Whose readings do not arrive, so that the earlier ones stand. Shape (N, 1) bool.
        """
        if self.torque_range is None and self.late is None and self.power is None:
            self.sim.step(substeps)
            return
        if self.power is not None:
            self.power.zero_()
        for left in range(substeps, 0, -1):
            self._remember(left, lost)
            if self.torque_range is not None:
                self._limit(self.torque_range)
            before = self._qvel[:, self._dofs].clone() if self.power is not None else None
            self.sim.step(1) if left == 1 else self.sim.advance(1)
            if self.power is not None and before is not None:
                self.power += self._work_rate(before).abs() / substeps
            if self._force is not None:
                self.load.copy_((self._force.abs() / self._own["torque_limit"]).mean(1, keepdim=True))
        self._remember(0, lost)

    def begin(self, mask: Tensor) -> None:
        """Where ``mask`` (N,) is true an episode has begun: nothing was sensed before, and no motor has worked yet."""
        self.load.masked_fill_(mask.unsqueeze(-1), 0.0)
        if self.late is not None:
            for late, now in zip(self.late, (self._qpos, self._qvel), strict=True):
                late.copy_(torch.where(mask.unsqueeze(-1), now.to(late.dtype), late))

    def state_dict(self) -> dict[str, Tensor]:
        """Everything needed to go on to the same numbers."""
        late = {} if self.late is None else {"qpos": self.late[0].clone(), "qvel": self.late[1].clone()}
        return {"load": self.load.clone(), **late}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore what ``state_dict`` gave."""
        self.load.copy_(state["load"])
        if self.late is not None:
            self.late[0].copy_(state["qpos"])
            self.late[1].copy_(state["qvel"])

    def _limit(self, torque_range: Tensor) -> None:
        """The torques that the motors can give at their present speed."""
        own = self._own
        supply = own["supply"] - own["sag"] * self.load
        torque, no_load = own["torque_limit"] * supply, own["no_load_speed"] * supply
        speed = self._qvel[:, self._dofs].to(torque.dtype)
        falls_over = no_load * (1 - own["corner"])
        torque_range[..., 1] = torque * ((no_load - speed) / falls_over).clamp(0, 1)
        torque_range[..., 0] = -torque * ((no_load + speed) / falls_over).clamp(0, 1)

    def _work_rate(self, before: Tensor) -> Tensor:
        """Power of each motor in the last physics step, given the speeds (N, J) that it began with [W]. Shape (N, J).

        ``actuator_force`` is of the speed before, while the integrator (``implicitfast``) damps by the speed after,
        except where the torque is at its limit. A constant torque feeds a body by the mean of both speeds.
        """
        assert self._force is not None
        speed, force, own = self._qvel[:, self._dofs], self._force, self._own
        if self.torque_range is None:
            limited = force.abs() >= own["torque_limit"] * (1 - 1e-6)
        else:
            limited = (force <= self.torque_range[..., 0]) | (force >= self.torque_range[..., 1])
        torque = torch.where(limited, force, force - own["kd"] * (speed - before))
        return torque * (speed + before) / 2

    def _remember(self, steps: int, lost: Tensor | None) -> None:
        """Keep the present state where it will be the one sensed, so many physics steps from now."""
        if self.late is not None:
            due = self._own["sensor_delay"] == steps
            if lost is not None:
                due = due & ~lost
            for late, now in zip(self.late, (self._qpos, self._qvel), strict=True):
                late.copy_(torch.where(due, now.to(late.dtype), late))


def no_load_speed(robot: RobotModel) -> np.ndarray:
    """Of each joint's servo [rad/s]; a million where it is not known, which bounds nothing. Shape (J,)."""
    return np.minimum(robot.velocity_limit, 1e6)
