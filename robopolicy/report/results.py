"""What a policy does: verdict, figures, heat maps, film, footfalls; each from what was found to HTML."""

import html
from collections.abc import Callable, Sequence

import numpy as np

from robopolicy.eval_cli import with_interval
from robopolicy.report.findings import FOLLOWS, IGNORES, OFTEN_FALLS, SURE_ON_FEET, findings, verdict
from robopolicy.report.grid import Cell, Plane
from robopolicy.report.judge import Judged
from robopolicy.report.page import box, folded, heat_table, image, number, table, tile, video
from robopolicy.report.subject import Subject
from robopolicy.report.svg import bars
from robopolicy.report.walk import Footfalls

MEASURES = {
    "survival": ("episodes without a fall", ""),
    "velocity_rmse_mps": ("velocity error", " m/s"),
    "yaw_rmse_radps": ("yaw error", " rad/s"),
    "style_distance": ("style distance", ""),
    "reward": ("task reward per episode", ""),
}
_GAIT_S = 2.5  # of a gait diagram
_FEET_SHOWN = 6
_FILM = "<h2>Film</h2><p class=soft>A tour of commands, undisturbed.</p>"


def headline(judged: Sequence[Judged]) -> str:
    """Verdict and warnings of each."""
    parts = []
    for j in judged:
        s, found = j.subject, verdict(j)
        name = f"{s.label}: " if len(judged) > 1 else ""
        parts.append(box(found.level, name + found.text, "verdict"))
        parts.append(f"<p class=soft>{html.escape(_who(s))}</p>")
        parts += [box(f.level, f.text) for f in findings(j)]
    rules = (
        f"Sure on its feet: at least {SURE_ON_FEET:.0%} of the episodes without a fall (below {OFTEN_FALLS:.0%} it "
        f"falls often). Follows: a velocity error of at most {FOLLOWS:.0%} of what standing still would have (above "
        f"{IGNORES:.0%} it hardly follows). In style: nearer to the clips than a robot that stands in its home pose."
    )
    return "".join(parts) + folded("The rules of this verdict", f"<p class=soft>{html.escape(rules)}</p>")


def evaluation(judged: Sequence[Judged]) -> str:
    """The figures with their intervals: tiles of one, a table of several."""
    known = [j for j in judged if j.evaluation is not None]
    if not known:
        return ""
    e = known[0].evaluation
    assert e is not None
    note = (
        f"<p class=soft>{e.episodes} episodes of fresh robots with noise, pushes and commands from the whole range. In "
        "brackets 95% intervals over these episodes (Wilson for survival, bootstrap for the others): another set of "
        "episodes would likely lie there; another seed of the training need not. Errors are RMSE of the 1 s mean of "
        "the base's velocity from 2 s on, while the robot stands.</p>"
    )
    if len(judged) == 1:
        tiles = [tile(title, value, below) for title, value, below in _tiles(known[0])]
        return f"<h2>Evaluation</h2><div class=tiles>{''.join(tiles)}</div>{note}"
    rows = []
    for name, (title, unit) in MEASURES.items():
        cells = [_figure(j, name) for j in judged]
        if any(c != "-" for c in cells):
            rows.append([title + (f" [{unit.strip()}]" if unit else ""), *cells])
    for j in known:
        for style in j.evaluation.style_distances or {} if j.evaluation else {}:
            rows.append([f"style distance, {style}", *(_style_figure(other, style) for other in judged)])
    rows.append(["for scale: velocity error of standing still", *(number(j.still_mps) for j in judged)])
    if any(j.copy_distance is not None for j in judged):
        rows.append(["for scale: style distance of a perfect copy", *(number(j.copy_distance) for j in judged)])
        rows.append(["for scale: style distance of standing still", *(number(j.still_distance) for j in judged)])
    unique = [row for k, row in enumerate(rows) if row not in rows[:k]]
    return f"<h2>Evaluation</h2>{table(['', *(j.subject.label for j in judged)], unique)}{note}"


def command_range(judged: Sequence[Judged]) -> str:
    """Heat maps of velocity error and survival over the commands."""
    parts = []
    for j in judged:
        for plane in j.planes:
            title = f"{plane.y} by {plane.x}" if plane.y else plane.x
            name = f"{j.subject.label}, {title}" if len(judged) > 1 else title
            maps = []
            if any(c.velocity_rmse_mps is not None for row in plane.cells for c in row):
                maps.append(("velocity error [m/s]", _error_map(plane, j.still_mps or 1.0)))
            maps.append(("episodes without a fall", _survival_map(plane)))
            figures = "".join(f"<figure><figcaption>{html.escape(t)}</figcaption>{m}</figure>" for t, m in maps)
            parts.append(f"<h3>{html.escape(name)}</h3><div class=charts>{figures}</div>")
    if not parts:
        return ""
    each = next(c.survival.count for j in judged for p in j.planes for row in p.cells for c in row)
    note = (
        f"<p class=soft>{each} episodes per cell, each of which holds that command; channels that are not shown are as "
        "near to zero as their range allows. Point at a cell for more. Red is the velocity error of standing "
        "still, or half of the episodes with a fall.</p>"
    )
    return f"<h2>Over the command range</h2>{''.join(parts)}{note}"


def films(judged: Sequence[Judged]) -> str:
    """Film and pictures of each."""
    parts = []
    for j in judged:
        if not j.pictures:
            continue
        label = j.subject.label
        shown = "".join(image(data, "jpeg", f"{label}, picture {k + 1}") for k, data in enumerate(j.pictures))
        pictures = f"<div class=pictures>{shown}</div>"
        moving = video(j.video) if j.video is not None else ""
        if len(judged) == 1:
            return f'{_FILM}<div style="max-width:640px">{moving}</div>{pictures}'
        pictures = folded("Pictures", pictures) if moving else pictures
        parts.append(f"<figure><figcaption>{html.escape(label)}</figcaption>{moving}{pictures}</figure>")
    return f"{_FILM}<div class=charts>{''.join(parts)}</div>" if parts else ""


