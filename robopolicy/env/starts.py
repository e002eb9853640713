"""How episodes begin: the body a robot gets, the state it starts in, and what it is told."""

from collections.abc import Callable

import torch
from torch import Tensor

from robopolicy.env.actuation import CORNER, no_load_speed
from robopolicy.env.adr import Widening
from robopolicy.env.terrain import Ground
from robopolicy.motion.reference import Reference
from robopolicy.robot import RobotModel
from robopolicy.task import Task
from robopolicy.terms.randomizers import Draft

_BLOCK = 256  # episodes drawn at once


class Starts:
    """Draws everything that is random about the beginning of an episode.

    Args:
        task: Says what is random.
        robot: The compiled robot.
        num_envs: How many there are.
        generator: Source of randomness.
        reference: Clips to start in, if any.
        nominal: Nothing is random but the command.
        ground: Where they stand, if not on a plane.
        clock: Control steps so far. Shape (1,).

    Attributes:
        fields: What the randomizers change: names of model fields, and of the environment's own.
    """

    def __init__(
        self,
        task: Task,
        robot: RobotModel,
        num_envs: int,
        generator: torch.Generator,
        reference: Reference | None,
        nominal: bool,
        ground: Ground | None,
        clock: Tensor,
    ):
        self.task, self.robot, self.generator, self.reference, self.nominal = task, robot, generator, reference, nominal
        self.device, self.ground, self.clock = generator.device, ground, clock
        self.randomizers = [] if nominal else list(task.randomizers.values())
        self.fields = sorted({field for r in self.randomizers for field in r.function.fields})
        active = task.adr.active and self.randomizers
        self.widening = Widening(task.adr, list(task.randomizers), self.device) if active else None
        self._bounds = task.command.bounds(self.device)
        self._channels = task.channels
        constant = lambda x: torch.as_tensor(x, dtype=torch.float32, device=self.device)  # noqa: E731
        self._home, self._pose, self._scale = (
            constant(x) for x in (robot.home_qpos, robot.default_pose, robot.action_scale)
        )
        self._lower, self._upper = constant(robot.lower), constant(robot.upper)
        self._cycle = round(task.gait.period_s / task.control_dt)
        own = {
            "encoder_offset": torch.zeros(len(robot.joint_names), device=self.device),
            "imu_rotation": constant(robot.mj.site_quat[robot.imu_site]),
            "no_load_speed": constant(no_load_speed(robot)),
            "corner": torch.full((1,), CORNER, device=self.device),
            "supply": torch.ones(1, device=self.device),
            "sag": torch.zeros(1, device=self.device),
            "backlash": torch.zeros(len(robot.joint_names), device=self.device),
            "sensor_delay": torch.zeros(1, device=self.device),
            "gyro_bias": torch.zeros(3, device=self.device),
            "loss": torch.zeros(1, device=self.device),
        }
        self._defaults = {
            f: own[f] if f in own else torch.as_tensor(getattr(robot.mj, f), device=self.device) for f in self.fields
        }
        self._ahead = _Ahead(lambda n: self._body(n) | self._state(n), num_envs)
        self._commands_ahead = _Ahead(self._command, num_envs)

    def draw(self, n: int) -> dict[str, Tensor]:
        """Bodies, first states and commands of ``n`` episodes, by the environment's names. Shapes (n, ...)."""
        return self._ahead.take(n)

    def command(self, n: int) -> dict[str, Tensor]:
        """``command`` (n, C), ``moving`` (n,) bool, ``clip`` it is from (n,), and the time until the next,
        ``command_timer`` (n,) [s]."""
        return self._commands_ahead.take(n)

    def _command(self, n: int) -> dict[str, Tensor]:
        return self._told(*self._channels.draw(n, self.generator, self.reference))

    def uniform(self, n: int, low: float, high: float, *shape: int) -> Tensor:
        """Uniform numbers of shape (n, *shape)."""
        return low + (high - low) * torch.rand(n, *shape, generator=self.generator, device=self.device)

    def _told(self, command: Tensor, clip: Tensor) -> dict[str, Tensor]:
        timer = self.uniform(len(command), *self.task.command.resample_s)
        return {"command": command, "moving": self.task.gait.asked_by(command), "command_timer": timer, "clip": clip}

    def _body(self, n: int) -> dict[str, Tensor]:
        """Every randomized field, and the gains and limits that follow from it."""
        start = {f: default.expand(n, *default.shape).clone() for f, default in self._defaults.items()}
        draft = Draft(start, self.robot, self.generator, n)
        end = None if self.widening is None else self.widening.draw(n, self.generator)
        for i, randomizer in enumerate(self.randomizers):
            if self.widening is not None and end is not None:
                draft.widths, draft.pinned = self.widening.widths[i], self.widening.pins(end, i)
            randomizer.function(draft, **randomizer.params)
        values = dict(draft.fields)
        if end is not None:
            values["pinned_end"] = end
        if "actuator_gainprm" in values:
            values["kp"] = values["actuator_gainprm"][..., 0]
            values["kd"] = -values["actuator_biasprm"][..., 2]
        if "actuator_forcerange" in values:
            values["torque_limit"] = values["actuator_forcerange"][..., 1]
        return values

    def _state(self, n: int) -> dict[str, Tensor]:
        """Home, or a moment of a clip; and all that goes with it."""
        task, device = self.task, self.device
        qpos = self._home.repeat(n, 1)
        qvel = torch.zeros(n, self.robot.mj.nv, device=device)
        phase = torch.zeros(n, device=device)
        velocity = torch.zeros(n, 3, device=device)
        told = self._command(n)
        if not self.nominal:
            noise = task.joint_noise * self.uniform(n, -1, 1, qpos.shape[1] - 7)
            qpos[:, 7:] = torch.clamp(qpos[:, 7:] + noise, self._lower, self._upper)
            phase = self.uniform(n, 0, 1)
        if self.reference is not None and not self.nominal:
            reference = self.reference
            frame = reference.draw(n, self.generator)
            chosen = self.uniform(n, 0, 1) < task.prior.reference_start
            rows = chosen.unsqueeze(-1)
            clip_qpos = reference.qpos[frame]
            clip_qpos[:, :2] = 0
            clip_phase = reference.phase[frame]
            qpos = torch.where(rows, clip_qpos, qpos)
            qvel = torch.where(rows, reference.qvel[frame], qvel)
            phase = torch.where(chosen & ~clip_phase.isnan(), clip_phase, phase)
            velocity = torch.where(rows, reference.command[frame], velocity)
            own = told["command"][:, : len(task.command.ranges)]
            if task.command.is_velocity:
                own = torch.where(rows, velocity.clamp(*self._bounds), own)
            fitting = self._channels.tell(own, reference.label[frame], self._channels.draw_weight(n, self.generator))
            clip = torch.where(chosen, reference.clip[frame], told["clip"])
            told = self._told(torch.where(rows, fitting, told["command"]), clip)
        if self.ground is not None:
            ramp = task.terrain.ramp_steps
            share = (self.clock / ramp).clamp(0.1, 1.0) if ramp else torch.ones_like(self.clock)
            place = self.ground.place(share, self.uniform(n, 0, 1, 2))
            qpos[:, :2] += place
            qpos[:, 2] += self.ground.standing_height(place)
        held = torch.clamp((qpos[:, 7:] - self._pose) / self._scale, -task.action_clip, task.action_clip)
        age = torch.zeros(n, dtype=torch.long, device=device)
        start = {"qpos": qpos, "qvel": qvel, "phase": phase, "age": age, "window_age": age}
        start |= {"action": held, "previous_action": held, "target": qpos[:, 7:]}
        start |= {"mean_velocity": velocity, "cycle": velocity.unsqueeze(1).expand(-1, self._cycle, -1)}
        start |= {"push_timer": self.uniform(n, *task.push.interval_s), "push_left": torch.zeros(n, device=device)}
        return start | told

    def forget(self) -> None:
        """Drop what was drawn ahead and learned, so that the generator's seed decides everything again."""
        if self.widening is not None:
            self.widening.forget()
        self._ahead.used = self._commands_ahead.used = _BLOCK

    def state_dict(self) -> dict:
        """Everything needed to continue to the same numbers, besides the generator."""
        state = {"episodes": self._ahead.state_dict(), "commands": self._commands_ahead.state_dict()}
        return state if self.widening is None else state | {"widening": self.widening.state_dict()}

    def load_state_dict(self, state: dict) -> None:
        """Restore what ``state_dict`` gave."""
        self._ahead.load_state_dict(state["episodes"], self.device)
        self._commands_ahead.load_state_dict(state["commands"], self.device)
        self.load_progress(state)

    def load_progress(self, state: dict) -> None:
        """Of that only how far the ranges have grown."""
        if self.widening is not None and "widening" in state:
            self.widening.load_state_dict(state["widening"])


class _Ahead:
    """Hands out rows that were drawn many at a time: on a CPU a block of them costs little more than one."""

    def __init__(self, draw: Callable[[int], dict[str, Tensor]], num_envs: int):
        self._draw, self._num_envs = draw, num_envs
        self.rows: dict[str, Tensor] = {}
        self.used = _BLOCK

    def take(self, n: int) -> dict[str, Tensor]:
        if n == self._num_envs or n > _BLOCK:  # a GPU draws for all of them, every time
            return self._draw(n)
        if self.used + n > _BLOCK:
            self.rows, self.used = self._draw(_BLOCK), 0
        taken = {name: rows[self.used : self.used + n] for name, rows in self.rows.items()}
        self.used += n
        return taken

    def state_dict(self) -> dict:
        return {"rows": {name: rows.clone() for name, rows in self.rows.items()}, "used": self.used}

    def load_state_dict(self, state: dict, device: torch.device) -> None:
        self.rows = {name: rows.to(device) for name, rows in state["rows"].items()}
        self.used = state["used"]
