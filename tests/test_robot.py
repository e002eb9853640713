"""Robots: ours are what their sheets say, others compile too, and every mistake is one line that names it."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest

from robopolicy.errors import UserError
from robopolicy.mjcf import FLOOR
from robopolicy.robot import Robot, RobotModel, Servo, list_robots, load_robot

LEG = ("hip_yaw", "hip_roll", "hip_pitch", "knee", "ankle")
G1_LEG = ("hip_pitch", "hip_roll", "hip_yaw", "knee", "ankle_pitch", "ankle_roll")
G1_ARM = ("shoulder_pitch", "shoulder_roll", "shoulder_yaw", "elbow", "wrist_roll", "wrist_pitch", "wrist_yaw")
JOINTS = {
    "droid": (
        *(f"l_{j}" for j in LEG),
        *(f"r_{j}" for j in LEG),
        *("neck_pitch", "head_pitch", "head_yaw", "head_roll"),
    ),
    "g1": (
        *(f"{side}_{j}_joint" for side in ("left", "right") for j in G1_LEG),
        *(f"waist_{j}_joint" for j in ("yaw", "roll", "pitch")),
        *(f"{side}_{j}_joint" for side in ("left", "right") for j in G1_ARM),
    ),
    "go2": tuple(f"{leg}_{j}" for leg in ("FL", "FR", "RL", "RR") for j in ("hip", "thigh", "calf")),
}
FEET = {
    "droid": ("l_foot", "r_foot"),
    "g1": ("l_foot", "r_foot"),
    "go2": ("FL_foot", "FR_foot", "RL_foot", "RR_foot"),
}
SIDES = {"droid": [("l_", "r_")], "g1": [("left_", "right_")], "go2": [("FL_", "FR_"), ("RL_", "RR_")]}
BASE = {"droid": "base", "g1": "pelvis", "go2": "base"}
BASE_MASS = {"droid": 6.34, "g1": 3.813, "go2": 6.921}
MASS = {"droid": 17.74, "g1": 33.341, "go2": 15.205}
HEIGHT = {"droid": 0.3285, "g1": 0.7842, "go2": 0.318}
RADIUS = {"droid": 0.0, "g1": 0.0, "go2": 0.022}
"""Height of a foot's site over the floor when it stands [m]."""
SOLE = {"droid": 0.0825, "g1": 0.0925, "go2": 0.0}
"""Half a sole's length [m]."""


@pytest.fixture(scope="module", params=["droid", "g1", "go2"])
def ours(request: pytest.FixtureRequest) -> tuple[str, RobotModel]:
    return request.param, load_robot(request.param).compile()


def test_our_robots_are_listed():
    assert list_robots() == ["droid", "g1", "go2"]


def test_joints_masses_limits_and_sites_are_those_of_the_sheet(ours: tuple[str, RobotModel]):
    name, model = ours
    mj = model.mj
    assert model.joint_names == JOINTS[name]
    assert [mj.actuator(i).name for i in range(mj.nu)] == list(JOINTS[name])
    np.testing.assert_array_equal(mj.actuator_trnid[:, 0], [mj.joint(j).id for j in JOINTS[name]])
    np.testing.assert_array_equal(model.qpos_adr, 7 + np.arange(mj.nu))
    np.testing.assert_array_equal(model.dof_adr, 6 + np.arange(mj.nu))
    assert mj.body(model.base_body).name == BASE[name]
    assert mj.body_mass[model.base_body] == pytest.approx(BASE_MASS[name])
    assert mj.body_mass.sum() == pytest.approx(MASS[name], rel=0.02)
    assert [mj.site(i).name for i in model.foot_sites] == list(FEET[name])
    assert mj.site(model.imu_site).name == "imu"
    assert mj.site_bodyid[model.imu_site] == model.base_body
    np.testing.assert_array_equal(model.foot_bodies, mj.site_bodyid[model.foot_sites])
    np.testing.assert_array_equal(np.stack((model.lower, model.upper), 1), [mj.joint(j).range for j in JOINTS[name]])
    assert (model.lower < model.default_pose).all()
    assert (model.default_pose < model.upper).all()
    assert (mj.body_inertia[1:] > 0).all()


