"""The promises of the README that take minutes: run with `make slow`."""

from pathlib import Path

import pytest

from robopolicy.evaluate import evaluate, load_actor
from robopolicy.task import find_task, load_task
from robopolicy.train import Options, train


@pytest.mark.slow
def test_go2_follows_velocities_after_five_minutes(tmp_path: Path):
    """Judged over fresh episodes from the whole command range, with pushes and randomization."""
    folder = train(
        load_task("go2_velocity"), find_task("go2_velocity"), Options(run=str(tmp_path / "run"), seconds=300)
    )
    task, act = load_actor(folder)
    result = evaluate(task, act, episodes=128)
    assert result.velocity_rmse_mps is not None
    assert result.yaw_rmse_radps is not None
    assert result.velocity_rmse_mps <= 0.12
    assert result.yaw_rmse_radps <= 0.15
    assert result.survival >= 0.95
