"""Disturbances: sudden changes of the base's velocity, and forces on it that last."""

import torch
from torch import Tensor

from robopolicy.env.starts import Starts
from robopolicy.sim.simulation import Rows, Simulation
from robopolicy.task import Push

STATE = ("push_timer", "push_force", "push_left")
"""What a robot's episode begins with, by name; each is a tensor of ``Pushes``."""


class Pushes:
    """Pushes N robots, each at its own times; they grow with the time trained where the task says so.

    Args:
        push: Settings.
        sim: The physics.
        base_body: Index of the base's body.
        starts: Draws.
        control_dt: Control period [s].
        clock: Control steps so far, which somebody else counts. Shape (1,).

    Attributes:
        push_timer: Time until the next push [s]. Shape (N,).
        push_force: Force that acts on the base while it lasts, world frame [N]. Shape (N, 3).
        push_left: How long it still lasts [s]. Shape (N,).
    """

    def __init__(self, push: Push, sim: Simulation, base_body: int, starts: Starts, control_dt: float, clock: Tensor):
        self.push, self.sim, self.starts, self.control_dt, self.clock = push, sim, starts, control_dt, clock
        n, device = sim.num_envs, sim.device
        self.push_timer, self.push_left = torch.zeros(n, device=device), torch.zeros(n, device=device)
        self.push_force = torch.zeros(n, 3, device=device)
        self._velocity = sim.bind("qvel")[:, :6]
        kick = [push.velocity, push.velocity, 0, 0, 0, push.yaw_rate]
        self._kick = torch.tensor(kick, dtype=torch.float32, device=device)
        self._applied = sim.bind("xfrc_applied")[:, base_body, :3] if push.force else None
        self.active = any((push.velocity, push.yaw_rate, push.force))

    @property
    def size(self) -> Tensor:
        """Share of the full size that pushes have now. Shape (1,)."""
        ramp = self.push.ramp_steps
        return (self.clock / ramp).clamp(max=1.0) if ramp else torch.ones_like(self.clock)

    def step(self) -> None:
        """Push whose time has come, before a control step."""
        if not self.active:
            return
        self.push_timer -= self.control_dt
        self.push_left -= self.control_dt
        targets = {"base": self._velocity, "push_timer": self.push_timer}
        if self._applied is not None:
            targets |= {"push_force": self.push_force, "push_left": self.push_left}
        self.sim.assign(self.push_timer <= 0, targets, self._draw)
        if self._applied is not None:
            lasting = (self.push_left > 0).unsqueeze(-1)
            self._applied.copy_(torch.where(lasting, self.push_force, 0.0))

    def _draw(self, rows: Rows, n: int) -> dict[str, Tensor]:
        push, uniform = self.push, self.starts.uniform
        change = self.size * self._kick * uniform(n, -1, 1, 6)
        drawn = {"base": self._velocity[rows] + change, "push_timer": uniform(n, *push.interval_s)}
        if self._applied is not None:
            angle, size = uniform(n, -torch.pi, torch.pi), self.size * push.force * uniform(n, 0, 1)
            level = torch.zeros_like(angle)
            drawn["push_force"] = torch.stack((size * torch.cos(angle), size * torch.sin(angle), level), dim=-1)
            drawn["push_left"] = uniform(n, *push.force_s)
        return drawn
