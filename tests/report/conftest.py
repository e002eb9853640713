"""A run that was trained for seconds."""

from pathlib import Path

import pytest

from robopolicy.cli import main

TINY = ["--num-envs", "32", "--threads", "1", "--steps", "768", "--prior.warm-start", "50", "--episode-s", "2.6"]
CLIPS = ["--prior.clips", "trot_forward_0.60", "trot_in_place"]


def train(folder: Path, *flags: str) -> Path:
    assert main(["train", "go2_trot", *TINY, *CLIPS, "--run", str(folder), *flags]) == 0
    return folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tests change copies of it."""
    return train(tmp_path_factory.mktemp("report") / "tiny")


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same but for its seed and three settings, one of which is a clip."""
    folder = tmp_path_factory.mktemp("report") / "other"
    changed = ["--seed", "4", "--ppo.gamma", "0.9", "--prior.clips", "trot_forward_0.60", "--push.velocity", "0.11"]
    return train(folder, *changed)
