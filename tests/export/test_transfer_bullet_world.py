"""A model in Bullet is MuJoCo's: masses, frames, motion without contact; contacts and friction do what formulas say."""

import mujoco
import numpy as np
import pytest
from robopolicy_runtime.errors import ContractError
from robopolicy_runtime.transfer.bullet_contacts import friction
from robopolicy_runtime.transfer.bullet_world import BulletWorld

pytest.importorskip("pybullet", reason="the second engine is not installed: pip install pybullet")

# Everything whose frames can go wrong: inertias and geoms askew, anchors and zeros that are not the body's, two hinges
# on one body, a link that is welded on, every kind of geom.
STRANGE = """
<mujoco>
  <compiler angle="radian"/>
  <asset><mesh name="wedge" vertex="0 0 0  .1 0 0  0 .12 0  0 0 .08  .1 .12 0"/></asset>
  <worldbody>
    <geom name="floor" type="plane" size="0 0 .1"/>
    <body name="base" pos="0 0 1" quat=".9 .1 .3 .2">
      <freejoint/>
      <inertial pos=".02 -.01 .03" quat=".5 .5 -.3 .2" mass="3" diaginertia=".03 .02 .04"/>
      <geom type="box" size=".1 .08 .05" pos=".01 0 .02" quat=".8 .2 0 .1"/>
      <body name="two" pos=".1 .05 -.02" quat=".7 0 .7 .1">
        <joint name="a" pos=".01 .02 -.01" axis="0 1 .3" ref=".4" {armature}/>
        <joint name="b" pos="-.02 .01 .03" axis="1 0 .2" range="-9 9" {armature}/>
        <geom type="capsule" size=".03 .1" pos="0 .02 .1" quat=".9 .3 0 0" mass=".7"/>
        <body name="welded" pos="0 0 .2" quat=".6 0 0 .8">
          <geom type="cylinder" size=".04 .05" mass=".3"/>
          <body name="end" pos=".03 .1 0">
            <joint name="c" axis="0 .6 .8" pos="0 0 .05" {armature}/>
            <geom type="mesh" mesh="wedge" mass=".4" pos=".01 .02 0" quat=".8 .1 .5 0"/>
            <geom type="ellipsoid" size=".02 .05 .03" mass=".2" pos="0 .1 0"/>
          </body>
        </body>
      </body>
      <body name="last" pos="-.1 0 0">
        <joint name="d" axis="0 0 1" {armature}/>
        <geom type="sphere" size=".05" pos=".1 .02 0" mass=".5"/>
      </body>
    </body>
  </worldbody>
</mujoco>
"""
PENDULUM = """
<mujoco>
  <worldbody>
    <body name="base" pos="0 0 2"><freejoint/>
      <inertial pos="0 0 0" mass="1" diaginertia="1 1 1"/>
      <body><joint axis="0 1 0" armature="{armature}" frictionloss="{dry}"/>
        <inertial pos="0 0 -.3" mass="0.8" diaginertia=".01 .012 .003"/>
      </body>
    </body>
  </worldbody>
</mujoco>
"""
CUBE = " ".join(f"{x} {y} {z}" for x in (-0.1, 0.1) for y in (-0.1, 0.1) for z in (-0.1, 0.1))
SHAPE = f"""
<mujoco>
  <option gravity="{{gravity}}"/>
  <asset><mesh name="cube" vertex="{CUBE}"/></asset>
  <worldbody>
    <body pos="0 0 .3" quat=".7071067811865476 0 0 .7071067811865476">
      <geom type="{{floor}}" size="5 5 .2" friction="{{ground}}"/>
    </body>
    <body name="thing" pos="0 0 1"><freejoint/><geom {{geom}} mass="2" friction="{{friction}}"/></body>
  </worldbody>
</mujoco>
"""


def model(text: str, **values: object) -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_string(text.format(**values))


def states(m: mujoco.MjModel, count: int):
    rng = np.random.default_rng(3)
    for _ in range(count):
        qpos, qvel = rng.normal(0, 0.8, m.nq), rng.normal(0, 1.0, m.nv)
        qpos[3:7] /= np.linalg.norm(qpos[3:7])
        yield qpos, qvel


def run(world: BulletWorld, steps: int, timestep: float = 0.001, torque: float = 0.0, rubbing: float = 0.0) -> None:
    ones = np.ones(len(world.hinges))
    for _ in range(steps):
        world.step(torque * ones, rubbing * ones, np.zeros(3), timestep)


