"""Films of a policy while it learns, and curves sent elsewhere."""

import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from robopolicy.cli import main
from robopolicy.films import Films

SMALL = ("--num-envs", "32", "--ppo.horizon", "8", "--device", "cpu")


def test_none_is_due_unless_asked_for(tmp_path: Path):
    assert not Films(tmp_path, 0.0).due
    films = Films(tmp_path, 0.001)
    assert not films.due
    time.sleep(0.1)
    assert films.due


@pytest.mark.slow
def test_a_training_films_itself(tmp_path: Path):
    run = tmp_path / "run"
    words = ["--steps", "6000", "--film-minutes", "0.01", "--run", str(run)]
    assert main(["train", "go2_velocity", *SMALL, *words]) == 0
    films = sorted((run / "films").glob("*.mp4"))
    assert films
    assert all(film.stat().st_size > 10_000 for film in films)
    assert int(films[0].stem) <= 6000


def test_wandb_gets_settings_and_curves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    run = tmp_path / "run"
    words = ["train", "go2_velocity", *SMALL, "--steps", "512", "--wandb", "--run", str(run)]
    if find_spec("wandb") is None:
        assert main(words) == 2
        assert "robopolicy[wandb]" in capsys.readouterr().err
        return
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    assert main(words) == 0
    import wandb

    wandb.finish()
    found = list((run / "wandb").glob("offline-run-*/run-*.wandb"))
    assert len(found) == 1
    content = found[0].read_bytes()
    assert b"go2" in content
    assert b"velocity_error" in content
