"""Judging a policy: every figure against NumPy, from the states of the same episodes."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest
import torch
from small_envs import compiled, quiet, shipped
from torch import Tensor

import robopolicy.evaluate as evaluation
from robopolicy.env.command import Command
from robopolicy.env.env import Env, Step
from robopolicy.errors import UserError
from robopolicy.evaluate import evaluate, load_actor, style_distance, style_features, summary
from robopolicy.motion.metrics import frechet_distance
from robopolicy.motion.prior import Prior
from robopolicy.motion.reference import load_reference
from robopolicy.task import Push, Task, load_task, term
from robopolicy.terms import rewards

EPISODES = 24


class Watched(Env):
    """An environment that remembers what it did."""

    last: "Watched"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        Watched.last = self
        self.states: list[tuple[np.ndarray, np.ndarray]] = []
        self.fell: list[np.ndarray] = []
        self.earned: list[np.ndarray] = []
        step = self.sim.step

        def watched(substeps: int) -> None:
            step(substeps)
            self.states.append((self.qpos.numpy().copy(), self.qvel.numpy().copy()))

        self.sim.step = watched  # type: ignore[method-assign]

    def step(self, action: Tensor) -> Step:
        step = super().step(action)
        self.fell.append(step.terminated.numpy().copy())
        self.earned.append(step.reward.numpy().copy())
        return step


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> type[Watched]:
    monkeypatch.setattr(evaluation, "Env", Watched)
    return Watched


def stand(task: Task) -> Any:
    joints = len(compiled(task.robot).joint_names)
    return lambda obs: torch.zeros(len(obs), joints)


def shaken() -> Task:
    """Robots that stand still whatever they are told, and are pushed so that some fall."""
    push = Push(velocity=0.8, yaw_rate=0.8, interval_s=(0.6, 1.5))
    return quiet("go2_velocity", push=push, episode_s=4.0)


def lives(env: Watched) -> np.ndarray:
    """Whether each robot had never fallen, up to and with each step. Shape (T, N)."""
    return ~np.logical_or.accumulate(np.array(env.fell), axis=0)


def heading_velocity(qpos: np.ndarray, qvel: np.ndarray) -> np.ndarray:
    """Forward, sideways and turning speed of one state, by MuJoCo's own matrices. Shape (3,)."""
    flat = np.empty(9)
    mujoco.mju_quat2Mat(flat, qpos[3:7])
    matrix = flat.reshape(3, 3)
    ahead = matrix[:2, 0] / np.linalg.norm(matrix[:2, 0])
    return np.array([qvel[:2] @ ahead, qvel[1] * ahead[0] - qvel[0] * ahead[1], (matrix @ qvel[3:6])[2]])


def test_errors_are_of_the_one_second_mean_from_two_seconds_on_while_alive(watched: type[Watched]):
    task = shaken()
    result = evaluate(task, stand(task), EPISODES, seed=1)
    env = watched.last
    alive, command = lives(env), env.command[:, :3].double().numpy()
    assert 0 < alive[-1].mean() < 1
    assert result.survival == pytest.approx(alive[-1].mean())
    assert result.episodes == EPISODES
    assert len(env.states) == 200
    speed = np.array([[heading_velocity(q, v) for q, v in zip(*s, strict=True)] for s in env.states])
    linear, turning = [], []
    for i in range(EPISODES):
        for k in range(100, 200):
            if alive[k, i]:
                error = speed[k - 49 : k + 1, i].mean(axis=0) - command[i]
                linear.append(error[0] ** 2 + error[1] ** 2)
                turning.append(error[2] ** 2)
    assert result.velocity_rmse_mps == pytest.approx(np.sqrt(np.mean(linear)), rel=1e-4)
    assert result.yaw_rmse_radps == pytest.approx(np.sqrt(np.mean(turning)), rel=1e-4)


