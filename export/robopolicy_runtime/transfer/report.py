"""The transfer test as one HTML page that needs no other file, as text, and as plain values."""

import html
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from robopolicy_runtime.transfer.draw import PERTURBATIONS, WHOLE, Drawn
from robopolicy_runtime.transfer.figure import COLOURS, Line, curves
from robopolicy_runtime.transfer.intervals import Estimate
from robopolicy_runtime.transfer.study import Result, Study

MEASURES = {
    "survival": ("survival", "1"),
    "velocity_rmse_mps": ("velocity error", "m/s"),
    "yaw_rmse_radps": ("yaw error", "rad/s"),
    "tilt_rad": ("tilt", "rad"),
    "saturation": ("torque saturated", "1"),
    "action_rate_radps": ("action rate", "rad/s"),
    "fall_s": ("time to fall", "s"),
}

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 15px/1.5 system-ui, sans-serif; color: #23282e; max-width: 1180px; margin: 2em auto; padding: 0 1em }}
h1 {{ font-size: 1.5em }} h2 {{ font-size: 1.15em; margin: 2em 0 .4em }} p {{ max-width: 52em; margin: .4em 0 }}
.note {{ color: #5a636d; font-size: .9em }} .wide {{ overflow-x: auto }}
table {{ border-collapse: collapse; font-size: .88em }}
td, th {{ padding: .25em .7em; text-align: right; border-bottom: 1px solid #e3e7eb; white-space: nowrap }}
td:first-child, th:first-child {{ text-align: left }} th {{ color: #4a525b; font-weight: 600 }}
.curve {{ display: inline-block; width: 610px; max-width: 100%; margin: .6em 0; vertical-align: top }}
.curve h3 {{ font-size: 1em; margin: 0 }} .curve p {{ margin: 0 }}
svg text {{ font: 10.5px system-ui, sans-serif; fill: #5a636d }} svg .t {{ fill: #23282e; font-size: 11.5px }}
svg .g {{ stroke: #e3e7eb }} {colours}
</style><h1>{title}</h1>{body}</html>
"""


def page(study: Study) -> str:
    """The report as a self-contained HTML page."""
    names = " and ".join(result.name for result in study.results)
    colours = " ".join(f".p{i} {{ color: {colour}; font-weight: 600 }}" for i, colour in enumerate(COLOURS))
    body = [_intro(study), _overview(study), _curves(study), _plants(study)]
    return _PAGE.format(title=html.escape(f"Sim to hidden sim: {names}"), colours=colours, body="\n".join(body))


def text(study: Study) -> str:
    """The report as aligned text: the overview, and survival along every curve."""
    rows = [["", "plants", *(f"{label} [{unit}]" for label, unit in MEASURES.values())]]
    for result in study.results:
        for plants, summary in result.rows:
            rows.append([result.name, plants, *(_with_interval(getattr(summary, m)) for m in MEASURES)])
    parts = [f"sim to hidden sim, {len(study.plants)} seeds, episodes of {study.seconds:g} s", _aligned(rows)]
    for result in study.results:
        if result.curves:
            rows = [[f"survival of {result.name}", *(f"strength {s:g}" for s in study.strengths), "at strength 1"]]
            for name, points in result.curves.items():
                p = PERTURBATIONS[name]
                rows.append([name, *(f"{s.survival.value:.2f}" for s in points), f"{p.full:g} {_unit(p.unit)}".strip()])
            parts.append(_aligned(rows))
    return "\n\n".join([*parts, *study.notes])


def values(study: Study) -> dict[str, Any]:
    """Everything as plain values, for JSON."""
    return {
        "test": "sim to hidden sim",
        "seeds": len(study.plants),
        "seconds": study.seconds,
        "strengths": list(study.strengths),
        "notes": list(study.notes),
        "perturbations": {
            name: {"nominal": p.nominal, "full": p.full, "unit": p.unit, "text": p.text}
            for name, p in PERTURBATIONS.items()
        },
        "plants": [{"seed": p.seed, "strengths": p.strengths, "sizes": p.sizes} for p in study.plants],
        "policies": [
            {
                "name": result.name,
                "file": str(result.file.path),
                "nominal": asdict(result.nominal),
                "hidden": asdict(result.hidden),
                "second_engine": None if result.second is None else {"engine": "bullet", **asdict(result.second)},
                "episodes": [asdict(e) for e in result.whole],
                "curves": {name: [asdict(s) for s in points] for name, points in result.curves.items()},
            }
            for result in study.results
        ],
    }


def _intro(study: Study) -> str:
    count, whole = len(study.plants), len(PERTURBATIONS)
    lines = [
        "The frozen policy file drives plants that it never saw, in plain MuJoCo and without any training code. This "
        "says how much of its simulator the policy has come to rely on; it is no measurement on a robot.",
        f"{count} seeds, episodes of {study.seconds:g} s, one command each from the whole range. A seed means the same "
        "plant, command, start and noise for every policy and at every strength. Intervals are 95%: Wilson's for "
        "survival, bootstrap for means.",
        f"A hidden plant has all {whole} perturbations at once, each of a strength drawn between 0 and {WHOLE:g}.",
        *study.notes,
    ]
    return "".join(f"<p>{html.escape(line)}</p>" for line in lines)


def _overview(study: Study) -> str:
    header = ["policy", "plants", *(f"{label} [{unit}]" for label, unit in MEASURES.values())]
    rows = []
    for i, result in enumerate(study.results):
        for plants, summary in result.rows:
            cells = [f"<span class=p{i}>{html.escape(result.name)}</span>", plants]
            rows.append([*cells, *(html.escape(_with_interval(getattr(summary, m))) for m in MEASURES)])
    note = (
        "Errors are RMSE of the 1 s moving average of the base's velocity against the command, from 2 s on and while "
        "the robot stood: a policy that falls where it is hard has few of those, so read them together with survival. "
        "Tilt and action rate are RMS; the time to fall is over the episodes that ended in one."
    )
    return f"<h2>Survival and tracking</h2>{_table(header, rows)}<p class=note>{note}</p>"


def _curves(study: Study) -> str:
    names = list(study.results[0].curves)
    if not names:
        return ""
    has_velocity = study.results[0].nominal.velocity_rmse_mps is not None
    second, label = ("velocity_rmse_mps", "velocity error [m/s]") if has_velocity else ("tilt_rad", "tilt [rad]")
    top = _top([getattr(s, second) for r in study.results for points in r.curves.values() for s in points])
    legend = ", ".join(f"<span class=p{i}>{html.escape(r.name)}</span>" for i, r in enumerate(study.results))
    blocks = []
    for name in names:
        p = PERTURBATIONS[name]
        labels = [f"{p.size(s):.3g}" for s in study.strengths]
        panels = [
            curves("survival", study.strengths, labels, _lines(study.results, name, "survival"), 1.0),
            curves(label, study.strengths, labels, _lines(study.results, name, second), top),
        ]
        unit = f" [{p.unit}]" if p.unit != "1" else ""
        head = f"<h3>{html.escape(name)}</h3><p class=note>{html.escape(p.text + unit)}</p>"
        blocks.append(f"<div class=curve>{head}{''.join(panels)}</div>")
    return f"<h2>One perturbation at a time</h2><p>{legend}. Bands are 95% intervals.</p>{''.join(blocks)}"


def _plants(study: Study) -> str:
    names = list(PERTURBATIONS)
    header = ["seed", *(f"{r.name}" for r in study.results)]
    header += [f"{name} [{PERTURBATIONS[name].unit}]" for name in names]
    rows = []
    for k, plant in enumerate(study.plants):
        fates = [_fate(result, k) for result in study.results]
        rows.append([str(plant.seed), *fates, *_sizes(plant, names)])
    return f"<h2>The hidden plants</h2>{_table([html.escape(h) for h in header], rows)}"


def _fate(result: Result, k: int) -> str:
    fall = result.whole[k].fall_s
    return "stood" if fall is None else f"fell at {fall:.1f} s"


def _sizes(plant: Drawn, names: Sequence[str]) -> list[str]:
    return [f"{plant.sizes[name]:.2g}" for name in names]


def _lines(results: Sequence[Result], name: str, measure: str) -> list[Line]:
    return [Line(r.name, [getattr(s, measure) for s in r.curves[name]]) for r in results]


def _top(estimates: Sequence[Estimate | None]) -> float:
    """A round number above every value and most of the bands."""
    highest = max((1.2 * e.value for e in estimates if e is not None), default=1.0) or 1.0
    step = 10 ** math.floor(math.log10(highest))
    return next(step * k for k in (1, 2, 3, 4, 5, 6, 8, 10) if step * k >= highest)


def _with_interval(e: Estimate | None) -> str:
    return "-" if e is None else f"{e.value:.3g} [{e.low:.3g}, {e.high:.3g}]"


def _unit(unit: str) -> str:
    return "" if unit == "1" else unit


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of cells that are HTML already."""
    head = "".join(f"<th>{cell}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<div class=wide><table><tr>{head}</tr>{body}</table></div>"


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)
