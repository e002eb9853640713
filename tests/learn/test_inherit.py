"""A policy that begins as another's: it acts and judges as that one, and new inputs have no weight yet."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_envs import columns, quiet
from torch import Tensor

from robopolicy import checkpoint
from robopolicy.checkpoint import Run
from robopolicy.cli import main
from robopolicy.env.env import Env
from robopolicy.errors import UserError
from robopolicy.learn.config import PPOConfig
from robopolicy.learn.inherit import inherit
from robopolicy.learn.policy import RobotPolicy
from robopolicy.learn.ppo import PPO
from robopolicy.task import Task, load_task, observe
from robopolicy.terms import observations

SMALL = ("--num-envs", "32", "--ppo.horizon", "8", "--device", "cpu")


def fresh(env: Env, seed: int) -> RobotPolicy:
    torch.manual_seed(seed)
    policy = PPO(env=env, config=replace(env.task.ppo, horizon=8)).policy
    for net in (policy.actor, policy.critic):
        last = net[-1]
        assert isinstance(last, torch.nn.Linear)
        torch.nn.init.normal_(last.weight, std=0.1)
    return policy


def run_of(env: Env, policy: RobotPolicy) -> Run:
    """As if it had been trained and saved."""
    sizes = {"actor_dim": env.actor_dim, "critic_dim": env.critic_dim, "num_actions": env.num_actions}
    return Run(Path("other"), env.task, {}, {"learner": {"policy": policy.state_dict()}}, sizes)


def richer(task: Task) -> Task:
    """Other terms in between, earlier readings of two, another factor on one, another order of the critic's."""
    seen = dict(task.observations)
    gyro = replace(seen.pop("gyro"), history=4)
    joints = replace(seen.pop("joint_position"), history=3, scale=2.0)
    extra = {"height": observe(observations.base_height), "torque": observe(observations.joint_torque)}
    return replace(
        task,
        observations={"joint_position": joints, "other": observe(observations.joint_velocity), "gyro": gyro, **seen},
        privileged={"torque": extra["torque"], **task.privileged, "more": extra["height"]},
    )


def pair() -> tuple[Env, RobotPolicy, Env, RobotPolicy]:
    env = Env(quiet("droid_walk", terminations={}), 16, seed=4)
    before, known = fresh(env, 1), env.reset()
    for _ in range(5):
        before.update_normalizers(known["actor"], known["critic"])
        known = env.step(torch.randn(16, env.num_actions)).obs
    before.log_std.data.fill_(-1.3)
    new = Env(richer(env.task), 16, seed=5)
    policy = fresh(new, 2)
    inherit(policy, new, run_of(env, before))
    return env, before, new, policy


def known_part(new: Env, old: Env, seen: Tensor, whole: bool) -> Tensor:
    """What the old policy would have seen of this, cut out by hand. Shape (N, A) or (N, C)."""
    parts = []
    for name, term in old.task.observations.items():
        part = seen[:, columns(new, name)]
        width = term.function(new.snapshot(), **term.params).shape[1]
        latest = part[:, part.shape[1] - width :]
        parts.append(latest / 2.0 if name == "joint_position" else latest)
    if whole:
        at = new.actor_dim
        found = {}
        for name, term in new.task.privileged.items():
            width = term.function(new.snapshot(), **term.params).shape[1]
            found[name] = seen[:, at : at + width]
            at += width
        parts += [found[name] for name in old.task.privileged]
    return torch.cat(parts, dim=1)


