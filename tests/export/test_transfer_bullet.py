"""The hidden plant in Bullet: it stands as MuJoCo's does, every deviation acts, and the study has its rows."""

import dataclasses
import json
import math
import subprocess
import sys

import numpy as np
import pytest
import synthetic
from robopolicy_runtime.contract import Contract
from robopolicy_runtime.errors import ContractError
from robopolicy_runtime.policy import Controller, PolicyFile
from robopolicy_runtime.transfer import bullet_engine, report
from robopolicy_runtime.transfer.__main__ import main
from robopolicy_runtime.transfer.bullet import LEFT_OUT, TIMESTEP, BulletPlant
from robopolicy_runtime.transfer.deviations import NOMINAL, Deviations
from robopolicy_runtime.transfer.draw import PERTURBATIONS, Drawn, draw_single
from robopolicy_runtime.transfer.measure import Starts, run_episode
from robopolicy_runtime.transfer.plant import HiddenPlant
from robopolicy_runtime.transfer.study import run_study

pytest.importorskip("pybullet", reason="the second engine is not installed: pip install pybullet")

LEG = """
<body name="{name}" pos="{x} {y} 0">
  <joint name="{name}_hip" axis="0 1 0" armature=".01" frictionloss=".05"/>
  <geom type="capsule" fromto="0 0 0 0 0 -.15" size=".02" mass=".4" contype="0" conaffinity="0"/>
  <body name="{name}_shank" pos="0 0 -.15">
    <joint name="{name}_knee" axis="0 1 0" armature=".01" damping=".02"/>
    <geom type="capsule" fromto="0 0 0 0 0 -.15" size=".015" mass=".2"/>
  </body>
</body>
"""
LEGS = {"fl": (0.2, 0.1), "fr": (0.2, -0.1), "rl": (-0.2, 0.1), "rr": (-0.2, -0.1)}
NAMES = tuple(f"{leg}_{part}" for leg in LEGS for part in ("hip", "knee"))
POSE = (0.6, -1.2) * 4
EARLY = next(s for s in range(1000) if np.random.default_rng(s).uniform() < 0.05)  # a seed whose first push comes soon
DOG = f"""
<mujoco>
  <compiler angle="radian"/>
  <option timestep="0.005"/>
  <worldbody>
    <geom name="floor" type="plane" size="0 0 .05"/>
    <body name="base" pos="0 0 .3"><freejoint/><site name="imu"/>
      <geom type="box" size=".22 .08 .05" mass="6"/>
      {"".join(LEG.format(name=n, x=x, y=y) for n, (x, y) in LEGS.items())}
    </body>
  </worldbody>
  <actuator>
    {"".join(f'<position joint="{n}" kp="40" kv="1" forcerange="-20 20"/>' for n in NAMES)}
  </actuator>
</mujoco>
"""


def dog_contract() -> Contract:
    joints = len(NAMES)
    return dataclasses.replace(
        synthetic.contract(DOG),
        joint_names=NAMES,
        default_pose=POSE,
        kp=(40.0,) * joints,
        kd=(1.0,) * joints,
        torque_limit=(20.0,) * joints,
        velocity_limit=(None,) * joints,
    )


@pytest.fixture(scope="module")
def file(write, policy, tmp_path_factory) -> PolicyFile:
    """The toy policy with smaller actions, so that all that it senses shows in what it does."""
    *first, (weight, bias) = policy.layers
    layers = [*first, (0.2 * weight, 0.2 * bias)]
    return PolicyFile.open(write(tmp_path_factory.mktemp("gentle") / "gentle.onnx", layers=layers))


@pytest.fixture(scope="module")
def start(file) -> tuple[np.ndarray, np.ndarray]:
    reference = file.reference()
    return reference["eval_qpos0"][0], reference["eval_qvel0"][0]


def drive(file: PolicyFile, plant: HiddenPlant, start, steps: int) -> np.ndarray:
    """States after each step of the closed loop. Shape (steps, nq)."""
    controller, states = Controller(file), []
    plant.reset(*start)
    for _ in range(steps):
        plant.step(controller.step(**plant.sensors(), command=np.array([0.3, 0.1, -0.4])))
        states.append(plant.data.qpos.copy())
    return np.array(states)


