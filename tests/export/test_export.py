"""From a task and a policy to a file that the verifier, which knows neither, agrees with."""

import dataclasses
import hashlib

import mujoco
import numpy as np
import pytest
import torch
from gymnasium import spaces
from robopolicy_runtime.contract import Score, Trained
from robopolicy_runtime.policy import Controller, PolicyFile
from robopolicy_runtime.verify import verify

from robopolicy import export
from robopolicy.env.command import Command
from robopolicy.env.env import Env
from robopolicy.errors import UserError
from robopolicy.learn.policy import RobotPolicy
from robopolicy.robot import load_robot
from robopolicy.task import Gait, Task, ends, load_task, observe, randomize, term
from robopolicy.terms import observations, randomizers, rewards, terminations

ORIGIN = export.Origin("toy", "0" * 64, {"trot": "1" * 64}, "0.1.0", {"mujoco": "3"}, Trained(5, 1000, 2.5))


def make_task(**changes) -> Task:
    """Every deployable term, with history, on the go2, under everything that training adds."""
    task = Task(
        robot="go2",
        command=Command(ranges={"vx": (-0.8, 1.2), "vy": (-0.5, 0.5), "wz": (-1.0, 1.0)}),
        gait=Gait(period_s=0.5, standing_speed=0.1),
        observations={
            "gyro": observe(observations.angular_velocity, scale=0.25, noise=0.2),
            "gravity": observe(observations.projected_gravity, noise=0.05, history=2),
            "command": observe(observations.command, scale=2.0, history=2),
            "joint_position": observe(observations.joint_position, noise=0.02, history=3),
            "joint_velocity": observe(observations.joint_velocity, scale=0.05, noise=1.0),
            "last_action": observe(observations.last_action),
            "clock": observe(observations.gait_phase),
        },
        rewards={"velocity": term(1.0, rewards.track_linear_velocity, std=0.3)},
        terminations={
            "tilted": ends(terminations.tilted, limit=0.8),
            "too_low": ends(terminations.too_low, share=0.4),
        },
        randomizers={
            "encoder": randomize(randomizers.encoder_offset, limit=0.02),
            "latency": randomize(randomizers.action_latency, steps=(1, 4)),
        },
    )
    return dataclasses.replace(task, **changes)


def make_policy(env: Env, seed: int = 0) -> RobotPolicy:
    """A random policy that moves the legs, with normalisers that are not trivial."""

    def box(size: int) -> spaces.Box:
        return spaces.Box(-np.inf, np.inf, (size,))

    torch.manual_seed(seed)
    space = spaces.Dict(actor=box(env.actor_dim), critic=box(env.critic_dim))
    policy = RobotPolicy(space, box(env.num_actions), lambda _: 0.0, hidden_actor=(32, 16), hidden_critic=(8,))
    last = policy.actor[-1]
    assert isinstance(last, torch.nn.Linear)
    with torch.no_grad():
        last.weight.mul_(30)
    policy.actor_normalizer.update(torch.randn(100, env.actor_dim) * torch.linspace(0.1, 2, env.actor_dim) + 0.1)
    return policy


@pytest.fixture(scope="module", autouse=True)
def short_recording():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "EPISODES", 16)
        patch.setattr(export, "SECONDS", 1.0)
        yield


@pytest.fixture(scope="module")
def env() -> Env:
    return export.nominal_env(make_task())


@pytest.fixture(scope="module")
def exported(env, tmp_path_factory) -> PolicyFile:
    path = tmp_path_factory.mktemp("export") / "policy.onnx"
    export.export_policy(make_task(), make_policy(env), ORIGIN, path)
    return PolicyFile.open(path)


def test_the_verifier_agrees(exported):
    checks = {check.name: check for check in verify(exported.path)}
    assert [c for c in checks.values() if not c.ok] == []
    # The environment and plain MuJoCo are one engine, and the text in the file compiles to the same robot.
    assert checks["replay qpos"].measured < 1e-9
    assert checks["episode score"].measured < 1e-3


def test_the_recording_is_of_a_moving_robot(exported):
    reference = exported.reference()
    assert np.ptp(reference["qpos"][..., 7:], axis=1).min() > 1e-3
    assert np.abs(reference["action"]).max() > 0.1
    assert len(np.unique(reference["eval_command"], axis=0)) > 8


def test_actions_are_the_policy_s(exported, env):
    policy = make_policy(env)
    obs = torch.randn(20, env.actor_dim) * 3
    with torch.no_grad():
        expected = policy.actor_mean(obs).numpy()
    np.testing.assert_allclose(exported.run(obs.numpy()), expected, atol=1e-5)


def test_the_contract_tells_of_the_styles():
    task = load_task("droid_styles")
    told, robot = task.channels, load_robot(task.robot).compile()
    command = export.build_contract(task, robot, ORIGIN, export.mjcf_text(robot)).command
    assert command.names == ("vx", "vy", "wz", "style", "style_calm", "style_jaunty") == tuple(told.names)
    assert command.units[3:] == ("1", "1", "1")
    assert command.default == (0, 0, 0, 1, 1, 0)
    assert (command.lower[3:], command.upper[3:]) == ((0, 0, 0), (1, 1, 1))
    assert command.fill({"vx": 0.2, "style_jaunty": 1}) == (0.2, 0, 0, 1, 0, 1)


