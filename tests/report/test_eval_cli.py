"""`robopolicy eval`: what it prints and how it ends."""

import json
from pathlib import Path

import numpy as np
import pytest
from robopolicy_runtime.transfer.intervals import wilson

from robopolicy.cli import main
from robopolicy.eval_cli import heat_map, lines, missed, with_interval
from robopolicy.report.grid import Cell, Plane


@pytest.mark.parametrize(
    ("value", "interval", "shown"),
    [
        (0.0663, (0.0612, 0.0714), "0.066 [0.061, 0.071]"),
        (0.984, (0.961, 0.994), "0.984 [0.961, 0.994]"),
        (99.83, (95.1, 103.9), "99.8 [95.1, 103.9]"),
        (1234.0, (1100.0, 1400.0), "1234 [1100, 1400]"),
        (0.5, None, "0.5"),
        (None, None, "-"),
        (256, None, "256"),
    ],
)
def test_a_figure_has_the_digits_that_its_interval_leaves(value, interval, shown: str):
    assert with_interval(value, interval) == shown


def test_every_figure_has_a_line_and_intervals_have_none_of_their_own():
    values = {"survival": 1.0, "survival_interval": (0.9, 1.0), "episodes": 4, "grid": []}
    values |= {"style_distances": {"calm": 2.0}, "style_distances_interval": {"calm": (1.0, 3.0)}}
    shown = lines(values)
    assert [line.split()[0] for line in shown] == ["survival", "episodes", "style_distances"]
    assert shown[2].endswith("calm 2.0 [1.0, 3.0]")


def test_bounds_are_kept_or_named():
    values = {"survival": 0.9, "velocity_rmse_mps": 0.2, "yaw_rmse_radps": None, "style_distance": 5.0}
    names = ("min_survival", "max_velocity_error", "max_yaw_error", "max_style_distance")

    def given(**bounds: float) -> list[str]:
        return missed(values, {n: bounds.get(n) for n in names})

    assert given() == []
    assert given(min_survival=0.9, max_velocity_error=0.2, max_style_distance=6.0) == []
    assert "survival is 0.9, below 0.95 (--min-survival)" in given(min_survival=0.95)[0]
    assert "above 0.19 (--max-velocity-error)" in given(max_velocity_error=0.19)[0]
    assert "nobody stood" in given(max_yaw_error=1.0)[0]
    assert len(given(min_survival=1.0, max_velocity_error=0.1, max_yaw_error=1.0, max_style_distance=1.0)) == 4


def test_a_heat_map_has_colours_only_if_asked_for():
    def cell(x: float, y: float) -> Cell:
        return Cell(np.array([x, y, 0]), None if x > 0.5 else 0.1 * (x + 2 * y), None, wilson(1, 1 + (y > 0)))

    plane = Plane("vx", "wz", (0.0, 1.0), (-1.0, 1.0), tuple(tuple(cell(x, y) for x in (0, 1)) for y in (-1, 1)))
    plain, coloured = heat_map(plane, False), heat_map(plane, True)
    assert "\x1b" not in plain
    assert "\x1b[30;48;5;" in coloured
    rows = [line.split() for line in plain.splitlines()]
    assert rows[1:4] == [["0.00", "1.00"], ["1.00", "0.20", "-"], ["-1.00", "-0.20", "-"]]
    assert rows[-2:] == [["1.00", "0.50", "0.50"], ["-1.00", "1.00", "1.00"]]


def test_the_command_ends_with_1_where_a_bound_is_not_met(tiny: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["eval", str(tiny), "--episodes", "4", "--min-survival", "0", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    low, high = found["survival_interval"]
    assert low <= found["survival"] <= high
    assert "per_episode" not in found
    assert main(["eval", str(tiny), "--episodes", "4", "--min-survival", "1.5", "--command", "0.1", "0", "0"]) == 1
    out, err = capsys.readouterr()
    assert "--min-survival" in err
    assert "survival" in out
    assert "\x1b" not in out


def test_bounds_on_what_there_is_not_are_a_mistake(tiny: Path, capsys: pytest.CaptureFixture[str]):
    asked = ["--command", "0", "0", "0", "--max-style-distance", "3"]
    assert main(["eval", str(tiny), "--episodes", "4", *asked]) == 2
    assert "not judged at one command" in capsys.readouterr().err
    assert main(["eval", str(tiny), "--episodes", "4", "--command", "0", "0"]) == 2
    assert "vx, vy, wz" in capsys.readouterr().err
