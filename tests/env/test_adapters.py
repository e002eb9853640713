"""The adapters against the other libraries' own checkers, wrappers and learners."""

import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest
import stable_baselines3
import torch
from gymnasium.utils.env_checker import check_env as gymnasium_check_env
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.utils.passive_env_checker import (
    check_action_space,
    check_observation_space,
    data_shares_objects,
    env_reset_passive_checker,
)
from gymnasium.utils.performance import benchmark_vector_step
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import ClipReward, DictInfoToList, RecordEpisodeStatistics
from stable_baselines3.common.env_checker import check_env as sb3_check_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.preprocessing import check_for_nested_spaces
from stable_baselines3.common.utils import check_for_correct_spaces
from stable_baselines3.common.vec_env import VecCheckNan, VecMonitor, VecNormalize

from robopolicy.env.adapters import GymVectorEnv, SB3VecEnv
from tests.toy import PointMass

N = 6


class One(gymnasium.Env):
    """One environment seen through a vector adapter, for checkers that know no vectors."""

    def __init__(self, max_episode_steps: int = 40) -> None:
        self.vector = GymVectorEnv(PointMass(1, max_episode_steps))
        self.observation_space = self.vector.single_observation_space
        self.action_space = self.vector.single_action_space
        self.metadata = {"render_modes": []}
        self.render_mode = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        obs, info = self.vector.reset(seed=seed, options=options)
        return {key: value[0] for key, value in obs.items()}, info

    def step(self, action: np.ndarray):
        obs, reward, terminated, truncated, infos = self.vector.step(action[None])
        last = infos["final_obs"][0] if terminated[0] or truncated[0] else {k: v[0] for k, v in obs.items()}
        return last, float(reward[0]), bool(terminated[0]), bool(truncated[0]), {}


class SB3One(One):
    """The same through the other adapter."""

    def __init__(self) -> None:
        super().__init__()
        self.vector = SB3VecEnv(PointMass(1))  # type: ignore[assignment]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        gymnasium.Env.reset(self, seed=seed)
        if seed is not None:
            self.vector.seed(seed)  # type: ignore[attr-defined]
        return {key: value[0] for key, value in self.vector.reset().items()}, {}  # type: ignore[attr-defined]

    def step(self, action: np.ndarray):
        obs, reward, done, infos = step(self.vector, action[None])  # type: ignore[arg-type]
        last = infos[0]["terminal_observation"] if done[0] else {key: value[0] for key, value in obs.items()}
        cut = infos[0].get("TimeLimit.truncated", False)
        return last, float(reward[0]), bool(done[0] and not cut), cut, {}


def actions(seed: int = 0, num: int = N) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-2, 2, (num, 2)).astype(np.float32)


def step(env: SB3VecEnv, action: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, list[dict]]:
    """A step whose types are this adapter's."""
    return env.step(action)  # type: ignore[return-value]


@pytest.mark.parametrize("env", [One, SB3One])
def test_gymnasium_checker(env):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for chosen in ("symmetric and normalized", "m[ai][xn]imum value is -?infinity", "not having a spec"):
            warnings.filterwarnings("ignore", f".*{chosen}.*")
        gymnasium_check_env(env())


@pytest.mark.parametrize("env", [One, SB3One])
def test_stable_baselines_checker(env):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", ".*symmetric and normalized.*")  # the policy sets its own scale
        sb3_check_env(env())


# ---- Stable-Baselines3


def test_sb3_wrappers_accept_it():
    env = SB3VecEnv(PointMass(N, max_episode_steps=3))
    check_for_nested_spaces(env.observation_space)
    check_for_correct_spaces(env, env.observation_space, env.action_space)
    with pytest.warns(UserWarning, match="already wrapped with a `Monitor`"):
        monitored = VecMonitor(env)
    wrapped = VecNormalize(VecCheckNan(monitored, raise_exception=True), norm_obs_keys=["actor"])
    wrapped.seed(0)
    wrapped.reset()
    for _ in range(3):
        _, _, done, infos = wrapped.step(actions())
    assert done.all()
    assert all(info["episode"]["l"] == 3 for info in infos)
    assert wrapped.env_is_wrapped(Monitor) == [True] * N
    assert wrapped.unwrapped is env
    wrapped.close()


