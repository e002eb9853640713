"""The environment: N robots doing a task, in tensors of fixed shape."""

from copy import copy
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from robopolicy.env.actuation import CORNER, Actuation, no_load_speed
from robopolicy.env.orders import Orders
from robopolicy.env.pushes import STATE as PUSHED
from robopolicy.env.pushes import Pushes
from robopolicy.env.senses import Senses
from robopolicy.env.starts import Starts
from robopolicy.env.state import State, clock_signal
from robopolicy.env.terrain import Ground, lay
from robopolicy.motion.reference import Reference, foot_positions
from robopolicy.robot import RobotModel, load_robot
from robopolicy.sim.make import make_simulation
from robopolicy.sim.simulation import Rows, Simulation
from robopolicy.task import Task

_GROUPS = 125  # first episodes end at so many different times: on a CPU eight robots begin as cheaply as one
# What is drawn anew when an episode begins, besides fields of the model: the body's own, the state's, and what is told.
_OWN = (
    *("encoder_offset", "imu_rotation", "kp", "kd", "torque_limit"),
    *("no_load_speed", "corner", "supply", "sag", "backlash", "sensor_delay", "gyro_bias", "loss"),
)
_AT_START = (
    *("qpos", "qvel", "phase", "age", "action", "previous_action", "target", "window_age"),
    *("mean_velocity", "cycle", "pinned_end"),
)
_TOLD = ("command", "moving", "command_timer", "clip")
# What an environment must remember to continue to the same numbers, besides its simulation.
_SAVED = (*_OWN, *_AT_START[2:], *_TOLD, "window", "cursor", "clock")
STATE_VERSION = 5
"""Of what ``Env.state_dict`` gives; raised when an earlier one can no longer be continued."""


@dataclass
class Step:
    """What one control step gives. Tensors may be reused by the next step.

    Attributes:
        obs: What to act on next: ``actor`` (N, A) and ``critic`` (N, C).
        reward: Task reward, already times the control period. Shape (N,).
        terminated: The episode failed. Shape (N,) bool.
        truncated: The episode ran out of time. Shape (N,) bool.
        final_obs: Observation of the state that the step really led to; differs from ``obs`` where the episode ended.
        motion: Window of features ending in that state, then the command, for the discriminator. Shape (N, S), or None.
        motion_valid: Where the window holds one unbroken stretch of motion. Shape (N,) bool, or None.
        style_weight: How much of the style the robot was told to have, from 0 to 1. Shape (N,).
        clip: Index of the clip whose command it was told, or -1. Shape (N,).
        log: Averages over the robots, 0-dimensional.
    """

    obs: dict[str, Tensor]
    reward: Tensor
    terminated: Tensor
    truncated: Tensor
    final_obs: dict[str, Tensor]
    motion: Tensor | None
    motion_valid: Tensor | None
    style_weight: Tensor
    clip: Tensor
    log: dict[str, Tensor]


