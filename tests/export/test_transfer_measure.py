"""What is measured in an episode, against loops and formulas of the test's own."""

import dataclasses

import numpy as np
import pytest
import synthetic
from robopolicy_runtime.errors import ContractError
from robopolicy_runtime.policy import Controller, PolicyFile
from robopolicy_runtime.transfer.deviations import NOMINAL
from robopolicy_runtime.transfer.draw import Drawn
from robopolicy_runtime.transfer.measure import Episode, Starts, draw_command, run_episode, summarize, tracking
from robopolicy_runtime.verify import Plant

PERIOD = synthetic.PERIOD


def test_tracking_of_a_sway_that_averages_out():
    """A sway of the window's own period is no error; a constant offset is all of it."""
    t = np.arange(400) * PERIOD
    velocity = np.column_stack((0.33 + 0.5 * np.sin(2 * np.pi * t), 0.04 + 0 * t, -0.1 + np.cos(2 * np.pi * t)))
    planar, turning = tracking(velocity, np.array([0.3, 0.0, 0.1]), PERIOD)
    assert planar == pytest.approx(0.05)
    assert turning == pytest.approx(0.2)


def test_tracking_counts_from_two_seconds_on():
    velocity = np.zeros((200, 3))
    velocity[:50] = 9.0  # the mean that ends at 2 s begins after 1 s
    assert tracking(velocity, np.zeros(3), PERIOD) == (0, 0)
    velocity[60] = 50 * 0.1
    planar, _ = tracking(velocity, np.zeros(3), PERIOD)
    assert planar is not None
    assert planar > 0
    assert tracking(velocity[:100], np.zeros(3), PERIOD) == (None, None)


def test_commands_cover_the_range_and_leave_the_style_alone():
    contract = synthetic.contract()
    c = contract.command
    styled = dataclasses.replace(
        c, names=(*c.names, "style"), lower=(*c.lower, 0.0), upper=(*c.upper, 1.0), default=(0.0, 0.0, 0.0, 0.8)
    )
    drawn = np.array([draw_command(dataclasses.replace(contract, command=styled), seed) for seed in range(200)])
    assert (drawn[:, 3] == 0.8).all()
    span = np.array(c.upper) - c.lower
    assert (np.abs(drawn[:, :3].min(0) - c.lower) < 0.05 * span).all()
    assert (np.abs(drawn[:, :3].max(0) - c.upper) < 0.05 * span).all()
    assert np.array_equal(drawn[7], draw_command(dataclasses.replace(contract, command=styled), 7))


@pytest.mark.parametrize("seed", [0, 1, 5])
def test_a_nominal_episode_is_the_one_of_a_plain_loop(policy_path, seed):
    file = PolicyFile.open(policy_path)
    found = run_episode(file, Starts.of(file), Drawn(seed, {}, NOMINAL), 1.0)
    plant, controller, reference = Plant(file.mjcf, file.contract), Controller(file), file.reference()
    command = draw_command(file.contract, seed)
    plant.reset(reference["eval_qpos0"][seed], reference["eval_qvel0"][seed])
    targets, tilts, fall = [], [], None
    for step in range(50):
        targets.append(controller.step(**plant.sensors(), command=command))
        plant.step(targets[-1])
        if plant.fallen():
            fall = (step + 1) * PERIOD
            break
        tilts.append(np.arccos(plant.rotation[2, 2]))
    assert found.survived is (fall is None)
    assert found.fall_s == fall
    assert found.velocity_rmse_mps is None  # an episode of 1 s has none
    assert found.tilt_rad == pytest.approx(np.sqrt(np.mean(np.square(tilts))), abs=1e-6)
    change = np.diff(targets, axis=0) / PERIOD
    assert found.action_rate_radps == pytest.approx(np.sqrt(np.mean(change**2)), rel=1e-6)
    assert 0 <= found.saturation <= 1


def test_summary_leaves_out_what_was_not_measured():
    stood = Episode(0, True, None, 0.1, 0.2, 0.05, 0.0, 2.0)
    fell = Episode(1, False, 0.5, None, None, 0.5, 0.3, 4.0)
    found = summarize([stood, fell])
    assert found.survival.value == 0.5
    assert found.velocity_rmse_mps is not None
    assert found.velocity_rmse_mps.count == 1
    assert found.fall_s is not None
    assert found.fall_s.value == 0.5
    assert found.action_rate_radps is not None
    assert found.action_rate_radps.value == 3
    assert summarize([stood]).fall_s is None


def test_a_file_without_starts(write, recorded, tmp_path):
    without = {name: values for name, values in recorded.items() if name != "eval_qvel0"}
    file = PolicyFile.open(write(tmp_path / "p.onnx", reference=without))
    with pytest.raises(ContractError, match="the recorded reference has no 'eval_qvel0'"):
        Starts.of(file)