def test_sb3_infos_exist_only_where_an_episode_ended():
    toy = PointMass(N, max_episode_steps=4)
    env = SB3VecEnv(toy)
    assert env.env is env.unwrapped_env is toy
    env.reset()
    toy.age[:2] = 2  # these two end first
    shared, returns = None, np.zeros(N)
    for t in range(1, 9):
        before = {key: value.clone() for key, value in toy._obs.items()}
        obs, reward, done, infos = step(env, actions(t))
        returns += reward
        assert shared is None or infos is shared
        shared = infos
        expected = ([0, 1] if t in (2, 6) else []) + ([2, 3, 4, 5] if t in (4, 8) else [])
        assert np.flatnonzero(done).tolist() == expected
        for i, info in enumerate(infos):
            if i not in expected:
                assert info == {}
                continue
            assert set(info) == {"terminal_observation", "TimeLimit.truncated", "episode"}
            assert info["TimeLimit.truncated"] is True
            # the true last observation: moved on from before, and not the new episode's
            last = info["terminal_observation"]
            assert not np.array_equal(last["actor"], before["actor"][i])
            np.testing.assert_array_equal(last["critic"], toy._final["critic"][i])
            assert last["critic"][4] == 1.0  # the clock says it
            assert obs["critic"][i, 4] == 0.0
            assert info["episode"]["r"] == pytest.approx(returns[i], abs=1e-5)
            assert info["episode"]["l"] == (2 if t == 2 else 4)
            returns[i] = 0.0


def test_sb3_failure_is_not_called_a_time_limit():
    toy = PointMass(N, max_episode_steps=10)
    env = SB3VecEnv(toy)
    env.reset()
    toy.position[3] = 9.0  # falls
    toy.position[4] = 9.0  # falls in the very step that would have been its last
    toy.age[4:] = 9
    _, _, done, infos = step(env, actions())
    assert done.tolist() == [False, False, False, True, True, True]
    assert [infos[i]["TimeLimit.truncated"] for i in (3, 4, 5)] == [False, False, True]


def test_sb3_arrays_are_the_callers_own():
    env = SB3VecEnv(PointMass(N))
    first = env.reset()
    kept = {key: value.copy() for key, value in first.items()}
    second, reward, _, _ = step(env, actions(0))
    kept_reward = reward.copy()
    third, _, _, _ = step(env, actions(1))
    assert not data_shares_objects(first, second)
    assert not data_shares_objects(second, third)
    for key, value in kept.items():
        np.testing.assert_array_equal(first[key], value)
    np.testing.assert_array_equal(reward, kept_reward)
    assert all(value.dtype == np.float32 for value in second.values())
    assert reward.dtype == np.float32


def test_sb3_seed_takes_effect_at_the_next_reset():
    env = SB3VecEnv(PointMass(N))
    assert env.seed(5) == [5 + i for i in range(N)]
    first = env.reset()
    different = env.reset()
    env.seed(5)
    again = env.reset()
    assert data_equivalence(first, again, exact=True)
    assert not data_equivalence(first, different)


def test_sb3_attributes_and_methods():
    env = SB3VecEnv(PointMass(N))
    assert env.get_attr("control_dt") == [0.1] * N
    assert env.get_attr("control_dt", [0, 2]) == [0.1, 0.1]
    assert env.render_mode is None
    env.set_attr("max_episode_steps", 3)
    assert env.env.max_episode_steps == 3
    env.env_method("seed", 3)
    with pytest.raises(AttributeError):
        env.get_attr("nothing")
    assert not env.has_attr("nothing")
    with pytest.raises(ValueError, match="share one object"):
        env.set_attr("max_episode_steps", 3, indices=[0])
    with pytest.raises(ValueError, match="share one object"):
        env.env_method("seed", 3, indices=0)


def test_stock_sb3_learns():
    env = SB3VecEnv(PointMass(32))
    model = stable_baselines3.PPO(
        "MultiInputPolicy", env, n_steps=32, batch_size=256, n_epochs=5, gamma=0.9, learning_rate=2e-3, seed=0
    )
    test_env = SB3VecEnv(PointMass(16, seed=9))
    before, _ = evaluate_policy(model, test_env, n_eval_episodes=16)
    model.learn(20 * 32 * 32)
    after, _ = evaluate_policy(model, test_env, n_eval_episodes=16)
    assert model.ep_info_buffer is not None
    assert model.ep_info_buffer[-1]["l"] <= 40
    assert np.mean(after) > np.mean(before) + 1.0


# ---- gymnasium