def test_each_episode_has_its_own_figures(watched: type[Watched]):
    task = shaken()
    result = evaluate(task, stand(task), EPISODES, seed=1)
    each, env = result.per_episode, watched.last
    assert each is not None
    alive = lives(env)
    np.testing.assert_array_equal(each.survived, alive[-1])
    np.testing.assert_allclose(each.lived_s, 0.02 * alive.sum(0))
    np.testing.assert_allclose(each.command, env.command)
    assert each.reward.mean() == pytest.approx(result.reward, rel=1e-5)
    speed = np.array([[heading_velocity(q, v) for q, v in zip(*s, strict=True)] for s in env.states])
    for i in range(EPISODES):
        steps = [k for k in range(100, 200) if alive[k, i]]
        assert each.counted[i] == len(steps)
        if not steps:
            assert np.isnan(each.velocity_rmse_mps[i])
            continue
        error = np.array([speed[k - 49 : k + 1, i].mean(0) - each.command[i, :3] for k in steps])
        assert each.velocity_rmse_mps[i] == pytest.approx(np.sqrt((error[:, :2] ** 2).sum(1).mean()), rel=1e-3)
        assert each.yaw_rmse_radps[i] == pytest.approx(np.sqrt((error[:, 2] ** 2).mean()), rel=1e-3, abs=1e-4)


def test_a_command_that_is_given_is_held_by_all_or_by_each(watched: type[Watched]):
    task = quiet("go2_velocity", episode_s=0.2)
    evaluate(task, stand(task), 3, command=np.array([0.4, 0.0, -0.2]))
    np.testing.assert_allclose(watched.last.command[:, :3], [[0.4, 0.0, -0.2]] * 3)
    each = np.array([[0.1, 0.0, 0.0], [0.2, 0.1, 0.0], [0.3, 0.0, 0.5]])
    evaluate(task, stand(task), 3, command=each)
    np.testing.assert_allclose(watched.last.command[:, :3], each)
    for wrong in ([0.1, 0.2], [0.1, 0.2, float("nan")]):
        with pytest.raises(UserError, match="3 finite numbers: vx, vy, wz"):
            evaluate(task, stand(task), 3, command=np.array(wrong))


def test_intervals_hold_their_values_and_shrink_with_more_episodes():
    task = shipped("droid_walk", episode_s=3.0)
    few, many = (evaluate(task, stand(task), n) for n in (8, 48))
    widths = []
    for result in (few, many):
        for name in ("velocity_rmse_mps", "yaw_rmse_radps", "survival", "reward"):
            low, high = getattr(result, f"{name}_interval")
            assert low <= getattr(result, name) <= high
        low, high = result.velocity_rmse_mps_interval or (0.0, 0.0)
        widths.append(high - low)
        assert result.style_distance_interval is not None
    assert widths[1] < widths[0]


def test_the_reward_is_of_the_first_episode_alone(watched: type[Watched]):
    """A reward of 1 per second is the time until the fall."""
    task = replace(shaken(), rewards={"alive": term(1.0, rewards.alive)})
    result = evaluate(task, stand(task), EPISODES, seed=1)
    steps = lives(watched.last).sum(axis=0)
    lived = 0.02 * np.minimum(steps + 1, 200)  # the step of the fall counts
    assert result.reward == pytest.approx(lived.mean(), rel=1e-5)
    assert result.return_std == pytest.approx(lived.std(), rel=1e-4)


def test_commands_cover_the_whole_range_and_stay(watched: type[Watched]):
    task = quiet("go2_velocity", command=Command(zero=0.9, single=0.1), episode_s=0.2)
    evaluate(task, stand(task), 200, seconds=0.1)
    command = watched.last.command[:, :3]
    assert (watched.last.command[:, 3:] == 1).all()  # in full style
    low, high = task.command.bounds(command.device)
    assert ((command >= low) & (command <= high)).all()
    assert (command != 0).all()
    assert (command.amin(0) < low + 0.05 * (high - low)).all()
    assert (command.amax(0) > high - 0.05 * (high - low)).all()
    assert len(watched.last.states) == 5


def test_everyone_begins_at_once_and_no_episode_runs_out_early(watched: type[Watched]):
    task = quiet("go2_velocity", episode_s=0.3)
    evaluate(task, stand(task), 4)
    assert len(watched.last.states) == 15
    evaluate(task, stand(task), 4, seconds=99.0)
    assert len(watched.last.states) == 15


