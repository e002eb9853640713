"""Curves and footfalls as SVG text: sharp at every width, in the page's own colours by day and by night."""

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

COLOURS = ("#3b7dd8", "#e0732b", "#3c9a5f", "#b65fc7", "#a38a1c", "#3aa6b9", "#d0484a", "#8a7be0", "#8b939c", "#b5793a")
"""Of lines; each is readable on white and on near black."""
_WIDTH, _HEIGHT = 340, 170
_LEFT, _RIGHT, _TOP, _BOTTOM = 42, 8, 8, 30
_POINTS = 160  # of a line


@dataclass(frozen=True)
class Line:
    """A curve.

    Attributes:
        name: For the legend.
        x, y: Shape (K,) each; what is not finite is left out.
        colour: Index into ``COLOURS``.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    colour: int


def chart(title: str, lines: Sequence[Line], x_label: str, legend: bool = True) -> str:
    """A panel of curves: a ``figure`` with its title, legend and picture.

    Long curves are averaged down to a few hundred points. The y axis leaves out the most extreme hundredth of the
    values, so that one spike does not flatten all the rest, and starts at 0 where that costs little.
    """
    thin = [(line, *_thin(line.x, line.y)) for line in lines]
    thin = [(line, x, y) for line, x, y in thin if len(x)]
    if not thin:
        return ""
    xs, ys = np.concatenate([x for _, x, _ in thin]), np.concatenate([y for _, _, y in thin])
    left, right = float(xs.min()), float(xs.max())
    low, high = (float(q) for q in np.quantile(ys, (0.01, 0.99)))
    if 0 < low < 0.5 * high:
        low = 0.0
    ticks = nice_ticks(low, high)
    low, high = min(low, ticks[0]), max(high, ticks[-1])
    inner, tall = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def at(x: float, y: float) -> tuple[float, float]:
        share = (min(max(y, low), high) - low) / (high - low)
        return _LEFT + inner * (x - left) / ((right - left) or 1.0), _TOP + tall * (1 - share)

    parts = []
    exponent = _exponent(ticks)
    if exponent:
        parts.append(f'<text x="2" y="{_HEIGHT - 4}">&times; 10<tspan dy="-4">{exponent}</tspan></text>')
    for tick in ticks:
        _, y = at(left, tick)
        parts.append(f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{_WIDTH - _RIGHT}" y2="{y:.1f}" class="g"/>')
        parts.append(
            f'<text x="{_LEFT - 5}" y="{y + 3.5:.1f}" text-anchor="end">{_short(tick / 10.0**exponent)}</text>'
        )
    for tick in nice_ticks(left, right):
        if left <= tick <= right:
            x, _ = at(tick, low)
            parts.append(f'<text x="{x:.1f}" y="{_HEIGHT - 17}" text-anchor="middle">{_short(tick)}</text>')
    parts.append(f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 4}" text-anchor="end">{html.escape(x_label)}</text>')
    for line, x, y in thin:
        points = " ".join(f"{px:.1f},{py:.1f}" for px, py in (at(a, b) for a, b in zip(x, y, strict=True)))
        tip = f"<title>{html.escape(line.name)}, last {y[-1]:.4g}</title>"
        colour = COLOURS[line.colour % len(COLOURS)]
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.6">{tip}</polyline>')
    names = "".join(
        f'<span><i style="background:{COLOURS[line.colour % len(COLOURS)]}"></i>{html.escape(line.name)}</span>'
        for line, _, _ in thin
    )
    key = f"<div class=key>{names}</div>" if legend else ""
    return f"<figure><figcaption>{html.escape(title)}</figcaption>{key}{_svg(title, _WIDTH, _HEIGHT, parts)}</figure>"


def bars(title: str, rows: Sequence[str], down: np.ndarray, dt: float, seconds: float, colour: int = 0) -> str:
    """A gait diagram: one row per foot, a bar while it is on the ground.

    Args:
        title: Of the figure.
        rows: Names of the feet.
        down: Which feet are down. Shape (K, F) bool.
        dt: Time between frames [s].
        seconds: Width of the picture [s].
        colour: Index into ``COLOURS``.
    """
    height, step, left = 20 * len(rows) + 24, 20, 42
    scale = (_WIDTH - left - _RIGHT) / seconds
    down = down[: round(seconds / dt)]
    parts = []
    for k in range(int(seconds * 2) + 1):
        x = left + 0.5 * k * scale
        parts.append(f'<line x1="{x:.1f}" y1="2" x2="{x:.1f}" y2="{height - 20}" class="g"/>')
        if k % 2 == 0:
            parts.append(f'<text x="{x:.1f}" y="{height - 7}" text-anchor="middle">{k // 2} s</text>')
    for f, name in enumerate(rows):
        y = 4 + step * f
        parts.append(f'<text x="{left - 6}" y="{y + 11}" text-anchor="end">{html.escape(name[:6])}</text>')
        edge = np.flatnonzero(np.diff(np.concatenate(([0], down[:, f].astype(int), [0]))))
        for a, b in zip(edge[::2], edge[1::2], strict=True):
            x, wide = left + a * dt * scale, (b - a) * dt * scale
            fill = COLOURS[colour % len(COLOURS)]
            parts.append(f'<rect x="{x:.1f}" y="{y}" width="{wide:.1f}" height="14" rx="2" fill="{fill}"/>')
    return f"<figure><figcaption>{html.escape(title)}</figcaption>{_svg(title, _WIDTH, height, parts)}</figure>"


def nice_ticks(low: float, high: float, count: int = 4) -> list[float]:
    """About ``count`` round numbers from at or below ``low`` to at or above ``high``."""
    if not high > low:
        low, high = low - 0.5 * (abs(low) or 1.0), low + 0.5 * (abs(low) or 1.0)
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * k for k in (1, 2, 2.5, 5, 10) if power * k >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [k * step for k in range(first, last + 1)]


def _thin(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means over equal parts of a curve, of what is finite."""
    shown = np.isfinite(x) & np.isfinite(y)
    x, y = x[shown], y[shown]
    if len(x) <= _POINTS:
        return x, y
    parts = zip(np.array_split(x, _POINTS), np.array_split(y, _POINTS), strict=True)
    means = np.array([(a.mean(), b.mean()) for a, b in parts])
    return means[:, 0], means[:, 1]


def _exponent(ticks: Sequence[float]) -> int:
    """The power of ten, a multiple of 3, that labels are told in where they would be long otherwise."""
    most = max(abs(t) for t in ticks)
    return 3 * math.floor(math.log10(most) / 3) if most and not 0.02 <= most < 5000 else 0


def _short(value: float) -> str:
    return "0" if abs(value) < 1e-12 else f"{value:.4g}"


def _svg(title: str, width: int, height: int, parts: Sequence[str]) -> str:
    label = html.escape(title, quote=True)
    return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{label}">{"".join(parts)}</svg>'
