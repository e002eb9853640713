"""The same seed, the same numbers: at any thread count, and after a stop."""

from dataclasses import replace

import pytest
import torch
from small_envs import actions, kept, real_motors, reference, shipped
from torch import Tensor

from robopolicy.env.adr import Adr
from robopolicy.env.env import Env
from robopolicy.task import Push, Task, observe
from robopolicy.terms import observations

N = 8


def lively() -> Task:
    """Everything random that there is, and often: resets, pushes, new commands, late servos, histories."""
    task = shipped(
        "droid_walk",
        episode_s=0.3,
        push=Push(velocity=0.5, yaw_rate=0.5, force=30.0, interval_s=(0.06, 0.2), ramp_steps=40),
    )
    history = replace(observe(observations.joint_position, noise=0.01), history=3)
    return replace(
        task,
        command=replace(task.command, resample_s=(0.06, 0.2)),
        observations={**task.observations, "history": history},
        prior=replace(task.prior, window=3),
        randomizers=task.randomizers | real_motors(),
        adr=Adr(active=True, start=0.3, episodes=2),
    )


def make(seed: int = 0, threads: int = 1) -> Env:
    return Env(lively(), N, seed=seed, reference=reference("droid", 3), threads=threads)


def run(env: Env, some: Tensor) -> list[dict[str, Tensor]]:
    return [kept(env.step(action)) for action in some]


def assert_equal(a: list[dict[str, Tensor]], b: list[dict[str, Tensor]]) -> None:
    for t, (x, y) in enumerate(zip(a, b, strict=True)):
        assert x.keys() == y.keys()
        for name in x:
            assert torch.equal(x[name], y[name]), f"{name} at step {t}"


def test_the_same_seed_gives_the_same_bits_at_any_thread_count():
    one, two = make(threads=1), make(threads=2)
    first, second = one.reset(), two.reset()
    assert all(torch.equal(first[k], second[k]) for k in first)
    some = actions(one, 60)
    path = run(one, some)
    assert_equal(path, run(two, some))
    ends = torch.stack([s["terminated"] | s["truncated"] for s in path])
    assert ends.sum() > N  # there were resets on the way


def test_other_seeds_give_other_numbers():
    path = []
    for seed in (0, 1):
        env = make(seed)
        env.reset()
        path.append(run(env, actions(env, 3)))
    assert not torch.equal(path[0][-1]["obs/actor"], path[1][-1]["obs/actor"])


def test_seeding_anew_repeats_everything():
    env = make(seed=7)
    env.reset()
    path = run(env, actions(env, 20))
    env.seed(7)
    env.reset()
    assert_equal(run(env, actions(env, 20)), path)


@pytest.mark.parametrize("worn", [False, True])
def test_a_saved_environment_continues_to_the_same_bits(worn: bool):
    env = make(seed=3, threads=2)
    env.reset()
    run(env, actions(env, 25))
    saved = env.state_dict()
    expected = run(env, actions(env, 50, seed=1))
    other = make(seed=99)
    if worn:
        other.reset()
        run(other, actions(other, 13, seed=5))
    other.load_state_dict(saved)
    assert_equal(run(other, actions(other, 50, seed=1)), expected)
    assert torch.stack([s["truncated"] for s in expected]).sum() > N


def test_a_saved_state_survives_torch_save(tmp_path):
    env = make()
    env.reset()
    run(env, actions(env, 5))
    torch.save(env.state_dict(), tmp_path / "env.pt")
    expected = run(env, actions(env, 5, seed=1))
    other = make(seed=4)
    other.load_state_dict(torch.load(tmp_path / "env.pt", weights_only=True))
    assert_equal(run(other, actions(other, 5, seed=1)), expected)


def test_a_held_command_is_still_held_after_loading():
    env = make()
    env.reset()
    command = torch.full((N, 3), 0.1)
    env.hold_command(command)
    other = make(seed=4)
    other.load_state_dict(env.state_dict())
    run(other, actions(other, 20))
    assert torch.equal(other.command, env.channels.tell(command))


def test_actions_steer_but_do_not_change_what_is_drawn():
    """Random numbers do not depend on the policy: first draws of the same seed are equal whatever is done."""
    a, b = make(), make()
    first, second = a.reset(), b.reset()
    assert torch.equal(first["actor"], second["actor"])
    a.step(torch.zeros(N, a.num_actions))
    b.step(torch.ones(N, b.num_actions))
    assert torch.equal(a.senses.noise, b.senses.noise)
