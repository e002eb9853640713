"""The GPU's engine against MuJoCo's C: on Warp's CPU device here, and on a GPU where there is one.

Three levels of parity (MuJoCo's own recipe): the same fields of the same states; one step from each state of a
trajectory; a rollout, which may part from C's no faster than C parts from itself when its start is rounded to float32.
"""

import mujoco
import numpy as np
import pytest
import torch
from torch import Tensor

from robopolicy.robot import RobotModel, load_robot

pytest.importorskip("mujoco_warp", reason="needs robopolicy[gpu]")
from robopolicy.sim.gpu import GpuSimulation

DEVICES = ["warp-cpu", *(["cuda"] if torch.cuda.is_available() else [])]
ROBOTS = ["droid", "g1", "go2"]
N = 6
SUBSTEPS = 4
FIELDS = ("xpos", "site_xpos", "site_xmat", "cvel", "subtree_com", "sensordata", "actuator_length")

pytestmark = pytest.mark.parametrize("device", DEVICES)


def compiled(robot: str, max_delay: int = 0) -> RobotModel:
    return load_robot(robot).compile(visual=False, max_delay=max_delay)


def starts(robot: RobotModel, n: int = N) -> np.ndarray:
    """Starts near home, some in the floor and some above it. Shape (n, nq)."""
    rng = np.random.default_rng(3)
    qpos = np.repeat(robot.home_qpos[None], n, axis=0)
    qpos[:, 2] += rng.uniform(-0.003, 0.02, n)
    qpos[:, 7:] += rng.uniform(-0.1, 0.1, (n, len(robot.joint_names)))
    return qpos


def controls(robot: RobotModel, steps: int, n: int = N) -> np.ndarray:
    return robot.default_pose + np.random.default_rng(4).uniform(-0.3, 0.3, (steps, n, robot.mj.nu))


def everyone(n: int = N) -> Tensor:
    return torch.ones(n, dtype=torch.bool)


def put(sim: GpuSimulation, **fields: np.ndarray) -> None:
    for name, value in fields.items():
        sim.bind(name).copy_(torch.as_tensor(value))
    sim.forward(everyone(sim.num_envs).to(sim.device))


def trajectory(robot: RobotModel, steps: int) -> list[mujoco.MjData]:
    """A droid or dog in motion: its data after each step, ctrl being that of the step to come."""
    data, path = mujoco.MjData(robot.mj), []
    data.qpos[:] = starts(robot, 1)[0]
    for u in controls(robot, steps, 1)[:, 0]:
        data.ctrl[:] = u
        for _ in range(5):
            mujoco.mj_step(robot.mj, data)
        path.append(mujoco.MjData(robot.mj))
        mujoco.mj_copyData(path[-1], robot.mj, data)
    return path


@pytest.mark.parametrize("name", ROBOTS)
def test_parity_of_fields_in_the_same_states(name: str, device: str):
    robot = compiled(name)
    path = trajectory(robot, 8)
    sim = GpuSimulation(robot.mj, len(path), device)
    put(sim, qpos=np.array([d.qpos for d in path]), qvel=np.array([d.qvel for d in path]))
    for i, data in enumerate(path):
        mujoco.mj_forward(robot.mj, data)
        for field in FIELDS:
            found, truth = sim.bind(field)[i].cpu().numpy(), getattr(data, field)
            assert found.shape == truth.shape
            np.testing.assert_allclose(found, truth, atol=2e-5, rtol=2e-5, err_msg=f"{field} in state {i}")
    assert any(data.ncon for data in path)


@pytest.mark.parametrize("name", ROBOTS)
def test_parity_of_one_step_from_each_state(name: str, device: str):
    robot = compiled(name)
    path = trajectory(robot, 20)
    sim = GpuSimulation(robot.mj, len(path), device)
    names = ("qpos", "qvel", "ctrl", "qacc_warmstart")
    put(sim, **{k: np.array([getattr(d, k) for d in path]) for k in names})
    sim.step(1)
    for i, data in enumerate(path):
        mujoco.mj_step(robot.mj, data)
        np.testing.assert_allclose(sim.bind("qpos")[i].cpu(), data.qpos, atol=1e-5, err_msg=f"state {i}")
        np.testing.assert_allclose(sim.bind("qvel")[i].cpu(), data.qvel, atol=2e-3, rtol=1e-3, err_msg=f"state {i}")


