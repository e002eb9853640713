"""Learning curves."""

import csv

import numpy as np
import pytest

from robopolicy.errors import UserError
from robopolicy.view.plots import _panels, learning_curves, read_progress

COLUMNS = [
    "time_s", "env_steps", "reward/tracking", "reward/style", "velocity_error_mps", "yaw_error_radps",
    "falls", "style/reward", "amp/accuracy", "amp/logit_gap", "speed/steps_per_s", "train/kl", "odd_one",
]  # fmt: skip


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


def test_every_column_has_a_panel():
    panels = _panels(COLUMNS[2:])
    assert sorted(name for names in panels.values() for name in names) == sorted(COLUMNS[2:])
    assert panels["velocity error"] == ["velocity_error_mps", "yaw_error_radps"]
    assert panels["discriminator"] == ["amp/accuracy", "amp/logit_gap"]
    assert panels["speed"] == ["speed/steps_per_s"]
    assert panels["other"] == ["odd_one"]


def test_empty_cells_are_gaps(run):
    columns = read_progress(run / "progress.csv")
    assert np.isnan(columns["falls"]).sum() == 6
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