def test_left_and_right_mirror_each_other(ours: tuple[str, RobotModel]):
    name, model = ours
    for left, right in SIDES[name]:
        for joint in (j for j in model.joint_names if j.startswith(left)):
            a, b = model.joint_names.index(joint), model.joint_names.index(joint.replace(left, right))
            bodies = [model.mj.jnt_bodyid[model.mj.joint(model.joint_names[k]).id] for k in (a, b)]
            places = model.mj.body_pos[bodies]
            np.testing.assert_allclose(places[0] * [1, -1, 1], places[1])
            np.testing.assert_allclose(*model.mj.body_mass[bodies])
            for values in (model.kp, model.kd, model.torque_limit, model.velocity_limit, model.action_scale):
                assert values[a] == values[b]
            ranges = sorted([model.lower[a], model.upper[a]]), sorted([model.lower[b], model.upper[b]])
            mirrored = [-ranges[1][1], -ranges[1][0]]
            assert np.allclose(ranges[0], ranges[1]) or np.allclose(ranges[0], mirrored)


def test_servos_are_installed_as_written(ours: tuple[str, RobotModel]):
    """Torque = kp (target - q) - kd qd within the limit, on a joint of the given armature and friction."""
    _, model = ours
    mj, data = model.mj, mujoco.MjData(model.mj)
    for j, joint in enumerate(model.joint_names):
        (servo,) = (s for s in model.robot.servos if re.fullmatch(s.joints, joint))
        assert (model.kp[j], model.kd[j], model.torque_limit[j]) == (servo.kp, servo.kd, servo.torque)
        assert mj.dof_armature[model.dof_adr[j]] == servo.armature
        assert mj.dof_frictionloss[model.dof_adr[j]] == servo.friction
        assert model.velocity_limit[j] == servo.velocity
        assert model.action_scale[j] == (servo.action_scale or min(0.4, servo.torque / servo.kp))
    data.qpos[:] = model.home_qpos
    rng = np.random.default_rng(0)
    data.qvel[6:] = rng.uniform(-3, 3, mj.nu)
    data.ctrl[:] = model.default_pose + rng.uniform(-2, 2, mj.nu)
    mujoco.mj_forward(mj, data)
    torque = model.kp * (data.ctrl - data.qpos[7:]) - model.kd * data.qvel[6:]
    assert (np.abs(torque) > model.torque_limit).any()
    np.testing.assert_allclose(data.actuator_force, np.clip(torque, -model.torque_limit, model.torque_limit))


def test_at_home_the_feet_stand_on_the_floor_and_it_holds_itself_up(ours: tuple[str, RobotModel]):
    name, model = ours
    mj, data = model.mj, mujoco.MjData(model.mj)
    assert model.home_qpos[2] == pytest.approx(HEIGHT[name])
    np.testing.assert_array_equal(model.home_qpos[:2], 0)
    np.testing.assert_array_equal(model.home_qpos[3:7], [1, 0, 0, 0])
    np.testing.assert_array_equal(model.default_pose, model.home_qpos[7:])
    data.qpos[:], data.ctrl[:] = model.home_qpos, model.default_pose
    mujoco.mj_forward(mj, data)
    clearance = data.sensordata[model.clearance_adr]
    assert len(clearance) == len(FEET[name])
    assert np.abs(clearance).max() < 0.002
    down = data.site_xpos[model.foot_sites, 2]
    np.testing.assert_allclose(down, RADIUS[name], atol=0.002)
    # the centre of mass is over the feet
    half = SOLE[name]
    places = data.site_xpos[model.foot_sites, :2]
    com = data.subtree_com[model.base_body, :2]
    assert (places.min(axis=0) - half < com).all()
    assert (com < places.max(axis=0) + half).all()
    for _ in range(100):  # servos are soft: it sags, but it stays up
        mujoco.mj_step(mj, data)
    assert data.qpos[2] > 0.8 * HEIGHT[name]
    assert data.xmat[model.base_body, 8] > 0.95
    assert (np.abs(data.actuator_force) < model.torque_limit).all()
    # nothing but the feet touches the floor, and no body another
    bodies = mj.geom_bodyid[data.contact.geom]
    assert set(bodies.flatten()) <= {0, *model.foot_bodies}
    assert (bodies.min(axis=1) == 0).all()


