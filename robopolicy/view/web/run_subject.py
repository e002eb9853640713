"""A run on the page: the newest policy in its training environment, exchanged while the training goes on."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from robopolicy.env.env import Env
from robopolicy.errors import UserError
from robopolicy.mjcf import FLOOR
from robopolicy.motion.reference import load_reference
from robopolicy.robot import load_robot
from robopolicy.task import Push, Task, randomize
from robopolicy.terms.randomizers import Draft, Range, randomizes
from robopolicy.view.performers import RunPerformer
from robopolicy.view.web.newest import Newest
from robopolicy.view.web.style_score import StyleScore
from robopolicy.view.web.subject import Look, Plant

_LATE = 10  # most physics steps of added latency


@randomizes("actuator_delay")
def _room(draft: Draft, steps: Range = (0, _LATE)) -> None:
    """Changes nothing: it makes the environment compile servos that can be so late."""


class RunSubject(RunPerformer):
    """The robots of a run. One is as the model says; of several each has another body, as in training."""

    can_change = True

    def __init__(self, folder: Path, count: int = 1):
        """Read the newest checkpoint.

        Raises:
            UserError: See ``RunPerformer``.
        """
        self.count, self.chosen = count, 0
        self._style: StyleScore | None = None
        self._without_style = ""
        super().__init__(folder)
        env = self._env
        self.feet = env.robot.robot.feet
        self.clips = env.task.prior.groups
        self.step_latency = env.task.timestep
        self.max_latency = _LATE * env.task.timestep
        self.base_mass = float(env.robot.mj.body_mass[env.robot.base_body])
        self.terrain = env.task.terrain if env.task.terrain.active else None
        self._plant, self._everyone = Plant(), torch.ones(count, dtype=torch.bool)
        self._floor = env.robot.mj.geom(FLOOR).id
        fields = ("geom_friction", "body_mass", "body_inertia", "actuator_delay")
        self._fields = {name: env.sim.expand(name) for name in fields}
        self._drawn = {name: values.clone() for name, values in self._fields.items()}
        self._score: float | None = None
        self.newest = Newest(folder)

    def _make_env(self, task: Task) -> Env:
        room = randomize(_room)
        if self.count == 1:
            quiet = {name: replace(term, noise=0.0) for name, term in task.observations.items()}
            task = replace(task, observations=quiet, randomizers={"room": room}, joint_noise=0.0)
        else:
            most = max((r.most_steps("actuator_delay") for r in task.randomizers.values()), default=0)
            room.params["steps"] = (0, most + _LATE)
            task = replace(task, randomizers={"room": room, **task.randomizers})
        task = replace(task.in_full(), push=Push(), prior=replace(task.prior, reference_start=0.0))
        reference = None
        if task.prior.active:
            try:
                robot = load_robot(task.robot).compile(task.timestep, visual=False)
                reference = load_reference(task.prior, robot, task.control_dt)
            except UserError as error:
                self._without_style = f"no style score: {error}"
        env = Env(task, num_envs=self.count, reference=reference, threads=1)
        if reference is not None:
            self._style = StyleScore(task.prior, reference, env)
        return env

    def start(self) -> tuple[np.ndarray, np.ndarray]:
        state = super().start()
        if self.count == 1:
            self._env.phase.zero_()  # as on a robot, where the gait clock begins with the policy
        self._redrawn(self._everyone)
        return state

    def step(self, command: np.ndarray) -> tuple[np.ndarray, np.ndarray, bool]:
        self._exchange()
        told = torch.as_tensor(command, dtype=torch.float32).expand(self.count, -1)
        with torch.inference_mode():
            obs = self._env.hold_command(told)
            step = self._env.step(self._act(obs["actor"]))
            if self._style is not None:
                self._score = self._style.of(step, self.chosen)
        done = step.terminated | step.truncated
        if done.any():
            self._redrawn(done)
        return *self._state(), bool(step.terminated[self.chosen])

    def _state(self) -> tuple[np.ndarray, np.ndarray]:
        return self._env.qpos[self.chosen].numpy().copy(), self._env.qvel[self.chosen].numpy().copy()

    def _exchange(self) -> None:
        """Take up what training has saved since, if it has been read."""
        found = self.newest.take()
        if found is not None:
            self._act = found.act
            if self._style is not None and found.prior is not None:
                self._style.load(found.prior)

    def everyone(self) -> np.ndarray:
        return self._env.qpos.numpy().copy()

    def look(self) -> Look:
        state, i = self._env.state, self.chosen
        terms = self._env.task.rewards.items()
        with torch.inference_mode():
            rewards = {name: r.weight * float(r.function(state, **r.params)[i]) for name, r in terms}
            torque, contact = state.torque[i].numpy(), state.foot_contact[i].numpy()
        notes = tuple(note for note in (self.newest.note, self._without_style) if note)
        return Look(torque, state.target[i].numpy(), contact, rewards, self._score, notes)

    def push(self, velocity: np.ndarray) -> None:
        self._env.qvel[self.chosen, :2] += torch.as_tensor(velocity, dtype=self._env.qvel.dtype)

    def change(self, plant: Plant) -> None:
        self._plant = plant
        self._apply()

    def perform(self, clip: str, once: bool) -> None:
        raise NotImplementedError("a policy plays no clips")

    def _redrawn(self, rows: torch.Tensor) -> None:
        """Some robots have begun anew; if they are others than before, change them again."""
        drawn = [name for name in self._fields if name in self._env.starts.fields]
        for name in drawn:
            self._drawn[name][rows] = self._fields[name][rows]
        if drawn:
            self._apply()

    def _apply(self) -> None:
        plant, drawn, body = self._plant, self._drawn, self._env.robot.base_body
        self._fields["geom_friction"].copy_(drawn["geom_friction"])
        self._fields["geom_friction"][:, self._floor, 0] *= plant.friction
        grown = 1 + plant.mass / drawn["body_mass"][:, body]
        for name in ("body_mass", "body_inertia"):
            self._fields[name].copy_(drawn[name])
        self._fields["body_mass"][:, body] *= grown
        self._fields["body_inertia"][:, body] *= grown.unsqueeze(-1)
        # Half a step less, so that rounding of the time cannot make it one step more; what was drawn has that already.
        late = drawn["actuator_delay"]
        late = torch.where(late > 0, late, -0.5 * self.step_latency) + plant.latency
        self._fields["actuator_delay"].copy_(late.clamp(min=0))
        self._env.sim.update_model(self._everyone)
