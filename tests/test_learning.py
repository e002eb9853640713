"""The promises of the README that take minutes: run with `make slow`."""

from pathlib import Path

import pytest
import torch

from robopolicy.env.env import Env
from robopolicy.evaluate import evaluate, load_actor
from robopolicy.task import find_task, load_task
from robopolicy.train import Options, train

pytestmark = pytest.mark.slow


def trained(name: str, folder: Path, seconds: float) -> Path:
    return train(load_task(name), find_task(name), Options(run=str(folder / "run"), seconds=seconds))


def mean_velocities(folder: Path, commands: torch.Tensor) -> torch.Tensor:
    """Mean velocity (n, 3) from the second to the seventh second under commands (n, 3), nothing disturbing."""
    task, act = load_actor(folder)
    env = Env(task, len(commands), nominal=True, threads=1)
    env.reset(stagger=False)
    obs, found = env.hold_command(commands), []
    with torch.no_grad():
        for k in range(350):
            obs = env.step(act(obs["actor"])).obs
            if k >= 100:
                state = env.state
                found.append(torch.cat((state.base_lin_vel_h[:, :2], state.yaw_rate.unsqueeze(1)), dim=1))
    return torch.stack(found).mean(0)


def test_go2_follows_velocities_after_five_minutes(tmp_path: Path):
    """Judged over fresh episodes from the whole command range, with pushes and randomization."""
    task, act = load_actor(trained("go2_velocity", tmp_path, seconds=300))
    result = evaluate(task, act, episodes=128)
    assert result.velocity_rmse_mps is not None
    assert result.yaw_rmse_radps is not None
    assert result.velocity_rmse_mps <= 0.12
    assert result.yaw_rmse_radps <= 0.15
    assert result.survival >= 0.95


def test_the_droid_walks_in_every_direction_after_ten_minutes(tmp_path: Path):
    """A mean over the command range is good for a robot that answers small commands by standing; it must walk."""
    folder = trained("droid_walk", tmp_path, seconds=600)
    task, act = load_actor(folder)
    result = evaluate(task, act, episodes=128)
    assert result.velocity_rmse_mps is not None
    assert result.style_distance is not None
    assert result.velocity_rmse_mps <= 0.10
    assert result.survival >= 0.95
    assert result.style_distance <= 30
    ends = torch.tensor(list(task.command.ranges.values()))
    commands = torch.cat([torch.diag(ends[:, side]) for side in (0, 1)])  # each channel alone, to both its ends
    done = mean_velocities(folder, commands)
    share = (done * commands).sum(1) / commands.square().sum(1)
    assert share.min() > 0.6, share
    assert share.max() < 1.4, share
