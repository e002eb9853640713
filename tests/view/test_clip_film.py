"""Clips as films and sheets, and the watch that draws them again."""

import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from robopolicy.cli import main
from robopolicy.errors import UserError
from robopolicy.motion.clip import load_clips
from robopolicy.robot import RobotModel, load_robot
from robopolicy.view import clip_film, video
from robopolicy.view.watch import watch

BOW = """
robot = "droid"
unit = "deg"
duration = 0.4
[[pose]]
time = 0.0
joints.neck_pitch = 0.0
[[pose]]
time = 0.4
joints.neck_pitch = 40.0
"""


@pytest.fixture(scope="session")
def droid() -> RobotModel:
    return load_robot("droid").compile()


def test_a_film_plays_at_the_clips_own_speed_and_a_sheet_has_twelve_pictures(droid, tmp_path, monkeypatch):
    drawn = []

    def keep(model, qpos, **size):
        drawn.append(qpos)
        return [np.zeros((60, 80, 3), np.uint8)] * len(qpos)

    monkeypatch.setattr(video, "frames", keep)
    monkeypatch.setattr(clip_film, "frames", keep)
    clip = load_clips("droid", "walk_forward_0.40")[0]
    clip_film.film_clip(clip, droid, tmp_path / "walk.mp4")
    assert len(video.read_mp4(tmp_path / "walk.mp4")) == len(drawn[0]) == round(2.56 * 30)
    np.testing.assert_allclose(drawn[0][:, 0], clip.sample(np.arange(77) / 30)[0][:, 0])
    clip_film.film_clip(clip, droid, tmp_path / "walk.png")
    assert len(drawn[1]) == 12
    assert Image.open(tmp_path / "walk.png").size == (4 * 80, 3 * 60)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["walk.mp4", "walk.png"]


def test_show_takes_a_keyframe_file(tmp_path, capsys):
    (tmp_path / "bow.toml").write_text(BOW)
    assert main(["clip", "show", str(tmp_path / "bow.toml"), "--output", str(tmp_path / "bow.png")]) == 0
    assert "neck_pitch" in capsys.readouterr().out
    assert Image.open(tmp_path / "bow.png").size == (4 * 480, 3 * 400)
    (tmp_path / "bow.toml").write_text(BOW.replace("neck", "nick"))
    assert main(["clip", "show", str(tmp_path / "bow.toml")]) == 2
    assert "unknown joint 'nick_pitch'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--output", "bow.gif"], "--output bow.gif: a film ends in .mp4, a sheet of pictures in .png"),
        (["--output", "no/bow.mp4"], "no folder"),
        (["--watch"], "--watch draws again and again: give --output"),
    ],
)
def test_mistakes_cost_nothing(tmp_path, capsys, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    Path("bow.toml").write_text(BOW)
    assert main(["clip", "show", "bow.toml", *arguments]) == 2
    assert words in capsys.readouterr().err
    assert os.listdir() == ["bow.toml"]


def wait_for(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)


def test_watch_draws_after_every_save_and_survives_mistakes(tmp_path, capsys):
    """A real keyframe file, changed while the real command watches it in a thread."""
    file, sheet, stop = tmp_path / "bow.toml", tmp_path / "bow.png", threading.Event()
    file.write_text(BOW)
    from robopolicy.motion import show

    model = load_robot("droid").compile()
    out = []

    def draw():
        try:
            out.append(show._draw(file, model, sheet))
        except UserError as error:
            out.append(str(error))
            raise
        return out[-1]

    thread = threading.Thread(target=watch, args=(file, draw, stop, 0.02))
    thread.start()
    try:
        wait_for(lambda: len(out) == 1)
        first = sheet.read_bytes()
        save(file, BOW.replace("40.0", "400.0", 1).replace("neck", "nick"))  # a mistake: the picture stays
        wait_for(lambda: len(out) == 2)
        assert "unknown joint 'nick_pitch'" in out[1]
        assert sheet.read_bytes() == first
        file.unlink()  # some editors save by renaming: away for a moment
        time.sleep(0.1)
        save(file, BOW.replace("40.0", "-15.0"))
        wait_for(lambda: len(out) == 3)
        assert out[2].startswith(f"wrote {sheet}: 0.40 s")
        assert sheet.read_bytes() != first
        time.sleep(0.2)
        assert len(out) == 3  # nothing is drawn when nothing is saved
        assert thread.is_alive()
    finally:
        stop.set()
        thread.join(10)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" ", 1)[1] for line in lines if "nick" in line or "wrote" in line] == [
        told.splitlines()[0] for told in out
    ]


def save(file: Path, text: str) -> None:
    """As editors do: a new file under the old name."""
    new = file.with_suffix(".new")
    new.write_text(text)
    new.replace(file)


def test_ctrl_c_ends_the_watch(tmp_path):
    file = tmp_path / "bow.toml"
    file.write_text(BOW)

    def interrupted():
        raise KeyboardInterrupt

    watch(file, interrupted)
