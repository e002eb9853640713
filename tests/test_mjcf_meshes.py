"""Other people's models: meshes that collide travel inside the model, feet with a priority of their own slip, too."""

import mujoco
import numpy as np
import pytest

from robopolicy.errors import UserError
from robopolicy.export import mjcf_text
from robopolicy.mjcf import FLOOR
from robopolicy.motion.feet import Feet
from robopolicy.robot import Robot, RobotModel, Servo

WEDGE = """
v .1 .05 0
v -.12 .05 .01
v .02 -.06 0
v 0 .01 .13
v 0 .01 .05
f 1 3 2
f 1 2 4
f 2 3 4
f 3 1 4
"""
"""A crooked wedge off its origin; the last corner lies inside."""
MODEL = """
<mujoco><asset>
  <mesh name="wedge" file="wedge.obj" scale="1 1.5 1" refpos=".01 0 0" refquat="1 .2 0 0"/>
  <mesh name="shell" file="wedge.obj"/><texture name="skin" type="2d" file="skin.png"/>
  <texture name="grid" type="2d" builtin="checker" width="8" height="8"/><material name="grid" texture="grid"/>
  <material name="skin" texture="skin"/></asset>
<worldbody><body name="base" pos="0 0 .5"><freejoint/><site name="imu"/>
  <inertial pos="0 0 0" mass="2" diaginertia=".01 .01 .01"/>
  <geom type="mesh" mesh="wedge" pos=".03 0 .1" quat="1 .3 .1 0"/>
  <geom type="mesh" mesh="shell" contype="0" conaffinity="0" material="skin"/>
  <body name="leg" pos="0 0 -.1">{inertial}
    <joint name="knee" axis="0 1 0" range="-1 1"/>
    <geom type="mesh" mesh="wedge" pos="0 .02 -.1"/>
    <geom type="sphere" size=".03" pos="0 0 -.3" priority="2" friction="1"/><site name="foot" pos="0 0 -.3"/>
  </body></body></worldbody>
<keyframe><key name="home" qpos="0 0 .43 1 0 0 0 0"/></keyframe></mujoco>
"""
INERTIAL = '<inertial pos="0 0 -.1" mass=".5" diaginertia=".002 .002 .001"/>'


def make(folder, inertial: str = INERTIAL) -> Robot:
    from PIL import Image

    (folder / "wedge.obj").write_text(WEDGE)
    Image.new("RGB", (8, 8)).save(folder / "skin.png")
    path = folder / "model.xml"
    path.write_text(MODEL.format(inertial=inertial))
    servo = Servo("knee", kp=20, kd=1, torque=10, velocity=10, armature=0.01)
    return Robot(name="wedge", mjcf=str(path), servos=(servo,), feet=("foot",))


@pytest.fixture
def models(tmp_path) -> tuple[RobotModel, RobotModel]:
    """With the files as they are, as films draw it, and as training compiles it."""
    robot = make(tmp_path)
    return robot.compile(visual=True), robot.compile(visual=False)


def fall(mj: mujoco.MjModel, quat: list[float]) -> np.ndarray:
    """States of a robot that is dropped onto its meshes. Shape (T, nq)."""
    data, states, touched = mujoco.MjData(mj), [], False
    data.qpos[:3], data.qpos[3:7] = [0, 0, 0.25], np.array(quat) / np.linalg.norm(quat)
    for _ in range(60):
        mujoco.mj_step(mj, data)
        states.append(data.qpos.copy())
        touched |= bool(np.isin(data.contact.geom, np.flatnonzero(mj.geom_type == mujoco.mjtGeom.mjGEOM_MESH)).any())
    assert touched
    return np.array(states)


@pytest.mark.parametrize("quat", [[0, 1, 0, 0], [1, 1, 0, 0], [1, 0, -1, 0.2]])
def test_a_mesh_that_is_carried_collides_as_the_file_did(models, quat: list[float]):
    from_file, carried = models
    assert from_file.mj.nmesh == 2
    assert carried.mj.nmesh == 1
    assert [carried.mj.tex(k).name for k in range(carried.mj.ntex)] == ["grid"]
    np.testing.assert_allclose(fall(carried.mj, quat), fall(from_file.mj, quat), atol=1e-5)


def test_the_exported_text_needs_no_file_and_is_the_same_up_to_rounding(models, tmp_path):
    _, carried = models
    for name in ("wedge.obj", "skin.png", "model.xml"):
        (tmp_path / name).unlink()
    again = mujoco.MjModel.from_xml_string(mjcf_text(carried))
    np.testing.assert_allclose(fall(again, [0, 1, 0, 0]), fall(carried.mj, [0, 1, 0, 0]), atol=1e-9)


def test_a_mesh_that_gives_its_body_its_inertia_is_left_and_refused_at_the_export(tmp_path):
    with_files = make(tmp_path, inertial="").compile(visual=False)
    from_file = make(tmp_path, inertial="").compile(visual=True)
    np.testing.assert_allclose(with_files.mj.body_inertia, from_file.mj.body_inertia)
    with pytest.raises(UserError, match=r"wedge\.obj; .*<inertial>"):
        mjcf_text(with_files)


def test_the_floors_friction_decides_whatever_the_feets_priority(models):
    _, robot = models
    mj, data = robot.mj, mujoco.MjData(robot.mj)
    mj.geom_friction[mj.geom(FLOOR).id, 0] = 0.123
    data.qpos[:] = robot.home_qpos
    mujoco.mj_step(mj, data, nstep=20)
    foot = [c for c in data.contact if mj.geom_type[max(c.geom)] == mujoco.mjtGeom.mjGEOM_SPHERE]
    assert foot
    assert all(c.friction[0] == pytest.approx(0.123) for c in foot)


def test_a_ball_around_the_foots_site_is_the_foot_and_not_the_shin_beside_it(models):
    _, robot = models
    feet = Feet(robot)
    assert feet.flat == (False,)
    height = feet.heights(np.array([[0, 0, 0.5, 1, 0, 0, 0, 0.0]]))[0, 0]
    assert height == pytest.approx(0.5 - 0.1 - 0.3 - 0.03)
