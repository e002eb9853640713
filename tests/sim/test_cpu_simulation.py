"""The CPU engine against MuJoCo itself: the same bits, one instant, masks that touch nothing else."""

from pathlib import Path

import mujoco
import numpy as np
import pytest
import torch
from torch import Tensor

from robopolicy.robot import RobotModel, load_robot
from robopolicy.sim.cpu import CpuSimulation
from robopolicy.sim.simulation import Rows

N = 5
SUBSTEPS = 4
FIELDS = (
    "qpos",
    "qvel",
    "xpos",
    "site_xpos",
    "site_xmat",
    "cvel",
    "subtree_com",
    "sensordata",
    "actuator_length",
)


@pytest.fixture(scope="module")
def droid() -> RobotModel:
    return load_robot("droid").compile(visual=False)


@pytest.fixture(scope="module")
def late_droid() -> RobotModel:
    """A droid whose servos may be up to 3 physics steps late."""
    return load_robot("droid").compile(visual=False, max_delay=3)


def make(robot: RobotModel, threads: int = 1, model: mujoco.MjModel | None = None) -> CpuSimulation:
    sim = CpuSimulation(model or robot.mj, N, threads)
    sim.bind("qpos").copy_(torch.from_numpy(starts(robot)))
    sim.forward(everyone())
    return sim


def everyone() -> Tensor:
    return torch.ones(N, dtype=torch.bool)


def only(*rows: int) -> Tensor:
    mask = torch.zeros(N, dtype=torch.bool)
    mask[list(rows)] = True
    return mask


def starts(robot: RobotModel) -> np.ndarray:
    """A start of its own for every simulation, near the home pose and a little above the floor. Shape (N, nq)."""
    rng = np.random.default_rng(3)
    qpos = np.repeat(robot.home_qpos[None], N, axis=0)
    qpos[:, 2] += rng.uniform(0, 0.05, N)
    qpos[:, 7:] += rng.uniform(-0.1, 0.1, (N, len(robot.joint_names)))
    return qpos


def controls(robot: RobotModel, steps: int) -> np.ndarray:
    """Controls (steps, N, nu), different in every simulation."""
    rng = np.random.default_rng(4)
    return robot.default_pose + rng.uniform(-0.4, 0.4, (steps, N, robot.mj.nu))


def plain(robot: RobotModel) -> list[mujoco.MjData]:
    """The same starts in MuJoCo's own data."""
    everyone = [mujoco.MjData(robot.mj) for _ in range(N)]
    for data, qpos in zip(everyone, starts(robot), strict=True):
        data.qpos[:] = qpos
    return everyone


@pytest.mark.parametrize("threads", [1, 2])
def test_steps_are_those_of_mj_step_to_the_bit(droid: RobotModel, threads: int):
    sim, loop = make(droid, threads), plain(droid)
    qpos, qvel, ctrl = sim.bind("qpos"), sim.bind("qvel"), sim.bind("ctrl")
    for t, u in enumerate(controls(droid, 12)):
        ctrl.copy_(torch.from_numpy(u))
        if t == 6:  # a push between two steps must not be lost, nor seen a substep late
            qvel[:, 0] += 0.7
        sim.step(SUBSTEPS)
        for i, data in enumerate(loop):
            data.ctrl[:] = u[i]
            data.qvel[0] += 0.7 if t == 6 else 0.0
            for _ in range(SUBSTEPS):
                mujoco.mj_step(droid.mj, data)
            np.testing.assert_array_equal(qpos[i].numpy(), data.qpos)
            np.testing.assert_array_equal(qvel[i].numpy(), data.qvel)
    assert np.ptp(qpos.numpy(), axis=0).max() > 0.1  # the simulations went different ways


def test_after_a_step_all_fields_describe_the_current_state(droid: RobotModel):
    sim, stale = make(droid), plain(droid)
    bound = {name: sim.bind(name) for name in FIELDS}
    for u in controls(droid, 5):
        sim.bind("ctrl").copy_(torch.from_numpy(u))
        sim.step(SUBSTEPS)
        for i, data in enumerate(stale):
            data.ctrl[:] = u[i]
            mujoco.mj_step(droid.mj, data, nstep=SUBSTEPS)
    data = mujoco.MjData(droid.mj)
    for i in range(N):
        data.qpos[:], data.qvel[:] = bound["qpos"][i].numpy(), bound["qvel"][i].numpy()
        mujoco.mj_forward(droid.mj, data)
        for name, value in bound.items():
            np.testing.assert_allclose(
                value[i].numpy().reshape(-1), getattr(data, name).reshape(-1), atol=1e-12, err_msg=name
            )
        # what the test would see if a field lagged a substep behind, as after a plain mj_step
        for name in FIELDS[2:]:
            assert np.abs(getattr(stale[i], name) - getattr(data, name)).max() > 1e-6, name


