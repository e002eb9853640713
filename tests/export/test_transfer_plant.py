"""The hidden plant: nominal it is verify's, and every perturbation acts, as often as asked in the same way."""

import mujoco
import numpy as np
import pytest
import synthetic
from robopolicy_runtime.policy import Controller, PolicyFile
from robopolicy_runtime.transfer.deviations import NOMINAL, Deviations
from robopolicy_runtime.transfer.draw import PERTURBATIONS, draw_single, draw_whole
from robopolicy_runtime.transfer.plant import PUSH_S, HiddenPlant, rotation_of
from robopolicy_runtime.verify import Plant

COMMAND = np.array([0.3, 0.1, -0.4])


@pytest.fixture(scope="module")
def file(write, policy, tmp_path_factory) -> PolicyFile:
    """The toy policy with smaller actions: none is clipped, so that all that it senses shows in what it does."""
    *first, (weight, bias) = policy.layers
    layers = [*first, (0.2 * weight, 0.2 * bias)]
    return PolicyFile.open(write(tmp_path_factory.mktemp("gentle") / "gentle.onnx", layers=layers))


@pytest.fixture(scope="module")
def start(file) -> tuple[np.ndarray, np.ndarray]:
    reference = file.reference()
    return reference["eval_qpos0"][0], reference["eval_qvel0"][0]


def hidden(file: PolicyFile, **changes) -> HiddenPlant:
    return HiddenPlant(file.mjcf, file.contract, Deviations(**changes))


def drive(file: PolicyFile, plant: Plant, start, steps: int) -> np.ndarray:
    """States after each step of the closed loop. Shape (steps, nq)."""
    controller, states = Controller(file), []
    plant.reset(*start)
    for _ in range(steps):
        plant.step(controller.step(**plant.sensors(), command=COMMAND))
        states.append(plant.data.qpos.copy())
    return np.array(states)


def test_nominal_plant_is_the_one_of_verify(file):
    reference = file.reference()
    for e in range(6):
        start = reference["eval_qpos0"][e], reference["eval_qvel0"][e]
        ours = drive(file, hidden(file), start, 100)
        theirs = drive(file, Plant(file.mjcf, file.contract), start, 100)
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("integrator", ["Euler", "implicitfast", "implicit"])
def test_nominal_plant_under_every_integrator(file, start, integrator):
    mjcf = file.mjcf.replace("<option ", f'<option integrator="{integrator}" ')
    ours, theirs = HiddenPlant(mjcf, file.contract), Plant(mjcf, file.contract)
    difference = np.abs(drive(file, ours, start, 50) - drive(file, theirs, start, 50)).max()
    assert difference < 1e-6


@pytest.mark.parametrize("name", list(PERTURBATIONS))
def test_every_perturbation_acts_and_repeats(file, policy_path, start, name):
    if name in ("torque_speed", "supply"):  # which act where motors are at their limit
        file = PolicyFile.open(policy_path)

    def run(strength: float, seed: int = 1) -> np.ndarray:
        plant = HiddenPlant(file.mjcf, file.contract, draw_single(name, strength, seed, 2).deviations)
        plant.seed(seed)
        return drive(file, plant, start, 120)

    nominal, full = run(0.0), run(1.0)
    assert np.abs(full - nominal).max() > 1e-4
    assert np.array_equal(full, run(1.0))


def test_whole_plant_repeats_from_a_reset(file, start):
    plant = HiddenPlant(file.mjcf, file.contract, draw_whole(4, 2).deviations)
    plant.seed(4)
    first = drive(file, plant, start, 100)
    assert np.array_equal(first, drive(file, plant, start, 100))
    plant.seed(5)
    assert not np.array_equal(first, drive(file, plant, start, 100))


# The way of an order