def test_the_g1_stands_for_seconds_under_its_servos():
    """Their stiffness alone, without feedback, carries more than its weight times height."""
    model = load_robot("g1").compile()
    data = mujoco.MjData(model.mj)
    data.qpos[:], data.ctrl[:] = model.home_qpos, model.default_pose
    for _ in range(1000):
        mujoco.mj_step(model.mj, data)
    assert data.xmat[model.base_body, 8] > 0.995
    assert data.qpos[2] > 0.99 * model.home_qpos[2]
    assert np.abs(data.qvel).max() < 0.1
    assert np.abs(data.xmat[model.foot_bodies, 8]).min() > 0.999


@pytest.mark.parametrize("friction", [0.2, 0.7, 1.9])
def test_the_floors_friction_decides(ours: tuple[str, RobotModel], friction: float):
    """Whether below or above the feet's own, of which MuJoCo would otherwise take the larger."""
    _, model = ours
    mj = model.robot.compile().mj
    mj.geom(FLOOR).friction[0] = friction
    data = mujoco.MjData(mj)
    data.qpos[:] = model.home_qpos
    data.qpos[2] -= 0.003
    mujoco.mj_forward(mj, data)
    assert data.ncon >= len(model.foot_sites)
    np.testing.assert_allclose(data.contact.friction[:, :2], friction)
    assert (data.contact.dim == 3).all()


def test_the_clearance_sensor_is_the_feets_distance_to_the_floor(ours: tuple[str, RobotModel]):
    name, model = ours
    data = mujoco.MjData(model.mj)
    data.qpos[:] = model.home_qpos
    for lift in (0.01, 0.05, 0.3, -0.004):
        data.qpos[2] = model.home_qpos[2] + lift
        mujoco.mj_forward(model.mj, data)
        soles = data.site_xpos[model.foot_sites, 2] - RADIUS[name]
        np.testing.assert_allclose(data.sensordata[model.clearance_adr], np.minimum(soles, 0.1), atol=1e-6)


def test_without_ground_there_is_no_floor(ours: tuple[str, RobotModel]):
    _, model = ours
    free = model.robot.compile(ground=False)
    assert FLOOR not in [free.mj.geom(i).name for i in range(free.mj.ngeom)]
    assert len(free.clearance_adr) == 0
    assert free.joint_names == model.joint_names


def test_timestep_and_delay_are_as_asked(ours: tuple[str, RobotModel]):
    _, model = ours
    late = model.robot.compile(timestep=0.002, max_delay=3)
    assert late.mj.opt.timestep == 0.002
    assert late.mj.nhistory > 0
    assert model.mj.opt.timestep == 0.005
    assert model.mj.nhistory == 0


# ---- mistakes

TOY = """<mujoco>
  <compiler angle="radian"/>
  <worldbody>
    <body name="base" pos="0 0 1">
      <freejoint/>
      <geom size=".1" mass="1"/>
      <site name="imu"/>
      <body name="leg" pos="0 0 -.3">
        <joint name="knee" axis="0 1 0" range="-1 1"/>
        <geom size=".05" mass=".3"/>
        <site name="foot"/>
      </body>
    </body>
  </worldbody>
</mujoco>"""
KNEE = Servo("knee", kp=10, kd=1, torque=5, velocity=10, armature=0.01)


