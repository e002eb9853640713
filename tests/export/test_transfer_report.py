"""The whole test, its report, and its command line."""

import dataclasses
import json
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest
import synthetic
from robopolicy_runtime.errors import ContractError
from robopolicy_runtime.policy import PolicyFile
from robopolicy_runtime.transfer import report
from robopolicy_runtime.transfer.__main__ import main
from robopolicy_runtime.transfer.draw import PERTURBATIONS
from robopolicy_runtime.transfer.figure import Line, curves
from robopolicy_runtime.transfer.intervals import Estimate
from robopolicy_runtime.transfer.study import Study, run_study

NAMES = ("latency", "payload")


@pytest.fixture(scope="module")
def files(write, tmp_path_factory) -> list[PolicyFile]:
    folder = tmp_path_factory.mktemp("two")
    layers = synthetic.weights(seed=5).layers
    return [PolicyFile.open(write(folder / "first.onnx")), PolicyFile.open(write(folder / "<b>.onnx", layers=layers))]


@pytest.fixture(scope="module")
def study(files) -> Study:
    return run_study(files, seeds=3, seconds=0.4, names=NAMES, strengths=(0.5, 1.0))


def run(*arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "robopolicy_runtime.transfer", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def test_study_has_every_point_for_every_policy(study):
    assert [r.name for r in study.results] == ["first", "<b>"]
    for result in study.results:
        assert set(result.curves) == set(NAMES)
        assert all(len(points) == 3 for points in result.curves.values())
        assert result.curves["latency"][0] == result.nominal
        assert [e.seed for e in result.whole] == [p.seed for p in study.plants] == [0, 1, 2]
        assert result.hidden.survival.count == 3
    assert study.strengths == (0, 0.5, 1)
    assert study.notes == ()


def test_processes_change_nothing(files, study):
    again = run_study(files, seeds=3, seconds=0.4, names=NAMES, strengths=(0.5, 1.0), jobs=2)
    assert report.values(again) == report.values(study)


def test_page_is_whole_and_needs_no_network(study):
    page = report.page(study)
    assert not re.search(r"https?:|src=|href=|url\(|@import", page)
    assert "Sim to hidden sim: first and &lt;b&gt;" in page
    assert "<b>" not in page
    assert "sim-to-real" not in page.lower()
    assert page.count("<svg") == 2 * len(NAMES)
    for name in PERTURBATIONS:
        assert name in page  # at least as a column of the drawn plants

    class Balanced(HTMLParser):
        open_: list[str]

        def handle_starttag(self, tag, attrs):
            if tag not in ("meta", "html", "line", "circle", "polyline", "polygon"):
                self.open_.append(tag)

        def handle_endtag(self, tag):
            if tag in self.open_:
                assert self.open_.pop() == tag

    parser = Balanced()
    parser.open_ = []
    parser.feed(page)
    assert parser.open_ == []


def test_a_curve_lies_where_its_values_are():
    line = Line("a", [Estimate(1.0, 0.8, 1.0, 4), Estimate(0.5, 0.2, 0.8, 4), None, Estimate(0.0, 0.0, 0.4, 4)])
    svg = curves("survival", [0, 1, 2, 3], list("wxyz"), [line], 1.0)
    x, y = zip(*re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', svg), strict=True)
    x, y = [float(v) for v in x], [float(v) for v in y]
    assert len(x) == 3
    assert x[2] - x[0] == pytest.approx(3 * (x[1] - x[0]), abs=0.2)
    assert y[2] - y[0] == pytest.approx(2 * (y[1] - y[0]), abs=0.2)
    assert y[0] < y[2]  # up is more
    assert svg.count("<polyline") == 2  # cut where nothing was measured
    with pytest.raises(ValueError, match="4"):
        curves("survival", [0, 1], list("wx"), [line], 1.0)


def test_notes_say_where_the_policies_differ(files, write, tmp_path):
    contract = synthetic.contract()
    stiff = write(tmp_path / "stiff.onnx", contract=dataclasses.replace(contract, kp=(21.0, 25.0)))
    study = run_study([files[0], PolicyFile.open(stiff)], seeds=1, seconds=0.1, names=[])
    assert study.notes == ("the files differ in their gains: each policy is tested with its own",)


def test_other_robot(files, write, tmp_path):
    mjcf = synthetic.MJCF.replace("right_hip", "right_knee")
    contract = synthetic.contract(mjcf)
    contract = dataclasses.replace(contract, joint_names=("left_hip", "right_knee"))
    other = PolicyFile.open(write(tmp_path / "other.onnx", contract=contract, mjcf=mjcf))
    with pytest.raises(ContractError, match=r"left_hip, right_knee; .*left_hip, right_hip"):
        run_study([files[0], other], seeds=1)


def test_command_line(files, tmp_path):
    page = tmp_path / "report.html"
    quick = ("--seeds", 2, "--seconds", 0.2, "--perturbations", "latency", "--jobs", 1)
    done = run(files[0].path, "--against", files[1].path, *quick, "--output", page)
    assert done.returncode == 0, done.stderr
    assert "sim to hidden sim, 2 seeds" in done.stdout
    assert "first" in page.read_text()
    done = run(files[0].path, *quick, "--json")
    result = json.loads(done.stdout)
    assert done.returncode == 0
    assert done.stderr == ""
    assert result["no_training_code"] is True
    assert result["test"] == "sim to hidden sim"
    assert [p["name"] for p in result["policies"]] == ["first"]
    assert len(result["policies"][0]["curves"]["latency"]) == 5


def test_no_torch_no_trainer(files):
    code = (
        "import sys\n"
        "from robopolicy_runtime.transfer.__main__ import main\n"
        f"status = main([{str(files[0].path)!r}, '--seeds', '1', '--seconds', '.1', '--jobs', '1'])\n"
        "bad = {'torch', 'robopolicy', 'stable_baselines3', 'onnx', 'matplotlib', 'scipy'} & set(sys.modules)\n"
        "sys.exit(f'loaded {bad}' if bad else status)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--perturbations", "wind"), "no perturbation 'wind'; there are: torque_speed"),
        (("--seeds", "0"), "0 seeds: at least 1"),
        (("--seconds", "-1"), "episodes of -1 s"),
        (("--jobs", "0"), "0 jobs"),
        (("--output", "/absent/report.html"), "no folder /absent"),
        (("--against", "/absent/policy.onnx"), "/absent/policy.onnx: cannot be read"),
    ],
)
def test_what_is_refused(files, arguments, message, capsys):
    assert main([str(files[0].path), *arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""


def test_through_the_trainer_s_command(files, tmp_path, monkeypatch):
    from robopolicy.cli import main as robopolicy

    commands = []
    monkeypatch.setattr(
        subprocess, "run", lambda command: commands.append(command) or subprocess.CompletedProcess(command, 0)
    )
    page = tmp_path / "report.html"
    assert robopolicy(["verify", "--transfer", "a.onnx", "--against", "b.onnx", "--output", str(page), "--json"]) == 0
    assert commands[0][1:] == [
        *("-m", "robopolicy_runtime.transfer", "a.onnx", "--against", "b.onnx", "--output", str(page), "--json")
    ]
    assert robopolicy(["verify", "a.onnx", "--seeds", "3"]) == 2
    assert len(commands) == 1