def test_reset_and_forward_leave_other_simulations_alone(droid: RobotModel):
    sim = make(droid)
    bound = {name: sim.bind(name) for name in (*FIELDS, "ctrl", "time", "qacc_warmstart")}
    sim.bind("ctrl").copy_(torch.from_numpy(controls(droid, 1)[0]))
    sim.step(SUBSTEPS)
    before = {name: value.clone() for name, value in bound.items()}
    mask = only(1, 3)
    sim.reset(mask)
    for name, value in bound.items():
        assert torch.equal(value[~mask], before[name][~mask]), name
    assert torch.equal(bound["qpos"][mask], torch.from_numpy(droid.mj.qpos0).expand(2, -1))
    assert not bound["qvel"][mask].any()
    assert not bound["time"][mask].any()

    bound["qpos"][:, 2] += 0.5  # written everywhere, recomputed only where told
    sim.forward(mask)
    assert torch.equal(bound["site_xpos"][~mask], before["site_xpos"][~mask])
    foot = droid.foot_sites[0]
    data = mujoco.MjData(droid.mj)
    data.qpos[2] += 0.5
    mujoco.mj_forward(droid.mj, data)
    np.testing.assert_allclose(bound["site_xpos"][1, foot].numpy(), data.site_xpos[foot], atol=1e-12)


def test_an_empty_mask_does_nothing(droid: RobotModel):
    sim = make(droid)
    before = sim.bind("qpos").clone()
    mass = sim.expand("body_mass")
    sim.reset(only())
    sim.forward(only())
    sim.assign(only(), {"body_mass": mass}, lambda rows, n: pytest.fail("nothing to draw for"))
    assert torch.equal(sim.bind("qpos"), before)


@pytest.mark.parametrize("threads", [1, 2])
def test_assigned_model_fields_act_in_their_simulation_and_derived_constants_follow(droid: RobotModel, threads: int):
    sim = make(droid, threads)
    targets = {name: sim.expand(name) for name in ("body_mass", "body_inertia", "dof_armature")}
    extra = torch.zeros(N, 2)
    factor = torch.tensor([1.5, 3.0], dtype=torch.float64)
    mask = only(1, 4)

    def draw(rows: Rows, n: int) -> dict[str, Tensor]:
        assert n == 2
        assert torch.equal(torch.arange(N)[rows], torch.tensor([1, 4]))
        values = {k: v[:2] * factor.view(2, *[1] * (v.ndim - 1)) for k, v in targets.items()}
        return {**values, "extra": torch.ones(n, 2)}

    sim.assign(mask, {**targets, "extra": extra}, draw)
    sim.update_model(mask)
    assert torch.equal(extra[:, 0], mask.float())
    models = [droid.mj] * N
    for i, f in zip((1, 4), factor.tolist(), strict=True):
        edited = models[i] = load_robot("droid").compile(visual=False).mj
        for name in targets:
            getattr(edited, name)[:] *= f
        mujoco.mj_setConst(edited, mujoco.MjData(edited))
    for name in ("dof_invweight0", "body_subtreemass", "body_invweight0", "actuator_acc0"):
        derived = sim.expand(name)
        for i, model in enumerate(models):
            np.testing.assert_array_equal(derived[i].numpy(), getattr(model, name), err_msg=f"{name} of {i}")
        assert not torch.equal(derived[0], derived[1]), name

    loop = plain(droid)
    for u in controls(droid, 5):
        sim.bind("ctrl").copy_(torch.from_numpy(u))
        sim.step(SUBSTEPS)
        for i, (model, data) in enumerate(zip(models, loop, strict=True)):
            data.ctrl[:] = u[i]
            mujoco.mj_step(model, data, nstep=SUBSTEPS)
            np.testing.assert_array_equal(sim.bind("qpos")[i].numpy(), data.qpos)