def test_a_robot_that_stands_as_told_has_hardly_an_error():
    still = Command(ranges={"vx": (0.0, 0.0), "vy": (0.0, 0.0), "wz": (0.0, 0.0)})
    task = quiet("go2_velocity", command=still, episode_s=3.5)
    result = evaluate(task, stand(task), 4)
    assert result.survival == 1.0
    assert result.velocity_rmse_mps is not None
    assert result.velocity_rmse_mps < 0.05
    assert result.yaw_rmse_radps == pytest.approx(0.0, abs=0.05)


def test_where_everyone_falls_at_once_there_is_no_error_to_tell():
    task = quiet("go2_velocity", episode_s=3.0)
    task.terminations["too_low"].params["share"] = 3.0
    result = evaluate(task, stand(task), 4)
    assert result.survival == 0.0
    assert result.velocity_rmse_mps is None
    assert result.yaw_rmse_radps is None


def test_a_task_without_velocity_commands_has_no_velocity_error():
    result = evaluate(shipped("droid_stand", episode_s=2.4), stand(shipped("droid_stand")), 4)
    assert result.velocity_rmse_mps is None
    assert result.yaw_rmse_radps is None


def test_pushes_ground_and_ranges_that_grow_have_grown(watched: type[Watched]):
    """Judged as at the end of a training, whatever the seed has seen of it."""
    task = load_task("droid_rough")
    now = replace(task, episode_s=2.4, push=replace(task.push, interval_s=(0.2, 0.4)))
    grown = replace(
        now,
        push=replace(now.push, ramp_steps=0),
        terrain=replace(now.terrain, ramp_steps=0),
        adr=replace(now.adr, active=False),
    )
    assert now.push.ramp_steps > 0
    assert now.adr.active
    found, places = [], []
    for each in (now, grown):
        found.append(evaluate(each, stand(each), 12))
        places.append(watched.last.states[0][0][:, 0])
    assert found[0] == found[1]
    assert np.ptp(places[0]) > 0.5 * (task.terrain.size - 24)  # robots keep 12 m from every edge
    assert (watched.last.pushes.size == 1).all()


def test_the_same_seed_judges_the_same():
    task = shipped("droid_walk", episode_s=2.4)
    a, b, c = (evaluate(task, stand(task), 8, seed=s) for s in (3, 3, 4))
    assert a == b
    assert a != c


def test_the_summary_is_json():
    values = summary(evaluate(quiet("go2_velocity", episode_s=0.1), stand(quiet("go2_velocity")), 4))
    wanted = {"velocity_rmse_mps", "yaw_rmse_radps", "survival", "style_distance", "episodes"}
    assert wanted <= json.loads(json.dumps(values)).keys()
    assert values["episodes"] == 4
    assert {"survival_interval", "velocity_rmse_mps_interval", "style_distance_interval"} <= values.keys()
    assert "per_episode" not in values


@pytest.mark.parametrize("window", [1, 7, 50])
def test_moving_average(window: int):
    x = np.random.default_rng(0).normal(size=(120, 3)) + 5
    expected = np.stack([np.convolve(c, np.full(window, 1 / window), "valid") for c in x.T], axis=1)
    value = evaluation._moving_average(torch.as_tensor(x).float(), window)
    np.testing.assert_allclose(value.numpy(), expected, rtol=1e-5)


# ---- style


def frames(clips: tuple[str, ...], half: str = "held-out") -> np.ndarray:
    table = load_reference(Prior(clips=clips), compiled("droid"), 0.02, half)
    return style_features(table.qpos.double(), table.qvel.double()).numpy()


def held_out(task: Task) -> tuple[Tensor, Tensor]:
    """States of the half that judges."""
    table = load_reference(task.prior, compiled(task.robot), task.control_dt, "held-out")
    return table.qpos, table.qvel


def walker() -> tuple[Tensor, Tensor]:
    task = quiet("droid_walk")
    return held_out(replace(task, prior=replace(task.prior, clips=("walk_forward_0.30",))))


