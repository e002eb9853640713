"""One self-contained HTML page that a person would show to an animator, and the same as JSON."""

import base64
import html
import json
import os
import sys
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np

from robopolicy.errors import UserError
from robopolicy.style.compare import Row, alike
from robopolicy.style.figures import gait_diagram, phase_plots, stride_curves
from robopolicy.style.film import film
from robopolicy.style.prove import Proof
from robopolicy.style.showcase import showcase
from robopolicy.style.tables import Table, Verdict, tables, verdicts

_SHOWN = 4  # policies in the pictures

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 15px/1.5 system-ui, sans-serif; color: #23282e; max-width: 1180px; margin: 2em auto; padding: 0 1em }}
h1 {{ font-size: 1.5em }} h2 {{ font-size: 1.15em; margin: 2em 0 .4em }} p {{ max-width: 52em; margin: .4em 0 }}
img, video {{ width: 100%; display: block; margin: .6em 0 }} .note {{ color: #5a636d; font-size: .9em }}
table {{ border-collapse: collapse; font-size: .88em }} .wide {{ overflow-x: auto }}
td, th {{ padding: .25em .7em; text-align: right; border-bottom: 1px solid #e3e7eb; white-space: nowrap }}
td:first-child, th:first-child {{ text-align: left }} th {{ color: #4a525b; font-weight: 600 }}
.verdict {{ border-left: .4em solid; padding: .25em .8em; margin: .5em 0; background: #f6f7f9 }}
.passed {{ border-color: #3c9a5f }} .FAILED {{ border-color: #cc3d3d }} .unclear {{ border-color: #b9a13a }}
.clip {{ color: #2f6fb7; font-weight: 600 }} .policy {{ color: #e0732b; font-weight: 600 }}
</style><h1>{title}</h1>{body}</html>
"""


def write_report(proof: Proof, folder: Path, seed: int) -> list[Path]:
    """Draw, film and write everything; a file that was there is replaced as a whole.

    Args:
        proof: What was found.
        folder: Made where it does not exist.
        seed: Of the episodes that are shown.

    Returns:
        ``report.html``, ``results.json``, ``film.mp4`` and the pictures.

    Raises:
        UserError: The folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write the report {folder}: {error.strerror or error}") from error
    print("         drawing and filming", file=sys.stderr, flush=True)
    shows = [showcase(row, proof.robot, seed) for row in _shown(proof.rows)]
    shows = [show for show in shows if len(show.frame) > 1]
    pictures: dict[str, bytes] = {}
    video = None
    if shows:
        pictures = {
            "gait.png": gait_diagram(shows, proof.robot),
            "strides.png": stride_curves(shows, proof.robot),
            "phases.png": phase_plots(shows, proof.robot),
        }
        video = folder / "film.mp4"
        pictures["film.png"] = _png(film(shows, proof.robot, video))
    written = {folder / "report.html": _page(proof, pictures, video).encode()}
    written[folder / "results.json"] = (json.dumps(proof.as_dict(), indent=2, allow_nan=False) + "\n").encode()
    written |= {folder / name: data for name, data in pictures.items()}
    for path, data in written.items():
        _write(path, data)
    return [*written, *([video] if video else [])]


def _shown(rows: Sequence[Row]) -> list[Row]:
    """At most so many policies: one of every kind, then further seeds; those with a prior before those without."""
    kinds = sorted(alike(rows), key=lambda group: not group[0].subject.styled)
    ordered = [group[k] for k in range(max(map(len, kinds))) for group in kinds if k < len(group)]
    return list({row.subject.label: row for row in reversed(ordered)}.values())[::-1][:_SHOWN]


def _page(proof: Proof, pictures: dict[str, bytes], video: Path | None) -> str:
    names = " and ".join(dict.fromkeys(row.subject.label for row in proof.rows))
    title = f"Did the clips shape the motion? {names}"
    parts = [_intro(proof), _verdicts(verdicts(proof))]
    if video is not None:
        film_data = base64.b64encode(video.read_bytes()).decode()
        parts.append(
            "<h2>Film</h2><p>Each panel is one policy in physics, told to go at the speed of the named clip. "
            '<span class="clip">Blue is the clip</span>, placed where the robot is and slowed down or sped up so that '
            "its first foot lands when the robot's does. Where blue sticks out, the policy differs from the clip.</p>"
            f'<video controls loop autoplay muted src="data:video/mp4;base64,{film_data}"></video>'
            f"{_image(pictures['film.png'])}<p class=note>Three quarters of a second, one row per policy.</p>"
        )
        parts.append(
            '<h2>Footfalls</h2><p>A bar is a foot on the ground, the <span class="clip">clip</span> above the '
            '<span class="policy">policy</span>. Bars of one length that begin together mean the same rhythm.</p>'
            f"{_image(pictures['gait.png'])}"
            "<h2>Joints over a stride</h2><p>The line is the mean, the band how much it varies from stride to stride. "
            "Lines on top of each other are the clip's motion; a flat line is a joint that is held still.</p>"
            f"{_image(pictures['strides.png'])}"
            "<h2>Loops</h2><p>A stride drawn as a loop: a joint's speed over its angle, and last two joints against "
            "each other. The same shape is the same character of motion; a spike is a jerk.</p>"
            f"{_image(pictures['phases.png'])}"
        )
    parts += [_table(t) for t in tables(proof)]
    return _PAGE.format(title=html.escape(title), body="\n".join(parts))


def _intro(proof: Proof) -> str:
    lines = []
    for s in proof.sets:
        slow = "no command of these policies, or not of all of them, is so fast"
        left = f" Left out, because {slow}: {', '.join(s.left_out)}." if s.left_out else ""
        lines.append(f"<p>Clips <b>{html.escape(s.name)}</b>: {len(s.clips)} used.{html.escape(left)}</p>")
    return "".join(lines)


def _verdicts(found: Sequence[Verdict]) -> str:
    boxes = [
        f'<div class="verdict {v.word}"><b>{html.escape(v.name)}: {v.word}.</b> {html.escape(v.text)}.</div>'
        for v in found
    ]
    return "<h2>What the tests say</h2>" + "".join(boxes)


def _table(table: Table) -> str:
    head = "".join(f"<th>{html.escape(c)}</th>" for c in table.header)
    rows = "".join("<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in row) + "</tr>" for row in table.rows)
    return (
        f"<h2>{html.escape(table.title)}</h2><div class=wide><table><tr>{head}</tr>{rows}</table></div>"
        f"<p class=note>{html.escape(table.note)}</p>"
    )


def _image(data: bytes) -> str:
    return f'<img src="data:image/png;base64,{base64.b64encode(data).decode()}">'


def _png(picture: np.ndarray) -> bytes:
    from PIL import Image

    file = BytesIO()
    Image.fromarray(picture).save(file, format="png")
    return file.getvalue()


def _write(path: Path, data: bytes) -> None:
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(data)
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
