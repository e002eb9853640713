"""Teacher and student: what each sees, that the student comes to do what the teacher does, and what becomes of it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_envs import quiet

from robopolicy import checkpoint
from robopolicy.cli import main
from robopolicy.env.env import Env
from robopolicy.learn.config import PPOConfig
from robopolicy.learn.distill import imitate
from robopolicy.learn.policy import RobotPolicy
from robopolicy.learn.ppo import PPO

SMALL = ("--num-envs", "32", "--ppo.horizon", "8", "--steps", "1024", "--device", "cpu")


def policy_of(env: Env, seed: int) -> RobotPolicy:
    torch.manual_seed(seed)
    policy = PPO(env=env, config=PPOConfig(horizon=8)).policy
    last = policy.actor[-1]
    assert isinstance(last, torch.nn.Linear)
    torch.nn.init.normal_(last.weight, std=0.05)
    return policy


def test_a_teacher_sees_what_the_critic_sees_without_noise():
    env = Env(replace(quiet("droid_walk"), teacher=True), 4)
    obs = env.reset()
    assert env.actor_dim == env.critic_dim
    assert torch.equal(obs["actor"], obs["critic"])
    step = env.step(torch.zeros(4, env.num_actions))
    assert torch.equal(step.obs["actor"], step.obs["critic"])


def test_the_student_comes_to_do_what_the_teacher_does():
    """Judged afterwards, on the way that the student goes alone."""
    task = quiet("droid_walk", terminations={})
    teacher = policy_of(Env(replace(task, teacher=True), 32), seed=1)
    env = Env(task, 32, seed=5)
    student, before = policy_of(env, seed=2), policy_of(env, seed=2)
    rounds = []
    imitate(student, teacher, env, 8, lambda: len(rounds) / 40, lambda steps, error: rounds.append((steps, error)))
    assert rounds[-1][0] == 40 * 8 * 32
    errors = {}
    for name, policy in (("before", before), ("after", student)):
        fresh = Env(task, 32, seed=9)
        obs, apart = fresh.reset(), []
        with torch.no_grad():
            for _ in range(20):
                action = policy.actor_mean(obs["actor"])
                apart.append((action - teacher.actor_mean(obs["critic"])).square().mean())
                obs = fresh.step(action).obs
        errors[name] = float(torch.stack(apart).mean())
    assert errors["after"] < 0.2 * errors["before"]


def test_a_student_goes_on_where_the_teachers_pushes_and_ranges_were(tmp_path: Path):
    teacher, student = tmp_path / "teacher", tmp_path / "student"
    grown = ("--push.ramp-steps", "1000", "--adr.active", "--adr.start", "0.3")
    assert main(["train", "go2_velocity", "--teacher", "--run", str(teacher), *grown, *SMALL]) == 0
    path = teacher / checkpoint.CHECKPOINT
    state = torch.load(path, weights_only=True)
    state["env"]["starts"]["widening"]["widths"].fill_(0.7)
    torch.save(state, path)
    assert main(["distill", str(teacher), "--run", str(student), "--steps", "256", "--device", "cpu"]) == 0
    taught, own = (checkpoint.load(f).state["env"] for f in (teacher, student))
    assert own["tensors"]["clock"] == taught["tensors"]["clock"] + 256 / 32
    assert (own["starts"]["widening"]["widths"] > 0.5).all()
    assert main(["train", "--resume", str(student), "--steps", "512"]) == 0
    assert checkpoint.load(student).state["env"]["tensors"]["clock"] == own["tensors"]["clock"] + 256 / 32


def test_from_a_teacher_to_a_file_and_on(tmp_path: Path, capsys: pytest.CaptureFixture):
    teacher, student = str(tmp_path / "teacher"), str(tmp_path / "student")
    assert main(["train", "go2_velocity", "--teacher", "--run", teacher, *SMALL]) == 0
    assert main(["export", teacher, "--output", str(tmp_path / "t.onnx")]) == 2
    assert "robopolicy distill" in capsys.readouterr().err
    assert main(["distill", teacher, "--run", student, "--steps", "1024", "--device", "cpu"]) == 0
    run = checkpoint.load(student)
    assert not run.task.teacher
    assert run.sidecar["actor_dim"] < checkpoint.load(teacher).sidecar["actor_dim"]
    taught, own = (checkpoint.load(f).state["learner"]["policy"] for f in (teacher, student))
    assert torch.equal(taught["critic.0.weight"], own["critic.0.weight"])
    assert main(["train", "--resume", student, "--steps", "2048"]) == 0
    assert json.loads((Path(student) / "checkpoint.json").read_text())["steps"] >= 2048
    assert main(["distill", student, "--run", str(tmp_path / "again")]) == 2
    assert "is no teacher" in capsys.readouterr().err