def gait(judged: Sequence[Judged]) -> str:
    """Gait diagrams under each command of the tour."""
    parts = []
    for k, j in enumerate(judged):
        if not j.footfalls or j.subject.task is None:
            continue
        feet = _feet(j)
        name = f"<h3>{html.escape(j.subject.label)}</h3>" if len(judged) > 1 else ""
        shown = "".join(_gait_figure(f, feet, k) for f in j.footfalls)
        parts.append(f"{name}<div class=charts>{shown}</div>")
    if not parts:
        return ""
    note = (
        f"<p class=soft>A bar is a foot on the ground, {_GAIT_S:g} s from 2 s on, undisturbed. Duty: part of the time "
        "for which the feet are down, in their order. Lands: when within the first foot's stride the others land.</p>"
    )
    return f"<h2>Footfalls</h2>{''.join(parts)}{note}"


def _who(s: Subject) -> str:
    parts = []
    name = s.config.get("task") or (s.contract.task if s.contract else None)
    robot = s.task.robot if s.task else (s.contract.robot if s.contract else None)
    parts += [str(name)] * (name is not None) + [f"robot {robot}"] * (robot is not None)
    if "steps" in s.trained:
        parts.append(f"{s.trained['steps'] / 1e6:.2f} M steps in {s.trained['seconds'] / 60:.1f} minutes")
        parts.append(f"seed {s.trained['seed']:.0f}")
    return f"{', '.join(parts)}; {s.path}"


def _tiles(j: Judged) -> list[tuple[str, str, str]]:
    """Name, value, and the interval with what it can be held against."""
    e, found = j.evaluation, []
    for name, (title, unit) in MEASURES.items():
        value, interval = getattr(e, name), getattr(e, f"{name}_interval")
        if value is None:
            continue
        shown = with_interval(value, interval)
        number, _, between = shown.partition(" ")
        below = [between.strip()] if between else []
        if name == "velocity_rmse_mps" and j.still_mps:
            below.append(f"standing still: {j.still_mps:.2f}")
        if name == "style_distance" and j.copy_distance is not None and j.still_distance is not None:
            below.append(f"perfect copy: {j.copy_distance:.1f}, standing still: {j.still_distance:.0f}")
        found.append((title, number + unit, "; ".join(below)))
    for style in (e.style_distances or {}) if e else {}:
        found.append((f"style distance, {style}", *_split(_style_figure(j, style))))
    return found


def _split(shown: str) -> tuple[str, str]:
    number, _, between = shown.partition(" ")
    return number, between


def _figure(j: Judged, name: str) -> str:
    e = j.evaluation
    return "-" if e is None else with_interval(getattr(e, name), getattr(e, f"{name}_interval"))


def _style_figure(j: Judged, style: str) -> str:
    e = j.evaluation
    if e is None or style not in (e.style_distances or {}):
        return "-"
    return with_interval((e.style_distances or {})[style], (e.style_distances_interval or {}).get(style))


def _error_map(plane: Plane, still: float) -> str:
    def cell(c: Cell) -> tuple[str, float, str]:
        error = c.velocity_rmse_mps
        if error is None:
            return "-", 1.0, f"nobody stood long enough; {_survival(c)}"
        yaw = f", yaw error {c.yaw_rmse_radps:.3f} rad/s" if c.yaw_rmse_radps is not None else ""
        return f"{error:.2f}", error / still, f"{error:.3f} m/s{yaw}; {_survival(c)}"

    return _map(plane, cell)


def _survival_map(plane: Plane) -> str:
    return _map(plane, lambda c: (f"{c.survival.value:.2f}", 2 * (1 - c.survival.value), _survival(c)))


def _survival(c: Cell) -> str:
    s = c.survival
    return f"survival {s.value:.2f} [{s.low:.2f}, {s.high:.2f}] of {s.count}"


def _map(plane: Plane, cell: Callable[[Cell], tuple[str, float, str]]) -> str:
    rows = sorted(zip(plane.ys, plane.cells, strict=True), key=lambda pair: -pair[0])
    shown = [(f"{y:.2f}" if plane.y else "", [cell(c) for c in row]) for y, row in rows]
    corner = f"{plane.y} \\ {plane.x}" if plane.y else plane.x
    return heat_table(corner, [f"{x:.2f}" for x in plane.xs], shown)


def _gait_figure(f: Footfalls, feet: Sequence[str], colour: int) -> str:
    title = f.label + (" (fell)" if f.fell else "")
    if len(f.contact) < 2:
        return f"<figure><figcaption>{html.escape(title)}</figcaption><p class=soft>It fell within 2 s.</p></figure>"
    shown = slice(0, _FEET_SHOWN)
    drawn = bars(title, feet[shown], f.contact[:, shown], f.dt, _GAIT_S, colour)
    duty = "/".join(f"{d:.2f}" for d in f.duty[shown])
    text = f"{f.frequency:.2f} strides per second; duty {duty}" if f.frequency else f"no strides; duty {duty}"
    if f.frequency and len(f.phase) > 1:
        text += "; lands " + "/".join("-" if np.isnan(p) else f"{p:.2f}" for p in f.phase[1:_FEET_SHOWN])
    return drawn.replace("</figure>", f"<figcaption class=soft>{html.escape(text)}</figcaption></figure>")


def _feet(j: Judged) -> list[str]:
    from robopolicy.robot import load_robot

    assert j.subject.task is not None
    return list(load_robot(j.subject.task.robot).feet)