class Env:
    """N robots doing a task, reset one by one as their episodes end.

    Args:
        task: What to do.
        num_envs: N; by default the task's.
        seed: Seed of everything random.
        reference: Frames for starts and commands; None does without a prior.
        nominal: No randomization, no noise, no pushes, no start in a clip: the plant as the model says.
        threads: Engine threads on the CPU; 0: one per core.
        device: Where: ``cpu``, ``cuda`` or ``warp-cpu``, see ``sim/make.py``.
        contacts: Room for so many contacts per robot on a GPU; by default Warp's guess.
        simulation: The physics, if not that of ``device``.

    Attributes:
        robot: The compiled robot.
        sim: The physics.
        state: The latest state before any reset: what the last step led to.
        actor_dim, critic_dim: Sizes of the observations.
        max_episode_steps: Control steps until the time is up.
    """

    def __init__(
        self,
        task: Task,
        num_envs: int | None = None,
        seed: int = 0,
        reference: Reference | None = None,
        nominal: bool = False,
        threads: int = 0,
        device: str = "cpu",
        contacts: int | None = None,
        simulation: Simulation | None = None,
    ):
        task.validate()
        self.task = task
        self.nominal = nominal
        hilly = task.terrain.active and not nominal
        late = [randomizer.most_steps("actuator_delay") for randomizer in task.randomizers.values()]
        self._slowest = 0 if nominal else max(late, default=0)
        self.robot: RobotModel = load_robot(task.robot).compile(
            task.timestep,
            visual=False,
            max_delay=self._slowest,
            lay=partial(lay, terrain=task.terrain) if hilly else None,
        )
        self.num_envs = num_envs or task.num_envs
        self.sim = simulation or make_simulation(self.robot.mj, self.num_envs, device, threads, contacts)
        self.device = self.sim.device
        self.reference = reference.to(self.device) if reference else None
        self.generator = torch.Generator(self.device).manual_seed(seed)
        self.channels = task.channels
        self.ground = Ground(task.terrain, self.device) if hilly else None
        self.clock = torch.zeros(1, device=self.device)
        self.starts = Starts(
            task, self.robot, self.num_envs, self.generator, self.reference, nominal, self.ground, self.clock
        )
        self.control_dt = task.control_dt
        self.substeps = round(task.control_dt / task.timestep)
        self.max_episode_steps = round(task.episode_s / task.control_dt)
        self.num_actions = len(self.robot.joint_names)
        self.action_clip = task.action_clip
        self.held_command = False
        self._bind()
        self._allocate()

    # The step

    def reset(self, stagger: bool = True) -> dict[str, Tensor]:
        """Begin an episode for every robot.

        Args:
            stagger: Begin at random ages, so that the episodes do not all end at once.
        """
        everyone = torch.ones(self.num_envs, dtype=torch.bool, device=self.device)
        obs = {
            "actor": torch.zeros(self.num_envs, self.actor_dim, device=self.device),
            "critic": torch.zeros(self.num_envs, self.critic_dim, device=self.device),
        }
        self.cursor.zero_()
        self.senses.draw_noise()
        self._begin_episodes(everyone, obs)
        if stagger:
            groups = min(self.max_episode_steps, _GROUPS)
            ages = torch.randint(groups, (self.num_envs,), generator=self.generator, device=self.device)
            self.age.copy_(ages * (self.max_episode_steps // groups))
        self.state = self.snapshot()
        return obs

    def step(self, action: Tensor) -> Step:
        """Advance every robot by one control period.

        Args:
            action: Joint targets around the default pose, in units of the action scale. Shape (N, J).
        """
        self.clock += 1
        if not self.nominal:
            self.pushes.step()
        unread = self._act(action)
        self.age += 1
        self.phase.copy_(torch.remainder(self.phase + self.control_dt / self.task.gait.period_s, 1.0))

        self.state = state = self.snapshot()
        self._average(state)
        diverged = self.sim.diverged().to(self.device)
        terminated = self._terminated(state) | diverged
        truncated = (self.age >= self.max_episode_steps) & ~terminated
        reward, log = self._reward(state)
        log["falls"] = terminated.float().mean()
        log["diverged"] = diverged.float().mean()
        motion, valid = self._motion(state, diverged)
        style_weight, clip = self.channels.weight(state.command), self.clip.clone()

        done = terminated | truncated
        if self.starts.widening is not None:
            up = torch.where(truncated, 1.0, self.age / self.max_episode_steps)
            self.starts.widening.learn(done, self.pinned_end, up)
            log |= self.starts.widening.log()
        self._resample_commands(~done)
        self.senses.draw_noise(unread)
        now = copy(state)  # with all it has computed; only the command is another
        now.command, now.moving = self.command, self.moving
        final_obs = self.senses.observe(now)
        obs = {name: value.clone() for name, value in final_obs.items()}
        self._begin_episodes(done, obs)
        return Step(obs, reward, terminated, truncated, final_obs, motion, valid, style_weight, clip, log)

    def seed(self, seed: int) -> None:
        """Start the random numbers anew."""
        self.generator.manual_seed(seed)
        self.starts.forget()
        self.clock.zero_()

    def hold_command(self, command: Tensor) -> dict[str, Tensor]:
        """Give every robot a command that stays; returns what they observe then.

        Args:
            command: All channels (N, C), or the task's own only: then in full style, the first of them.
        """
        self.held_command = True
        self.command.copy_(command if command.shape[1] == self.command.shape[1] else self.channels.tell(command))
        self.moving.copy_(self.task.gait.asked_by(self.command))
        return self.senses.observe(self.snapshot(), again=True)

    # Parts of the step

    def _act(self, action: Tensor) -> Tensor | None:
        """Clip the action, turn it into joint targets, and run the physics under them.

        Returns:
            Whose readings do not arrive, (N, 1) bool; None where all do.
        """
        self.previous_action.copy_(self.action)
        self.action.copy_(action.clamp(-self.action_clip, self.action_clip))
        self.target.copy_(torch.clamp(self.default_pose + self.action_scale * self.action, self.lower, self.upper))
        order = self.target - self.encoder_offset  # the servo regulates what its encoder reads
        lost, unread = None, None
        if self._loses:
            lost = torch.rand(self.num_envs, 2, generator=self.generator, device=self.device) < self.loss
            lost, unread = lost[:, :1], lost[:, 1:]
            order = torch.where(lost, self.ctrl.to(order.dtype), order)
        self.ctrl.copy_(order)
        self.orders.give(self.target, lost)
        self.actuation.advance(self.substeps, unread)
        return unread

    def snapshot(self, rows: Rows = slice(None)) -> State:
        """The present state of some robots, by default all."""
        late, torque_range = self.actuation.late, self.actuation.torque_range
        qpos, feet = self.qpos[rows].float(), self._site_xpos[:, self._feet][rows].float()
        return State(
            robot=self.robot,
            control_dt=self.control_dt,
            qpos=qpos,
            qvel=self.qvel[rows].float(),
            foot_pos_w=feet,
            foot_clearance=self._foot_clearance(feet, rows),
            ground=None if self.ground is None else self.ground.height(qpos[:, :2]),
            body_velocity=self._cvel[:, self._foot_bodies][rows].float(),
            tree_com_w=self._subtree_com[:, self.robot.base_body][rows].float(),
            mean_velocity=self.mean_velocity[rows].clone(),
            action=self.action[rows].clone(),
            previous_action=self.previous_action[rows].clone(),
            target=self.target[rows].clone(),
            order=self.orders.in_force(rows),
            command=self.command[rows].clone(),
            phase=self.phase[rows].clone(),
            moving=self.moving[rows].clone(),
            age=self.age[rows].clone(),
            kp=self.kp[rows].clone(),
            kd=self.kd[rows].clone(),
            torque_limit=self.torque_limit[rows].clone(),
            encoder_offset=self.encoder_offset[rows].clone(),
            imu_rotation=self.imu_rotation[rows].clone(),
            gyro_bias=self.gyro_bias[rows].clone(),
            backlash=self.backlash[rows].clone() if self._plays else None,
            torque_range=None if torque_range is None else torque_range[rows].float(),
            late=None if late is None else (late[0][rows].clone(), late[1][rows].clone()),
            default_pose=self.default_pose,
            lower=self.lower,
            upper=self.upper,
        )

    def _foot_clearance(self, feet: Tensor, rows: Rows) -> Tensor:
        if self.ground is None:
            return self._sensordata[:, self._clearance][rows].float()
        return (feet[..., 2] - self._foot_height - self.ground.height(feet[..., :2])).clamp(max=0.1)

    def _average(self, state: State) -> None:
        """Bring the mean velocity of the last gait cycle up to the present."""
        now = torch.cat((state.base_lin_vel_h[:, :2], state.yaw_rate.unsqueeze(-1)), dim=-1)
        count = self.cycle.shape[1]
        oldest = self.cycle.index_select(1, self.cursor).squeeze(1)
        self.mean_velocity.add_((now - oldest) / count)  # five times faster than summing the cycle
        self.cycle.index_copy_(1, self.cursor, now.unsqueeze(1))
        self.cursor.copy_((self.cursor + 1).remainder(count))
        state.mean_velocity = self.mean_velocity.clone()

    def _terminated(self, state: State) -> Tensor:
        failed = torch.zeros(self.num_envs, dtype=torch.bool, device=self.device)
        for ending in self.task.terminations.values():
            failed = failed | ending.function(state, **ending.params)
        return failed

    def _reward(self, state: State) -> tuple[Tensor, dict[str, Tensor]]:
        rewards = self.task.rewards
        values = torch.stack([r.function(state, **r.params) for r in rewards.values()]) * self._reward_weights
        log = dict(zip((f"reward/{name}" for name in rewards), values.mean(1).unbind(), strict=True))
        if self.task.command.is_velocity:
            error = state.mean_velocity - state.command[:, :3]
            log["velocity_error"] = torch.hypot(error[:, 0], error[:, 1]).mean()
            log["yaw_error"] = error[:, 2].abs().mean()
        return values.sum(0) * self.control_dt, log

    def _motion(self, state: State, diverged: Tensor) -> tuple[Tensor | None, Tensor | None]:
        if self.reference is None:
            return None, None
        self.window.copy_(torch.cat((self.window[:, 1:], state.motion.unsqueeze(1)), dim=1))
        self.window_age += 1
        valid = (self.window_age + 1 >= self.window.shape[1]) & ~diverged
        return self.style_input(self.window, self.command, self.phase), valid

    def style_input(self, window: Tensor, command: Tensor, phase: Tensor) -> Tensor:
        """What the discriminator reads: a window of features (n, W, D), then what it may see besides.

        Args:
            window: Features of the last steps, the present one last. Shape (n, W, D).
            command: All channels. Shape (n, C).
            phase: Of the gait clock at the window's end; NaN where there is none. Shape (n,).
        """
        seen = [window.flatten(1), self.channels.fitting(command, self.task.prior.see_command)]
        if self.task.prior.see_phase:
            ticking = self.task.gait.asked_by(command) & ~phase.isnan()
            seen.append(clock_signal(torch.nan_to_num(phase), ticking))
        return torch.cat(seen, dim=-1)

    def _resample_commands(self, mask: Tensor) -> None:
        """Draw a new command where the time of the old one is up and ``mask`` (N,) is true."""
        if self.held_command:
            return
        self.command_timer -= self.control_dt
        targets = {name: getattr(self, name) for name in _TOLD}
        self.sim.assign((self.command_timer <= 0) & mask, targets, lambda _, n: self.starts.command(n))

    def _begin_episodes(self, mask: Tensor, obs: dict[str, Tensor]) -> None:
        """Draw a new robot, a new start and a new command where ``mask`` (N,) is true; write what is then seen."""
        sim = self.sim
        if not sim.anyone(mask):
            return

        def start(_: Rows, n: int) -> dict[str, Tensor]:
            return {name: value for name, value in self.starts.draw(n).items() if name in targets}

        targets = self._at_start
        if self.held_command:
            targets = {name: tensor for name, tensor in targets.items() if name not in _TOLD}
        sim.reset(mask)
        sim.assign(mask, targets, start)
        sim.update_model(mask)
        first = self.target - self.encoder_offset
        sim.hold(mask, first)
        if self._loses:  # what stands if the first order is lost
            self.ctrl.copy_(torch.where(mask.unsqueeze(-1), first.to(self.ctrl.dtype), self.ctrl))
        sim.forward(mask)
        self.actuation.begin(mask)
        self.orders.begin(mask, self.target)

        def look(rows: Rows, n: int) -> dict[str, Tensor]:
            state = self.snapshot(rows)
            seen = self.senses.observe(state, rows, fresh=True)
            if self.reference is not None:
                seen["window"] = state.motion.unsqueeze(1).expand(-1, self.reference.window, -1)
            return seen

        window = {"window": self.window} if self.reference is not None else {}
        sim.assign(mask, obs | self.senses.at_start | window, look)

    # Set-up

    def _bind(self) -> None:
        """The engine's live tensors."""
        sim, robot = self.sim, self.robot
        self.qpos, self.qvel, self.ctrl = sim.bind("qpos"), sim.bind("qvel"), sim.bind("ctrl")
        self._site_xpos, self._sensordata = sim.bind("site_xpos"), sim.bind("sensordata")
        soles = foot_positions(robot.home_qpos[None], robot)[..., 2]
        self._foot_height = torch.as_tensor(soles, dtype=torch.float32, device=self.device)
        self._cvel, self._subtree_com = sim.bind("cvel"), sim.bind("subtree_com")
        feet = (robot.foot_sites, robot.foot_bodies, robot.clearance_adr)
        self._feet, self._foot_bodies, self._clearance = (_columns(ids, self.device) for ids in feet)

    def _allocate(self) -> None:
        """Our own tensors, and who may be written when an episode begins."""
        n, j, device, mj = self.num_envs, self.num_actions, self.device, self.robot.mj
        constant = lambda x: torch.as_tensor(x, dtype=torch.float32, device=device)  # noqa: E731
        self.default_pose, self.action_scale = (
            constant(self.robot.default_pose),
            constant(self.robot.action_scale),
        )
        self.lower, self.upper = constant(self.robot.lower), constant(self.robot.upper)
        self.action, self.previous_action, self.target = (torch.zeros(n, j, device=device) for _ in range(3))
        self.command = torch.zeros(n, len(self.channels.names), device=device)
        self.moving = torch.zeros(n, dtype=torch.bool, device=device)
        self.clip = torch.full((n,), -1, device=device)
        self.phase, self.command_timer = (torch.zeros(n, device=device) for _ in range(2))
        self.age = torch.zeros(n, dtype=torch.long, device=device)
        self.mean_velocity = torch.zeros(n, 3, device=device)
        self.cycle = torch.zeros(n, round(self.task.gait.period_s / self.control_dt), 3, device=device)
        self.cursor = torch.zeros(1, dtype=torch.long, device=device)
        self.encoder_offset = torch.zeros(n, j, device=device)
        self.imu_rotation = constant(mj.site_quat[self.robot.imu_site]).repeat(n, 1)
        self.backlash = torch.zeros(n, j, device=device)
        self.gyro_bias = torch.zeros(n, 3, device=device)
        self._plays, self._loses = (field in self.starts.fields for field in ("backlash", "loss"))
        self.pushes = Pushes(self.task.push, self.sim, self.robot.base_body, self.starts, self.control_dt, self.clock)
        self.kp, self.kd = constant(self.robot.kp).repeat(n, 1), constant(self.robot.kd).repeat(n, 1)
        self.torque_limit = constant(self.robot.torque_limit).repeat(n, 1)
        self.no_load_speed = constant(no_load_speed(self.robot)).repeat(n, 1)
        self.corner, self.supply = torch.full((n, 1), CORNER, device=device), torch.ones(n, 1, device=device)
        self.sag, self.sensor_delay, self.loss = (torch.zeros(n, 1, device=device) for _ in range(3))
        own = {name: getattr(self, name) for name in _OWN}
        self.actuation = Actuation(self.sim, self.starts.fields, own, _columns(self.robot.dof_adr, self.device))
        behind = self._slowest > self.substeps
        delay = self.sim.expand("actuator_delay") if behind else None
        self.orders = Orders((n, j), delay, self._slowest * self.task.timestep, self.control_dt, device)
        self.pinned_end = torch.zeros(n, dtype=torch.long, device=device)
        self.window_age = torch.zeros(n, dtype=torch.long, device=device)
        if self.reference is not None:
            self.window = self.reference.features[:1].expand(n, self.reference.window, -1).clone()
        self._at_start = {field: self.sim.expand(field) for field in self.starts.fields if field not in _OWN}
        self._at_start |= {name: getattr(self, name) for name in (*_OWN, *_AT_START, *_TOLD)}
        self._at_start |= {name: getattr(self.pushes, name) for name in PUSHED}
        self.state = state = self.snapshot()
        self.senses = Senses(self.task, state, self.generator, self.nominal)
        self.actor_dim, self.critic_dim = self.senses.actor_dim, self.senses.critic_dim
        self._reward_weights = constant([r.weight for r in self.task.rewards.values()]).unsqueeze(-1)

    # Continuing

    def state_dict(self) -> dict:
        """Everything needed to continue to the same numbers."""
        tensors = {name: getattr(self, name).clone() for name in _SAVED if hasattr(self, name)}
        pushes = {name: getattr(self.pushes, name).clone() for name in PUSHED}
        return {
            "version": STATE_VERSION,
            "sim": self.sim.state_dict(),
            "tensors": tensors,
            "senses": self.senses.state_dict(),
            "pushes": pushes,
            "actuation": self.actuation.state_dict(),
            "orders": self.orders.given.clone(),
            "held_command": self.held_command,
            "starts": self.starts.state_dict(),
            "rng": self.generator.get_state(),
        }

    def load_progress(self, state: dict) -> None:
        """Of what ``state_dict`` gave only how far pushes, ground and ranges have grown; robots stay as they are."""
        if "clock" in state["tensors"]:  # the first versions had nothing that grows
            self.clock.copy_(state["tensors"]["clock"])
        self.starts.load_progress(state["starts"])

    def load_state_dict(self, state: dict) -> None:
        """Restore what ``state_dict`` gave."""
        for name, value in state["tensors"].items():
            getattr(self, name).copy_(value)
        self.senses.load_state_dict(state["senses"])
        for name, value in state["pushes"].items():
            getattr(self.pushes, name).copy_(value)
        self.actuation.load_state_dict(state["actuation"])
        self.orders.given.copy_(state["orders"])
        self.held_command = state["held_command"]
        self.starts.load_state_dict(state["starts"])
        self.generator.set_state(state["rng"])
        self.sim.load_state_dict(state["sim"])


def _columns(ids: np.ndarray, device: torch.device) -> Tensor | slice:
    """Column indices as a slice where they are evenly spaced, since that gives a view, or else as a tensor."""
    step = int(ids[1] - ids[0]) if len(ids) > 1 else 1
    if len(ids) and step > 0 and all(b - a == step for a, b in pairwise(ids)):
        return slice(int(ids[0]), int(ids[-1]) + 1, step)
    return torch.as_tensor(ids, device=device)