@pytest.mark.parametrize("armature", ["", 'armature=".02"'])
def test_every_body_is_where_mujoco_has_it(armature):
    m = model(STRANGE, armature=armature)
    world, data = BulletWorld(m), mujoco.MjData(m)
    for qpos, qvel in states(m, 20):
        data.qpos[:] = qpos
        mujoco.mj_kinematics(m, data)
        mujoco.mj_comPos(m, data)
        world.reset(qpos, qvel)
        found = world.bodies()
        assert set(found) == set(range(1, m.nbody))
        for body, (com, origin, mass) in found.items():
            np.testing.assert_allclose(com, data.xipos[body], atol=1e-6)
            np.testing.assert_allclose(origin, data.xpos[body], atol=1e-6)
            assert mass == pytest.approx(m.body_mass[body], rel=1e-9)
        total = sum(mass for *_, mass in found.values())
        assert total == pytest.approx(mujoco.mj_getTotalmass(m), abs=1e-6)
        whole = sum(mass * com for com, _, mass in found.values()) / total
        np.testing.assert_allclose(whole, data.subtree_com[0], atol=1e-6)
        again, speed = world.state()
        np.testing.assert_allclose(
            again * np.sign(again[3] * qpos[3]) ** np.isin(range(m.nq), range(3, 7)), qpos, atol=1e-9
        )
        np.testing.assert_allclose(speed, qvel, atol=1e-9)


@pytest.mark.parametrize("armature", ["", 'armature=".02"'])
def test_accelerations_are_mujoco_s(armature):
    """Without contacts and friction both engines solve the same equations; here over one short step."""
    m = model(STRANGE, armature=armature)
    world, data, dt = BulletWorld(m), mujoco.MjData(m), 1e-5
    for qpos, qvel in states(m, 10):
        qpos[2] += 50  # far from the floor
        data.qpos[:], data.qvel[:] = qpos, qvel
        torque = np.random.default_rng(1).normal(0, 0.5, 4)
        data.qfrc_applied[6:] = torque
        mujoco.mj_forward(m, data)
        world.reset(qpos, qvel)
        world.step(torque, np.zeros(4), np.zeros(3), dt)
        found = (world.state()[1] - qvel) / dt
        np.testing.assert_allclose(found, data.qacc, atol=2e-3 * np.abs(data.qacc).max())


@pytest.mark.parametrize("armature", [0.0, 0.02])
def test_period_of_a_pendulum(armature):
    m = model(PENDULUM, armature=armature, dry=0)
    world, dt = BulletWorld(m, fixed=True), 0.0005
    qpos = m.qpos0.copy()
    qpos[7] = 0.05
    world.reset(qpos, np.zeros(m.nv))
    angles = []
    for _ in range(8000):
        run(world, 1, dt)
        angles.append(world.joints()[0][0])
    angle = np.array(angles)
    down = np.flatnonzero((angle[:-1] > 0) & (angle[1:] <= 0))
    cross = down + angle[down] / (angle[down] - angle[down + 1])
    period = float(np.diff(cross).mean()) * dt
    length, mass, inertia = 0.3, 0.8, 0.012 + armature
    expected = 2 * np.pi * np.sqrt((inertia + mass * length**2) / (mass * 9.81 * length)) * (1 + 0.05**2 / 16)
    assert period == pytest.approx(expected, rel=1e-3)
    assert np.abs(angle[-4000:]).max() == pytest.approx(0.05, rel=0.01)  # nothing is lost


def test_dry_friction_slows_at_its_own_rate_and_then_holds():
    m = model(PENDULUM, armature=0.02, dry=0.3)
    m.opt.gravity[:] = 0
    world, speed = BulletWorld(m, fixed=True), np.zeros(m.nv)
    speed[6] = 3.0
    world.reset(m.qpos0, speed)
    run(world, 200, rubbing=0.3)
    inertia = 0.012 + 0.02 + 0.8 * 0.3**2
    assert world.joints()[1][0] == pytest.approx(3 - 0.2 * 0.3 / inertia, rel=1e-3)
    run(world, 1500, rubbing=0.3)
    assert abs(world.joints()[1][0]) < 1e-6
    run(world, 500, rubbing=0.3, torque=0.29)  # less than what sticks
    assert abs(world.joints()[1][0]) < 1e-6


def test_torques_that_hold_a_robot_are_gravity_s():
    """A stiff drive on a fixed base comes to rest at the torques of inverse dynamics."""
    m = model(STRANGE, armature='armature=".02"')
    world, data = BulletWorld(m, fixed=True), mujoco.MjData(m)
    qpos = m.qpos0.copy()
    qpos[:7] = [0, 0, 2, 0.8, 0.4, -0.4, 0.2]
    qpos[3:7] /= np.linalg.norm(qpos[3:7])
    qpos[7:] = [0.8, -0.5, 0.3, 1.0]
    world.reset(qpos, np.zeros(m.nv))
    torque = np.zeros(4)
    for _ in range(4000):
        angle, speed = world.joints()
        torque = 60 * (qpos[7:] - angle) - 2 * speed
        world.step(torque, np.zeros(4), np.zeros(3), 0.001)
    data.qpos[:] = world.state()[0]
    mujoco.mj_forward(m, data)
    assert np.abs(data.qfrc_bias[6:]).min() > 0.02
    np.testing.assert_allclose(torque, data.qfrc_bias[6:], rtol=0.01)


