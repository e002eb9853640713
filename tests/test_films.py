"""Films of a policy while it learns, and curves sent elsewhere."""

import time
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from robopolicy.cli import main
from robopolicy.films import Films, tell_tensorboard
from robopolicy.view.video import write_mp4

SMALL = ("--num-envs", "32", "--ppo.horizon", "8", "--device", "cpu")


def test_none_is_due_unless_asked_for(tmp_path: Path):
    assert not Films(tmp_path, 0.0).due
    films = Films(tmp_path, 0.001)
    assert not films.due
    time.sleep(0.1)
    assert films.due


def shown(folder: Path) -> dict[int, Image.Image]:
    """The films that TensorBoard shows of a folder, by step."""
    from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
    from tensorboard.util.tensor_util import make_ndarray

    found = EventMultiplexer().AddRunsFromDirectory(str(folder)).Reload()
    events = found.Tensors("films", "film")
    return {event.step: Image.open(BytesIO(make_ndarray(event.tensor_proto)[2])) for event in events}


def test_tensorboard_shows_the_beginning_of_each_film(tmp_path: Path):
    """A square that goes from left to right in 8 s, at 50 pictures a second."""
    (tmp_path / "films").mkdir()
    pictures = np.zeros((400, 240, 400, 3), np.uint8)
    for k, picture in enumerate(pictures):
        picture[100:140, k - k % 2 : k + 40] = (250, 250, 250)
    for steps in (1000, 25000):
        film = write_mp4(pictures, tmp_path / "films" / f"{steps:012d}.mp4", 50)
        tell_tensorboard(film)
    found = shown(tmp_path)
    assert sorted(found) == [1000, 25000]
    small = found[25000]
    assert (small.format, small.size, small.info["duration"]) == ("GIF", (280, 168), 100)
    assert len(list(ImageSequence.Iterator(small))) == 40
    for k in (0, 17, 39):
        small.seek(k)
        columns = np.flatnonzero(np.asarray(small.convert("L"))[84] > 125)
        assert columns.mean() == pytest.approx((5 * k + 20) * 280 / 400, abs=2)


@pytest.mark.slow
def test_a_training_films_itself(tmp_path: Path):
    run = tmp_path / "run"
    words = ["--steps", "6000", "--film-minutes", "0.01", "--run", str(run)]
    assert main(["train", "go2_velocity", *SMALL, *words]) == 0
    films = sorted((run / "films").glob("*.mp4"))
    assert films
    assert all(film.stat().st_size > 10_000 for film in films)
    assert int(films[0].stem) <= 6000
    assert sorted(shown(run)) == [int(film.stem) for film in films]


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
