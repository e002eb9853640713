"""Every randomizer: it changes what it says, where it says, by how much it says, and the robot moves differently."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import mujoco
import numpy as np
import pytest
import torch
from small_envs import actions, compiled, quiet
from torch import Tensor

from robopolicy.env.env import Env
from robopolicy.errors import UserError
from robopolicy.mjcf import FLOOR
from robopolicy.robot import RobotModel
from robopolicy.sim.cpu import CpuSimulation
from robopolicy.task import randomize
from robopolicy.terms import randomizers

ROBOT = "droid"
Fields = dict[str, Tensor]
Ranges = list[tuple[Tensor, tuple[float, float]]]


@dataclass
class Case:
    """How a randomizer is used here, and what is known of its outcome.

    Attributes:
        params: Its arguments.
        drawn: From the outcome and the defaults, the numbers it must have drawn, with their range.
        expected: From those numbers and the defaults, the whole outcome.
        draws: How many numbers a robot gets.
    """

    params: dict
    drawn: Callable[[RobotModel, Fields, Fields], Ranges]
    expected: Callable[..., Fields]
    draws: int


def base_of(robot: RobotModel, field: Tensor) -> Tensor:
    return field[:, robot.base_body]


def added_to_base(robot: RobotModel, f: Fields, d: Fields) -> Ranges:
    return [(base_of(robot, f["body_mass"]) - base_of(robot, d["body_mass"]), (-0.5, 0.8))]


def heavier_base(robot: RobotModel, d: Fields, added: Tensor) -> Fields:
    mass, inertia = d["body_mass"].clone(), d["body_inertia"].clone()
    inertia[:, robot.base_body] *= (1 + added / mass[:, robot.base_body]).unsqueeze(-1)
    mass[:, robot.base_body] += added
    return {"body_mass": mass, "body_inertia": inertia}


def with_floor(robot: RobotModel, d: Fields, friction: Tensor) -> Fields:
    value = d["geom_friction"].clone()
    value[:, robot.mj.geom(FLOOR).id, 0] = friction
    return {"geom_friction": value}


def scaled_links(robot: RobotModel, d: Fields, factor: Tensor) -> Fields:
    bodies = {"body_mass": d["body_mass"].clone(), "body_inertia": d["body_inertia"].clone()}
    bodies["body_mass"][:, 1:] *= factor
    bodies["body_inertia"][:, 1:] *= factor.unsqueeze(-1)
    return {k: bodies[k] for k in d}


def moved_com(robot: RobotModel, d: Fields, shift: Tensor) -> Fields:
    value = d["body_ipos"].clone()
    value[:, robot.base_body] += shift
    return {"body_ipos": value}


def scaled_dofs(field: str, robot: RobotModel, d: Fields, factor: Tensor) -> Fields:
    value = d[field].clone()
    value[:, robot.dof_adr] *= factor
    return {field: value}


def dof_ratio(field: str, robot: RobotModel, f: Fields, d: Fields) -> Ranges:
    return [(f[field][:, robot.dof_adr] / d[field][:, robot.dof_adr], (0.5, 1.5))]


def scaled_motors(robot: RobotModel, d: Fields, factor: Tensor) -> Fields:
    return {name: value * factor.unsqueeze(-1) for name, value in d.items()}


def scaled_gains(robot: RobotModel, d: Fields, kp: Tensor, kd: Tensor) -> Fields:
    gain, bias = d["actuator_gainprm"].clone(), d["actuator_biasprm"].clone()
    gain[..., 0] *= kp
    bias[..., 1] *= kp
    bias[..., 2] *= kd
    return {"actuator_gainprm": gain, "actuator_biasprm": bias}


def gain_ratios(robot: RobotModel, f: Fields, d: Fields) -> Ranges:
    gain, bias = "actuator_gainprm", "actuator_biasprm"
    return [
        (f[gain][..., 0] / d[gain][..., 0], (0.8, 1.1)),
        (f[bias][..., 2] / d[bias][..., 2], (0.5, 2.0)),
    ]


def rotation_vector(robot: RobotModel, f: Fields, d: Fields) -> Ranges:
    vectors = torch.empty(len(f["imu_rotation"]), 3)
    for k, quat in enumerate(f["imu_rotation"].double().numpy()):
        vector = np.empty(3)
        mujoco.mju_quat2Vel(vector, quat, 1.0)
        vectors[k] = torch.as_tensor(vector)
    return [(vectors, (-0.03, 0.03))]


def turned(robot: RobotModel, d: Fields, vector: Tensor) -> Fields:
    quat = np.empty((len(vector), 4))
    for k, v in enumerate(vector.double().numpy()):
        angle = float(np.linalg.norm(v))
        mujoco.mju_axisAngle2Quat(quat[k], v / angle, angle)
    return {"imu_rotation": torch.as_tensor(quat).float()}


def late_steps(robot: RobotModel, f: Fields, d: Fields) -> Ranges:
    # how many whole steps have passed when the time is up; k steps late are drawn with equal chance
    return [(torch.ceil(f["actuator_delay"][:, 0] / robot.mj.opt.timestep), (0, 3))]


def delayed(robot: RobotModel, d: Fields, steps: Tensor) -> Fields:
    seconds = ((steps - 0.5) * robot.mj.opt.timestep).clamp(min=0)
    return {"actuator_delay": seconds.unsqueeze(-1).expand_as(d["actuator_delay"])}


def damped(robot: RobotModel, d: Fields, added: Tensor) -> Fields:
    value = d["dof_damping"].clone()
    value[:, robot.dof_adr] += added * torch.as_tensor(robot.kd)
    return {"dof_damping": value}


JOINTS = 14
SIDES = [1.0] * 5 + [-1.0] * 5 + [0.0] * 4  # of the droid's joints: left leg, right leg, neck and head
CASES = {
    "ground_friction": Case(
        {"friction": (0.3, 1.4)},
        lambda r, f, d: [(f["geom_friction"][:, r.mj.geom(FLOOR).id, 0], (0.3, 1.4))],
        with_floor,
        1,
    ),
    "base_mass": Case({"added": (-0.5, 0.8)}, added_to_base, heavier_base, 1),
    "link_mass": Case(
        {"scale": (0.8, 1.3)},
        lambda r, f, d: [(f["body_mass"][:, 1:] / d["body_mass"][:, 1:], (0.8, 1.3))],
        scaled_links,
        15,
    ),
    "link_inertia": Case(
        {"scale": (0.8, 1.3)},
        lambda r, f, d: [(f["body_inertia"][:, 1:, 0] / d["body_inertia"][:, 1:, 0], (0.8, 1.3))],
        lambda r, d, factor: {
            "body_inertia": torch.cat(
                (d["body_inertia"][:, :1], d["body_inertia"][:, 1:] * factor.unsqueeze(-1)), dim=1
            )
        },
        15,
    ),
    "base_com": Case(
        {"shift": 0.02},
        lambda r, f, d: [(base_of(r, f["body_ipos"]) - base_of(r, d["body_ipos"]), (-0.02, 0.02))],
        moved_com,
        3,
    ),
    "joint_friction": Case(
        {"scale": (0.5, 1.5)},
        partial(dof_ratio, "dof_frictionloss"),
        partial(scaled_dofs, "dof_frictionloss"),
        JOINTS,
    ),
    "armature": Case(
        {"scale": (0.5, 1.5)}, partial(dof_ratio, "dof_armature"), partial(scaled_dofs, "dof_armature"), JOINTS
    ),
    "motor_strength": Case(
        {"scale": (0.7, 1.1)},
        lambda r, f, d: [(f["actuator_gainprm"][..., 0] / d["actuator_gainprm"][..., 0], (0.7, 1.1))],
        scaled_motors,
        JOINTS,
    ),
    "pd_gains": Case({"kp": (0.8, 1.1), "kd": (0.5, 2.0)}, gain_ratios, scaled_gains, JOINTS),
    "encoder_offset": Case(
        {"limit": 0.05},
        lambda r, f, d: [(f["encoder_offset"], (-0.05, 0.05))],
        lambda r, d, offset: {"encoder_offset": offset},
        JOINTS,
    ),
    "imu_orientation": Case({"limit": 0.03}, rotation_vector, turned, 3),
    "action_latency": Case({"steps": (0, 3)}, late_steps, delayed, 1),
    "sensor_latency": Case(
        {"steps": (0, 3)},
        lambda r, f, d: [(f["sensor_delay"][:, 0], (0, 3))],
        lambda r, d, steps: {"sensor_delay": steps.unsqueeze(-1)},
        1,
    ),
    "torque_speed": Case(
        {"no_load": (0.2, 0.6), "corner": (0.0, 0.5)},
        lambda r, f, d: [(f["no_load_speed"] / d["no_load_speed"], (0.2, 0.6)), (f["corner"], (0.0, 0.5))],
        lambda r, d, factor, corner: {"no_load_speed": d["no_load_speed"] * factor, "corner": corner},
        JOINTS,
    ),
    "supply_voltage": Case(
        {"voltage": (0.3, 0.5), "sag": (0.1, 0.3)},
        lambda r, f, d: [(f["supply"], (0.3, 0.5)), (f["sag"], (0.1, 0.3))],
        lambda r, d, supply, sag: {"supply": supply, "sag": sag},
        1,
    ),
    "backlash": Case(
        {"play": (0.01, 0.05)},
        lambda r, f, d: [(f["backlash"], (0.01, 0.05))],
        lambda r, d, play: {"backlash": play},
        JOINTS,
    ),
    "gyro_bias": Case(
        {"limit": 0.2},
        lambda r, f, d: [(f["gyro_bias"], (-0.2, 0.2))],
        lambda r, d, bias: {"gyro_bias": bias},
        3,
    ),
    "packet_loss": Case(
        {"share": (0.1, 0.6)},
        lambda r, f, d: [(f["loss"], (0.1, 0.6))],
        lambda r, d, share: {"loss": share},
        1,
    ),
    "side_strength": Case(
        {"difference": (-0.3, 0.2)},
        lambda r, f, d: [(f["actuator_gainprm"][:, 0, 0] / d["actuator_gainprm"][:, 0, 0] - 1, (-0.3, 0.2))],
        lambda r, d, more: scaled_motors(r, d, 1 + more.unsqueeze(-1) * torch.tensor(SIDES)),
        1,
    ),
    "joint_damping": Case(
        {"added": (0.1, 0.5)},
        lambda r, f, d: [
            (
                (f["dof_damping"] - d["dof_damping"])[:, r.dof_adr] / torch.as_tensor(r.kd),
                (0.1, 0.5),
            )
        ],
        damped,
        JOINTS,
    ),
}
SENSES = ("imu_orientation", "backlash", "sensor_latency", "gyro_bias")  # turn what is sensed, not what happens
SOMETIMES = ("action_latency", "sensor_latency")  # whole steps, of which none may be drawn


def env_defaults(robot: RobotModel) -> Fields:
    """Fields that are the environment's and not MuJoCo's, as they are without randomization, of one robot."""
    return {
        "encoder_offset": torch.zeros(1, JOINTS),
        "imu_rotation": torch.tensor([[1.0, 0, 0, 0]]),
        "no_load_speed": torch.as_tensor(robot.velocity_limit).float().unsqueeze(0),
        "corner": torch.full((1, 1), 0.5),
        "supply": torch.ones(1, 1),
        "sag": torch.zeros(1, 1),
        "backlash": torch.zeros(1, JOINTS),
        "sensor_delay": torch.zeros(1, 1),
        "gyro_bias": torch.zeros(1, 3),
        "loss": torch.zeros(1, 1),
    }


ENV_FIELDS = tuple(env_defaults(compiled(ROBOT)))


def functions() -> dict[str, Callable]:
    return {n: f for n, f in inspect.getmembers(randomizers, inspect.isfunction) if hasattr(f, "fields")}


def make(name: str | None, n: int, seed: int = 0, **changes) -> Env:
    chosen = {} if name is None else {name: randomize(functions()[name], **CASES[name].params)}
    return Env(quiet("droid_walk", randomizers=chosen, **changes), n, seed=seed)


def outcome(env: Env, name: str) -> Fields:
    fields = functions()[name].fields
    return {f: (getattr(env, f) if f in ENV_FIELDS else env.sim.expand(f)).clone() for f in fields}


def defaults(env: Env, name: str) -> Fields:
    """What the compiler made of the MJCF, from a model that no environment has touched."""
    known = env_defaults(env.robot)
    model = env.robot.robot.compile(visual=False).mj
    return {
        f: (known[f] if f in known else torch.as_tensor(getattr(model, f)).unsqueeze(0)).repeat(
            env.num_envs, *[1] * (known[f].ndim - 1 if f in known else np.ndim(getattr(model, f)))
        )
        for f in functions()[name].fields
    }


def test_every_randomizer_is_tested_here():
    assert set(functions()) == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_it_draws_uniformly_from_its_range_and_changes_nothing_else(name: str):
    case, env = CASES[name], make(name, 256)
    env.reset()
    fields, default = outcome(env, name), defaults(env, name)
    values = case.drawn(env.robot, fields, default)
    for drawn, (low, high) in values:
        assert drawn.numel() in (256, 256 * case.draws)
        width = high - low
        assert float(drawn.min()) >= low - 1e-4 * width
        assert float(drawn.max()) <= high + 1e-4 * width
        assert float(drawn.min()) < low + 0.03 * width
        assert float(drawn.max()) > high - 0.03 * width
        assert float(drawn.mean()) == pytest.approx((low + high) / 2, abs=0.06 * width)
        spread = width / 12**0.5 if name not in SOMETIMES else 1.118
        assert float(drawn.std()) == pytest.approx(spread, rel=0.1)
        if drawn.numel() > 256:  # each joint, link or axis has its own
            assert float(drawn.std(dim=1).min()) > 0
    expected = case.expected(env.robot, default, *(drawn for drawn, _ in values))
    assert expected.keys() == fields.keys()
    for field, value in expected.items():
        torch.testing.assert_close(fields[field], value.to(fields[field].dtype), rtol=1e-5, atol=1e-7, msg=field)


@pytest.mark.parametrize("name", CASES)
def test_only_robots_whose_episode_begins_are_drawn_anew(name: str):
    env = make(name, 16, terminations={})
    env.reset(stagger=False)
    before = outcome(env, name)
    mask = torch.arange(16) % 3 == 0
    env.age[mask] = env.max_episode_steps - 1
    step = env.step(torch.zeros(16, env.num_actions))
    assert torch.equal(step.truncated, mask)
    after = outcome(env, name)
    changed = torch.zeros(16, dtype=torch.bool)
    for field in before:
        assert torch.equal(after[field][~mask], before[field][~mask])
        changed |= (after[field] != before[field]).flatten(1).any(1)
    assert changed.any() if name in SOMETIMES else torch.equal(changed, mask)  # 0 to 3 steps may recur


@pytest.mark.parametrize("name", CASES)
def test_it_never_accumulates(name: str):
    case, env = CASES[name], make(name, 8)
    default, means = defaults(env, name), []
    for _ in range(100):
        env.reset()
        for drawn, (low, high) in case.drawn(env.robot, outcome(env, name), default):
            assert float(drawn.min()) >= low - 1e-4 * (high - low)
            assert float(drawn.max()) <= high + 1e-4 * (high - low)
            means.append(float(drawn.double().mean()) - (low + high) / 2)
    late, width = np.array(means[-50:]), case.drawn(env.robot, default, default)[0][1]
    assert abs(late.mean()) < 0.1 * (width[1] - width[0])
    for field, value in defaults(env, name).items():
        if field not in ENV_FIELDS:  # the compiled model itself stays as it is
            np.testing.assert_array_equal(getattr(env.robot.mj, field), value[0].numpy())


@pytest.mark.parametrize("name", CASES)
def test_the_robot_moves_or_senses_differently(name: str):
    """The same robot, the same start, the same actions, with and without."""
    paths = []
    for chosen in (name, None):
        env = make(chosen, 8, terminations={})
        env.reset(stagger=False)
        env.hold_command(torch.zeros(8, 3))
        env.qvel[:, 0] += 1.5  # so that it slides as well
        seen = [(env.qpos.float(), env.step(action).obs["actor"].clone()) for action in actions(env, 12, size=2.0)]
        assert env.qpos.isfinite().all()
        paths.append((env.qpos.float(), torch.stack([obs for _, obs in seen])))
    moved = (paths[0][0] - paths[1][0]).abs().amax(1)
    sensed = (paths[0][1] - paths[1][1]).abs().amax((0, 2))
    if name in SENSES:
        late = outcome(make_and_reset(name), name).get("sensor_delay", torch.ones(8, 1))[:, 0] > 0
        assert not moved.any()
        assert torch.equal(sensed > 1e-3, late)
        return
    differ = moved > 1e-4
    if name == "action_latency":  # some robots are never late
        drawn = late_steps(env.robot, outcome(make_and_reset(name), name), {})[0][0]
        assert torch.equal(differ, drawn > 0)
        return
    assert differ.all(), moved


def make_and_reset(name: str) -> Env:
    env = make(name, 8, terminations={})
    env.reset(stagger=False)
    return env


@pytest.mark.parametrize("name", ["base_mass", "link_mass", "link_inertia", "base_com", "armature"])
def test_constants_derived_from_what_it_changed_follow(name: str):
    """Oracle: mj_setConst on a model edited the same way. Contacts and sensors depend on these."""
    env = make_and_reset(name)
    fields = outcome(env, name)
    for i in range(env.num_envs):
        model = compiled(ROBOT).robot.compile(visual=False).mj
        for field, value in fields.items():
            getattr(model, field)[:] = value[i].numpy()
        mujoco.mj_setConst(model, mujoco.MjData(model))
        for derived in ("body_subtreemass", "body_invweight0", "dof_invweight0", "actuator_acc0"):
            np.testing.assert_allclose(env.sim.expand(derived)[i].numpy(), getattr(model, derived), rtol=1e-9)


def test_scaling_what_is_zero_is_no_silent_nothing(tmp_path: Path):
    """A robot whose servos name no friction, as the default is: the randomizer could not act, and must say so."""
    path = tmp_path / "robot.py"
    path.write_text(
        "from dataclasses import replace\n"
        "from robopolicy.robot import load_robot\n"
        "droid = load_robot('droid')\n"
        "ROBOT = replace(droid, servos=tuple(replace(s, friction=0.0) for s in droid.servos))\n"
    )
    task = quiet("droid_walk", randomizers={"friction": randomize(randomizers.joint_friction)})
    with pytest.raises(UserError, match="friction"):
        Env(replace(task, robot=str(path)), 2).reset()


def test_randomizers_of_one_field_compose():
    """Strength and gains scale the same numbers; base mass comes on top of link mass."""
    chosen = {
        "strength": randomize(randomizers.motor_strength, scale=(0.5, 0.6)),
        "gains": randomize(randomizers.pd_gains, kp=(1.5, 2.0), kd=(3.0, 4.0)),
        "links": randomize(randomizers.link_mass, scale=(1.2, 1.3)),
        "base": randomize(randomizers.base_mass, added=(2.0, 3.0)),
        "inertia": randomize(randomizers.link_inertia, scale=(2.0, 2.0)),
    }
    env = Env(quiet("droid_walk", randomizers=chosen), 64)
    mj, base = env.robot.mj, env.robot.base_body
    for _ in range(3):
        env.reset()
        strength = env.sim.expand("actuator_forcerange")[..., 1] / torch.as_tensor(mj.actuator_forcerange[:, 1])
        kp = env.sim.expand("actuator_gainprm")[..., 0] / torch.as_tensor(mj.actuator_gainprm[:, 0]) / strength
        kd = env.sim.expand("actuator_biasprm")[..., 2] / torch.as_tensor(mj.actuator_biasprm[:, 2]) / strength
        mass = env.sim.expand("body_mass")
        links = mass[:, base + 1 :] / torch.as_tensor(mj.body_mass[base + 1 :])
        for value, low, high in ((strength, 0.5, 0.6), (kp, 1.5, 2.0), (kd, 3.0, 4.0), (links, 1.2, 1.3)):
            assert low - 1e-6 <= float(value.min()) < float(value.max()) <= high + 1e-6
        trunk = float(mj.body_mass[base])
        assert 1.2 * trunk + 2 < float(mass[:, base].min()) < float(mass[:, base].max()) < 1.3 * trunk + 3
        grown = env.sim.expand("body_inertia")[:, base, 0] / mj.body_inertia[base, 0]
        torch.testing.assert_close(grown, 2 * mass[:, base] / trunk, rtol=1e-5, atol=0)
        torch.testing.assert_close(env.snapshot().kp, env.sim.expand("actuator_gainprm")[..., 0].float())
        torch.testing.assert_close(env.snapshot().kd, -env.sim.expand("actuator_biasprm")[..., 2].float())
        torch.testing.assert_close(env.snapshot().torque_limit, env.sim.expand("actuator_forcerange")[..., 1].float())


@pytest.mark.parametrize("robot", ["droid", "go2"])
def test_contacts_really_use_the_drawn_friction(robot: str):
    """While a pushed robot slides, friction's impulse is mu times the floor's, whatever the feet's own 0.8.

    Both impulses follow from how the centre of mass changes its velocity.
    """
    mj = compiled(robot).robot.compile(visual=False).mj
    for field in (mj.actuator_gainprm, mj.actuator_biasprm, mj.actuator_forcerange):
        field *= 30.0  # a nearly rigid body
    frictions = torch.tensor([0.05, 0.1, 0.2, 0.4], dtype=torch.float64)
    n = len(frictions)
    sim, everyone = CpuSimulation(mj, n, 1), torch.ones(n, dtype=torch.bool)
    friction = sim.expand("geom_friction")
    drawn = friction.clone()
    drawn[:, mj.geom(FLOOR).id, 0] = frictions
    sim.assign(everyone, {"geom_friction": friction}, lambda rows, k: {"geom_friction": drawn[rows]})
    sim.update_model(everyone)
    sim.bind("qpos").copy_(torch.as_tensor(compiled(robot).home_qpos).expand(n, -1))
    sim.bind("ctrl").copy_(torch.as_tensor(compiled(robot).default_pose).expand(n, -1))
    sim.forward(everyone)
    sim.step(20)
    sim.bind("qvel")[:, 0] += 3.0
    places = []
    for _ in range(12):
        sim.step(1)
        places.append(sim.bind("subtree_com")[:, 1].clone())
    velocity = torch.stack(places).diff(dim=0) / mj.opt.timestep
    change, time = velocity[-1] - velocity[0], (len(velocity) - 1) * mj.opt.timestep
    felt = -change[:, 0] / (9.81 * time + change[:, 2])
    torch.testing.assert_close(felt, frictions, rtol=0.02, atol=0)
    assert (velocity[-1, :-1, 0] > velocity[-1, 1:, 0]).all()  # the more friction, the sooner it stops