def test_a_saved_simulation_continues_to_the_same_bits(late_droid: RobotModel):
    """Late servos, altered models, solver warm start: all of it is in the state."""

    def disturbed() -> CpuSimulation:
        sim = make(late_droid, threads=2)
        fields = {name: sim.expand(name) for name in ("actuator_delay", "geom_friction", "body_mass")}
        sim.assign(everyone(), fields, lambda rows, n: {k: v[rows].clone() for k, v in fields.items()})
        sim.update_model(everyone())
        return sim

    sim = disturbed()
    fields = {name: sim.expand(name) for name in ("actuator_delay", "geom_friction", "body_mass")}
    late = (torch.tensor([0, 1, 2, 3, 1], dtype=torch.float64) - 0.5).clamp(min=0)[:, None] * 0.005
    values = {
        "actuator_delay": late.expand(N, late_droid.mj.nu),
        "geom_friction": fields["geom_friction"] * torch.linspace(0.3, 1.5, N).view(N, 1, 1),
        "body_mass": fields["body_mass"] * torch.linspace(0.8, 1.3, N).view(N, 1),
    }
    sim.assign(everyone(), fields, lambda rows, n: values)
    sim.update_model(everyone())
    inputs = torch.from_numpy(controls(late_droid, 20))

    def run(sim: CpuSimulation, some: Tensor) -> Tensor:
        path = []
        for u in some:
            sim.bind("ctrl").copy_(u)
            sim.step(1)  # so that the saved moment lies within the servos' delay
            path.append(torch.cat((sim.bind("qpos"), sim.bind("qvel"), sim.bind("sensordata")), dim=1).clone())
        return torch.stack(path)

    run(sim, inputs[:10])
    saved = sim.state_dict()
    fresh, worn = disturbed(), disturbed()
    run(worn, inputs.flip(0))
    for other in (fresh, worn):
        other.load_state_dict(saved)
        for name in FIELDS:
            assert torch.equal(other.bind(name), sim.bind(name)), name
    expected = run(sim, inputs[10:])
    for other in (fresh, worn):
        assert torch.equal(run(other, inputs[10:]), expected)
    again = sim.state_dict()
    assert not all(torch.equal(again[k], saved[k]) for k in saved)  # the saved state is a copy, not a view


def test_a_late_servo_gets_each_control_exactly_so_many_steps_later(droid: RobotModel, late_droid: RobotModel):
    """Oracle: servos that are never late, fed by hand with the control of k steps before; held ones until then."""
    sim = make(late_droid)
    delay = sim.expand("actuator_delay")
    steps = [0, 1, 2, 3, 0]
    late = (torch.tensor(steps, dtype=torch.float64) - 0.5).clamp(min=0)[:, None] * 0.005
    delays = {"actuator_delay": late.expand(N, late_droid.mj.nu)}
    sim.assign(everyone(), {"actuator_delay": delay}, lambda rows, n: delays)
    sim.update_model(everyone())
    held = torch.from_numpy(controls(droid, 50)[-1])
    sim.hold(everyone(), held)
    inputs = controls(droid, 15)
    oracle = plain(droid)
    for t, u in enumerate(inputs):
        sim.bind("ctrl").copy_(torch.from_numpy(u))
        sim.step(1)
        for i, data in enumerate(oracle):
            data.ctrl[:] = inputs[t - steps[i]][i] if t >= steps[i] else held[i].numpy()
            mujoco.mj_step(droid.mj, data)
            np.testing.assert_array_equal(sim.bind("qpos")[i].numpy(), data.qpos, err_msg=f"step {t}, {steps[i]} late")


def test_hold_touches_only_masked_simulations(late_droid: RobotModel):
    sim = make(late_droid)
    before = sim.bind("history").clone()
    mask = only(0, 2)
    sim.hold(mask, torch.full((N, late_droid.mj.nu), 0.3))
    after = sim.bind("history")
    assert torch.equal(after[~mask], before[~mask])
    assert not torch.equal(after[mask], before[mask])


def test_hold_needs_no_late_servos(droid: RobotModel):
    sim = make(droid)
    sim.hold(everyone(), torch.zeros(N, droid.mj.nu))


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MuJoCo writes its warnings to a file in the working folder."""
    monkeypatch.chdir(tmp_path)


def blow_up(sim: CpuSimulation, *rows: int) -> None:
    sim.bind("qvel")[list(rows), 6:] = 1e12
    sim.step(SUBSTEPS)


@pytest.mark.usefixtures("elsewhere")
def test_diverged_names_the_simulation_that_blew_up(droid: RobotModel):
    sim = make(droid)
    sim.step(SUBSTEPS)
    assert not sim.diverged().any()
    blow_up(sim, 2)
    assert sim.diverged().tolist() == [False, False, True, False, False]
    assert sim.bind("qpos").isfinite().all()
    sim.step(SUBSTEPS)
    assert not sim.diverged().any()
    blow_up(sim, 0, 4)
    assert sim.diverged().tolist() == [True, False, False, False, True]


@pytest.mark.usefixtures("elsewhere")
def test_a_simulation_that_was_reset_after_it_blew_up_has_not_diverged_again(droid: RobotModel):
    sim = make(droid)
    blow_up(sim, 2)
    assert sim.diverged()[2]
    sim.reset(only(2))
    sim.forward(only(2))
    sim.step(SUBSTEPS)
    assert not sim.diverged().any()


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("reset", [False, True])
def test_every_divergence_is_seen(droid: RobotModel, reset: bool):
    sim = make(droid)
    for _ in range(3):
        blow_up(sim, 2)
        assert sim.diverged().tolist() == [False, False, True, False, False]
        if reset:
            sim.reset(only(2))
            sim.forward(only(2))


def test_unknown_fields_are_refused_by_name(droid: RobotModel):
    sim = make(droid)
    with pytest.raises(ValueError, match="qqpos"):
        sim.bind("qqpos")
    with pytest.raises(ValueError, match="body_masss"):
        sim.expand("body_masss")
