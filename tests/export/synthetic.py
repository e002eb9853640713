"""A two-joint floating robot, a random policy and a recording of it, made without the code under test.

The recording loop here is the oracle: its own numpy network, its own observation, plain MuJoCo kinematics.
"""

import hashlib
from dataclasses import dataclass
from itertools import pairwise

import mujoco
import numpy as np
from robopolicy_runtime.contract import (
    Action,
    Command,
    Contract,
    Hashes,
    Imu,
    Observation,
    Physics,
    Score,
    Trained,
)

# The IMU is turned and displaced, so that a wrong frame shows.
MJCF = """
<mujoco model="toy">
  <compiler angle="radian"/>
  <option timestep="0.005"/>
  <worldbody>
    <geom name="floor" type="plane" size="0 0 .05"/>
    <body name="base" pos="0 0 .25">
      <freejoint/>
      <site name="imu" pos=".01 -.02 .03" quat=".9238795325112867 0 .3826834323650898 0"/>
      <geom type="box" size=".15 .12 .04" mass="2"/>
      <body name="left" pos="0 .1 -.03">
        <joint name="left_hip" axis="0 1 0" range="-.9 .8" armature=".01"/>
        <geom type="capsule" fromto="0 0 0 0 .02 -.18" size=".02" mass=".3"/>
      </body>
      <body name="right" pos="0 -.1 -.03">
        <joint name="right_hip" axis="0 1 0" range="-.7 .6" armature=".01"/>
        <geom type="capsule" fromto="0 0 0 0 -.02 -.18" size=".02" mass=".3"/>
      </body>
    </body>
  </worldbody>
  <actuator>
    <position name="left_hip" joint="left_hip" kp="20" kv=".7" forcerange="-6 6"/>
    <position name="right_hip" joint="right_hip" kp="25" kv=".8" forcerange="-7 7"/>
  </actuator>
</mujoco>
"""
JOINTS = ("left_hip", "right_hip")
DEFAULT = np.array([0.1, -0.123456789012345678])
SCALE = np.array([0.25, 0.3])
LOWER, UPPER = np.array([-0.9, -0.7]), np.array([0.8, 0.6])
CLIP, NORMALISER_CLIP = 1.5, 10.0
PERIOD, SUBSTEPS = 0.02, 4
GAIT_PERIOD, STANDING = 0.7, 0.1
OBS_SIZE = 3 + 2 * 3 + 3 + 2 + 3 * 2 + 2 + 2


def observations() -> tuple[Observation, ...]:
    """Every term once, two of them with history."""
    gait = {"period_s": GAIT_PERIOD, "standing_speed": STANDING}
    return (
        Observation("gyro", "angular_velocity", 3, 0.25, 1, {}),
        Observation("gravity", "projected_gravity", 3, 1.0, 2, {}),
        Observation("command", "command", 3, 2.0, 1, {}),
        Observation("joint_position", "joint_position", 2, 1.0, 1, {}),
        Observation("joint_velocity", "joint_velocity", 2, 0.05, 3, {}),
        Observation("last_action", "last_action", 2, 1.0, 1, {}),
        Observation("gait", "gait_phase", 2, 1.0, 1, gait),
    )


def contract(mjcf: str = MJCF) -> Contract:
    """The contract of the toy robot."""
    half = float(np.sqrt(0.5 + np.sqrt(0.125)))
    return Contract(
        schema=2,
        task="toy_walk",
        robot="toy",
        joint_names=JOINTS,
        default_pose=tuple(DEFAULT.tolist()),
        action=Action(tuple(SCALE.tolist()), CLIP),
        position_lower=tuple(LOWER.tolist()),
        position_upper=tuple(UPPER.tolist()),
        kp=(20.0, 25.0),
        kd=(0.7, 0.8),
        torque_limit=(6.0, 7.0),
        velocity_limit=(10.0, None),
        control_period_s=PERIOD,
        physics=Physics(PERIOD / SUBSTEPS, SUBSTEPS),
        delays={"action_delay_s": (0.0, 0.01)},
        imu=Imu("imu", (half, 0.0, float(np.sqrt(1 - half**2)), 0.0), (0.01, -0.02, 0.03)),
        observations=observations(),
        command=Command(
            ("vx", "vy", "yaw_rate"), (-0.5, -0.2, -1.0), (0.8, 0.2, 1.0), ("m/s", "m/s", "rad/s"), (0.0, 0.0, 0.0)
        ),
        score=Score("velocity", 0.1, 1.0),
        hashes=Hashes("0" * 64, {"walk": "1" * 64}, hashlib.sha256(mjcf.encode()).hexdigest(), "0.1.0"),
        versions={"mujoco": mujoco.__version__},
        trained=Trained(3, 100_000, 12.5),
    )


