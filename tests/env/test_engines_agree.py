"""The same environment on both engines: rewards, endings, observations, and every randomizer."""

from dataclasses import replace

import pytest
import torch
from small_envs import actions, kept, quiet, reference, shipped
from torch import Tensor

from robopolicy.env.env import Env
from robopolicy.task import Push, Task, load_task, randomize
from robopolicy.terms import randomizers

pytest.importorskip("mujoco_warp", reason="needs robopolicy[gpu]")

DEVICES = ["warp-cpu", *(["cuda"] if torch.cuda.is_available() else [])]
N = 6
RANDOMIZERS = load_task("droid_walk").randomizers | {
    "envelope": randomize(randomizers.torque_speed, no_load=(0.1, 0.2), corner=(0.0, 0.3)),
    "supply": randomize(randomizers.supply_voltage, voltage=(0.05, 0.1), sag=(0.02, 0.04)),
    "late": randomize(randomizers.sensor_latency, steps=(0, 4)),
    "play": randomize(randomizers.backlash),
    "bias": randomize(randomizers.gyro_bias),
    "loss": randomize(randomizers.packet_loss, share=(1.0, 1.0)),
    "sides": randomize(randomizers.side_strength),
    "damping": randomize(randomizers.joint_damping, added=(0.2, 0.5)),
}

pytestmark = pytest.mark.parametrize("device", DEVICES)


def pair(task: Task, device: str) -> tuple[Env, Env]:
    """An environment on each engine, with the same robots in the same states."""
    frames = reference(task.robot) if task.prior.active else None
    ours, other = Env(task, N, seed=1, reference=frames, threads=1), Env(task, N, reference=frames, device=device)
    ours.reset(stagger=False)
    other.reset(stagger=False)
    # At home the feet just touch: rounding would decide whether there is a contact, and a leg that pushes feels it.
    ours.qpos[:, 2] += torch.tensor([-0.003, 0.004, 0.008, -0.002, 0.012, 0.02])
    ours.sim.forward(torch.ones(N, dtype=torch.bool))
    for name, tensor in ours._at_start.items():
        other._at_start[name].copy_(tensor)
    mask = torch.ones(N, dtype=torch.bool, device=other.device)
    other.sim.update_model(mask)
    other.sim.hold(mask, other.target - other.encoder_offset)
    other.sim.forward(mask)
    for env in (ours, other):
        env.actuation.begin(torch.ones(N, dtype=torch.bool, device=env.device))
    if frames is not None:
        other.window.copy_(ours.window)
    for env in (ours, other):
        env.senses.noise.zero_()
        env.hold_command(ours.command.to(env.device))
    return ours, other


def both(task: Task, device: str, steps: int, size: float = 0.5) -> list[tuple[dict[str, Tensor], dict[str, Tensor]]]:
    ours, other = pair(task, device)
    return [
        (kept(ours.step(a)), {name: value.cpu() for name, value in kept(other.step(a.to(other.device))).items()})
        for a in actions(ours, steps, size)
    ]


@pytest.mark.parametrize("name", ["droid_walk", "go2_velocity", "droid_stand"])
def test_they_see_and_pay_the_same(name: str, device: str):
    task = shipped(name, push=Push(), observations=quiet(name).observations)
    for t, (ours, other) in enumerate(both(task, device, 12, size=0.3)):
        assert ours.keys() == other.keys()
        for key, value in ours.items():
            if value.dtype == torch.bool:
                assert torch.equal(value, other[key]), f"{key} in step {t}"
            else:
                near = 1e-3 if key.startswith(("obs", "final", "motion")) else 1e-5
                torch.testing.assert_close(other[key], value, atol=near, rtol=1e-3, msg=f"{key} in step {t}")


def test_they_end_episodes_at_the_same_steps(device: str):
    """Robots that roll in the air end up on their backs; then they stand again, at home."""
    task = quiet("go2_velocity")
    endings = []
    for env in (Env(task, N, nominal=True, threads=1), Env(task, N, nominal=True, device=device)):
        env.reset(stagger=False)
        env.hold_command(torch.zeros(N, 3, device=env.device))
        env.qpos[:, 2] += 0.3
        env.qvel[:, 3] = torch.linspace(1, 9, N)
        home = torch.as_tensor(env.robot.home_qpos, dtype=torch.float32, device=env.device)
        ended = torch.zeros(N, dtype=torch.bool, device=env.device)
        found = []
        for _ in range(40):
            ended = env.step(torch.zeros(N, env.num_actions, device=env.device)).terminated
            found.append(ended.cpu().clone())
            torch.testing.assert_close(env.qpos[ended].float(), home.expand(int(ended.sum()), -1))
        endings.append(torch.stack(found))
    assert 2 <= endings[0].any(0).sum() < N
    assert torch.equal(*endings)


@pytest.mark.parametrize("name", RANDOMIZERS)
def test_each_randomizer_acts_alike(name: str, device: str):
    chosen = RANDOMIZERS[name]
    if chosen.function is randomizers.joint_friction:
        chosen = replace(chosen, params={"scale": (0.2, 4.0)})
    task = quiet("droid_walk", randomizers={name: chosen})
    plain = quiet("droid_walk")
    drawn, default = both(task, device, 4, size=1.0), both(plain, device, 4, size=1.0)
    torch.testing.assert_close(drawn[-1][1]["obs/actor"], drawn[-1][0]["obs/actor"], atol=5e-3, rtol=5e-3)
    ours = (drawn[-1][0]["obs/actor"] - default[-1][0]["obs/actor"]).abs().max()
    other = (drawn[-1][1]["obs/actor"] - default[-1][1]["obs/actor"]).abs().max()
    assert ours > 1e-3
    assert other == pytest.approx(float(ours), rel=0.05)
