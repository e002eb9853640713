"""The whole command on runs that were trained for seconds: what it says, and every file it leaves."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robopolicy.cli import main
from robopolicy.style import film, rollouts, showcase
from robopolicy.view.video import read_mp4

TINY = ["--num-envs", "32", "--threads", "1", "--steps", "768", "--prior.warm-start", "50", "--episode-s", "3"]
QUICK = ["--episodes", "4"]
FILES = {"report.html", "results.json", "film.mp4", "film.png", "gait.png", "strides.png", "phases.png"}


def train(folder: Path, *flags: str, task: str = "go2_trot") -> str:
    assert main(["train", task, *TINY, "--run", str(folder), *flags]) == 0
    return str(folder)


@pytest.fixture(scope="module", autouse=True)
def short():
    """Episodes and films of few seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rollouts, "SECONDS", 3.0)
        patch.setattr(showcase, "SECONDS", 4.0)
        patch.setattr(film, "SECONDS", 1.0)
        yield


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, str]:
    """Two gaits, and one of them without its prior."""
    folder = tmp_path_factory.mktemp("style")
    trot = ["--prior.clips", "trot_forward_0.60", "trot_in_place"]
    return {
        "trot": train(folder / "trot", *trot),
        "pace": train(folder / "pace", "--prior.clips", "pace_forward_0.60", "pace_turn_left_0.80"),
        "off": train(folder / "off", *trot, "--prior.weight", "0"),
    }


@pytest.fixture(scope="module")
def compared(runs: dict[str, str], tmp_path_factory) -> tuple[dict[str, Any], Path]:
    """What the command finds on all three, and the report's folder."""
    import contextlib
    import io

    folder, out = tmp_path_factory.mktemp("report") / "new" / "folder", io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main(["style", *runs.values(), "--output", str(folder), "--json", *QUICK]) == 0
    return json.loads(out.getvalue()), folder


def test_one_json_object_that_recognises_what_the_runs_are_to_each_other(compared: tuple[dict[str, Any], Path]):
    found, _ = compared
    assert [r["policy"] for r in found["runs"]] == ["trot", "pace", "off"]
    assert [r["weight"] for r in found["runs"]] == [0.5, 0.5, 0.0]
    swap = found["swap"]
    assert swap["policies"] == ["trot", "pace"]  # without a prior there is no own style
    assert swap["own"] == ["trot_forward_0.60 trot_in_place", "pace_forward_0.60 pace_turn_left_0.80"]
    assert np.array(swap["frechet"], dtype=float).shape == (2, 2)
    (dose,) = [d for d in found["dose"] if not d["told"]]
    assert dose["weights"] == [0.0, 0.5]
    told = {d["of"]: d for d in found["dose"] if d["told"]}
    assert set(told) == {"trot", "pace"}  # without a prior there is nothing to tell
    assert told["trot"]["weights"] == [0.0, 0.3, 0.7, 1.0]
    trot, off = (next(r for r in found["runs"] if r["policy"] == name) for name in ("trot", "off"))
    whole = told["trot"]["values"]["frechet"][-1]
    assert (whole[0] if whole else None) == trot["matched"]["frechet"]
    means = [v[0] if v else np.inf for v in dose["values"]["frechet"]]
    assert means == [r["matched"]["frechet"] or np.inf for r in (off, trot)]
    assert dose["falls"] == (means[1] < means[0])
    assert set(found["perfect_copy"]) == set(swap["clips"])
    for t in found["cost_of_transport"]:
        assert t["copy"] == found["perfect_copy"][t["clips"]]["cost_of_transport"] > 0
    assert set(found["control"]) == {"trot", "off", "pace"} - {
        r["policy"] for r in found["runs"] if r["matched"]["frechet"] is None
    }


def test_the_report_holds_everything_in_one_file(compared: tuple[dict[str, Any], Path]):
    found, folder = compared
    assert {p.name for p in folder.iterdir()} == FILES
    assert {Path(f).name for f in found["files"]} == FILES
    page = (folder / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 4
    assert page.count("data:video/mp4;base64,") == 1
    assert not re.search(r'(src|href)="(?!data:)', page), "the page needs another file"
    for words in ("trot_forward_0.60", "Swap", "Dose", "shuffled control", "Footfalls"):
        assert words in page
    assert json.loads((folder / "results.json").read_text())["swap"] == found["swap"]


def test_the_film_shows_every_policy_and_its_ghost(compared: tuple[dict[str, Any], Path]):
    pictures = read_mp4(compared[1] / "film.mp4")
    assert pictures[0].shape == (400, 3 * 480, 3)
    r, g, b = (pictures[0][..., k].astype(int) for k in range(3))
    blue = (b > r + 60) & (b > g + 20)
    for panel in range(3):
        assert blue[80:, 480 * panel : 480 * (panel + 1)].sum() > 30, "no ghost"


def test_one_run_says_what_one_run_can(runs: dict[str, str], capsys: pytest.CaptureFixture[str]):
    capsys.readouterr()
    assert main(["style", runs["trot"], *QUICK]) == 0
    text, progress = capsys.readouterr()
    assert "a perfect copy" in text
    assert "How the feet step" in text
    assert "swap" not in text
    assert "Dose: trot" in text
    assert "weight of the style reward" not in text
    assert {p.name for p in (Path(runs["trot"]) / "style").iterdir()} == FILES
    assert "episodes at the velocities of" in progress


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ("style {trot} {trot}", "given twice"),
        ("style {trot} --episodes 2", "--episodes must be at least 4"),
        ("style nowhere", "no run folder nowhere"),
        ("style {trot}/policy.onnx", "compares run folders"),
        ("style {trot} --output {trot}/config.json", "not a folder"),
    ],
)
def test_mistakes_are_one_line(runs: dict[str, str], argv: str, words: str, capsys: pytest.CaptureFixture[str]):
    capsys.readouterr()
    assert main(argv.format(**runs).split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err.splitlines()[-1]


def test_runs_that_cannot_be_compared(runs: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    plain = train(tmp_path / "plain", task="go2_velocity")
    assert main(["style", plain]) == 2
    assert "none of these runs has clips" in capsys.readouterr().err
    droid = train(tmp_path / "droid", "--prior.clips", "walk_forward_0.20", task="droid_walk")
    assert main(["style", runs["trot"], droid]) == 2
    assert "only runs of one robot" in capsys.readouterr().err