@dataclass
class Weights:
    """A random network."""

    mean: np.ndarray
    std: np.ndarray
    layers: list[tuple[np.ndarray, np.ndarray]]

    def forward(self, obs: np.ndarray) -> np.ndarray:
        """Normalise, linear, ELU, linear, ELU, linear."""
        x = np.clip((obs - self.mean) / self.std, -NORMALISER_CLIP, NORMALISER_CLIP)
        for i, (weight, bias) in enumerate(self.layers):
            x = x @ weight.T + bias
            if i < len(self.layers) - 1:
                x = np.where(x > 0, x, np.expm1(np.minimum(x, 0)))
        return x.astype(np.float32)


def weights(seed: int = 0, size: int = OBS_SIZE) -> Weights:
    """Weights such that actions sometimes exceed the clip and targets the joint range."""
    rng = np.random.default_rng(seed)
    sizes = (size, 16, 8, 2)
    layers = [
        (rng.normal(0, 1.2 / np.sqrt(a), (b, a)).astype(np.float32), rng.normal(0, 0.3, b).astype(np.float32))
        for a, b in pairwise(sizes)
    ]
    return Weights(rng.normal(0, 0.2, size).astype(np.float32), rng.uniform(0.3, 2, size).astype(np.float32), layers)


class Recorder:
    """The stand-in for the training environment; frames and velocities are MuJoCo's own."""

    def __init__(self, policy: Weights):
        self.policy = policy
        self.model = mujoco.MjModel.from_xml_string(MJCF)
        self.data = mujoco.MjData(self.model)
        self.scratch = mujoco.MjData(self.model)

    def start(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """A start near the default pose."""
        qpos = np.concatenate(([0, 0, 0.25], [1, 0, 0, 0], DEFAULT + rng.normal(0, 0.05, 2)))
        qpos[3:7] += rng.normal(0, 0.03, 4)
        qpos[3:7] /= np.linalg.norm(qpos[3:7])
        return qpos, rng.normal(0, 0.1, 8)

    def run(self, qpos: np.ndarray, qvel: np.ndarray, command: np.ndarray, steps: int) -> dict[str, np.ndarray]:
        """One episode with one command. Arrays of length ``steps``; ``score`` and ``upright`` per step."""
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[:], self.data.qvel[:] = qpos, qvel
        action = (qpos[7:] - DEFAULT) / SCALE
        past: dict[str, list[np.ndarray]] = {"gravity": [], "velocity": []}
        out: dict[str, list] = {"obs": [], "action": [], "qpos": [], "score": [], "upright": []}
        for step in range(steps):
            gyro, gravity = self.imu()
            past["gravity"].append(gravity)
            past["velocity"].append(self.data.qvel[6:] * 0.05)
            if step == 0:
                past = {name: values * 3 for name, values in past.items()}
            moving = np.linalg.norm(command) > STANDING
            phase = 2 * np.pi * ((step * PERIOD / GAIT_PERIOD) % 1)
            obs = np.concatenate(
                (
                    gyro * 0.25,
                    *past["gravity"][-2:],
                    command * 2,
                    self.data.qpos[7:] - DEFAULT,
                    *past["velocity"][-3:],
                    np.clip(action, -CLIP, CLIP),
                    [np.sin(phase) * moving, np.cos(phase) * moving],
                )
            ).astype(np.float32)
            action = self.policy.forward(obs)
            target = np.float32(DEFAULT) + np.float32(SCALE) * np.clip(action, -CLIP, CLIP)
            self.data.ctrl[:] = np.clip(target, LOWER, UPPER)
            for _ in range(SUBSTEPS):
                mujoco.mj_step(self.model, self.data)
            out["obs"].append(obs)
            out["action"].append(action)
            out["qpos"].append(self.data.qpos.copy())
            score, upright = self.grade(command)
            out["score"].append(score)
            out["upright"].append(upright)
        return {name: np.array(values) for name, values in out.items()}

    def imu(self) -> tuple[np.ndarray, np.ndarray]:
        """Gyro and gravity from MuJoCo's own site frame and object velocity."""
        self.kinematics()
        velocity = np.zeros(6)
        mujoco.mj_objectVelocity(self.model, self.scratch, mujoco.mjtObj.mjOBJ_SITE, 0, velocity, 1)
        return velocity[:3], self.scratch.site_xmat[0].reshape(3, 3).T @ [0, 0, -1]

    def kinematics(self) -> None:
        """Current frames, computed aside so that the stepping data keeps its warm start."""
        self.scratch.qpos[:], self.scratch.qvel[:] = self.data.qpos, self.data.qvel
        mujoco.mj_fwdPosition(self.model, self.scratch)
        mujoco.mj_fwdVelocity(self.model, self.scratch)

    def grade(self, command: np.ndarray) -> tuple[float, bool]:
        """Score and whether the robot stands, from world-frame body velocity."""
        self.kinematics()
        forward = self.scratch.xmat[1].reshape(3, 3)[:, 0] * [1, 1, 0]
        forward /= np.linalg.norm(forward)
        left = np.cross([0, 0, 1], forward)
        velocity = np.zeros(6)
        mujoco.mj_objectVelocity(self.model, self.scratch, mujoco.mjtObj.mjOBJ_XBODY, 1, velocity, 0)
        planar = np.array([velocity[3:] @ forward, velocity[3:] @ left])
        score = np.exp(-4 * np.sum((planar - command[:2]) ** 2)) + 0.5 * np.exp(-4 * (velocity[2] - command[2]) ** 2)
        tilt = np.arccos(np.clip(self.scratch.xmat[1].reshape(3, 3)[2, 2], -1, 1))
        return float(score), bool(self.data.qpos[2] >= 0.1 and tilt <= 1.0)


def reference(policy: Weights, episodes: int = 3, steps: int = 40, evaluations: int = 16, seconds: float = 1.0) -> dict:
    """What the training environment would have recorded."""
    rng = np.random.default_rng(7)
    recorder = Recorder(policy)
    lower, upper = np.array([-0.5, -0.2, -1.0]), np.array([0.8, 0.2, 1.0])
    commands = [np.zeros(3), *rng.uniform(lower, upper, (episodes - 1, 3))]
    starts = [recorder.start(rng) for _ in range(episodes)]
    runs = [recorder.run(*start, c, steps) for start, c in zip(starts, commands, strict=True)]
    out = {
        "qpos0": np.array([s[0] for s in starts]),
        "qvel0": np.array([s[1] for s in starts]),
        "command": np.repeat(np.array(commands)[:, None], steps, axis=1),
        **{name: np.array([run[name] for run in runs]) for name in ("obs", "action", "qpos")},
    }
    commands = rng.uniform(lower, upper, (evaluations, 3))
    starts = [recorder.start(rng) for _ in range(evaluations)]
    runs = [recorder.run(*start, c, round(seconds / PERIOD)) for start, c in zip(starts, commands, strict=True)]
    alive = np.array([np.cumprod(run["upright"]) for run in runs])
    return out | {
        "eval_qpos0": np.array([s[0] for s in starts]),
        "eval_qvel0": np.array([s[1] for s in starts]),
        "eval_command": commands,
        "eval_seconds": np.array(seconds),
        "reward_return": np.mean([run["score"] for run in runs] * alive, axis=1),
        "eval_survived": alive[:, -1].astype(bool),
    }
