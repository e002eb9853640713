"""The cases of ``devices_cases.py``, in a process of their own: torch must know of a device before it first learns."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("mujoco_warp", reason="needs robopolicy[gpu]")


@pytest.mark.skipif(torch.cuda.is_available(), reason="here is a GPU: tests/learn/test_graph.py")
def test_a_training_on_a_pretended_gpu():
    cases = Path(__file__).with_name("devices_cases.py")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(cases)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=cases.parents[2])
    assert done.returncode == 0, done.stdout[-4000:]
    assert "6 passed" in done.stdout