def toy(folder: Path, xml: str = TOY, **changes: Any) -> Robot:
    path = folder / "toy.xml"
    path.write_text(xml)
    given: dict[str, Any] = {"name": "toy", "mjcf": str(path), "servos": (KNEE,), "feet": ("foot",), "home_height": 0.5}
    return Robot(**{**given, **changes})


def test_the_toy_without_a_mistake_compiles(tmp_path: Path):
    model = toy(tmp_path).compile()
    assert model.joint_names == ("knee",)
    assert model.home_qpos[2] == 0.5
    assert model.action_scale == pytest.approx(0.4)
    weak = replace(KNEE, torque=2.5)
    assert toy(tmp_path, servos=(weak,)).compile().action_scale == pytest.approx(0.25)  # a unit asks for no more torque


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "no imu": ({"imu": "gyro"}, r"toy\.xml.*site 'gyro'.*'toy'.*imu.*foot"),
    "no foot": ({"feet": ("toe",)}, r"toy\.xml.*site 'toe'.*'toy'.*imu.*foot"),
    "no feet": ({"feet": ()}, r"'toy' names no feet.*imu.*foot"),
    "imu off the base": ({"imu": "foot"}, r"site 'foot' must lie on the base.*'base'"),
    "no servo": ({"servos": (replace(KNEE, joints="hip"),)}, r"joint 'knee' of .*toy\.xml matches 0 servos.*'hip'"),
    "two servos": (
        {"servos": (KNEE, replace(KNEE, joints="k.*"))},
        r"joint 'knee' of .*toy\.xml matches 2 servos.*'knee', 'k\.\*'",
    ),
    "no actuator": ({"servos": ()}, r"toy\.xml: joint 'knee' has no position actuator.*Servo\('knee'"),
    "no keyframe": ({"home_height": None}, r"toy\.xml: no keyframe 'home' \(it has: none\).*home_height"),
    "unknown joint at home": ({"home": {"kneee": 0.1}}, r"unknown joint 'kneee' in home of robot 'toy'; known: knee"),
    "unknown body of a foot": (
        {"foot_sites": {"toe": ("shin", (0, 0, 0))}},
        r"unknown body 'shin' in .*toy\.xml; known: base, leg",
    ),
    "no file": ({"mjcf": "/nowhere/x.xml"}, r"'toy': no MJCF at /nowhere/x\.xml"),
}


@pytest.mark.parametrize("what", MISTAKES)
def test_a_mistake_in_a_robot_is_one_line_that_names_it(what: str, tmp_path: Path):
    changes, message = MISTAKES[what]
    with pytest.raises(UserError, match=message) as caught:
        toy(tmp_path, **changes).compile()
    assert "\n" not in str(caught.value)