def test_latency_is_whole_physics_steps(file, start):
    """Plain MuJoCo with the control changed by hand two of four physics steps late."""
    plant, bare = hidden(file, latency=0.01), Plant(file.mjcf, file.contract)
    plant.reset(*start)
    bare.reset(*start)
    held = start[0][7:]
    for k in range(20):
        target = synthetic.DEFAULT + 0.2 * np.sin(0.7 * k + np.arange(2))
        plant.step(target)
        for part in (held, target):
            bare.data.ctrl[:] = part
            mujoco.mj_step(bare.model, bare.data, 2)
        held = target
        np.testing.assert_allclose(plant.data.qpos, bare.data.qpos, rtol=0, atol=1e-9)


def test_when_everything_is_lost_the_pose_is_held_and_readings_stay_old(file, start):
    plant, bare = hidden(file, loss=1.0), Plant(file.mjcf, file.contract)
    plant.reset(*start)
    bare.reset(*start)
    before = plant.sensors()
    for _ in range(5):
        plant.step(np.array([0.5, -0.5]))
        bare.step(start[0][7:])
    np.testing.assert_allclose(plant.data.qpos, bare.data.qpos, rtol=0, atol=1e-9)
    assert plant.sensors() is before


def test_an_order_that_was_overtaken_counts_no_more(file, start):
    plant = hidden(file, latency=0.03, jitter=0.03)
    plant.reset(*start)
    newest = []
    for k in range(100):
        plant.step(np.full(2, 0.001 * k))
        newest.append(plant._received)
    assert newest == sorted(newest)
    assert len(set(newest)) < 90  # some were overtaken


# Sensors


def test_ideal_sensors_are_those_of_verify(file, start):
    plant, bare = hidden(file), Plant(file.mjcf, file.contract)
    plant.reset(*start)
    bare.reset(*start)
    for name, reading in bare.sensors().items():
        np.testing.assert_allclose(plant.sensors()[name], reading, atol=1e-12)


def test_imu_errors(file, start):
    turn, bias = np.array([0.0, 0.0, 0.3]), np.array([0.1, -0.2, 0.3])
    plant, ideal = hidden(file, imu_rotation=turn, gyro_bias=bias), hidden(file)
    plant.reset(*start)
    ideal.reset(*start)
    c, s = np.cos(0.3), np.sin(0.3)
    into = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])  # into a frame that is turned about z
    np.testing.assert_allclose(plant.sensors()["gravity"], into @ ideal.sensors()["gravity"], atol=1e-12)
    np.testing.assert_allclose(plant.sensors()["gyro"], into @ ideal.sensors()["gyro"] + bias, atol=1e-12)


def test_rotation_of_a_vector_is_mujoco_s():
    vector, quat, matrix = np.array([0.3, -0.5, 0.2]), np.zeros(4), np.zeros(9)
    angle = float(np.linalg.norm(vector))
    mujoco.mju_axisAngle2Quat(quat, vector / angle, angle)
    mujoco.mju_quat2Mat(matrix, quat)
    np.testing.assert_allclose(rotation_of(vector).ravel(), matrix, atol=1e-12)
    assert np.array_equal(rotation_of(np.zeros(3)), np.eye(3))


def test_noise_has_the_stated_deviation(file, start):
    plant = hidden(file, gyro_noise=0.5, position_noise=0.02, velocity_noise=1.5)
    readings: dict[str, list[np.ndarray]] = {"gyro": [], "joint_pos": [], "joint_vel": []}
    for seed in range(400):
        plant.seed(seed)
        plant.reset(*start)
        for name, values in readings.items():
            values.append(plant.sensors()[name])
    for name, deviation in (("gyro", 0.5), ("joint_pos", 0.02), ("joint_vel", 1.5)):
        np.testing.assert_allclose(np.std(readings[name], axis=0), deviation, rtol=0.15)


# Body and physics


def test_sides(file):
    assert hidden(file).sides().tolist() == [1, -1]


