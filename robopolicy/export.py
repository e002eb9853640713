"""From a run to one ONNX file: the actor, its contract, and a recording to check the file against."""

import ctypes
import dataclasses
import hashlib
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np
import torch
from robopolicy_runtime import contract as c
from robopolicy_runtime.errors import ContractError
from robopolicy_runtime.onnx_writer import write_policy
from torch import Tensor, nn

from robopolicy import checkpoint
from robopolicy.checkpoint import Run
from robopolicy.env.env import Env
from robopolicy.env.state import State
from robopolicy.errors import UserError
from robopolicy.learn.policy import RobotPolicy, load_policy
from robopolicy.robot import RobotModel
from robopolicy.task import Observation, Task
from robopolicy.terms import observations, randomizers, terminations

EPISODES = 32
SECONDS = 10.0
REPLAY_EPISODES, REPLAY_STEPS = 4, 50

VELOCITY = ("vx", "vy", "wz")
VELOCITY_UNITS = dict(zip(VELOCITY, ("m/s", "m/s", "rad/s"), strict=True))


@dataclass(frozen=True)
class Origin:
    """Where a policy comes from: what the contract says of the run itself."""

    task: str
    config: str
    clips: dict[str, str]
    code_version: str
    versions: dict[str, str]
    trained: c.Trained


def export(run: Path, output: Path) -> None:
    """Write the policy of a run as one ONNX file that carries its whole contract.

    Args:
        run: The run's folder.
        output: The file to write; one that is there stays whole if anything goes wrong.

    Raises:
        UserError: The run cannot be read, its task cannot run on a robot, or the file cannot be written.
    """
    loaded = checkpoint.load(run)
    policy = load_policy(loaded.task.ppo, loaded.sidecar, loaded.state["learner"]["policy"])
    export_policy(loaded.task, policy, origin_of(loaded), output)


def export_policy(task: Task, policy: RobotPolicy, origin: Origin, output: Path) -> None:
    """Write a policy that is in memory; see ``export``."""
    if task.teacher:
        raise UserError("a teacher's policy sees what no robot measures; teach a student first: robopolicy distill RUN")
    env = nominal_env(task)
    mjcf = mjcf_text(env.robot)
    score = score_of(task, env.robot)
    mean, std, clip = normalizer(policy)
    try:
        write_policy(
            output,
            mean=mean,
            std=std,
            clip=clip,
            layers=actor_layers(policy),
            contract=build_contract(task, env.robot, origin, mjcf),
            reference=record_reference(env, policy, score),
            mjcf=mjcf,
        )
    except ContractError as error:
        raise UserError(str(error)) from error


# The run


def origin_of(run: Run) -> Origin:
    """What the contract says of a run."""
    config, sidecar = run.config, run.sidecar
    return Origin(
        task=config["task"],
        config=hashlib.sha256((run.folder / checkpoint.CONFIG).read_bytes()).hexdigest(),
        clips=config["clips"],
        code_version=config["versions"]["robopolicy"],
        versions=config["versions"],
        trained=c.Trained(config["options"]["seed"], sidecar["steps"], sidecar["seconds"]),
    )


# The network


def actor_layers(policy: RobotPolicy) -> list[tuple[np.ndarray, np.ndarray]]:
    """Weight (out, in) and bias (out,) of each linear layer of the actor.

    Raises:
        UserError: The actor is not linear layers with ELU between them.
    """
    linear, between = list(policy.actor)[::2], list(policy.actor)[1::2]
    if not all(isinstance(m, nn.Linear) for m in linear) or not all(isinstance(m, nn.ELU) for m in between):
        kinds = ", ".join(type(m).__name__ for m in policy.actor)
        raise UserError(f"the actor must be linear layers with ELU between them to be exported; it is: {kinds}")
    return [(_numpy(m.weight), _numpy(m.bias)) for m in linear if isinstance(m, nn.Linear)]


def normalizer(policy: RobotPolicy) -> tuple[np.ndarray, np.ndarray, float]:
    """Mean (A,), divisor (A,) and limit of the actor's observation normaliser."""
    n = policy.actor_normalizer
    return _numpy(n.mean), _numpy(n.var.sqrt() + n.epsilon), n.clip


# The contract