# not the g1: such random targets throw it about until its thin soles are deeper in the floor than they are thick
@pytest.mark.parametrize("name", ["droid", "go2"])
def test_parity_of_a_rollout(name: str, device: str):
    robot = compiled(name)
    sim = GpuSimulation(robot.mj, N, device)
    put(sim, qpos=starts(robot))

    def in_c(qpos: np.ndarray) -> np.ndarray:
        path = []
        for i in range(N):
            data = mujoco.MjData(robot.mj)
            data.qpos[:] = qpos[i]
            path.append([])
            for u in controls(robot, 15):
                data.ctrl[:] = u[i]
                mujoco.mj_step(robot.mj, data, nstep=SUBSTEPS)
                path[-1].append(data.qpos.copy())
        return np.array(path).transpose(1, 0, 2)

    truth = in_c(starts(robot))
    noise = 1 + 1e-6 * np.random.default_rng(5).uniform(-1, 1, starts(robot).shape)
    shadow = np.abs(in_c(starts(robot) * noise) - truth).max(axis=(1, 2))
    for t, u in enumerate(controls(robot, 15)):
        sim.bind("ctrl").copy_(torch.as_tensor(u))
        sim.step(SUBSTEPS)
        parted = np.abs(sim.bind("qpos").cpu().numpy() - truth[t]).max()
        assert parted < 20 * shadow[: t + 1].max() + 1e-5, f"after {t + 1} control steps"


def test_reset_and_assign_touch_masked_simulations_only(device: str):
    robot = compiled("droid", max_delay=3)
    sim = GpuSimulation(robot.mj, N, device)
    put(sim, qpos=starts(robot))
    sim.bind("ctrl").copy_(torch.as_tensor(controls(robot, 1)[0]))
    sim.step(SUBSTEPS)
    names = ("qpos", "qvel", "ctrl", "time", "qacc_warmstart", "history", *FIELDS)
    before = {name: sim.bind(name).clone() for name in names}
    mask = everyone().to(sim.device)
    mask[[0, 2, 5]] = False
    sim.reset(mask)
    sim.hold(mask, torch.full((N, robot.mj.nu), 0.3, device=sim.device))
    extra = torch.zeros(N, 2, device=sim.device)
    sim.assign(mask, {"extra": extra}, lambda rows, n: {"extra": torch.ones(N, 2, device=sim.device)[rows][:n]})
    sim.forward(mask)
    assert torch.equal(extra[:, 0], mask.float())
    for name in names:
        torch.testing.assert_close(sim.bind(name)[~mask], before[name][~mask], atol=1e-6, rtol=0, msg=name)
    assert torch.equal(sim.bind("qpos")[mask].cpu(), torch.as_tensor(robot.mj.qpos0, dtype=torch.float32).expand(3, -1))
    assert not sim.bind("qvel")[mask].any()
    assert not sim.bind("time")[mask].any()
    history = sim.bind("history").view(N, robot.mj.nu, -1)
    assert torch.all(history[mask][..., -4:] == 0.3)
    assert not torch.all(history[~mask][..., -4:] == 0.3)