@pytest.fixture(scope="module")
def standing() -> list[HiddenPlant]:
    """The dog after two seconds at its default pose, in MuJoCo and in Bullet."""
    plants = [HiddenPlant(DOG, dog_contract()), BulletPlant(DOG, dog_contract())]
    for plant in plants:
        plant.reset(np.array([0, 0, 0.27, 1, 0, 0, 0, *POSE]), np.zeros(14))
        for _ in range(100):
            plant.step(np.array(POSE))
    return plants


def test_a_robot_stands_as_high_as_in_mujoco(standing):
    for plant in standing:
        assert np.abs(plant.data.qvel).max() < 0.02
        assert plant.rotation[2, 2] > 0.999
    mujoco, bullet = (plant.data.qpos[2] for plant in standing)
    assert bullet == pytest.approx(mujoco, rel=0.01)


def test_standing_torques_are_mujoco_s(standing):
    mujoco, bullet = (np.abs(plant.torque).reshape(4, 2).sum(0) for plant in standing)
    np.testing.assert_allclose(bullet, mujoco, rtol=0.15)  # dry friction and feet that slip take the rest


def test_in_the_air_the_motion_is_mujoco_s(file, start):
    """No contact: the drives move the joints and the base in the same way for a tenth of a second."""
    qpos = start[0] + np.array([0, 0, 50, *np.zeros(6)])
    states = []
    for plant in (HiddenPlant(file.mjcf, file.contract), BulletPlant(file.mjcf, file.contract)):
        plant.reset(qpos, start[1])
        for _ in range(5):
            plant.step(synthetic.DEFAULT + [0.2, -0.2])
        states.append(plant.data.qpos - qpos)
    assert np.abs(states[0][7:]).min() > 0.1
    np.testing.assert_allclose(states[1][7:], states[0][7:], rtol=0.1)
    np.testing.assert_allclose(states[1][:3], states[0][:3], atol=2e-3)


def test_sensors_at_the_start_are_mujoco_s(file, start):
    ours, theirs = BulletPlant(file.mjcf, file.contract), HiddenPlant(file.mjcf, file.contract)
    ours.reset(*start)
    theirs.reset(*start)
    assert set(ours.sensors()) == set(theirs.sensors())
    for name, reading in theirs.sensors().items():
        np.testing.assert_allclose(ours.sensors()[name], reading, atol=1e-12)
    assert ours.fallen() == theirs.fallen()


@pytest.mark.parametrize("name", [name for name in PERTURBATIONS if name not in LEFT_OUT])
def test_every_perturbation_acts_and_repeats(file, policy_path, start, name):
    if name in ("torque_speed", "supply"):  # which act where motors are at their limit
        file = PolicyFile.open(policy_path)

    plant = BulletPlant(file.mjcf, file.contract, draw_single(name, 1.0, 1, 2).deviations)
    plant.seed(EARLY)
    full = drive(file, plant, start, 20)
    assert np.abs(full - drive(file, BulletPlant(file.mjcf, file.contract), start, 20)).max() > 1e-4
    assert np.array_equal(full, drive(file, plant, start, 20))


def test_what_is_left_out_changes_nothing(file, start):
    other = Deviations(other_cone=True, other_integrator=True)
    both = [BulletPlant(file.mjcf, file.contract, d) for d in (NOMINAL, other)]
    assert LEFT_OUT == ("solver",)
    first, second = (drive(file, plant, start, 20) for plant in both)
    assert np.array_equal(first, second)


def test_the_physics_step_is_short_enough_for_the_drive(file):
    plant = BulletPlant(file.mjcf, file.contract)
    assert plant.model.opt.timestep <= TIMESTEP
    assert plant._substeps * plant.model.opt.timestep == pytest.approx(synthetic.PERIOD)
    stiff = dataclasses.replace(file.contract, kd=(7.0, 0.8))
    assert BulletPlant(file.mjcf, stiff).model.opt.timestep < 0.9 * plant.model.opt.timestep
    half = BulletPlant(file.mjcf, file.contract, Deviations(timestep_scale=0.5))
    assert half.model.opt.timestep == pytest.approx(0.5 * plant.model.opt.timestep)