@pytest.mark.parametrize("floor", ["plane", "box"])
@pytest.mark.parametrize(
    ("geom", "height"),
    [
        ('type="box" size=".1 .2 .15"', 0.15),
        ('type="sphere" size=".12"', 0.12),
        ('type="capsule" size=".08 .2" quat=".7071067811865476 .7071067811865476 0 0"', 0.08),
        ('type="cylinder" size=".1 .07"', 0.07),
        ('type="mesh" mesh="cube"', 0.1),
        ('type="mesh" mesh="cube" quat="0 1 0 0"', 0.1),
        ('type="ellipsoid" size=".2 .2 .1"', 0.1),
    ],
)
def test_shapes_come_to_rest_on_the_ground(floor, geom, height):
    m = model(SHAPE, gravity="0 0 -9.81", floor=floor, geom=geom, friction="1 .1 .1", ground="1 .1 .1")
    world, ground = BulletWorld(m), 0.3 + (0.2 if floor == "box" else 0)
    qpos = m.qpos0.copy()
    qpos[2] = ground + height + 0.01
    world.reset(qpos, np.zeros(6))
    run(world, 500, 0.002)
    assert world.state()[0][2] == pytest.approx(ground + height, abs=2e-3)


@pytest.mark.parametrize(("slide", "ground"), [("0.3", "0.1"), ("0.1", "0.6"), ("0.8", "0.2")])
def test_a_box_slides_down_a_slope_by_coulomb_s_law(slide, ground):
    """The larger of the two frictions counts, as in MuJoCo; the slope is a gravity that leans."""
    lean = 0.4
    gravity = f"{9.81 * np.sin(lean)} 0 {-9.81 * np.cos(lean)}"
    m = model(SHAPE, gravity=gravity, floor="plane", geom='type="box" size=".2 .2 .02"', friction=slide, ground=ground)
    world, qpos = BulletWorld(m), m.qpos0.copy()
    qpos[2] = 0.32
    world.reset(qpos, np.zeros(6))
    run(world, 300)
    begin = world.state()[1][0]
    run(world, 300)
    expected = max(0.0, 9.81 * (np.sin(lean) - max(float(slide), float(ground)) * np.cos(lean)))
    assert (world.state()[1][0] - begin) / 0.3 == pytest.approx(expected, rel=0.03, abs=0.02)


def test_priority_decides_on_friction():
    text = SHAPE.replace('friction="{ground}"', 'friction="{ground}" priority="1" condim="4"')
    m = model(
        text, gravity="0 0 -9", floor="plane", geom='type="sphere" size=".1"', friction="2", ground="0.5 0.02 0.1"
    )
    np.testing.assert_allclose(friction(m, 1, 0), [0.5, 0.02, 0])


@pytest.mark.parametrize(("exclude", "apart"), [("", True), ('<exclude body1="left" body2="right"/>', False)])
def test_links_collide_with_each_other_where_mujoco_s_do(exclude, apart):
    """Two arms close like scissors, until they touch or through each other."""
    arm = (
        '<body name="{name}" pos="0 {y} 0"><joint axis="0 0 1" damping=".1"/>'
        '<geom type="capsule" fromto=".1 0 0 .4 0 0" size=".03" mass=".2"/></body>'
    )
    m = mujoco.MjModel.from_xml_string(
        '<mujoco><option gravity="0 0 0"/><worldbody><geom type="plane" size="1 1 1"/><body pos="0 0 1"><freejoint/>'
        '<geom type="sphere" size=".01" mass="9"/>'
        f"{arm.format(name='left', y=0.1)}{arm.format(name='right', y=-0.1)}"
        f"</body></worldbody><contact>{exclude}</contact></mujoco>"
    )
    world = BulletWorld(m, fixed=True)
    world.reset(m.qpos0, np.zeros(m.nv))
    for _ in range(1500):
        _, speed = world.joints()
        world.step(np.array([-0.1, 0.1]) - 0.1 * speed, np.zeros(2), np.zeros(3), 0.001)
    left, right = world.joints()[0]
    tips = 0.1 + 0.4 * np.sin(left), -0.1 + 0.4 * np.sin(right)
    assert bool(tips[0] > tips[1]) is apart


def test_joints_stop_at_their_limits():
    m = mujoco.MjModel.from_xml_string(
        PENDULUM.format(armature=0, dry=0).replace(
            'axis="0 1 0"', 'axis="0 1 0" limited="true" range="-10 60" ref="20"'
        )
    )
    world = BulletWorld(m, fixed=True)
    world.reset(m.qpos0, np.zeros(m.nv))
    run(world, 3000, torque=-20.0)
    assert np.degrees(world.joints()[0][0]) == pytest.approx(-10, abs=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('axis="0 0 1"', 'type="slide" axis="0 0 1"'), "joint 'd' is a slide joint; only hinges"),
        (("</worldbody>", '</worldbody><equality><joint joint1="a" joint2="b"/></equality>'), "1 equality constraints"),
        (("</worldbody>", '<body><freejoint/><geom size=".1"/></body></worldbody>'), "is a free joint"),
    ],
)
def test_what_is_not_carried_over_is_refused(change, message):
    with pytest.raises(ContractError, match=message):
        BulletWorld(mujoco.MjModel.from_xml_string(STRANGE.format(armature="").replace(*change)))
