"""Several processes that learn one policy: gloo on the CPU, under torchrun, as a user starts them."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from robopolicy import checkpoint
from robopolicy.cli import main

WORKER = Path(__file__).parent / "ranks_worker.py"
TESTS = WORKER.parents[1]


def start(what: str, folder: Path, ranks: int, fails: bool = False) -> None:
    """Run the worker in that many processes, and wait for their end."""
    command = [sys.executable]
    if ranks > 1:
        command += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
    paths = [str(TESTS), str(TESTS.parent), str(TESTS.parent / "export")]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, str(WORKER), what, str(folder)], env=env, capture_output=True, text=True, timeout=240
    )
    assert (done.returncode != 0) == fails, done.stderr[-3000:]


def learned(folder: Path, rank: int, ranks: int) -> dict:
    return json.loads((folder / f"learned-{rank}-of-{ranks}.json").read_text())


def test_averages_over_two_processes(tmp_path: Path):
    start("averages", tmp_path, 2)
    assert len(list(tmp_path.iterdir())) == 2


def test_two_with_the_same_robots_learn_what_one_learns(tmp_path: Path):
    """Gradients, advantages and observation statistics are means: doubling the data by copies changes nothing."""
    for ranks in (1, 2):
        start("same", tmp_path, ranks)
    alone, first, second = learned(tmp_path, 0, 1), learned(tmp_path, 0, 2), learned(tmp_path, 1, 2)
    assert first["weights"] == second["weights"]
    np.testing.assert_allclose(first["weights"], alone["weights"], atol=2e-4)
    assert first["steps"] == 2 * alone["steps"]
    assert first["rate"] == pytest.approx(alone["rate"])


def test_two_with_half_the_robots_each_follow_the_learning_curve_of_one(tmp_path: Path):
    for ranks in (1, 2):
        start("curve", tmp_path, ranks)
    alone, first, second = learned(tmp_path, 0, 1), learned(tmp_path, 0, 2), learned(tmp_path, 1, 2)
    assert first["weights"] == second["weights"]
    assert first["curve"] == second["curve"]
    assert first["steps"] == alone["steps"]
    one, two = np.array(alone["curve"]), np.array(first["curve"])
    assert one[-5:].mean() < 0.5 * one[:3].mean()  # it learns
    assert two[-5:].mean() == pytest.approx(one[-5:].mean(), rel=0.25)
    # the time to half of what was gained is the same, too
    half = 0.5 * (one[0] + one[-5:].mean())
    assert abs(int((one < half).argmax()) - int((two < half).argmax())) <= 4


def test_one_process_writes_the_files_and_any_number_goes_on(tmp_path: Path):
    start("train", tmp_path, 2)
    run = tmp_path / "run"
    steps = checkpoint.load(run).sidecar["steps"]
    assert steps == 16 * 4 * 2 * 4
    assert len(list(run.glob("events.*"))) == 1
    assert len((run / "progress.csv").read_text().splitlines()) == 1 + 4
    assert main(["train", "--resume", str(run), "--steps", str(steps + 16 * 4)]) == 0
    assert checkpoint.load(run).sidecar["steps"] == steps + 16 * 4


def test_when_one_dies_all_end_and_the_checkpoint_stays(tmp_path: Path):
    began = time.monotonic()
    start("die", tmp_path, 2, fails=True)
    assert time.monotonic() - began < 90
    state = checkpoint.load(tmp_path / "run")
    assert 0 < state.sidecar["steps"] <= 16 * 4 * 2 * 3
    assert all(torch.isfinite(v).all() for v in state.state["learner"]["policy"].values())