BROKEN = {
    "not closed": ("</worldbody>", "", "toy.xml does not parse"),
    "unknown attribute": ('size=".1"', 'sizes=".1"', "toy.xml does not parse.*sizes"),
    "no mass": ('<geom size=".05" mass=".3"/>', "", "toy.xml.*mass and inertia.*leg"),
    "no mesh": (
        '<geom size=".05" mass=".3"/>',
        '<geom type="mesh" mesh="m"/></body></body></worldbody><asset><mesh name="m" file="nope.stl"/></asset>'
        "<worldbody><body><body>",
        "toy.xml.*nope.stl",
    ),
    "no free joint": ("<freejoint/>", "", r"toy\.xml: the first joint must be the base's free joint"),
    "sliding joint": (
        '<site name="foot"/>',
        '<site name="foot"/><body name="toe"><joint name="slider" type="slide"/><geom size=".01" mass=".1"/></body>',
        "slider",
    ),
    "joint without a name": ('name="knee" ', "", r"joint .*toy\.xml|toy\.xml.*joint"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_mistake_in_an_mjcf_is_one_line_that_names_it(what: str, tmp_path: Path):
    old, new, message = BROKEN[what]
    assert old in TOY
    with pytest.raises(UserError, match=f"(?s){message}") as caught:
        toy(tmp_path, TOY.replace(old, new, 1)).compile()
    assert "\n" not in str(caught.value)


def test_a_servo_that_fits_no_joint_is_a_mistake(tmp_path: Path):
    with pytest.raises(UserError, match="ankle"):
        toy(tmp_path, servos=(KNEE, replace(KNEE, joints="ankle"))).compile()


def test_a_home_outside_the_joints_range_is_a_mistake(tmp_path: Path):
    with pytest.raises(UserError, match="knee"):
        toy(tmp_path, home={"knee": 2.0}).compile()


def test_unknown_robots_are_refused_with_what_exists(tmp_path: Path):
    with pytest.raises(UserError, match=r"unknown robot 'drod'; known: droid, g1, go2; .*menagerie:NAME"):
        load_robot("drod")
    with pytest.raises(UserError, match=r"no robot file '.*nobody\.py'"):
        load_robot(str(tmp_path / "nobody.py"))
    with pytest.raises(UserError, match=r"no MJCF at .*nobody\.xml"):
        load_robot(str(tmp_path / "nobody.xml"))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("ROBOT = 3", r"robot\.py defines no ROBOT = Robot\(\.\.\.\)"),
        ("import nothing_of_that_name", r"robot\.py raised ModuleNotFoundError"),
        ("from robopolicy.robot import Robot\nROBOT = Robot(name='x')", r"robot\.py raised TypeError.*mjcf"),
    ],
)
def test_a_broken_robot_file_is_one_line_that_names_it(tmp_path: Path, source: str, message: str):
    path = tmp_path / "robot.py"
    path.write_text(source)
    with pytest.raises(UserError, match=message) as caught:
        load_robot(str(path))
    assert "\n" not in str(caught.value)


# ---- other people's robots


def test_a_robot_file_by_path_finds_its_mjcf_beside_it(tmp_path: Path):
    toy(tmp_path)
    (tmp_path / "robot.py").write_text(
        "from robopolicy.robot import Robot, Servo\n"
        "ROBOT = Robot(name='toy', mjcf='toy.xml', feet=('foot',), home_height=0.5,\n"
        "    servos=(Servo('knee', kp=10, kd=1, torque=5, velocity=10, armature=0.01),))\n"
    )
    model = load_robot(str(tmp_path / "robot.py")).compile()
    assert model.joint_names == ("knee",)


ACTUATED = TOY.replace(
    "</mujoco>",
    '<actuator><position name="m" joint="knee" kp="20" kv="0.5" forcerange="-7 7"/></actuator>'
    '<keyframe><key name="home" qpos="0 0 .4 1 0 0 0 .2"/></keyframe></mujoco>',
).replace('axis="0 1 0"', 'axis="0 1 0" damping=".3" armature=".02" frictionloss=".1"')


def test_a_height_changes_the_keyframes_and_a_pose_replaces_it(tmp_path: Path):
    def home(**given: Any) -> np.ndarray:
        return toy(tmp_path, ACTUATED, **given).compile().home_qpos[[2, 7]]

    np.testing.assert_allclose(home(home_height=None), [0.4, 0.2])
    np.testing.assert_allclose(home(home_height=0.45), [0.45, 0.2])
    np.testing.assert_allclose(home(home={"knee": 0.1}, home_height=0.45), [0.45, 0.1])


def test_a_bare_mjcf_brings_its_own_servos_feet_imu_and_home(tmp_path: Path):
    toy(tmp_path, ACTUATED)
    model = load_robot(str(tmp_path / "toy.xml")).compile()
    assert (model.kp[0], model.torque_limit[0]) == (20.0, 7.0)
    assert model.mj.dof_armature[6] == 0.02
    assert model.mj.dof_frictionloss[6] == 0.1
    assert model.default_pose[0] == 0.2
    assert model.mj.site(model.foot_sites[0]).name == "foot"


