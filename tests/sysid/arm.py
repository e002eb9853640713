"""A robot of two arms that is quick to simulate, and logs of it."""

from pathlib import Path

import mujoco
import numpy as np
import plain_robot

from robopolicy.robot import RobotModel, Servo, load_robot
from robopolicy.sysid.joint_log import JointLog

MJCF = """
<mujoco model="arms">
  <compiler angle="radian"/>
  <worldbody>
    <body name="base" pos="0 0 .5">
      <freejoint/>
      <site name="imu" quat=".9238795325112867 0 .3826834323650898 0"/>
      <geom type="box" size=".1 .1 .04" mass="4"/>
      <body name="left" pos="0 .15 0">
        <joint name="left_shoulder" axis="0 1 0" range="-1.5 1.5"/>
        <geom type="capsule" fromto="0 0 0 .05 0 -.2" size=".02" mass=".6"/>
        <body name="left_fore" pos=".05 0 -.2">
          <joint name="left_elbow" axis="0 1 0" range="-1.5 1.5"/>
          <geom type="capsule" fromto="0 0 0 .1 0 -.1" size=".02" mass=".4"/>
          <site name="hand" pos=".1 0 -.1"/>
        </body>
      </body>
      <body name="right" pos="0 -.15 0">
        <joint name="right_shoulder" axis="0 1 0" range="-1.5 1.5"/>
        <geom type="capsule" fromto="0 0 0 .05 0 -.2" size=".02" mass=".6"/>
      </body>
    </body>
  </worldbody>
</mujoco>
"""
JOINTS = ("left_shoulder", "left_elbow", "right_shoulder")
SHOULDER = Servo(".*_shoulder", kp=30, kd=1.0, torque=6, velocity=20, armature=0.01, friction=0.2)
ELBOW = Servo(".*_elbow", kp=12, kd=0.5, torque=3, velocity=20, armature=0.005, friction=0.08)
TRUTH = {
    "kp": np.array([25.0, 15.0, 25.0]),
    "kd": np.array([1.3, 0.4, 1.3]),
    "armature": np.array([0.014, 0.008, 0.014]),
    "friction": np.array([0.3, 0.05, 0.3]),
    "torque": np.array([6.0, 3.0, 6.0]),
    "offset": np.zeros(3),
}
LATENCY = 0.0125
NOISE = (2e-4, 0.02)  # rad, rad/s: of the readings
DOWN = np.array([0.0, 0.0, -1.0])


def write_robot(folder: Path) -> str:
    """A ``robot.py`` of it; returns its path."""
    (folder / "arms.xml").write_text(MJCF)
    (folder / "robot.py").write_text(
        "from robopolicy.robot import Robot, Servo\n\n"
        f"ROBOT = Robot('arms', 'arms.xml', ({SHOULDER!r}, {ELBOW!r}), feet=('hand',), home_height=0.5)\n"
    )
    return str(folder / "robot.py")


def robot(folder: Path) -> RobotModel:
    """The robot, compiled."""
    return load_robot(write_robot(folder)).compile()


def plant(**changes: list[float]) -> dict[str, np.ndarray]:
    """What the robot is in truth, with other numbers in some places."""
    return TRUTH | {name: np.array(values) for name, values in changes.items()}


def record(targets: np.ndarray, truth: dict[str, np.ndarray], period: float = 0.02, seed: int = 0) -> dict:
    """A table as people log it, with noise on the readings."""
    table = plain_robot.run(mujoco.MjModel.from_xml_string(MJCF), JOINTS, targets, truth, period, LATENCY)
    random = np.random.default_rng(seed)
    for name, size in zip(("position", "velocity"), NOISE, strict=True):
        table[name] = table[name] + size * random.standard_normal(table[name].shape)
    return table | {"joint_names": np.array(JOINTS), "gravity": DOWN}


def as_log(table: dict, model: RobotModel) -> JointLog:
    """The table, as the fit wants it."""
    time = table["time"]
    return JointLog(
        Path("arms.npz"), time, table["target"], time, table["position"], table["velocity"], model.kp, model.kd, DOWN
    )
