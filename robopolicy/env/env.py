"""The environment: N robots doing a task, in tensors of fixed shape."""

from dataclasses import dataclass

import torch
from torch import Tensor

from robopolicy.env.state import State
from robopolicy.motion.reference import Reference
from robopolicy.robot import RobotModel, load_robot
from robopolicy.sim.cpu import CpuSimulation
from robopolicy.sim.simulation import Simulation
from robopolicy.task import Observation, Task
from robopolicy.terms.randomizers import Draft


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
        log: Averages over the robots, 0-dimensional.
    """

    obs: dict[str, Tensor]
    reward: Tensor
    terminated: Tensor
    truncated: Tensor
    final_obs: dict[str, Tensor]
    motion: Tensor | None
    motion_valid: Tensor | None
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
        simulation: The physics; by default the CPU's.

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
        simulation: Simulation | None = None,
    ):
        task.validate()
        self.task = task
        self.nominal = nominal
        self.randomizers = {} if nominal else task.randomizers
        late = [r.params["steps"][1] for r in self.randomizers.values() if "actuator_delay" in r.function.fields]
        self.robot: RobotModel = load_robot(task.robot).compile(task.timestep, visual=False, max_delay=max(late, default=0))
        self.num_envs = num_envs or task.num_envs
        self.sim = simulation or CpuSimulation(self.robot.mj, self.num_envs, threads)
        self.device = self.sim.device
        self.reference = reference.to(self.device) if reference else None
        self.generator = torch.Generator(self.device).manual_seed(seed)
        self.control_dt = task.control_dt
        self.substeps = round(task.control_dt / task.timestep)
        self.max_episode_steps = round(task.episode_s / task.control_dt)
        self.num_actions = len(self.robot.joint_names)
        self.action_clip = task.action_clip
        self.held_command = False
        self._bind()
        self._allocate()
        self.state = first = self.snapshot()
        self.actor_dim = sum(self._size(o, first) for o in task.observations.values())
        self.critic_dim = self.actor_dim + sum(self._size(o, first) for o in task.privileged.values())

    # The step

    def reset(self, stagger: bool = True) -> dict[str, Tensor]:
        """Begin an episode for every robot.

        Args:
            stagger: Begin at random ages, so that the episodes do not all end at once.
        """
        everyone = torch.ones(self.num_envs, dtype=torch.bool, device=self.device)
        self._begin_episodes(everyone)
        if stagger:
            ages = torch.randint(self.max_episode_steps, (self.num_envs,), generator=self.generator, device=self.device)
            self.age.copy_(ages)
        self.state = self.snapshot()
        self._forget(everyone, self.state)
        return self._observe(self.state, everyone)

    def step(self, action: Tensor) -> Step:
        """Advance every robot by one control period.

        Args:
            action: Joint targets around the default pose, in units of the action scale. Shape (N, J).
        """
        self._push()
        self._act(action)
        self.age += 1
        self.phase.copy_(torch.remainder(self.phase + self.control_dt / self.task.gait.period_s, 1.0))
        nobody = torch.zeros_like(self.moving)

        self.state = state = self.snapshot()
        diverged = self.sim.diverged().to(self.device)
        terminated = self._terminated(state) | diverged
        truncated = (self.age >= self.max_episode_steps) & ~terminated
        reward, log = self._reward(state)
        log["falls"] = terminated.float().mean()
        log["diverged"] = diverged.float().mean()
        motion, valid = self._motion(state, diverged)
        final_obs = self._observe(state, nobody)

        done = terminated | truncated
        self._resample_commands()
        self._begin_episodes(done)
        begun = self.snapshot()
        self._forget(done, begun)
        obs = self._observe(begun, done, again=True)
        return Step(obs, reward, terminated, truncated, final_obs, motion, valid, log)

    def hold_command(self, command: Tensor) -> dict[str, Tensor]:
        """Give every robot a command (N, C) that stays; returns what they observe then."""
        self.held_command = True
        self.command.copy_(command)
        self._update_moving()
        return self._observe(self.snapshot(), torch.zeros_like(self.moving), again=True)

    # Parts of the step

    def _act(self, action: Tensor) -> None:
        """Clip the action, turn it into joint targets, and run the physics under them."""
        self.previous_action.copy_(self.action)
        self.action.copy_(action.clamp(-self.action_clip, self.action_clip))
        self.target.copy_(torch.clamp(self.default_pose + self.action_scale * self.action, self.lower, self.upper))
        self.ctrl.copy_(self.target - self.encoder_offset)  # the servo regulates what its encoder reads
        self.sim.step(self.substeps)

    def _push(self) -> None:
        push = self.task.push
        if self.nominal or (push.velocity == 0 and push.yaw_rate == 0):
            return
        self.push_timer -= self.control_dt
        due = self.push_timer <= 0
        strength = torch.tensor([push.velocity, push.velocity, 0, 0, 0, push.yaw_rate], device=self.device)
        change = strength * self._uniform(-1, 1, 6)
        base = self.qvel[:, :6]
        base.copy_(torch.where(due.unsqueeze(-1), base + change, base))
        self.push_timer.copy_(torch.where(due, self._uniform(*push.interval_s), self.push_timer))

    def snapshot(self) -> State:
        gain, bias, limit = self._gains
        return State(
            robot=self.robot,
            control_dt=self.control_dt,
            qpos=self.qpos.float(),
            qvel=self.qvel.float(),
            foot_pos_w=self._site_xpos[:, self._feet].float(),
            foot_clearance=self._sensordata[:, self._clearance].float(),
            body_velocity=self._cvel[:, self._foot_bodies].float(),
            tree_com_w=self._subtree_com[:, self.robot.base_body].float(),
            action=self.action,
            previous_action=self.previous_action,
            target=self.target,
            command=self.command,
            phase=self.phase,
            moving=self.moving,
            age=self.age,
            kp=gain[..., 0].float(),
            kd=-bias[..., 2].float(),
            torque_limit=limit[..., 1].float(),
            encoder_offset=self.encoder_offset,
            imu_rotation=self.imu_rotation,
            default_pose=self.default_pose,
            lower=self.lower,
            upper=self.upper,
        )

    def _terminated(self, state: State) -> Tensor:
        failed = torch.zeros(self.num_envs, dtype=torch.bool, device=self.device)
        for ending in self.task.terminations.values():
            failed = failed | ending.function(state, **ending.params)
        return failed

    def _reward(self, state: State) -> tuple[Tensor, dict[str, Tensor]]:
        total = torch.zeros(self.num_envs, device=self.device)
        log = {}
        for name, reward in self.task.rewards.items():
            value = reward.weight * reward.function(state, **reward.params)
            total = total + value
            log[f"reward/{name}"] = value.mean()
        if self.task.command.is_velocity:
            log["velocity_error"] = (state.base_lin_vel_h[:, :2] - state.command[:, :2]).norm(dim=-1).mean()
            log["yaw_error"] = (state.yaw_rate - state.command[:, 2]).abs().mean()
        return total * self.control_dt, log

    def _motion(self, state: State, diverged: Tensor) -> tuple[Tensor | None, Tensor | None]:
        if self.reference is None:
            return None, None
        self.window.copy_(torch.cat((self.window[:, 1:], state.motion.unsqueeze(1)), dim=1))
        valid = (self.window_age + 2 >= self.window.shape[1]) & ~diverged
        self.window_age += 1
        return self.style_input(self.window, self.command), valid

    def style_input(self, window: Tensor, command: Tensor) -> Tensor:
        """What the discriminator reads: a window of features (n, W, D), then the command if it may see that."""
        flat = window.flatten(1)
        return torch.cat((flat, command), dim=-1) if self.task.prior.see_command else flat

    def _observe(self, state: State, fresh: Tensor, again: bool = False) -> dict[str, Tensor]:
        """Both observations.

        Args:
            state: The robots.
            fresh: Whose episode has just begun: their histories are filled with this value.
            again: The same instant as the last call, so that its latest entries are replaced and its noise stays.
        """
        clean = [self._term(name, o, state, fresh, again) for name, o in self.task.observations.items()]
        actor = torch.cat(clean, dim=-1)
        privileged = [o.scale * o.function(state, **o.params) for o in self.task.privileged.values()]
        critic = torch.cat((actor, *privileged), dim=-1)
        if not self.nominal:
            if not again:
                self._noise = self._uniform(-1, 1, actor.shape[1]) * self._noise_width
            actor = actor + self._noise
        return {"actor": actor, "critic": critic}

    def _term(self, name: str, term: Observation, state: State, fresh: Tensor, again: bool) -> Tensor:
        value = term.scale * term.function(state, **term.params)
        if term.history == 1:
            return value
        past = self._history.get(name)
        if past is None:
            past = value.unsqueeze(1).repeat(1, term.history, 1)
        kept = past[:, :-1] if again else past[:, 1:]
        moved = torch.cat((kept, value.unsqueeze(1)), dim=1)
        self._history[name] = torch.where(fresh[:, None, None], value.unsqueeze(1), moved)
        return self._history[name].flatten(1)

    def _resample_commands(self) -> None:
        if self.held_command:
            return
        self.command_timer -= self.control_dt
        due = self.command_timer <= 0
        self._command(due, self._draw_commands())
        self.command_timer.copy_(torch.where(due, self._uniform(*self.task.command.resample_s), self.command_timer))

    def _draw_commands(self) -> Tensor:
        from_clips = self.reference is not None and self.task.command.is_velocity
        clip_commands = self.reference.command if from_clips else None
        return self.task.command.draw(self.num_envs, self.generator, clip_commands)

    def _command(self, mask: Tensor, command: Tensor) -> None:
        self.command.copy_(torch.where(mask.unsqueeze(-1), command, self.command))
        self._update_moving()

    def _update_moving(self) -> None:
        self.moving.copy_(self.command[:, :3].norm(dim=-1) > self.task.gait.standing_speed)

    def _begin_episodes(self, mask: Tensor) -> None:
        """Draw a new robot, a new start and a new command where ``mask`` (N,) is true."""
        self.sim.reset(mask)
        self.sim.assign(mask, self._targets, self._draw_parameters)
        qpos, qvel, phase, command = self._starts()
        rows = mask.unsqueeze(-1)
        self.qpos.copy_(torch.where(rows, qpos.to(self.qpos.dtype), self.qpos))
        self.qvel.copy_(torch.where(rows, qvel.to(self.qvel.dtype), self.qvel))
        self.phase.copy_(torch.where(mask, phase, self.phase))
        pose = torch.clamp((qpos[:, 7:] - self.default_pose) / self.action_scale, -self.action_clip, self.action_clip)
        self.action.copy_(torch.where(rows, pose, self.action))
        self.previous_action.copy_(torch.where(rows, pose, self.previous_action))
        self.target.copy_(torch.where(rows, qpos[:, 7:], self.target))
        self.age.copy_(torch.where(mask, 0, self.age))
        if not self.held_command:
            self._command(mask, command)
            fresh = self._uniform(*self.task.command.resample_s)
            self.command_timer.copy_(torch.where(mask, fresh, self.command_timer))
        if not self.nominal:
            self.push_timer.copy_(torch.where(mask, self._uniform(*self.task.push.interval_s), self.push_timer))
        self.sim.hold(mask, self.target - self.encoder_offset)
        self.sim.forward(mask)

    def _forget(self, mask: Tensor, state: State) -> None:
        """Fill the style window with the present where ``mask`` (N,) is true."""
        if self.reference is None:
            return
        now = state.motion.unsqueeze(1)
        self.window.copy_(torch.where(mask[:, None, None], now, self.window))
        self.window_age.copy_(torch.where(mask, 0, self.window_age))

    def _starts(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """First states of episodes: (N, nq), (N, nv), phases (N,) and commands (N, C)."""
        n = self.num_envs
        qpos = self._home.repeat(n, 1)
        qvel = torch.zeros(n, self.robot.mj.nv, device=self.device)
        phase = torch.zeros(n, device=self.device)
        command = self._draw_commands()
        if self.nominal:
            return qpos, qvel, phase, command
        noise = self.task.joint_noise * self._uniform(-1, 1, self.num_actions)
        qpos[:, 7:] = torch.clamp(qpos[:, 7:] + noise, self.lower, self.upper)
        phase = self._uniform(0, 1)
        if self.reference is None:
            return qpos, qvel, phase, command
        reference = self.reference
        frame = reference.draw(n, self.generator)
        chosen = self._uniform(0, 1) < self.task.prior.reference_start
        rows = chosen.unsqueeze(-1)
        clip_qpos = reference.qpos[frame].clone()
        clip_qpos[:, :2] = 0
        clip_phase = reference.phase[frame]
        qpos = torch.where(rows, clip_qpos, qpos)
        qvel = torch.where(rows, reference.qvel[frame], qvel)
        phase = torch.where(chosen & ~clip_phase.isnan(), clip_phase, phase)
        if self.task.command.is_velocity:
            command = torch.where(rows, reference.command[frame].clamp(*self._command_bounds), command)
        return qpos, qvel, phase, command

    def _draw_parameters(self, n: int) -> dict[str, Tensor]:
        """New values of every randomized field for ``n`` robots."""
        fields = {f for r in self.randomizers.values() for f in r.function.fields}
        start = {f: self._defaults[f].expand(n, *self._defaults[f].shape[1:]).clone() for f in sorted(fields)}
        draft = Draft(start, self.robot, self.generator, n)
        for randomizer in self.randomizers.values():
            randomizer.function(draft, **randomizer.params)
        return draft.fields

    # Set-up

    def _bind(self) -> None:
        sim, robot = self.sim, self.robot
        self.qpos, self.qvel, self.ctrl = sim.bind("qpos"), sim.bind("qvel"), sim.bind("ctrl")
        self._site_xpos, self._sensordata = sim.bind("site_xpos"), sim.bind("sensordata")
        self._cvel, self._subtree_com = sim.bind("cvel"), sim.bind("subtree_com")
        self._feet = torch.as_tensor(robot.foot_sites, device=self.device)
        self._foot_bodies = torch.as_tensor(robot.foot_bodies, device=self.device)
        self._clearance = torch.as_tensor(robot.clearance_adr, device=self.device)
        fields = {f for r in self.randomizers.values() for f in r.function.fields}
        model_fields = fields - {"encoder_offset", "imu_rotation"}
        self._targets = {f: sim.expand(f) for f in sorted(model_fields)}
        self._gains = [
            self._targets.get(f, torch.as_tensor(getattr(robot.mj, f), device=self.device).unsqueeze(0))
            for f in ("actuator_gainprm", "actuator_biasprm", "actuator_forcerange")
        ]

    def _allocate(self) -> None:
        n, j, device = self.num_envs, self.num_actions, self.device
        constant = lambda x: torch.as_tensor(x, dtype=torch.float32, device=device)  # noqa: E731
        self._home = constant(self.robot.home_qpos)
        self.default_pose, self.action_scale = constant(self.robot.default_pose), constant(self.robot.action_scale)
        self.lower, self.upper = constant(self.robot.lower), constant(self.robot.upper)
        self._command_bounds = self.task.command.bounds(device)
        self.action, self.previous_action, self.target = (torch.zeros(n, j, device=device) for _ in range(3))
        self.command = torch.zeros(n, len(self.task.command.names), device=device)
        self.moving = torch.zeros(n, dtype=torch.bool, device=device)
        self.phase, self.command_timer, self.push_timer = (torch.zeros(n, device=device) for _ in range(3))
        self.age = torch.zeros(n, dtype=torch.long, device=device)
        self.encoder_offset = torch.zeros(n, j, device=device)
        self.imu_rotation = constant(self.robot.mj.site_quat[self.robot.imu_site]).repeat(n, 1)
        own = {"encoder_offset": self.encoder_offset, "imu_rotation": self.imu_rotation}
        self._defaults = {f: torch.as_tensor(getattr(self.robot.mj, f), device=device).unsqueeze(0) for f in self._targets}
        self._defaults |= {f: tensor[:1].clone() for f, tensor in own.items()}
        self._targets |= own
        self._history: dict[str, Tensor] = {}
        if self.reference is not None:
            self.window = self.reference.features[:1].expand(n, self.reference.window, -1).clone()
            self.window_age = torch.zeros(n, dtype=torch.long, device=device)
        self._noise_width = torch.cat(
            [
                torch.full((self._size(o, self.snapshot()),), o.scale * o.noise, device=device)
                for o in self.task.observations.values()
            ]
        )
        self._noise = torch.zeros(n, len(self._noise_width), device=device)

    def _size(self, term: Observation, state: State) -> int:
        return term.function(state, **term.params).shape[1] * term.history

    def _uniform(self, low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(self.num_envs, *shape, generator=self.generator, device=self.device)

    # Continuing

    _SAVED = (
        "action previous_action target command moving phase command_timer push_timer age encoder_offset imu_rotation "
        "_noise window window_age"
    ).split()

    def state_dict(self) -> dict:
        """Everything needed to continue to the same numbers."""
        tensors = {name: getattr(self, name).clone() for name in self._SAVED if hasattr(self, name)}
        history = {name: value.clone() for name, value in self._history.items()}
        return {"sim": self.sim.state_dict(), "tensors": tensors, "history": history, "rng": self.generator.get_state()}

    def load_state_dict(self, state: dict) -> None:
        """Restore what ``state_dict`` gave."""
        for name, value in state["tensors"].items():
            getattr(self, name).copy_(value)
        self._history = {name: value.clone() for name, value in state["history"].items()}
        self.generator.set_state(state["rng"])
        self.sim.load_state_dict(state["sim"])