def test_asymmetry_makes_one_side_stronger(file, start):
    plant, ideal = hidden(file, asymmetry=0.2), hidden(file)
    for p in (plant, ideal):
        p.reset(*start)
        p.model.opt.timestep = 1e-9  # the torque of this very state
        p.step(np.array([5.0, 5.0]))
    np.testing.assert_allclose(plant.torque, ideal.torque * [1.2, 0.8])


def test_payload_and_centre_of_mass(file):
    shift = np.array([0.02, -0.01, 0.03])
    plant, ideal = hidden(file, payload=0.25, com_shift=shift).model, hidden(file).model
    base = int(plant.jnt_bodyid[0])
    assert plant.body_mass.sum() == pytest.approx(1.25 * ideal.body_mass.sum())
    assert plant.body_subtreemass[base] == pytest.approx(1.25 * ideal.body_subtreemass[base])
    np.testing.assert_allclose(plant.body_ipos[base] - ideal.body_ipos[base], shift)
    ratio = plant.body_mass[base] / ideal.body_mass[base]
    np.testing.assert_allclose(plant.body_inertia[base], ratio * ideal.body_inertia[base])
    np.testing.assert_array_equal(np.delete(plant.body_mass, base), np.delete(ideal.body_mass, base))


def test_friction_at_the_contacts(file, start):
    def contact(plant: HiddenPlant) -> float:
        drive(file, plant, start, 30)
        assert plant.data.ncon
        return float(plant.data.contact.friction[0, 0])

    assert contact(hidden(file, friction_scale=0.3)) == pytest.approx(0.3 * contact(hidden(file)))


@pytest.mark.parametrize(("scale", "substeps"), [(0.4, 10), (0.7, 6), (1.0, 4), (0.85, 5)])
def test_another_time_step_keeps_the_control_period(file, start, scale, substeps):
    plant = hidden(file, timestep_scale=scale)
    plant.reset(*start)
    plant.step(synthetic.DEFAULT)
    assert plant.data.time == pytest.approx(synthetic.PERIOD)
    assert plant.model.opt.timestep == pytest.approx(synthetic.PERIOD / substeps)


@pytest.mark.parametrize("field", ["other_cone", "other_integrator"])
def test_each_half_of_the_solver_acts(file, start, field):
    difference = drive(file, hidden(file, **{field: True}), start, 100) - drive(file, hidden(file), start, 100)
    assert np.abs(difference).max() > 1e-6


def test_a_push_gives_the_free_robot_its_speed(file):
    plant = hidden(file, push_speed=0.7, push_interval=100.0)
    qpos = np.concatenate(([0, 0, 800.0], [1, 0, 0, 0], synthetic.DEFAULT))
    plant.seed(next(s for s in range(100) if np.random.default_rng(s).uniform() < 0.01))
    plant.reset(qpos, np.zeros(8))
    speeds = []
    for _ in range(150):
        plant.step(synthetic.DEFAULT)
        mujoco.mj_subtreeVel(plant.model, plant.data)
        speeds.append(np.linalg.norm(plant.data.subtree_linvel[int(plant.model.jnt_bodyid[0]), :2]))
    assert speeds[0] == 0 or speeds[-1] > speeds[0]
    assert speeds[-1] == pytest.approx(0.7, rel=0.02)
    during = np.count_nonzero((np.array(speeds) > 1e-6) & (np.array(speeds) < 0.7 * 0.98))
    assert during * synthetic.PERIOD <= PUSH_S


def test_numbers_that_run_away_are_a_fall(file, start, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # MuJoCo writes a log there
    plant = hidden(file)
    plant.reset(*start)
    assert not plant.fallen()
    plant.data.qvel[:] = 1e12
    plant.step(synthetic.DEFAULT)
    assert plant.diverged
    assert plant.fallen()
    plant.reset(*start)
    assert not plant.fallen()


def test_saturation_is_counted(file, start):
    plant = hidden(file)
    plant.reset(*start)
    plant.step(np.array([50.0, synthetic.DEFAULT[1]]))
    assert plant.saturation == 0.5
    assert NOMINAL.supply == 1
