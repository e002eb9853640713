"""Automatic domain randomization: ranges widen where robots stay up, shrink where they fall, and are really used."""

import pytest
import torch
from small_envs import quiet

from robopolicy.env.adr import Adr, Widening
from robopolicy.env.env import Env
from robopolicy.errors import UserError
from robopolicy.task import randomize
from robopolicy.terms import randomizers

CPU = torch.device("cpu")


def run(widening: Widening, stays_up, episodes: int, seed: int = 0) -> None:
    generator = torch.Generator().manual_seed(seed)
    end = widening.draw(episodes, generator)
    for i in range(0, episodes, 16):
        part = end[i : i + 16]
        widening.learn(torch.ones(len(part), dtype=torch.bool), part, stays_up(part))


def test_an_end_moves_outward_while_its_robots_stay_up_and_back_where_they_fall():
    widening = Widening(Adr(active=True, start=0.5, episodes=8, step=0.1), ["a", "b"], CPU)
    # robots at the high end of b fall at once; all others stay up
    run(widening, lambda end: (end != 3).float(), 2000)
    assert widening.widths[0].tolist() == [1.0, 1.0]
    assert widening.widths[1].tolist() == [1.0, 0.5]  # never below what it began with
    run(widening, lambda end: torch.ones(len(end)), 2000)
    assert widening.widths.flatten().tolist() == [1.0] * 4
    run(widening, lambda end: (end != 0).float(), 200)
    assert widening.widths[0, 0] < 0.9
    assert widening.widths.flatten()[1:].tolist() == [1.0] * 3


def test_between_the_bounds_nothing_moves_and_robots_pinned_nowhere_do_not_count():
    widening = Widening(Adr(active=True, start=0.5, episodes=8), ["a"], CPU)
    run(widening, lambda end: torch.where(end == 2, 1.0, 0.75), 1000)
    assert widening.widths.tolist() == [[0.5, 0.5]]


def test_the_step_is_taken_after_as_many_episodes_as_said():
    widening = Widening(Adr(active=True, episodes=3, step=0.25), ["a"], CPU)
    one = torch.ones(1, dtype=torch.bool)
    for count in range(1, 7):
        widening.learn(one, torch.tensor([1]), torch.ones(1))
        widening.learn(~one, torch.tensor([1]), torch.zeros(1))  # an episode that goes on says nothing
        assert float(widening.widths[0, 1]) == 0.25 * (count // 3)
    assert float(widening.widths[0, 0]) == 0


def env_with(start: float, probes: float, **changes) -> Env:
    chosen = {
        "friction": randomize(randomizers.ground_friction, friction=(0.2, 1.6)),
        "offset": randomize(randomizers.encoder_offset, limit=0.1),
    }
    adr = Adr(active=True, start=start, probes=probes, **changes)
    env = Env(quiet("droid_walk", randomizers=chosen, adr=adr), 256, seed=2)
    env.reset()
    return env


def friction(env: Env) -> torch.Tensor:
    return env.sim.expand("geom_friction")[:, env.robot.mj.geom("floor").id, 0]


def test_robots_are_drawn_from_what_is_in_use():
    env = env_with(0.0, 0.0)
    nominal = float(env.robot.mj.geom_friction[env.robot.mj.geom("floor").id, 0])
    assert friction(env).unique().tolist() == pytest.approx([nominal])
    assert not env.encoder_offset.any()
    env = env_with(0.5, 0.0)
    low, high = nominal + 0.5 * (0.2 - nominal), nominal + 0.5 * (1.6 - nominal)
    assert low - 1e-6 <= float(friction(env).min()) < low + 0.05
    assert high - 0.05 < float(friction(env).max()) <= high + 1e-6
    assert 0.045 < float(env.encoder_offset.max()) <= 0.050001


def test_pinned_robots_are_at_the_end_they_are_pinned_to():
    env = env_with(0.5, 1.0)
    nominal = float(env.robot.mj.geom_friction[env.robot.mj.geom("floor").id, 0])
    at = lambda end: env.pinned_end == end  # noqa: E731
    assert friction(env)[at(0)].numpy() == pytest.approx(nominal + 0.5 * (0.2 - nominal))
    assert friction(env)[at(1)].numpy() == pytest.approx(nominal + 0.5 * (1.6 - nominal))
    assert env.encoder_offset[at(2)].numpy() == pytest.approx(-0.05)
    assert env.encoder_offset[at(3)].numpy() == pytest.approx(0.05)
    assert friction(env)[at(2) | at(3)].std() > 0.05


def test_an_environment_widens_its_ranges_and_goes_on_with_them():
    env = env_with(0.2, 1.0, episodes=4)
    env.age.fill_(env.max_episode_steps - 1)
    log = env.step(torch.zeros(256, env.num_actions)).log
    assert float(log["adr"]) == pytest.approx(0.3)
    assert float(log["adr/offset"]) == pytest.approx(0.3)
    again = env_with(0.0, 1.0, episodes=4)
    again.load_state_dict(env.state_dict())
    assert again.starts.widening is not None
    assert again.starts.widening.widths.flatten().tolist() == pytest.approx([0.3] * 4)


def test_only_how_far_ranges_have_grown_can_be_taken_on():
    env, other = env_with(0.2, 1.0, episodes=4), env_with(0.2, 1.0, episodes=4)
    env.age.fill_(env.max_episode_steps - 1)
    env.step(torch.zeros(256, env.num_actions))
    qpos = other.qpos.clone()
    other.load_progress(env.state_dict())
    assert other.starts.widening is not None
    assert other.starts.widening.widths.flatten().tolist() == pytest.approx([0.3] * 4)
    assert other.clock == env.clock == 1
    assert torch.equal(other.qpos, qpos)


def test_settings_that_contradict_each_other_are_refused():
    with pytest.raises(UserError, match="shrink_below 0.9 must lie below adr.widen_above 0.9"):
        Adr(shrink_below=0.9).validate()
    with pytest.raises(UserError, match="adr.probes is 2"):
        Adr(probes=2).validate()