def test_gymnasium_spaces_and_reset():
    env = GymVectorEnv(PointMass(N))
    for space in (env.observation_space, env.single_observation_space):
        check_observation_space(space)
    for space in (env.action_space, env.single_action_space):
        check_action_space(space)
    env_reset_passive_checker(env, seed=1)  # type: ignore[arg-type]
    assert env.action_space.shape == (N, 2)
    assert env.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    obs, _ = env.reset(seed=3)
    assert obs in env.observation_space
    again, _ = env.reset(seed=3)
    assert data_equivalence(obs, again, exact=True)
    assert env.np_random_seed == 3
    with pytest.raises(ValueError, match="reset_mask"):
        env.reset(options={"reset_mask": np.ones(N, dtype=bool)})
    env.close()
    env.close()


def test_gymnasium_step_is_shaped_like_its_own_vectors():
    """The same episodes through gymnasium's own vector of single environments."""
    ours = GymVectorEnv(PointMass(N, max_episode_steps=2))
    theirs = SyncVectorEnv([lambda: One(2)] * N, autoreset_mode=AutoresetMode.SAME_STEP)
    ours.reset(seed=0)
    theirs.reset(seed=0)
    for t in range(1, 5):
        a, b = ours.step(actions(t)), theirs.step(actions(t))
        for x, y in zip(a[1:4], b[1:4], strict=True):
            assert (x.shape, x.dtype) == (y.shape, y.dtype)
        np.testing.assert_array_equal(a[3], b[3])
        assert a[0] in ours.observation_space
        assert a[4].keys() == b[4].keys()
        if t % 2:
            assert a[4] == {}
            continue
        for key in ("_final_obs", "_final_info"):
            np.testing.assert_array_equal(a[4][key], b[4][key])
        assert a[4]["final_obs"].dtype == b[4]["final_obs"].dtype == object
        assert a[4]["final_obs"][0] in ours.single_observation_space
        assert a[4]["final_obs"][0]["critic"][4] == 1.0  # the true last one
        assert a[0]["critic"][0, 4] == 0.0


def test_gymnasium_final_obs_only_where_an_episode_ended():
    toy = PointMass(N, max_episode_steps=10)
    env = GymVectorEnv(toy)
    env.reset(seed=0)
    toy.age[2], toy.position[4] = 9, torch.tensor([9.0, 9.0])
    _, reward, terminated, truncated, infos = env.step(actions())
    assert np.flatnonzero(terminated).tolist() == [4]
    assert np.flatnonzero(truncated).tolist() == [2]
    assert np.flatnonzero(infos["_final_obs"]).tolist() == [2, 4]
    assert [obs is None for obs in infos["final_obs"]] == [True, True, False, True, False, True]
    episode = infos["final_info"]["episode"]
    assert episode["l"].tolist() == [0, 0, 1, 0, 1, 0]
    np.testing.assert_allclose(episode["r"][[2, 4]], reward[[2, 4]])


def test_gymnasium_wrappers_accept_it():
    env = RecordEpisodeStatistics(GymVectorEnv(PointMass(N, max_episode_steps=3)))
    env.reset(seed=0)
    total = np.zeros(N)
    for t in range(3):
        _, reward, _, _, infos = env.step(actions(t))
        total += reward
    assert infos["episode"]["l"].tolist() == [3] * N
    np.testing.assert_allclose(infos["episode"]["r"], total, rtol=1e-5)
    np.testing.assert_allclose(infos["final_info"]["episode"]["r"], total, rtol=1e-5)

    listed = DictInfoToList(GymVectorEnv(PointMass(N, max_episode_steps=1)))
    listed.reset(seed=0)
    infos = listed.step(actions())[4]
    assert len(infos) == N
    assert infos[0]["final_info"]["episode"]["l"] == 1

    clipped = ClipReward(GymVectorEnv(PointMass(N)), -0.01, 0.01)
    clipped.reset(seed=0)
    assert np.abs(clipped.step(actions())[1]).max() == 0.01
    assert benchmark_vector_step(GymVectorEnv(PointMass(N)), target_duration=0) > 0.0  # type: ignore[arg-type]


def test_gymnasium_arrays_are_the_callers_own():
    env = GymVectorEnv(PointMass(N, max_episode_steps=2))
    first, _ = env.reset(seed=0)
    steps = [env.step(actions(t)) for t in range(4)]
    assert not data_shares_objects(first, steps[0][0])
    for one, two in ((0, 1), (1, 2), (0, 2), (1, 3)):
        assert not data_shares_objects(steps[one], steps[two])
    assert not data_shares_objects({"actor": steps[1][0]["actor"]}, {"actor": steps[1][4]["final_obs"][0]["actor"]})
