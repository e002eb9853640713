"""What the page shows: a performer that can be looked into, pushed and changed, as far as it allows."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from robopolicy.env.terrain import Terrain
from robopolicy.view.performers import ClipPerformer, Performer


@dataclass(frozen=True)
class Plant:
    """What a person changes about a robot and the ground.

    Attributes:
        friction: Of the floor, times this.
        mass: Added to the base [kg]; its inertia grows in proportion.
        latency: More time that an action takes to reach the servos [s].
    """

    friction: float = 1.0
    mass: float = 0.0
    latency: float = 0.0


@dataclass(frozen=True)
class Look:
    """What is known about the chosen robot now, besides its motion; None or empty where it is not.

    Attributes:
        torque: Of every joint [N m]. Shape (J,).
        target: Angle that every servo goes for [rad]. Shape (J,).
        contact: Which feet touch the ground. Shape (F,) bool.
        rewards: Of every term, times its weight, per second.
        style: Reward of the discriminator, from 0 to 1, for how the robot moves.
        notes: What else a person should know, such as which checkpoint this is.
    """

    torque: np.ndarray | None = None
    target: np.ndarray | None = None
    contact: np.ndarray | None = None
    rewards: dict[str, float] = field(default_factory=dict)
    style: float | None = None
    notes: tuple[str, ...] = ()


class Subject(Performer, Protocol):
    """A performer for the page.

    Attributes:
        count: How many robots there are.
        chosen: Which of them ``start`` and ``step`` tell of, and everything else here is about.
        feet: Names of the feet.
        clips: Patterns of the clips that it learned from, by style; empty if nobody knows.
        can_change: Whether ``push`` and ``change`` do anything.
        max_latency: Most that ``change`` can add [s].
        step_latency: It is a multiple of this [s].
        base_mass: Of the base, unchanged [kg].
        terrain: What the robots stand on, if it is no plane.
    """

    count: int
    chosen: int
    feet: tuple[str, ...]
    clips: dict[str, tuple[str, ...]]
    can_change: bool
    max_latency: float
    step_latency: float
    base_mass: float
    terrain: Terrain | None

    def everyone(self) -> np.ndarray:
        """States of all robots. Shape (count, nq)."""
        ...

    def look(self) -> Look:
        """What is known now."""
        ...

    def push(self, velocity: np.ndarray) -> None:
        """Change the base's velocity at once by (vx, vy), world frame [m/s]."""
        ...

    def change(self, plant: Plant) -> None:
        """Change all robots, and keep them so when they begin anew."""
        ...

    def perform(self, clip: str, once: bool) -> None:
        """Play one of the robot's own clips, on and on or once; after that comes what was played at first."""
        ...


class RecordedSubject:
    """A clip or a log: it moves as it was recorded."""

    count, chosen, feet = 1, 0, ()
    can_change = False
    terrain: Terrain | None = None
    max_latency = step_latency = base_mass = 0.0

    def __init__(self, performer: Performer):
        self._first = self._performer = performer
        self.title, self.dt, self.seconds = performer.title, performer.dt, performer.seconds
        self.channels, self.joints, self.standing = performer.channels, performer.joints, performer.standing
        self.robot, self.spec, self.model = performer.robot, performer.spec, performer.model
        self.clips: dict[str, tuple[str, ...]] = {}

    def start(self) -> tuple[np.ndarray, np.ndarray]:
        self._performer, self._steps, self._until = self._first, 0, self.seconds
        return self._keep(*self._performer.start())

    def step(self, command: np.ndarray) -> tuple[np.ndarray, np.ndarray, bool]:
        self._steps += 1
        if self._steps * self.dt >= self._until:
            return *self.start(), True
        qpos, qvel, fell = self._performer.step(command)
        return *self._keep(qpos, qvel), fell

    def _keep(self, qpos: np.ndarray, qvel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self._qpos = qpos
        return qpos, qvel

    def everyone(self) -> np.ndarray:
        return self._qpos[None]

    def look(self) -> Look:
        return Look(notes=() if self._performer is self._first else (self._performer.title,))

    def push(self, velocity: np.ndarray) -> None:
        raise NotImplementedError("what was recorded cannot be pushed")

    def change(self, plant: Plant) -> None:
        raise NotImplementedError("what was recorded cannot be changed")

    def perform(self, clip: str, once: bool) -> None:
        performer = ClipPerformer(Path(clip), self.robot)
        performer.start()
        self._performer, self._steps = performer, 0
        self._until = performer.length if once else performer.seconds