@torch.no_grad()
def test_it_acts_and_judges_as_the_other_did():
    old, before, new, policy = pair()
    obs = new.reset()
    for _ in range(6):
        actor, critic = (known_part(new, old, obs[role], role == "critic") for role in ("actor", "critic"))
        torch.testing.assert_close(policy.actor_mean(obs["actor"]), before.actor_mean(actor), atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(policy.value(obs["critic"]), before.value(critic), atol=1e-4, rtol=1e-4)
        assert policy.actor_mean(obs["actor"]).std() > 0.05
        obs = new.step(torch.randn(16, new.num_actions)).obs
    assert torch.equal(policy.log_std, before.log_std)


def test_new_inputs_have_no_weight_yet_and_learn_one():
    _, _, new, policy = pair()
    layer = policy.actor[0]
    assert isinstance(layer, torch.nn.Linear)
    first = layer.weight
    other, gyro = columns(new, "other"), columns(new, "gyro")
    assert not first[:, other].any()
    assert not first[:, gyro][:, :9].any()
    assert first[:, gyro][:, 9:].any()
    moved = new.step(torch.ones(16, new.num_actions)).obs["actor"]
    policy.actor_mean(moved).square().sum().backward()
    assert first.grad is not None
    assert first.grad[:, other].any()


def test_statistics_of_earlier_readings_are_those_of_the_latest():
    _, before, new, policy = pair()
    gyro = columns(new, "gyro")
    for ago in range(4):
        mine = policy.actor_normalizer.mean[gyro][3 * ago : 3 * ago + 3]
        torch.testing.assert_close(mine, before.actor_normalizer.mean[:3])
    joints = policy.actor_normalizer.var[columns(new, "joint_position")]
    assert (joints > 0).all()


def test_what_cannot_follow_is_refused():
    env = Env(quiet("droid_walk"), 4)
    run = run_of(env, fresh(env, 0))
    go2 = Env(quiet("go2_trot"), 4)
    with pytest.raises(UserError, match="other is of robot 'droid', this task of 'go2'"):
        inherit(fresh(go2, 0), go2, run)
    wide = Env(quiet("droid_walk", ppo=PPOConfig(hidden_actor=(64, 32))), 4)
    with pytest.raises(UserError, match=r"give it --ppo.hidden-actor 128 128"):
        inherit(fresh(wide, 0), wide, run)
    styles = Env(load_task("droid_styles"), 4)
    with pytest.raises(
        UserError, match="other is told vx, vy, wz, style; this task tells vx, vy, wz, style, style_calm"
    ):
        inherit(fresh(styles, 0), styles, run)
    wiser = Env(richer(env.task), 4)
    with pytest.raises(UserError, match="the actor of other sees joint_position, other, gyro, of which"):
        inherit(fresh(env, 0), env, run_of(wiser, fresh(wiser, 0)))
    teacher = Env(replace(env.task, teacher=True), 4)
    with pytest.raises(UserError, match="sees base_velocity, .*robopolicy distill teaches"):
        inherit(fresh(env, 0), env, run_of(teacher, fresh(teacher, 0)))
    seen = env.task.observations
    swapped = Env(replace(env.task, observations=seen | {"gyro": observe(observations.projected_gravity)}), 4)
    with pytest.raises(UserError, match="sees gyro, of which"):  # another thing under the same name
        inherit(fresh(swapped, 0), swapped, run)


def test_from_one_run_to_another(tmp_path: Path, capsys: pytest.CaptureFixture):
    walk, robust = str(tmp_path / "walk"), str(tmp_path / "robust")
    assert main(["train", "droid_walk", "--run", walk, "--prior.warm-start", "50", "--steps", "512", *SMALL]) == 0
    capsys.readouterr()
    assert main(["train", "droid_robust", "--start-from", walk, "--run", robust, "--steps", "256", *SMALL]) == 0
    assert "warm start" not in capsys.readouterr().out
    one, other = (checkpoint.load(folder).state["learner"]["policy"] for folder in (walk, robust))
    bias = "actor.0.bias"
    assert not torch.equal(one[bias], other[bias])  # it has learned since
    assert (one[bias] - other[bias]).abs().max() < 0.02
    assert main(["train", "--resume", robust, "--steps", "512"]) == 0
    again, config = str(tmp_path / "again"), str(Path(robust) / "config.json")
    assert main(["train", "--config", config, "--run", again]) == 0
    starts = [checkpoint.load_config(Path(folder))[1]["start"] for folder in (robust, again)]
    assert starts[0] == starts[1] == checkpoint.identity(checkpoint.load(walk))
    assert main(["train", "--resume", walk, "--steps", "768"]) == 0
    with pytest.warns(
        UserWarning, match="start_from is not the policy that the run began as: it had 512 steps then, 768 now"
    ):
        assert main(["train", "--config", config, "--run", str(tmp_path / "third")]) == 0
    nowhere = tmp_path / "new"
    assert main(["train", "droid_robust", "--start-from", str(tmp_path / "no"), "--run", str(nowhere), *SMALL]) == 2
    assert "no run folder" in capsys.readouterr().err
    assert not nowhere.exists()
