"""The page: whole, self-contained, and honest about what is absent."""

import base64
import io
import re
import shutil
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from robopolicy.cli import main
from robopolicy.report import grid, walk
from robopolicy.report.subject import differences, flat, gather, randomization
from robopolicy.task import load_task
from robopolicy.view.video import read_mp4

_VOID = {"meta", "img", "br", "line", "rect", "polyline"}


class Page(HTMLParser):
    """Collects what a browser would load, and complains about tags that do not match."""

    def __init__(self, text: str):
        super().__init__()
        self.loaded: list[str] = []
        self.tags: list[str] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert not self._open, f"not closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loaded += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "poster")]
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in _VOID:
            assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def report(output: Path, *targets: Path, flags: Sequence[str] = ("--no-video",)) -> str:
    quick = ["--episodes", "4", "--cell-episodes", "1"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grid, "SECONDS", 0.2)
        patch.setattr(grid, "POINTS", 3)
        patch.setattr(walk, "SECONDS", 2.6)
        assert main(["report", *map(str, targets), "--output", str(output), *quick, *flags]) == 0
    return output.read_text()


@pytest.fixture(scope="module")
def single(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return report(tmp_path_factory.mktemp("page") / "one.html", tiny)


def assert_self_contained(text: str) -> list[bytes]:
    """No script, nothing loaded from anywhere; returns the images, all of which decode."""
    page = Page(text)
    assert not {"script", "link", "iframe", "object", "base"} & set(page.tags)
    assert all(source.startswith("data:") for source in page.loaded), page.loaded
    assert "http://" not in text
    assert "https://" not in text
    assert "@import" not in text
    assert "url(" not in text
    images = [base64.b64decode(s.split(",", 1)[1]) for s in page.loaded if s.startswith("data:image/")]
    for data in images:
        picture = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        assert picture.std() > 5  # something is drawn
    return images


def test_the_page_needs_no_other_file_and_its_pictures_decode(single: str):
    assert len(assert_self_contained(single)) == 8


def test_the_page_has_every_part(single: str):
    text = Page(single).text
    for word in ("tiny", "Evaluation", "Over the command range", "Footfalls", "Learning", "Reward terms", "The prior"):
        assert word in text
    for word in ("Randomization", "Contract", "FL_thigh", "angular_velocity", "Make it again", "train --config"):
        assert word in text
    assert re.search(r"episodes without a fall [\d.]+ \[[\d.]+, [\d.]+\]", text)
    assert text.count("SHA-256 of") == 3


def test_the_film_is_short_and_plays(tiny: Path, tmp_path: Path):
    video, pictures = walk.film(tiny, seconds=0.5)
    assert video is not None
    (tmp_path / "film.mp4").write_bytes(video)
    frames = read_mp4(tmp_path / "film.mp4")
    assert 8 <= len(frames) <= 14
    assert frames[0].shape == (360, 480, 3)
    assert len(pictures) == 8


def test_two_runs_are_compared_by_exactly_what_differs(tiny: Path, other: Path, tmp_path: Path):
    found = differences(gather([tiny, other]))
    clip = next(name for name in found if name.startswith("clips."))
    assert set(found) == {"options.seed", "ppo.gamma", "prior.clips", "push.velocity", clip}
    assert found["ppo.gamma"] == [0.99, 0.9]
    assert found["push.velocity"][1] == 0.11
    assert clip == "clips.trot_in_place"
    assert found[clip][1] is None
    text = report(tmp_path / "two.html", tiny, other, flags=["--no-video", "--cell-episodes", "0"])
    assert_self_contained(text)
    rows = re.findall(r"<tr><td>([^<]+)</td>", text[text.index("Settings that differ") : text.index("<h2>Film")])
    assert set(rows) == set(found)
    curve = re.search(r"<figcaption>env/velocity_error</figcaption>(.*?)</figure>", text)
    assert curve is not None
    assert curve[1].count("<polyline") == 2


def test_the_same_run_twice_differs_in_nothing_and_keeps_its_names_apart(tiny: Path):
    subjects = gather([tiny, tiny])
    assert differences(subjects) == {}
    assert len({s.label for s in subjects}) == 2


def test_nested_settings_become_dotted_names():
    assert flat({"a": {"b": 1, "c": {}}, "d": [1, 2]}) == {"a.b": 1, "a.c": {}, "d": [1, 2]}


def test_randomization_tells_defaults_too():
    found = randomization(load_task("go2_velocity"))
    assert found["pd_gains"].keys() >= {"kp", "kd"}
    assert all(found.values())


def test_a_run_without_a_checkpoint_has_a_page_that_says_so(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    run = Path(shutil.copytree(tiny, tmp_path / "early"))
    (run / "checkpoint.pt").unlink()
    text = Page(report(tmp_path / "early.html", run)).text
    assert "no checkpoint.pt" in text
    assert "no checkpoint.pt" in capsys.readouterr().err
    assert "Learning" in text
    assert "Footfalls" not in text
    (run / "progress.csv").unlink()
    assert "no learning curves" in Page(report(tmp_path / "early.html", run)).text
    (run / "checkpoint.pt").write_bytes(b"half")
    assert "checkpoint.pt is damaged" in Page(report(tmp_path / "early.html", run)).text


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["nowhere", "--output", "x.html"], "no run folder nowhere"),
        (["gone.onnx", "--output", "x.html"], "no file gone.onnx"),
        (["nowhere", "--output", "x.pdf"], "ends in .html"),
        (["nowhere", "--output", "no/folder/x.html"], "no folder"),
        (["nowhere", "--output", "x.html", "--episodes", "0"], "--episodes 0"),
    ],
)
def test_a_mistake_is_one_line(
    argv: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    assert main(["report", *argv]) == 2
    err = capsys.readouterr().err
    assert words in err
    assert len(err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_run_that_is_still_training_is_said_to_be(tiny: Path, tmp_path: Path):
    run = Path(shutil.copytree(tiny, tmp_path / "going"))
    assert not gather([run])[0].going_on  # its steps are over
    table = (run / "progress.csv").read_text().splitlines()
    (run / "progress.csv").write_text("\n".join(table[:-1]) + "\n")
    config = (run / "config.json").read_text().replace('"steps": 768', '"steps": 99999')
    (run / "config.json").write_text(config)
    assert gather([run])[0].going_on


def test_a_policy_file_alone_tells_what_it_knows(tiny: Path, tmp_path: Path):
    file = tmp_path / "walker.onnx"
    assert main(["export", str(tiny), "--output", str(file)]) == 0
    text = Page(report(tmp_path / "file.html", file, flags=["--no-video", "--cell-episodes", "0"])).text
    for word in ("walker", "go2_trot", "Contract", "FL_thigh", "SHA-256 of MJCF", "no learning curves"):
        assert word in text
    assert "Reward terms" not in text