def test_late_servos_and_altered_models_act_as_in_c(device: str):
    robot = compiled("droid", max_delay=3)
    sim = GpuSimulation(robot.mj, N, device)
    factor = np.linspace(0.8, 1.3, N)
    late = [0, 1, 2, 3, 0, 2]
    values = {
        "body_mass": factor[:, None] * robot.mj.body_mass,
        "body_inertia": factor[:, None, None] * robot.mj.body_inertia,
        "dof_armature": factor[:, None] * robot.mj.dof_armature,
        "dof_frictionloss": factor[::-1, None] * robot.mj.dof_frictionloss,
        "geom_friction": factor[::-1, None, None] * robot.mj.geom_friction,
        "actuator_gainprm": factor[:, None, None] * robot.mj.actuator_gainprm,
        "actuator_biasprm": factor[:, None, None] * robot.mj.actuator_biasprm,
        "actuator_delay": np.repeat(np.maximum(np.array(late) - 0.5, 0)[:, None] * 0.005, robot.mj.nu, axis=1),
    }
    targets = {name: sim.expand(name) for name in values}
    mask = everyone().to(sim.device)
    sim.assign(
        mask, targets, lambda rows, n: {k: torch.as_tensor(v, device=sim.device)[rows] for k, v in values.items()}
    )
    sim.update_model(mask)
    held = controls(robot, 50)[-1]
    sim.reset(mask)
    sim.hold(mask, torch.as_tensor(held, device=sim.device))
    put(sim, qpos=starts(robot))
    models = []
    for i in range(N):
        model = compiled("droid").mj
        for name, value in values.items():
            if name != "actuator_delay":
                getattr(model, name)[:] = value[i]
        mujoco.mj_setConst(model, mujoco.MjData(model))
        for name in ("body_subtreemass", "body_invweight0", "dof_invweight0", "actuator_acc0"):
            found = sim.expand(name)[i].cpu().numpy()
            np.testing.assert_allclose(found, getattr(model, name), rtol=2e-3, err_msg=f"{name} of {i}")
        models.append(model)
    loop = [mujoco.MjData(model) for model in models]
    for data, qpos in zip(loop, starts(robot), strict=True):
        data.qpos[:] = qpos
    inputs = controls(robot, 12)
    for t, u in enumerate(inputs):
        sim.bind("ctrl").copy_(torch.as_tensor(u))
        sim.step(1)
        for i, data in enumerate(loop):
            data.ctrl[:] = inputs[t - late[i]][i] if t >= late[i] else held[i]
            mujoco.mj_step(models[i], data)
            found = sim.bind("qpos")[i].cpu().numpy()
            np.testing.assert_allclose(found, data.qpos, atol=1e-4, err_msg=f"step {t} of {i}, {late[i]} late")


def test_a_saved_simulation_continues(device: str):
    robot = compiled("droid", max_delay=2)

    def run(sim: GpuSimulation, inputs: np.ndarray) -> Tensor:
        for u in inputs:
            sim.bind("ctrl").copy_(torch.as_tensor(u))
            sim.step(1)
        return torch.cat((sim.bind("qpos"), sim.bind("qvel"), sim.bind("sensordata")), dim=1).clone()

    first, second = GpuSimulation(robot.mj, N, device), GpuSimulation(robot.mj, N, device)
    for sim in (first, second):
        sim.expand("actuator_delay").fill_(0.0075)
    first.expand("body_mass").mul_(1.2)
    first.update_model(everyone().to(first.device))
    put(first, qpos=starts(robot))
    inputs = controls(robot, 12)
    run(first, inputs[:6])
    second.load_state_dict(first.state_dict())
    for name in FIELDS:
        torch.testing.assert_close(second.bind(name), first.bind(name), atol=1e-6, rtol=0, msg=name)
    torch.testing.assert_close(run(second, inputs[6:]), run(first, inputs[6:]), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("number", [float("nan"), 1e12])
def test_a_simulation_that_blows_up_is_named_and_starts_again(number: float, device: str):
    robot = compiled("droid")
    sim = GpuSimulation(robot.mj, N, device)
    put(sim, qpos=starts(robot))
    sim.step(SUBSTEPS)
    assert not sim.diverged().any()
    for _ in range(2):
        sim.bind("qvel")[2, 6:] = number
        sim.step(SUBSTEPS)
        assert sim.diverged().tolist() == [False, False, True, False, False, False]
        assert torch.equal(sim.bind("qpos")[2].cpu(), torch.as_tensor(robot.mj.qpos0, dtype=torch.float32))
        for name in ("qpos", "qvel", *FIELDS):
            assert sim.bind(name).isfinite().all(), name
    sim.step(SUBSTEPS)
    assert not sim.diverged().any()


def test_unknown_fields_are_refused_by_name(device: str):
    sim = GpuSimulation(compiled("droid").mj, 1, device)
    with pytest.raises(ValueError, match="qqpos.*near.*qpos"):
        sim.bind("qqpos")
    with pytest.raises(ValueError, match="body_masss.*near.*body_mass"):
        sim.expand("body_masss")


@pytest.mark.parametrize(("contacts", "missing"), [(None, False), (2, True)])
def test_what_does_not_fit_is_said(contacts: int | None, missing: bool, device: str):
    robot = compiled("droid")
    sim = GpuSimulation(robot.mj, 2, device, contacts)
    qpos = np.repeat(robot.home_qpos[None], 2, axis=0)
    qpos[:, 2] -= 0.005
    put(sim, qpos=qpos)
    sim.step(1)
    assert ("NARROWPHASE" in sim.overflow()) == missing