def build_contract(task: Task, robot: RobotModel, origin: Origin, mjcf: str) -> c.Contract:
    """The contract of a task on its robot.

    Raises:
        UserError: The actor sees what no robot can measure, the IMU is not on the base, or a command channel
            has no unit.
        ContractError: The contract contradicts itself.
    """
    velocities = tuple(v if np.isfinite(v) else None for v in robot.velocity_limit.tolist())
    told = task.channels
    low, high = (tuple(float(bounds[i]) for bounds in told.ranges.values()) for i in (0, 1))
    return c.Contract(
        schema=c.SCHEMA,
        task=origin.task,
        robot=robot.robot.name,
        joint_names=robot.joint_names,
        default_pose=_floats(robot.default_pose),
        action=c.Action(_floats(robot.action_scale), float(task.action_clip)),
        position_lower=_floats(robot.lower),
        position_upper=_floats(robot.upper),
        kp=_floats(robot.kp),
        kd=_floats(robot.kd),
        torque_limit=_floats(robot.torque_limit),
        velocity_limit=velocities,
        control_period_s=float(task.control_dt),
        physics=c.Physics(float(task.timestep), round(task.control_dt / task.timestep)),
        delays={"action_delay_s": action_delay(task)},
        imu=imu_of(robot),
        observations=tuple(observation(name, o, task, robot) for name, o in task.observations.items()),
        command=c.Command(tuple(told.names), low, high, command_units(task), told.default),
        score=score_of(task, robot),
        hashes=c.Hashes(origin.config, origin.clips, hashlib.sha256(mjcf.encode()).hexdigest(), origin.code_version),
        versions=origin.versions,
        trained=origin.trained,
    )


def observation(name: str, o: Observation, task: Task, robot: RobotModel) -> c.Observation:
    """One block of the actor's input as the runtime will build it.

    Raises:
        UserError: It is none of the terms that a robot can measure.
    """
    if o.function not in observations.DEPLOYABLE:
        known = ", ".join(f.__name__ for f in observations.DEPLOYABLE)
        raise UserError(
            f"observation {name!r} of the actor is {o.function.__name__!r} of {o.function.__module__}, "
            f"which no robot can measure; deployable: {known}. What only the simulator knows is `privileged`"
        )
    gait = task.gait
    params = {"period_s": float(gait.period_s), "standing_speed": float(gait.standing_speed)}
    size = {
        "angular_velocity": 3,
        "projected_gravity": 3,
        "gait_phase": 2,
        "command": len(task.channels.names),
    }
    term = o.function.__name__
    return c.Observation(
        name=name,
        term=term,
        size=size.get(term, len(robot.joint_names)),
        scale=float(o.scale),
        history=o.history,
        params=params if term == "gait_phase" else {},
    )


def imu_of(robot: RobotModel) -> c.Imu:
    """The inertial unit's place on the base.

    Raises:
        UserError: Its site is on another body.
    """
    site, mj = robot.imu_site, robot.mj
    if mj.site_bodyid[site] != robot.base_body:
        body = mj.body(mj.site_bodyid[site]).name
        raise UserError(
            f"the IMU site {robot.robot.imu!r} of {robot.robot.name!r} is on body {body!r}, not on the base"
        )
    return c.Imu(robot.robot.imu, _floats(mj.site_quat[site]), _floats(mj.site_pos[site]))


def action_delay(task: Task) -> tuple[float, float]:
    """Least and most time from an action to its effect in training [s]."""
    for randomizer in task.randomizers.values():
        if randomizer.function is randomizers.action_latency:
            default = inspect.signature(randomizers.action_latency).parameters["steps"].default
            low, high = randomizer.params.get("steps", default)
            return low * task.timestep, high * task.timestep
    return 0.0, 0.0


def command_units(task: Task) -> tuple[str, ...]:
    """Unit of each command channel.

    Raises:
        UserError: One has none.
    """
    units = VELOCITY_UNITS | task.command.units
    for name in task.command.names:
        if name not in units:
            raise UserError(f"command channel {name!r} has no unit; say so: Command(units={{{name!r}: 'rad'}})")
    return tuple(units.get(name, "1") for name in task.channels.names)


def score_of(task: Task, robot: RobotModel) -> c.Score:
    """How episodes are graded: the task's own limits of a fall, or half the home height and 1 rad."""
    home, tilt = float(robot.home_qpos[2]), 1.0
    height = 0.5 * home
    for ending in task.terminations.values():
        if ending.function is terminations.too_low:
            height = home * float(ending.params.get("share", 0.5))
        if ending.function is terminations.tilted:
            tilt = float(ending.params.get("limit", tilt))
    kind = "velocity" if tuple(task.command.names[:3]) == VELOCITY else "upright"
    return c.Score(kind, height, tilt)