def test_the_contract_is_the_environment_s(exported, env):
    contract, robot = exported.contract, env.robot
    assert contract.joint_names == robot.joint_names
    assert np.array_equal(contract.default_pose, robot.default_pose)
    assert np.array_equal(contract.action.scale, robot.action_scale)
    assert np.array_equal(contract.kp, robot.kp)
    assert np.array_equal(contract.position_lower, robot.lower)
    assert contract.action.clip == env.action_clip
    assert (contract.control_period_s, contract.physics.substeps) == (0.02, 4)
    assert contract.delays == {"action_delay_s": (0.005, 0.02)}
    assert contract.command.names == ("vx", "vy", "wz")
    assert contract.command.units == ("m/s", "m/s", "rad/s")
    assert contract.command.lower == (-0.8, -0.5, -1.0)
    assert contract.command.default == (0.0, 0.0, 0.0)
    assert contract.score == Score("velocity", 0.318 * 0.4, 0.8)
    assert [o.name for o in contract.observations] == list(make_task().observations)
    assert contract.observations[-1].params == {"period_s": 0.5, "standing_speed": 0.1}
    assert contract.trained == Trained(5, 1000, 2.5)
    assert contract.hashes.clips == {"trot": "1" * 64}
    assert contract.hashes.mjcf == hashlib.sha256(exported.mjcf.encode()).hexdigest()


def test_a_start_away_from_home(exported):
    """The environment and the runtime agree on the first observation from any pose."""
    env = Env(make_task(randomizers={}), num_envs=8, seed=3, nominal=True)
    env.nominal = env.starts.nominal = False  # random starts
    obs = env.reset(stagger=False)["actor"].numpy()
    env.nominal = True
    controller = Controller(exported)
    assert np.ptp(env.qpos[:, 7:].numpy(), axis=0).min() > 0
    for n in range(8):
        controller.reset()
        gravity = env.state.gravity_b[n].numpy()  # all start upright, at rest
        rest = np.zeros(12)
        found = controller.observe(np.zeros(3), gravity, env.qpos[n, 7:].numpy(), rest, env.command[n].numpy())
        np.testing.assert_allclose(found[:-2], obs[n, :-2], atol=1e-6)  # the clock starts anywhere in training


def test_mjcf_compiles_to_the_same_bits(env):
    again = mujoco.MjModel.from_xml_string(export.mjcf_text(env.robot))
    for field in (
        "body_mass",
        "body_inertia",
        "body_ipos",
        "geom_size",
        "geom_pos",
        "geom_quat",
        "geom_friction",
    ):
        assert np.array_equal(getattr(again, field), getattr(env.robot.mj, field)), field
    for field in (
        "jnt_range",
        "dof_armature",
        "dof_damping",
        "dof_frictionloss",
        "actuator_gainprm",
        "qpos0",
    ):
        assert np.array_equal(getattr(again, field), getattr(env.robot.mj, field)), field


# What cannot run on a robot


def command(state) -> torch.Tensor:
    """A task's own term that has the name of one of ours."""
    return state.command


@pytest.mark.parametrize("function", [observations.base_linear_velocity, observations.base_height, command])
def test_what_no_robot_measures_is_refused(function):
    task = make_task(observations={"secret": observe(function)})
    with pytest.raises(UserError, match=rf"observation 'secret' is {function.__name__}, which no robot can measure"):
        export.nominal_env(task)
    with pytest.raises(UserError, match=rf"observation 'secret' .*'{function.__name__}'.*no robot can measure"):
        export.build_contract(task, load_robot("go2").compile(visual=False), ORIGIN, "<mujoco/>")


def test_command_without_a_unit_is_refused():
    task = make_task(command=Command(ranges={"wobble": (0.0, 1.0)}))
    with pytest.raises(UserError, match="command channel 'wobble' has no unit"):
        export.command_units(task)


def test_other_commands_are_graded_by_standing():
    task = make_task(command=Command(ranges={"pitch": (0.0, 1.0)}), terminations={})
    score = export.score_of(task, load_robot("go2").compile(visual=False))
    assert (score.kind, score.fall_tilt_rad) == ("upright", 1.0)


def test_imu_off_the_base_is_refused(env):
    mj = env.robot.mj
    elsewhere = next(i for i in range(mj.nsite) if mj.site_bodyid[i] != env.robot.base_body)
    robot = dataclasses.replace(env.robot, imu_site=elsewhere)
    with pytest.raises(UserError, match="IMU site 'imu' of 'go2' is on body .*, not on the base"):
        export.imu_of(robot)


def test_unknown_velocity_limit_is_stated_as_unknown(env):
    robot = dataclasses.replace(env.robot, velocity_limit=np.full(12, np.inf))
    contract = export.build_contract(make_task(), robot, ORIGIN, "")
    assert contract.velocity_limit == (None,) * 12
    assert "Infinity" not in contract.to_json()


def test_another_network_is_refused(env):
    policy = make_policy(env)
    policy.actor[1] = torch.nn.Tanh()
    with pytest.raises(UserError, match="must be linear layers with ELU.*Linear, Tanh"):
        export.actor_layers(policy)


def test_unwritable_output(env, tmp_path):
    with pytest.raises(UserError, match=r"nowhere/policy.onnx: cannot be written: No such file or directory"):
        export.export_policy(make_task(), make_policy(env), ORIGIN, tmp_path / "nowhere" / "policy.onnx")


def test_meshes_in_files_are_refused(env):
    spec = mujoco.MjSpec()
    spec.add_mesh(name="shell", file="shell.stl")
    robot = dataclasses.replace(env.robot, spec=spec)
    with pytest.raises(UserError, match=r"robot 'go2' needs files .*: shell.stl"):
        export.mjcf_text(robot)
