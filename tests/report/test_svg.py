"""Curves and footfalls as SVG."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from robopolicy.report.svg import Line, bars, chart, nice_ticks


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-0.003, -0.0021), (0, 12345), (5, 5), (0, 0), (-1e-9, 3e5)])
def test_ticks_are_round_evenly_spaced_and_span_the_range(low: float, high: float):
    ticks = nice_ticks(low, high)
    assert ticks[0] <= low + 1e-9 * abs(high)
    assert ticks[-1] >= high - 1e-9 * abs(high)
    assert 3 <= len(ticks) <= 7
    steps = np.diff(ticks)
    np.testing.assert_allclose(steps, steps[0])
    assert f"{steps[0]:.1e}"[:3] in {"1.0", "2.0", "2.5", "5.0"}


def points(figure: str) -> np.ndarray:
    drawn = re.search(r'polyline points="([^"]+)"', figure)
    assert drawn is not None
    return np.array([[float(v) for v in pair.split(",")] for pair in drawn[1].split()])


def test_a_long_curve_becomes_short_keeps_its_course_and_skips_gaps():
    x = np.linspace(0, 2, 5000)
    y = np.where(np.arange(5000) % 7, x, np.nan)
    figure = chart("a < b", [Line("one", x, y, 0)], "M steps")
    ET.fromstring(re.search(r"<svg.*</svg>", figure)[0])  # type: ignore[index]
    assert "a &lt; b" in figure
    drawn = points(figure)
    assert 100 < len(drawn) < 400
    slope = np.diff(drawn[:, 1]) / np.diff(drawn[:, 0])  # a straight line stays one; SVG's y goes down
    np.testing.assert_allclose(np.median(slope), slope, atol=0.1)
    assert slope.max() < 0


def test_a_spike_does_not_flatten_the_rest():
    y = np.sin(np.arange(150.0))
    y[3] = 1e6
    drawn = points(chart("spike", [Line("one", np.arange(150.0), y, 0)], "steps"))
    assert np.ptp(np.delete(drawn[:, 1], 3)) > 60  # of 132 pixels


def test_small_numbers_are_told_in_thousandths():
    figure = chart("small", [Line("one", np.arange(5.0), 1e-3 * np.arange(5.0), 0)], "steps")
    assert '<tspan dy="-4">-3</tspan>' in figure
    assert ">4</text>" in figure


def test_nothing_to_draw_is_no_figure():
    assert chart("none", [Line("one", np.arange(3.0), np.full(3, np.nan), 0)], "steps") == ""


def test_a_bar_for_every_stretch_on_the_ground():
    down = np.zeros((100, 2), dtype=bool)
    down[0:25, 0], down[50:100, 0], down[25:50, 1] = True, True, True
    figure = bars("gait", ["l", "r"], down, dt=0.02, seconds=2.0)
    rects = re.findall(r'<rect x="([\d.]+)" y="(\d+)" width="([\d.]+)"', figure)
    starts, rows, widths = np.array(rects, dtype=float).T
    assert len(rects) == 3
    assert rows[0] == rows[1] != rows[2]
    np.testing.assert_allclose(widths / widths.sum(), [0.25, 0.5, 0.25], atol=0.01)
    assert starts[2] == pytest.approx(starts[0] + widths[0], abs=0.2)