def test_a_bare_mjcf_keeps_its_damping(tmp_path: Path):
    """Velocity costs the same torque as in the file: the actuator's kv and the joint's damping, once each."""
    toy(tmp_path, ACTUATED)
    model = load_robot(str(tmp_path / "toy.xml")).compile(ground=False).mj
    data = mujoco.MjData(model)
    data.qvel[6] = 2.0
    mujoco.mj_forward(model, data)
    braking = data.actuator_force[0] + data.qfrc_passive[6]
    assert braking == pytest.approx(-(0.5 + 0.3) * 2.0)


BENT = {"thigh": 0.9, "calf": -1.8}
OTHERS = {
    "go1": Robot(
        name="go1",
        mjcf="menagerie:unitree_go1",
        servos=(Servo(".*", kp=35, kd=0.8, torque=23.7, velocity=30, armature=0.01, friction=0.1),),
        feet=("FR", "FL", "RR", "RL"),
        home={f"{leg}_{j}_joint": q for leg in ("FR", "FL", "RR", "RL") for j, q in BENT.items()},
        home_height=0.29,
    ),
    "g1": Robot(
        name="g1",
        mjcf="menagerie:unitree_g1",
        servos=(Servo(".*", kp=75, kd=2, torque=80, velocity=20, armature=0.02),),
        feet=("left_sole", "right_sole"),
        imu="imu_in_pelvis",
        home={},
        home_height=0.79,
        foot_sites={f"{side}_sole": (f"{side}_ankle_roll_link", (0.035, 0.0, -0.035)) for side in ("left", "right")},
    ),
}


