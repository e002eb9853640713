"""Every reward, termination and observation against plain MuJoCo and NumPy, robot by robot."""

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from types import ModuleType
from typing import Any

import mujoco
import numpy as np
import pytest
import torch
from small_envs import actions, quiet

from robopolicy.env.env import Env
from robopolicy.env.state import State
from robopolicy.robot import RobotModel, load_robot
from robopolicy.task import Gait, Push, randomize
from robopolicy.terms import observations, randomizers, rewards, terminations

N = 6
TASKS = {"droid": "droid_walk", "go2": "go2_velocity"}
DOWN = np.array([0.0, 0.0, -1.0])


@dataclass
class Truth:
    """One robot as MuJoCo itself knows it, after mj_forward."""

    robot: RobotModel
    model: mujoco.MjModel
    data: mujoco.MjData
    command: np.ndarray
    action: np.ndarray
    previous_action: np.ndarray
    phase: float
    moving: bool
    encoder_offset: np.ndarray
    past: tuple[tuple[np.ndarray, np.ndarray], ...] = ()

    @property
    def mean_velocity(self) -> np.ndarray:
        """Heading velocity and yaw rate, averaged over the past states. Shape (3,)."""
        found = []
        for qpos, qvel in self.past:
            then = replace(self, data=mujoco.MjData(self.model))
            then.data.qpos[:], then.data.qvel[:] = qpos, qvel
            mujoco.mj_forward(then.model, then.data)
            found.append([*then.heading_velocity, then.base()[1][2]])
        return np.mean(found, axis=0)

    def velocity(self, kind: mujoco.mjtObj, index: int, local: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Linear and angular velocity of an object's origin."""
        both = np.zeros(6)
        mujoco.mj_objectVelocity(self.model, self.data, kind.value, index, both, int(local))
        return both[3:], both[:3]

    def base(self, local: bool = False) -> tuple[np.ndarray, np.ndarray]:
        return self.velocity(mujoco.mjtObj.mjOBJ_XBODY, self.robot.base_body, local)

    @property
    def rotation(self) -> np.ndarray:
        """From the base's frame to the world's. Shape (3, 3)."""
        return self.data.xmat[self.robot.base_body].reshape(3, 3)

    @property
    def heading_velocity(self) -> np.ndarray:
        """Base velocity along where it faces, and to the left of that. Shape (2,)."""
        forward = self.rotation[:2, 0] / np.linalg.norm(self.rotation[:2, 0])
        left = np.array([-forward[1], forward[0]])
        velocity = self.base()[0][:2]
        return np.array([velocity @ forward, velocity @ left])

    @property
    def height(self) -> float:
        return float(self.data.xpos[self.robot.base_body, 2])

    def joints(self, field: str) -> np.ndarray:
        """qpos or qvel of the actuated joints, looked up by name."""
        return np.array([getattr(self.data.joint(name), field)[0] for name in self.robot.joint_names])

    @property
    def ranges(self) -> np.ndarray:
        return np.array([self.model.joint(name).range for name in self.robot.joint_names])

    @property
    def clearance(self) -> np.ndarray:
        """Distance of each foot's nearest geom to the floor, at most 0.1. Shape (F,)."""
        floor, places = self.model.geom("floor").id, np.zeros(6)
        found = []
        for site in self.robot.foot_sites:
            geoms = np.flatnonzero(self.model.geom_bodyid == self.model.site_bodyid[site])
            distance = [mujoco.mj_geomDistance(self.model, self.data, g, floor, 0.1, places) for g in geoms]
            found.append(min(distance))
        return np.array(found)

    @property
    def foot_speed(self) -> np.ndarray:
        """Horizontal speed of each foot's site. Shape (F,)."""
        sites = [self.velocity(mujoco.mjtObj.mjOBJ_SITE, site)[0] for site in self.robot.foot_sites]
        return np.linalg.norm(np.array(sites)[:, :2], axis=1)

    @property
    def limits(self) -> np.ndarray:
        return self.model.actuator_forcerange[:, 1]


def clock_oracle(t: Truth, offsets: tuple, duty: float, height: float, std: float) -> float:
    error = 0.0
    for k, offset in enumerate(offsets):
        p = math.fmod(t.phase + offset, 1.0)
        lift = height * math.sin(math.pi * (p - duty) / (1 - duty)) ** 2 if p > duty and t.moving else 0.0
        error += (max(t.clearance[k], 0.0) - lift) ** 2
    return math.exp(-error / std**2)


def contact_clock_oracle(t: Truth, offsets: tuple, duty: float) -> float:
    right = 0
    for k, offset in enumerate(offsets):
        swings = t.moving and math.fmod(t.phase + offset, 1.0) > duty
        right += (t.clearance[k] < 1e-3) != swings
    return right / len(offsets)


def posture_oracle(t: Truth, std: float) -> float:
    pitch, roll = math.asin(-t.rotation[2, 0]), math.asin(t.rotation[2, 1])
    error = (10 * (t.height - t.robot.home_qpos[2] - t.command[0])) ** 2
    return math.exp(-(error + (pitch - t.command[1]) ** 2 + (roll - t.command[2]) ** 2) / std**2)


def centre_of_mass(t: Truth) -> np.ndarray:
    return t.model.body_mass @ t.data.xipos / t.model.body_mass.sum()


def swing(t: Truth) -> dict[str, Any]:
    offsets = (0.0, 0.5) if len(t.robot.foot_sites) == 2 else (0.0, 0.5, 0.5, 0.0)
    return {"offsets": offsets, "duty": 0.6, "height": 0.05, "std": 0.1}


def when_to_swing(t: Truth) -> dict[str, Any]:
    return {k: v for k, v in swing(t).items() if k in ("offsets", "duty")}


def two_joints(t: Truth) -> dict[str, Any]:
    names = t.robot.joint_names
    return {"joints": f"{names[4]} {names[1]}", "first": 1, "std": 0.5}


def limits_oracle(t: Truth, margin: float) -> float:
    q, low, high = t.joints("qpos"), t.ranges[:, 0], t.ranges[:, 1]
    return np.maximum(low + margin - q, 0).sum() + np.maximum(q - high + margin, 0).sum()


Oracle = tuple[Callable[..., Any], dict[str, Any] | Callable[[Truth], dict[str, Any]]]
REWARDS: dict[str, Oracle] = {
    "track_linear_velocity": (
        lambda t, std: np.exp(-np.sum((t.heading_velocity - t.command[:2]) ** 2) / std**2),
        {"std": 0.7},
    ),
    "track_yaw_rate": (lambda t, std: np.exp(-((t.base()[1][2] - t.command[2]) ** 2) / std**2), {"std": 0.9}),
    "track_mean_velocity": (
        lambda t, std: np.exp(-np.sum((t.mean_velocity[:2] - t.command[:2]) ** 2) / std**2),
        {"std": 0.7},
    ),
    "track_mean_yaw_rate": (lambda t, std: np.exp(-((t.mean_velocity[2] - t.command[2]) ** 2) / std**2), {"std": 0.9}),
    "alive": (lambda t: 1.0, {}),
    "vertical_velocity": (lambda t: t.base()[0][2] ** 2, {}),
    "roll_pitch_rate": (lambda t: np.sum(t.base(local=True)[1][:2] ** 2), {}),
    "tilt": (lambda t: np.sin(np.arccos(t.rotation[2, 2])) ** 2, {}),
    "height_error": (lambda t, share: (t.height - share * t.robot.home_qpos[2]) ** 2, {"share": 0.85}),
    "torque": (lambda t: np.mean((t.data.actuator_force / t.limits) ** 2), {}),
    "power": (lambda t: np.maximum(t.data.actuator_force * t.joints("qvel"), 0).sum(), {}),
    "action_rate": (lambda t: np.mean((t.action - t.previous_action) ** 2), {}),
    "joint_limits": (limits_oracle, {"margin": 0.7}),
    "pose_deviation": (lambda t: np.mean((t.joints("qpos") - t.robot.default_pose) ** 2), {}),
    "foot_slip": (
        lambda t, max_speed: np.sum(np.minimum(t.foot_speed, max_speed) * (t.clearance < 1e-3)),
        {"max_speed": 0.3},
    ),
    "foot_clock": (clock_oracle, swing),
    "contact_clock": (contact_clock_oracle, when_to_swing),
    "track_posture": (posture_oracle, {"std": 0.8}),
    "track_joints": (
        lambda t, joints, first, std: np.exp(
            -sum((t.data.joint(n).qpos[0] - t.command[first + k]) ** 2 for k, n in enumerate(joints.split())) / std**2
        ),
        two_joints,
    ),
    "still_when_told": (
        lambda t: (np.linalg.norm(t.heading_velocity) + abs(t.base()[1][2])) * (not t.moving),
        {},
    ),
    "feet_down": (lambda t: np.mean(t.clearance < 1e-3), {}),
}
TERMINATIONS: dict[str, Oracle] = {
    "tilted": (lambda t, limit: np.arccos(np.clip(t.rotation[2, 2], -1, 1)) > limit, {"limit": 0.58}),
    "too_low": (lambda t, share: t.height < share * t.robot.home_qpos[2], {"share": 0.93}),
}
OBSERVATIONS: dict[str, Oracle] = {
    "angular_velocity": (lambda t: t.data.sensor("gyro").data, {}),
    "projected_gravity": (lambda t: t.data.site_xmat[t.robot.imu_site].reshape(3, 3).T @ DOWN, {}),
    "command": (lambda t: t.command, {}),
    "joint_position": (lambda t: t.joints("qpos") + t.encoder_offset - t.robot.default_pose, {}),
    "joint_velocity": (lambda t: t.joints("qvel"), {}),
    "last_action": (lambda t: t.action, {}),
    "gait_phase": (
        lambda t: np.array([math.sin(2 * math.pi * t.phase), math.cos(2 * math.pi * t.phase)]) * t.moving,
        {},
    ),
    "base_linear_velocity": (lambda t: t.base(local=True)[0], {}),
    "mean_velocity": (lambda t: t.mean_velocity, {}),
    "base_height": (lambda t: [t.height], {}),
    "foot_clearance": (lambda t: t.clearance, {}),
    "foot_contact": (lambda t: t.clearance < 1e-3, {}),
    "gravity": (lambda t: t.rotation.T @ DOWN, {}),
    "centre_of_mass": (lambda t: t.rotation.T @ (centre_of_mass(t) - t.data.xpos[t.robot.base_body]), {}),
    "joint_torque": (lambda t: t.data.actuator_force / t.robot.torque_limit, {}),
    "joint_stiffness": (lambda t: t.model.actuator_gainprm[:, 0] / t.robot.kp - 1, {}),
}
MODULES: dict[ModuleType, dict[str, Oracle]] = {
    rewards: REWARDS,
    terminations: TERMINATIONS,
    observations: OBSERVATIONS,
}
CASES = [(module, name) for module, oracles in MODULES.items() for name in oracles]


@lru_cache
def moving_robots(robot: str) -> tuple[State, list[Truth]]:
    """Robots in the middle of something: pushed, leaning, some airborne, with their own gains, encoders and IMUs."""
    drawn = {
        "offset": randomize(randomizers.encoder_offset, limit=0.1),
        "imu": randomize(randomizers.imu_orientation, limit=0.4),
        "strength": randomize(randomizers.motor_strength, scale=(0.4, 1.6)),
        "gains": randomize(randomizers.pd_gains, kp=(0.5, 1.5), kd=(0.5, 1.5)),
    }
    push = Push(velocity=0.4, yaw_rate=2.0, interval_s=(0.02, 0.1))
    task = quiet(
        TASKS[robot], randomizers=drawn, push=push, terminations={}, gait=Gait(period_s=0.16, standing_speed=0.4)
    )
    env = Env(task, N, seed=6)
    env.reset()
    env.qvel[:, 3:6] += torch.linspace(-3, 3, 3).outer(torch.linspace(0, 1, N)).T
    env.qvel[-2:, 2] += 2.5  # two jump
    past = []
    for action in actions(env, 12, size=2.0):
        env.step(action)
        past.append((env.qpos.numpy().copy(), env.qvel.numpy().copy()))
    past = past[-8:]  # a cycle of 0.16 s
    state = env.snapshot()
    compiled = load_robot(robot).compile(visual=False)
    gyro = {"type": mujoco.mjtSensor.mjSENS_GYRO, "objtype": mujoco.mjtObj.mjOBJ_SITE, "objname": "imu"}
    compiled.spec.add_sensor(name="gyro", **gyro)
    truths = []
    for i in range(N):
        model = compiled.spec.compile()
        model.site_quat[compiled.imu_site] = env.imu_rotation[i].double().numpy()
        model.site_sameframe[compiled.imu_site] = 0  # the compiler saw an IMU that is straight
        for field in ("actuator_gainprm", "actuator_biasprm", "actuator_forcerange"):
            getattr(model, field)[:] = env.sim.expand(field)[i].numpy()
        data = mujoco.MjData(model)
        data.qpos[:], data.qvel[:], data.ctrl[:] = (x[i].numpy() for x in (env.qpos, env.qvel, env.ctrl))
        mujoco.mj_forward(model, data)
        told, now, before, offset = (
            x[i].double().numpy() for x in (env.command, env.action, env.previous_action, env.encoder_offset)
        )
        phase, moving = float(env.phase[i]), bool(env.moving[i])
        history = tuple((qpos[i], qvel[i]) for qpos, qvel in past)
        truths.append(Truth(compiled, model, data, told, now, before, phase, moving, offset, history))
    return state, truths


@pytest.mark.parametrize("robot", ["droid", "go2"])
@pytest.mark.parametrize(("module", "name"), CASES, ids=[name for _, name in CASES])
def test_term_equals_its_oracle(module: ModuleType, name: str, robot: str):
    state, truths = moving_robots(robot)
    oracle, given = MODULES[module][name]
    params = given(truths[0]) if callable(given) else given
    value = getattr(module, name)(state, **params)
    expected = torch.as_tensor(np.array([oracle(t, **params) for t in truths], dtype=float))
    assert value.shape == expected.shape
    assert value.ndim == (2 if module is observations else 1)
    assert len(value) == N
    assert value.dtype == (torch.bool if module is terminations else torch.float32)
    torch.testing.assert_close(value.double(), expected, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("module", MODULES, ids=lambda m: m.__name__.rpartition(".")[2])
def test_every_term_has_an_oracle(module: ModuleType):
    functions = inspect.getmembers(module, inspect.isfunction)
    public = {n for n, f in functions if f.__module__ == module.__name__ and not n.startswith("_")}
    assert public == set(MODULES[module])


@pytest.mark.parametrize("robot", ["droid", "go2"])
def test_the_robots_of_these_tests_show_all_there_is_to_see(robot: str):
    """Some feet are down and some are not, some robots lean, some torques are clamped, some commands ask to stand."""
    state, truths = moving_robots(robot)
    assert 0 < state.foot_contact.float().mean() < 1
    assert 0 < state.moving.float().mean() < 1
    assert 0 < terminations.tilted(state, limit=0.58).float().mean() < 1
    assert 0 < terminations.too_low(state, share=0.93).float().mean() < 1
    clamped = np.array([np.abs(t.data.actuator_force) >= t.limits - 1e-9 for t in truths])
    assert 0 < clamped.mean() < 1
    assert rewards.joint_limits(state, margin=0.7).max() > 0
    assert (rewards.foot_slip(state, max_speed=0.3) > 0).any()


def standing(robot: str, **changes: Any) -> State:
    return replace(moving_robots(robot)[0], **changes)


@pytest.mark.parametrize(
    ("phase", "clearance", "moving", "expected"),
    [
        (0.8, (0.05, 0.0), True, 1.0),  # first foot in the middle of its swing, second in stance
        (0.8, (0.0, 0.0), True, math.exp(-(0.05**2) / 0.03**2)),  # it should be up
        (0.8, (0.05, 0.03), True, math.exp(-1.0)),  # the second should be down
        (0.3, (0.0, 0.05), True, 1.0),  # half a cycle later they change
        (0.7, (0.025, 0.0), True, 1.0),  # a quarter of the swing: sin^2 is one half
        (0.0, (0.0, 0.0), True, math.exp(-((0.05 * math.sin(math.pi * 0) ** 2) ** 2) / 0.03**2)),
        (0.55, (0.0, 0.0), True, 1.0),  # both down
        (0.8, (0.0, 0.0), False, 1.0),  # told to stand: both down whatever the clock says
        (0.8, (0.05, 0.0), False, math.exp(-(0.05**2) / 0.03**2)),
        (0.55, (-0.004, -0.002), True, 1.0),  # in the floor is on the floor
    ],
)
def test_foot_clock_at_known_phases(phase: float, clearance: tuple, moving: bool, expected: float):
    state = standing(
        "droid",
        phase=torch.full((N,), phase),
        foot_clearance=torch.tensor(clearance).expand(N, 2),
        moving=torch.full((N,), moving),
    )
    value = rewards.foot_clock(state, offsets=(0.0, 0.5), duty=0.6, height=0.05, std=0.03)
    torch.testing.assert_close(value, torch.full((N,), expected), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("axis", "channel"), [((0, 1, 0), 1), ((1, 0, 0), 2)])
def test_posture_is_rewarded_in_full_where_it_is_as_told(axis: tuple, channel: int):
    """Pitch leans forward and roll to the right for positive angles, as rotations about y and x do."""
    quat = np.zeros(4)
    mujoco.mju_axisAngle2Quat(quat, np.array(axis, dtype=float), 0.17)
    qpos = torch.zeros(N, 21)
    qpos[:, 3:7] = torch.as_tensor(quat)
    qpos[:, 2] = 0.3285 - 0.02
    command = torch.zeros(N, 6)
    command[:, 0], command[:, channel] = -0.02, 0.17
    told = standing("droid", qpos=qpos, command=command)
    torch.testing.assert_close(rewards.track_posture(told, std=0.1), torch.ones(N))
    for k in range(3):
        wrong = command.clone()
        wrong[:, k] += 0.01 if k == 0 else 0.1
        value = rewards.track_posture(standing("droid", qpos=qpos, command=wrong), std=0.1)
        torch.testing.assert_close(value, torch.full((N,), math.exp(-1.0)), atol=1e-4, rtol=0)
