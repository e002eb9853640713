"""Curves with bands as SVG text, drawn without a plotting library."""

import html
from collections.abc import Sequence
from dataclasses import dataclass

from robopolicy_runtime.transfer.intervals import Estimate

COLOURS = ("#2f6fb7", "#e0732b")
_WIDTH, _HEIGHT = 300, 170
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 10, 22, 34


@dataclass(frozen=True)
class Line:
    """A curve: the estimate at each x, None where there is none."""

    name: str
    points: Sequence[Estimate | None]


def curves(title: str, x: Sequence[float], x_labels: Sequence[str], lines: Sequence[Line], top: float) -> str:
    """One panel: every line with its 95% intervals as a band.

    Args:
        title: What the y axis shows.
        x: Positions, rising.
        x_labels: What is written below each.
        lines: At most as many as there are ``COLOURS``.
        top: Upper end of the y axis; the lower one is 0.

    Raises:
        ValueError: A line has another number of points than ``x``, or there are too many lines.
    """
    if any(len(line.points) != len(x) for line in lines) or len(lines) > len(COLOURS):
        raise ValueError(f"{len(lines)} lines of {[len(line.points) for line in lines]} points over {len(x)} positions")
    low, span = min(x), (max(x) - min(x)) or 1.0

    def at(value: float, height: float) -> tuple[float, float]:
        inner = _WIDTH - _LEFT - _RIGHT
        share = min(max(height / top, 0.0), 1.0)
        return _LEFT + inner * (value - low) / span, _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * share

    parts = [f'<text x="{_LEFT}" y="13" class="t">{html.escape(title)}</text>']
    for k in range(3):
        height = top * k / 2
        _, y = at(low, height)
        parts.append(f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{_WIDTH - _RIGHT}" y2="{y:.1f}" class="g"/>')
        parts.append(f'<text x="{_LEFT - 5}" y="{y + 3.5:.1f}" text-anchor="end">{height:.2g}</text>')
    for value, label in zip(x, x_labels, strict=True):
        px, py = at(value, 0)
        parts.append(f'<text x="{px:.1f}" y="{py + 15:.1f}" text-anchor="middle">{html.escape(label)}</text>')
    for line, colour in zip(lines, COLOURS, strict=False):
        for run in _runs(x, line.points):
            upper = [at(value, e.high) for value, e in run]
            lower = [at(value, e.low) for value, e in reversed(run)]
            middle = [at(value, e.value) for value, e in run]
            parts.append(f'<polygon points="{_points(upper + lower)}" fill="{colour}" fill-opacity=".15"/>')
            parts.append(f'<polyline points="{_points(middle)}" fill="none" stroke="{colour}" stroke-width="2"/>')
            for (px, py), (_, e) in zip(middle, run, strict=True):
                tip = f"{line.name}: {e.value:.3g} [{e.low:.3g}, {e.high:.3g}], {e.count} episodes"
                dot = f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3" fill="{colour}">'
                parts.append(f"{dot}<title>{html.escape(tip)}</title></circle>")
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" role="img">{"".join(parts)}</svg>'


def _runs(x: Sequence[float], points: Sequence[Estimate | None]) -> list[list[tuple[float, Estimate]]]:
    """The points cut where one is missing."""
    runs: list[list[tuple[float, Estimate]]] = [[]]
    for value, point in zip(x, points, strict=True):
        if point is None:
            runs.append([])
        else:
            runs[-1].append((value, point))
    return [run for run in runs if run]


def _points(pairs: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in pairs)