@pytest.fixture
def menagerie(menagerie_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mujoco_menagerie")
    monkeypatch.setenv("MENAGERIE_ROOT", str(menagerie_dir))


@pytest.mark.usefixtures("menagerie")
@pytest.mark.parametrize(("name", "joints"), [("go1", 12), ("g1", 29)])
def test_menagerie_robots_compile_and_stand(name: str, joints: int):
    model = OTHERS[name].compile(visual=False)
    assert len(model.joint_names) == joints
    mj, data = model.mj, mujoco.MjData(model.mj)
    assert mj.nu == joints
    assert [mj.actuator(i).name for i in range(joints)] == list(model.joint_names)
    assert len(model.clearance_adr) == len(model.foot_sites)
    data.qpos[:], data.ctrl[:] = model.home_qpos, model.default_pose
    for _ in range(40):
        mujoco.mj_step(mj, data)
    assert np.isfinite(data.qpos).all()
    assert data.qpos[2] > 0.8 * model.home_qpos[2]
    assert (data.sensordata[model.clearance_adr] < 0.02).all()
    assert data.ncon > 0
    assert mj.opt.timestep == 0.005


def inertias(mj: mujoco.MjModel) -> np.ndarray:
    """Of each body, in its own axes [kg m^2]. Shape (nbody, 3, 3)."""
    axes = np.empty((mj.nbody, 9))
    for i, quat in enumerate(mj.body_iquat):
        mujoco.mju_quat2Mat(axes[i], quat)
    axes = axes.reshape(-1, 3, 3)
    return axes * mj.body_inertia[:, None, :] @ axes.transpose(0, 2, 1)


@pytest.mark.usefixtures("menagerie")
def test_our_g1_is_the_menageries():
    """Names, order, ranges, masses, inertias; and where feet and hands are in any pose."""
    ours, other = load_robot("g1").compile(ground=False), OTHERS["g1"].compile(ground=False, visual=False)
    assert ours.joint_names == other.joint_names
    names = [ours.mj.body(i).name for i in range(1, ours.mj.nbody)]
    assert names == [other.mj.body(i).name for i in range(1, other.mj.nbody)]
    np.testing.assert_allclose(ours.lower, other.lower, atol=1e-4)
    np.testing.assert_allclose(ours.upper, other.upper, atol=1e-4)
    np.testing.assert_allclose(ours.mj.jnt_axis, other.mj.jnt_axis, atol=1e-9)
    np.testing.assert_allclose(ours.mj.body_mass, other.mj.body_mass, atol=1e-4)
    np.testing.assert_allclose(ours.mj.body_ipos, other.mj.body_ipos, atol=1e-4)
    for i, (a, b) in enumerate(zip(inertias(ours.mj), inertias(other.mj), strict=True)):
        assert np.abs(a - b).max() <= 0.06 * np.trace(b), other.mj.body(i).name
    links = [name for name in names if name.endswith(("ankle_roll_link", "wrist_yaw_link")) or name == "torso_link"]
    assert len(links) == 5
    rng = np.random.default_rng(0)
    for pose in rng.uniform(ours.lower, ours.upper, (50, 29)):
        a, b = (mujoco.MjData(model.mj) for model in (ours, other))
        a.qpos[7:], b.qpos[7:] = pose, pose
        a.qpos[:7], b.qpos[:7] = [0, 0, 1, 1, 0, 0, 0], [0, 0, 1, 1, 0, 0, 0]
        mujoco.mj_kinematics(ours.mj, a)
        mujoco.mj_kinematics(other.mj, b)
        for link in links:
            np.testing.assert_allclose(a.body(link).xpos, b.body(link).xpos, atol=5e-4, err_msg=link)
            np.testing.assert_allclose(a.body(link).xmat, b.body(link).xmat, atol=1e-3, err_msg=link)


@pytest.mark.usefixtures("menagerie")
def test_meshes_that_touch_nothing_are_left_out_without_changing_the_robot():
    with_meshes, without = (OTHERS["go1"].compile(visual=v).mj for v in (True, False))
    assert without.nmesh < with_meshes.nmesh
    np.testing.assert_allclose(without.body_mass, with_meshes.body_mass)
    np.testing.assert_allclose(without.body_inertia, with_meshes.body_inertia)
    colliding = [np.sum(m.geom_contype | m.geom_conaffinity > 0) for m in (with_meshes, without)]
    assert colliding[0] == colliding[1]


@pytest.mark.usefixtures("menagerie")
@pytest.mark.parametrize("name", OTHERS)
def test_menagerie_robots_compile_without_ground(name: str):
    model = OTHERS[name].compile(ground=False)
    assert len(model.clearance_adr) == 0


@pytest.mark.usefixtures("menagerie")
def test_an_unknown_menagerie_robot_is_one_line_that_names_it():
    with pytest.raises(UserError, match="menagerie:unitree_xyz.*MENAGERIE_ROOT") as caught:
        load_robot("menagerie:unitree_xyz")
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("menagerie")
@pytest.mark.parametrize(("name", "feet"), [("unitree_go1", 4), ("unitree_g1", 2)])
def test_feet_that_no_site_names_are_guessed_where_the_robot_stands(name: str, feet: int):
    """Oracle: the sites that the MJCF has at its feet under other names, or the ankles' own geoms."""
    robot = load_robot(f"menagerie:{name}")
    assert len(robot.feet) == feet
    model = replace(OTHERS["go1" if feet == 4 else "g1"], feet=robot.feet, foot_sites=robot.foot_sites).compile()
    data = mujoco.MjData(model.mj)
    data.qpos[:] = model.home_qpos
    mujoco.mj_kinematics(model.mj, data)
    soles = data.site_xpos[model.foot_sites]
    assert np.ptp(soles[:, 2]) < 0.01
    for body in model.foot_bodies:
        assert not (model.mj.body_parentid == body).any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"joints": "hip_("}, "no regular expression"),
        ({"kp": 0.0}, "kp is 0.0; it must be positive"),
        ({"kd": -1.0}, "kd is -1.0; it must not be negative"),
        ({"torque": float("nan")}, "torque is nan"),
        ({"action_scale": 0.0}, "action_scale is 0.0"),
    ],
)
def test_a_servo_that_cannot_be(change: dict, message: str):
    fine = {"joints": "hip_.*", "kp": 20.0, "kd": 0.5, "torque": 20.0, "velocity": 30.0, "armature": 0.01}
    Servo(**fine)
    with pytest.raises(UserError, match=message):
        Servo(**(fine | change))
