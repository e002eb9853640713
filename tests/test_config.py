"""Settings to plain values and back: nothing is lost, nothing unknown is taken."""

import json
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from robopolicy.config import apply_values, to_values
from robopolicy.env.env import Env
from robopolicy.errors import UserError
from robopolicy.learn.config import PPOConfig
from robopolicy.task import Randomizer, Task, list_tasks, load_task
from robopolicy.terms.randomizers import Draft, randomizes


def plain(value: Any) -> bool:
    """Whether a value is what JSON has, and nothing else."""
    if isinstance(value, dict):
        return all(isinstance(k, str) and plain(v) for k, v in value.items())
    if isinstance(value, list):
        return all(plain(v) for v in value)
    return value is None or type(value) in (bool, int, float, str)


def altered(value: Any) -> Any:
    """Every number, word and flag another one: what a run with other settings writes."""
    if isinstance(value, dict):
        return {k: altered(v) for k, v in value.items()}
    if isinstance(value, list):
        return [altered(v) for v in value]
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 1
    return value + "x" if isinstance(value, str) else value


@pytest.mark.parametrize("name", list_tasks())
def test_every_task_of_ours_survives_a_round_trip_through_json(name: str):
    task = load_task(name)
    values = to_values(task)
    assert plain(values)
    written = json.loads(json.dumps(values))
    assert written == values
    again = apply_values(task, written)
    assert again == task
    assert isinstance(again, Task)
    # Types too: a tuple is not a list, or settings of two runs would differ.
    assert type(again.ppo.hidden_actor) is tuple
    assert all(type(r) is tuple for r in again.command.ranges.values())
    assert to_values(again) == values


@pytest.mark.parametrize("name", list_tasks())
def test_every_single_setting_of_our_tasks_can_be_changed(name: str):
    task = load_task(name)
    values = altered(to_values(task))
    changed = apply_values(task, values)
    assert to_values(changed) == values
    assert changed != task
    for key, term in changed.rewards.items():  # the functions stay those of the task file
        assert term.function is task.rewards[key].function
    assert load_task(name) == task


def test_the_original_is_left_alone_and_what_is_not_named_stays():
    task = load_task("droid_walk")
    changed = apply_values(task, {"ppo": {"gamma": 0.9}, "rewards": {"alive": {"weight": 7.0}}})
    assert changed.ppo == replace(task.ppo, gamma=0.9)
    assert changed.rewards["alive"].weight == 7.0
    assert changed.rewards["velocity"] == task.rewards["velocity"]
    assert task == load_task("droid_walk")
    assert apply_values(task, {}) == task


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_env": 3}, r"unknown setting 'num_env'; known: .*num_envs"),
        ({"ppo": {"gama": 0.9}}, r"unknown setting 'gama' in ppo; known: .*gamma"),
        ({"rewards": {"alife": {"weight": 1.0}}}, r"unknown term 'alife' in rewards; known: .*alive"),
        ({"rewards": {"alive": {"wait": 1.0}}}, r"unknown setting 'wait' in rewards\.alive; known: params, weight"),
        ({"rewards": {"alive": {"function": "exit"}}}, r"unknown setting 'function' in rewards\.alive"),
        ({"ppo": 3}, r"setting ppo must be a group of settings, got 3"),
        ({"rewards": [1]}, r"setting rewards must be a group of settings, got \[1\]"),
        ({"ppo": {"gamma": "high"}}, r"setting ppo\.gamma must be a number, got 'high'"),
        ({"num_envs": True}, r"setting num_envs must be a number, got True"),
        ({"ppo": {"clip_value": 1}}, r"setting ppo\.clip_value must be a bool, got 1"),
        ({"robot": 2}, r"setting robot must be a str, got 2"),
        ({"push": {"interval_s": 3.0}}, r"setting push\.interval_s must be a list, got 3\.0"),
        ([1], r"setting root must be a group of settings"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(values: Any, message: str):
    with pytest.raises(UserError, match=message) as caught:
        apply_values(load_task("droid_walk"), values)
    assert "\n" not in str(caught.value)


def test_a_fraction_for_a_whole_number_is_refused():
    with pytest.raises(UserError, match="num_envs"):
        apply_values(load_task("droid_walk"), {"num_envs": 12.5})


def test_an_unknown_parameter_of_a_term_is_refused_when_the_task_is_checked():
    changed = apply_values(load_task("droid_walk"), {"rewards": {"velocity": {"params": {"stdd": 0.3}}}})
    with pytest.raises(UserError, match=r"rewards\.velocity.*'stdd'.*std"):
        changed.validate()


def test_a_parameter_that_is_named_leaves_the_others_as_they_are():
    task = load_task("droid_walk")
    changed = apply_values(task, {"rewards": {"clock": {"params": {"duty": 0.5}}}})
    assert changed.rewards["clock"].params == {**task.rewards["clock"].params, "duty": 0.5}


def test_whole_numbers_stay_whole_and_become_fractions_where_fractions_are_meant():
    changed = apply_values(PPOConfig(), {"horizon": 12, "gamma": 1})
    assert type(changed.horizon) is int
    assert type(changed.gamma) is float


def test_free_dicts_and_optional_values():
    @dataclass
    class Settings:
        weights: dict[str, float] = field(default_factory=dict)
        limit: float | None = None
        names: tuple[str, ...] = ()

    values = {"weights": {"walk_*": 2.0}, "limit": None, "names": ["a", "b"]}
    changed = apply_values(Settings(), values)
    assert changed == Settings({"walk_*": 2.0}, None, ("a", "b"))
    assert to_values(changed) == values


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"prior": {"updates": 0}}, r"prior\.updates is 0; it must be at least 1"),
        ({"prior": {"replay": 0}}, r"prior\.replay is 0"),
        ({"prior": {"batch_size": 1}}, r"prior\.batch_size is 1; it must be at least 4"),
        ({"prior": {"warm_start_std": 0.0}}, r"prior\.warm_start_std is 0\.0; it must be positive"),
        ({"prior": {"weight": 1.5}}, r"prior\.weight is 1\.5"),
        ({"prior": {"input_noise": -0.1}}, r"prior\.input_noise is -0\.1; it must not be negative"),
        ({"prior": {"reference_start": 2.0}}, r"prior\.reference_start is 2"),
        ({"observations": {"gyro": {"history": 0}}}, r"observations\.gyro\.history is 0; at least 1"),
        ({"privileged": {"base_height": {"noise": 0.1}}}, r"privileged\.base_height has history 1 and noise 0\.1"),
        ({"privileged": {"base_height": {"history": 3}}}, r"privileged\.base_height has history 3"),
    ],
)
def test_what_would_break_later_is_refused_by_name(values: Any, message: str):
    with pytest.raises(UserError, match=message):
        apply_values(load_task("droid_walk"), values).validate()


def test_a_randomizer_must_say_what_it_changes_and_how_late_it_can_be():
    task = load_task("droid_walk")
    with pytest.raises(UserError, match=r"randomizers\.own: .*lambda.* does not say what it changes: put @randomizes"):
        replace(task, randomizers={"own": Randomizer(lambda draft: None)}).validate()

    @randomizes("actuator_delay")
    def jitter(draft: Draft, seconds: float = 0.01) -> None:
        pass

    with pytest.raises(UserError, match="jitter changes actuator_delay; it needs an argument steps"):
        Env(replace(task, randomizers={"own": Randomizer(jitter)}), 2)
