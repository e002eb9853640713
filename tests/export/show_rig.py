"""A show of two toy policies, on a robot whose joints follow their orders at once."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import synthetic
from robopolicy_runtime.contract import Command, Score
from robopolicy_runtime.driver import Order, Reading
from robopolicy_runtime.machine import Machine, State, Tick, Wish
from robopolicy_runtime.safety import Safety
from robopolicy_runtime.show import Show, ShowFile
from robopolicy_runtime.show.show import Scene
from test_safety import HALF

PERIOD = synthetic.PERIOD
STAND = Command(("height", "left_hip"), (-0.1, -0.5), (0.05, 0.5), ("m", "rad"), (0.0, 0.0))

SHOW = """
background = "breathing"

[policies]
walk = { file = "walk.onnx", joints = "left_.*" }
stand = "stand.onnx"
"emote:hop" = { file = "stand.onnx", seconds = 0.4, then = "stand" }

[enter]
near = 9.0
still = 0.2

[limits]
vx = { range = [-0.5, 0.6], rate = 1.0 }
left_hip = { range = [-0.3, 0.3], rate = 2.0 }

[clips.breathing]
loop = true
duration = 1.0
keys = [{ time = 0.0, left_hip = 0.0 }, { time = 0.5, left_hip = 0.04 }]

[clips.nod]
fade_in = 0.1
fade_out = 0.1
keys = [{ time = 0.0, left_hip = 0.2 }, { time = 0.6, left_hip = 0.2, height = -0.05 }]

[clips.lean]
loop = true
mode = "replace"
fade_in = 0.0
keys = [{ time = 0.0, vx = 0.3, left_hip = -0.1 }, { time = 0.5, vx = 0.3, left_hip = -0.1, ease = "linear" }]

[sticks]
vx = { axis = 1, invert = true }
left_hip = { axis = 2 }

[buttons]
5 = "play nod"

[keys]
n = "play nod"
"""


def stand_contract():
    """The toy's contract for standing: two channels, no gait."""
    c = synthetic.contract()
    kept = [o for o in c.observations if o.term != "gait_phase"]
    seen = tuple(replace(o, size=2) if o.term == "command" else o for o in kept)
    return replace(c, task="toy_stand", command=STAND, observations=seen, score=Score("upright", 0.1, 0.8))


def write_show(folder: Path, write: Callable[..., Path], text: str = SHOW) -> Path:
    """A show file and its policies. Returns its path."""
    write(folder / "walk.onnx")
    contract = stand_contract()
    other = synthetic.weights(1, contract.observation_size)
    write(folder / "stand.onnx", mean=other.mean, std=other.std, layers=other.layers, contract=contract)
    path = folder / "show.toml"
    path.write_text(text)
    return path


def breathing(seconds: float) -> float:
    """The background of the show, by hand: a smooth step up for half a second, and down again; it fades in."""
    t = 2 * (seconds % 1.0)
    t, come = 2 - t if t > 1 else t, min(seconds / 0.2, 1.0)
    return 0.04 * (3 * t**2 - 2 * t**3) * (3 * come**2 - 2 * come**3)


def scene(tick: Tick) -> Scene:
    """What the show did in a control period."""
    assert tick.scene is not None
    return tick.scene


@functools.cache
def _opened(path: Path) -> ShowFile:
    return ShowFile.open(path)


class Follower:
    """A driver whose joints are where they were told to be, and moved there within one control period."""

    def __init__(self) -> None:
        self.now, self.sequence, self.orders = 0.0, 0, []
        self.joint_pos, self.joint_vel = synthetic.DEFAULT.copy(), np.zeros(2)
        self.changes: dict = {}

    def connect(self, joint_names: tuple[str, ...]) -> None:
        assert joint_names == synthetic.JOINTS

    def expect(self, lower: np.ndarray, upper: np.ndarray, period_s: float) -> None:
        pass

    def read(self) -> Reading:
        values = {"gyro": np.zeros(3), "gravity": np.array([HALF, 0.0, -HALF])}
        values |= {"joint_pos": self.joint_pos.copy(), "joint_vel": self.joint_vel.copy()}
        return Reading(self.now, self.sequence, **(values | self.changes))

    def send(self, order: Order) -> None:
        self.orders.append(order)
        if order.kp.any():
            self.joint_vel = (order.target - self.joint_pos) / PERIOD
            self.joint_pos = order.target.copy()

    def close(self) -> None:
        pass


class Rig:
    """A machine that plays a show on a ``Follower``, whose clock is set by hand; its free joints are at ``found``."""

    def __init__(self, path: Path, found: Sequence[float] | np.ndarray = ()) -> None:
        self.robot, self.lines = Follower(), []
        self.robot.joint_pos, self.robot.joint_vel = np.append(synthetic.DEFAULT, found), np.zeros(2 + len(found))
        self.show = Show(_opened(path), self.lines.append)
        # Joints that follow at once are faster and stronger than any; only what the show does shall count.
        rate = np.concatenate((np.full(2, 1e3), self.show.limits.rate[2:]))
        limits = replace(self.show.limits, rate=rate, overdrive=1e3)
        safety = Safety(self.robot, self.show.body, limits, clock=lambda: self.robot.now)
        self.machine = Machine(self.show, safety, 0.1, clock=self.show.clock, report=self.lines.append)

    def tick(self, request: str | None = None, age_s: float = 0.0, **command: float) -> Tick:
        """One control period later."""
        self.robot.now += PERIOD
        self.robot.sequence += 1
        return self.machine.tick(Wish(command, request, age_s))

    def ticks(self, seconds: float, **command: float) -> list[Tick]:
        """For so long."""
        return [self.tick(None, 0.0, **command) for _ in range(round(seconds / PERIOD))]

    def run(self) -> Tick:
        """Into the state in which a policy drives."""
        self.tick("ready")
        self.ticks(0.12)
        tick = self.tick("run")
        assert self.machine.state == State.RUN, self.lines
        return tick