def mjcf_text(robot: RobotModel) -> str:
    """The compiled robot and floor as MJCF text that needs no other file, and compiles to the same bits.

    Raises:
        UserError: The robot has meshes, height fields or textures that live in files of their own.
    """
    files = [x.file for kind in ("meshes", "hfields", "textures", "skins") for x in getattr(robot.spec, kind)]
    if files := [f for f in files if f]:
        raise UserError(
            f"robot {robot.robot.name!r} needs files that do not fit into one policy file: "
            f"{', '.join(files)}; a mesh that collides fits if its body states its <inertial>, or give primitive geoms"
        )
    # MuJoCo writes 6 digits, except after this call, which its own tests use; without it the text is still
    # right, only not to the bit.
    set_precision = None
    for library in Path(mujoco.__file__).parent.glob("libmujoco*"):
        set_precision = getattr(ctypes.CDLL(str(library)), "_mjPRIVATE__set_xml_precision", None)
    if set_precision is None:
        return robot.spec.to_xml()
    set_precision(17)
    try:
        return robot.spec.to_xml()
    finally:
        set_precision(6)


# The recording


def nominal_env(task: Task) -> Env:
    """The task's environment as the model says: nothing random, and nothing ends an episode but time."""
    task = dataclasses.replace(task, terminations={}, episode_s=SECONDS + 1)
    return Env(task, num_envs=EPISODES, seed=0, nominal=True)


@torch.no_grad()
def record_reference(env: Env, policy: RobotPolicy, score: c.Score) -> dict[str, np.ndarray]:
    """Let the policy drive the training environment; write down what ``robopolicy_runtime.verify`` compares.

    Every robot starts at rest in its home pose and keeps one command from the task's ranges.
    """
    steps = round(SECONDS / env.control_dt)
    command, _ = env.channels.draw(env.num_envs, torch.Generator(env.device).manual_seed(0))
    env.hold_command(command)
    obs = env.reset(stagger=False)["actor"].clone()
    start = {"eval_qpos0": env.qpos.clone(), "eval_qvel0": env.qvel.clone()}
    alive = torch.ones(env.num_envs, dtype=torch.bool, device=env.device)
    total = torch.zeros(env.num_envs, device=env.device)
    recorded: dict[str, list[Tensor]] = {"obs": [], "action": [], "qpos": []}
    for step in range(steps):
        action = policy.actor_mean(obs)
        result = env.step(action)
        if step < REPLAY_STEPS:
            for name, value in (("obs", obs), ("action", action), ("qpos", env.qpos)):
                recorded[name].append(value[:REPLAY_EPISODES].clone())
        alive &= ~fallen(env.state, score) & ~result.terminated
        total += torch.where(alive, grade(env.state, score, command), 0.0)
        obs = result.obs["actor"].clone()
    replay = {name: torch.stack(values, dim=1) for name, values in recorded.items()}
    replay["qpos0"], replay["qvel0"] = (start[f"eval_{q}0"][:REPLAY_EPISODES] for q in ("qpos", "qvel"))
    replay["command"] = command[:REPLAY_EPISODES, None].expand(-1, len(recorded["obs"]), -1)
    results = {"eval_command": command, "reward_return": total / steps, "eval_survived": alive}
    arrays = {name: _numpy(value) for name, value in (replay | start | results).items()}
    return arrays | {"eval_seconds": np.array(SECONDS)}


def fallen(state: State, score: c.Score) -> Tensor:
    """Whose base is too low or too tilted. Shape (N,) bool."""
    tilt = torch.acos((-state.gravity_b[:, 2]).clamp(-1, 1))
    return (state.base_height < score.fall_height_m) | (tilt > score.fall_tilt_rad)


def grade(state: State, score: c.Score, command: Tensor) -> Tensor:
    """This instant's part of the score, see ``robopolicy_runtime.contract.Score``. Shape (N,)."""
    if score.kind == "upright":
        return torch.ones_like(state.base_height)
    planar = (state.base_lin_vel_h[:, :2] - command[:, :2]).square().sum(-1)
    turn = (state.yaw_rate - command[:, 2]).square()
    return torch.exp(-4 * planar) + 0.5 * torch.exp(-4 * turn)


def _floats(values: np.ndarray | Sequence[float]) -> tuple[float, ...]:
    return tuple(float(v) for v in values)


def _numpy(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()