def test_a_push_gives_the_robot_its_speed():
    d = Deviations(push_speed=0.7, push_interval=20.0)  # the next one comes after the end
    plant = BulletPlant(DOG, dog_contract(), d)
    plant.seed(EARLY)
    plant.reset(np.array([0, 0, 800.0, 1, 0, 0, 0, *POSE]), np.zeros(14))
    for _ in range(100):
        plant.step(np.array(POSE))
    total = plant.model.body_mass.sum()
    # Momentum from where the centre of mass went in a step.
    world, places = plant._world, []
    assert world is not None
    for _ in range(2):
        found = world.bodies().values()
        places.append(sum(mass * com for com, _, mass in found) / total)
        plant.step(np.array(POSE))
    speed = (places[1] - places[0])[:2] / synthetic.PERIOD
    assert math.hypot(*speed) == pytest.approx(0.7, rel=0.02)


def test_numbers_that_run_away_are_a_fall(file, start):
    plant = BulletPlant(file.mjcf, file.contract)
    plant.reset(*start)
    assert not plant.fallen()
    plant.data.qvel[0] = np.nan
    assert plant.fallen()


# The study


def test_study_has_the_second_engine(file):
    study = run_study([file], seeds=2, seconds=0.2, names=[], engines=["mujoco", "bullet"])
    second = study.results[0].second
    assert second is not None
    assert second.nominal.survival.count == second.hidden.survival.count == 2
    starts = Starts.of(file)
    alone = [run_episode(file, starts, Drawn(seed, {}, NOMINAL), 0.2, "bullet") for seed in range(2)]
    assert second.nominal.tilt_rad is not None
    assert second.nominal.tilt_rad.value == pytest.approx(np.mean([e.tilt_rad for e in alone]))
    assert study.results[0].nominal.tilt_rad != second.nominal.tilt_rad
    assert study.notes == ("in the second engine hidden plants are without solver, which is MuJoCo's own",)
    for shown in (report.text(study), report.page(study)):
        assert "second engine (bullet)" in shown
        assert "second engine (bullet), hidden" in shown
    said = report.values(study)["policies"][0]["second_engine"]
    assert said["engine"] == "bullet"
    assert said["nominal"]["survival"]["count"] == 2


def test_it_is_left_out_where_nobody_asks(file):
    study = run_study([file], seeds=1, seconds=0.1, names=[], engines=["mujoco"])
    assert study.results[0].second is None
    assert "bullet" not in report.text(study)
    assert report.values(study)["policies"][0]["second_engine"] is None


def test_without_pybullet(file, monkeypatch, capsys):
    monkeypatch.setattr(bullet_engine, "available", lambda: False)
    quick = [str(file.path), "--seeds", "1", "--seconds", ".1", "--perturbations", "--jobs", "1"]
    main(quick)
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith("no second engine: bullet: pybullet is not installed: pip install")
    assert main([*quick, "--engines", "mujoco", "bullet"]) == 2
    assert "refused: bullet: pybullet is not installed" in capsys.readouterr().err


def test_through_the_command_line(file):
    """In a process of its own, so that what Bullet prints as it is loaded would show."""
    quick = [str(file.path), "--seeds", "2", "--seconds", ".1", "--perturbations", "--jobs", "1", "--json"]
    command = [sys.executable, "-m", "robopolicy_runtime.transfer", *quick]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0
    assert json.loads(done.stdout)["policies"][0]["second_engine"]["engine"] == "bullet"
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("engines", "message"),
    [(["mujoco", "physx"], "no engine 'physx'; there are: mujoco, bullet"), (["bullet"], "mujoco cannot be left out")],
)
def test_engines_that_are_refused(file, engines, message):
    with pytest.raises(ContractError, match=message):
        run_study([file], seeds=1, engines=engines)