def test_style_features_are_those_of_the_definition():
    """Joint angles, gravity's direction, base velocity and angular velocity in the base's frame, joint velocities."""
    table = load_reference(Prior(clips=("walk_forward_0.30",)), compiled("droid"), 0.02)
    qpos, qvel = table.qpos.double(), table.qvel.double()
    features = style_features(qpos, qvel).numpy()
    assert features.shape == (len(qpos), 14 + 3 + 3 + 3 + 14)
    for k in (0, 10, 30):
        data = mujoco.MjData(compiled("droid").mj)
        data.qpos[:], data.qvel[:] = qpos[k].numpy(), qvel[k].numpy()
        mujoco.mj_forward(compiled("droid").mj, data)
        matrix, velocity = data.body("base").xmat.reshape(3, 3), np.zeros(6)
        mujoco.mj_objectVelocity(compiled("droid").mj, data, mujoco.mjtObj.mjOBJ_XBODY.value, 1, velocity, 1)
        expected = [data.qpos[7:], -matrix[2], velocity[3:], velocity[:3], data.qvel[6:]]
        np.testing.assert_allclose(features[k], np.concatenate(expected), atol=1e-6)


def test_the_held_out_half_is_at_no_distance_from_itself():
    walk = walker()
    assert style_distance(*walk, frames(("walk_forward_0.30",))) == pytest.approx(0.0, abs=1e-3)


def test_the_nearer_the_motion_the_smaller_the_distance():
    walk = walker()
    clips = (("walk_forward_0.30",), ("walk_forward_0.40",), ("walk_backward_0.20",), ("stand_idle",))
    distances = [style_distance(*walk, frames(c)) for c in clips]
    known = [d for d in distances if d is not None]
    assert len(known) == 4
    assert known[0] < known[1] < known[2]
    assert known[3] > 5


@pytest.mark.parametrize("name", ["droid_walk", "go2_trot"])
def test_the_half_that_is_trained_on_is_near_the_half_that_judges(name: str):
    """What a perfect imitation would score: far below other gaits, else the figure tells nothing."""
    task = load_task(name)
    trained = load_reference(task.prior, compiled(task.robot), task.control_dt)
    perfect = style_distance(*held_out(task), style_features(trained.qpos.double(), trained.qvel.double()).numpy())
    assert perfect is not None
    assert perfect < 2.5


def test_distance_is_in_deviations_of_the_held_out_half():
    walk = walker()
    own = frames(("walk_forward_0.30",))
    mean, std = own.mean(0), np.maximum(own.std(0), 1e-3)
    other = frames(("turn_left_0.60",))
    expected = frechet_distance((own - mean) / std, (other - mean) / std)
    assert style_distance(*walk, other) == pytest.approx(expected)
    # a shift by one deviation in each of two columns costs two
    moved = own.copy()
    moved[:, [0, 5]] += std[[0, 5]]
    assert style_distance(*walk, moved) == pytest.approx(2.0, abs=1e-2)


def test_too_few_frames_give_no_distance():
    walk = walker()
    assert style_distance(*walk, frames(("walk_forward_0.30",))[:1]) is None


def test_a_standing_robot_moves_in_the_style_of_standing(watched: type[Watched]):
    """End to end: standing still is near the standing clip and far from the walking ones; only settled life counts."""
    task = quiet("droid_walk", episode_s=2.6)
    distances = []
    for clip in ("stand_idle", "walk_forward_0.40"):
        chosen = replace(task, prior=replace(task.prior, clips=(clip,)))
        result = evaluate(chosen, stand(task), 8, seed=2)
        env = watched.last
        late = np.array([np.concatenate(s, axis=1) for s in env.states])[100:][lives(env)[100:]]
        rows = torch.as_tensor(late).float()
        expected = style_distance(*held_out(chosen), style_features(rows[:, :21], rows[:, 21:]).double().numpy())
        assert result.style_distance == pytest.approx(expected, rel=1e-4)
        distances.append(result.style_distance)
    assert distances[0] is not None


def test_a_task_without_clips_has_no_style():
    task = quiet("go2_velocity", episode_s=0.1, prior=Prior())
    assert evaluate(task, stand(task), 2).style_distance is None


# ---- what can be judged


def test_what_is_no_policy_is_refused_by_name(tmp_path: Path):
    with pytest.raises(UserError, match="nothing_here"):
        load_actor(tmp_path / "nothing_here")
    with pytest.raises(UserError, match=r"no file .*gone\.onnx"):
        load_actor(tmp_path / "gone.onnx")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty is no run folder"):
        load_actor(tmp_path / "empty")
    (tmp_path / "noise.onnx").write_bytes(b"no network")
    with pytest.raises(UserError, match="noise"):
        load_actor(tmp_path / "noise.onnx")
