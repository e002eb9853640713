"""Learning curves."""

import csv

import numpy as np
import pytest

from robopolicy.errors import UserError
from robopolicy.view.plots import _panels, learning_curves, read_progress

COLUMNS = ["time_s", "env_steps", "steps_per_s", "env/reward/velocity", "env/reward/slip"]
COLUMNS += ["env/velocity_error", "env/yaw_error", "env/falls"]
COLUMNS += ["prior/style_reward", "prior/accuracy", "prior/logit_gap", "train/kl", "train/n_updates"]


@pytest.fixture
def run(tmp_path):
    with (tmp_path / "progress.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for k in range(30):
            cells = [10 * k, 1000 * k, *np.random.default_rng(k).normal(size=len(COLUMNS) - 2)]
            writer.writerow(["" if k % 5 == 1 and i > 3 else cell for i, cell in enumerate(cells)])
    return tmp_path


def test_curves_are_drawn(run):
    path = learning_curves(run)
    assert path == run / "curves.png"
    assert path.read_bytes().startswith(b"\x89PNG")
    assert path.stat().st_size > 20_000


def test_panels_hold_what_they_say():
    panels = _panels(COLUMNS)
    assert panels["velocity error [m/s], [rad/s]"] == ["env/velocity_error", "env/yaw_error"]
    assert panels["reward terms"] == ["env/reward/velocity", "env/reward/slip"]
    assert panels["falls, share of control steps"] == ["env/falls"]
    assert panels["style reward"] == ["prior/style_reward"]
    assert panels["discriminator"] == ["prior/accuracy", "prior/logit_gap"]
    assert panels["speed [steps/s]"] == ["steps_per_s"]


def test_empty_cells_are_gaps(run):
    columns = read_progress(run / "progress.csv")
    assert np.isnan(columns["env/falls"]).sum() == 6
    assert np.isfinite(columns["time_s"]).all()


def test_a_missing_or_empty_file_is_named(tmp_path):
    with pytest.raises(UserError, match="progress.csv"):
        learning_curves(tmp_path)
    (tmp_path / "progress.csv").write_text("time_s,env_steps\n")
    with pytest.raises(UserError, match="no rows"):
        learning_curves(tmp_path)
    (tmp_path / "progress.csv").write_text("steps\n1\n")
    with pytest.raises(UserError, match="it has: steps"):
        learning_curves(tmp_path)
