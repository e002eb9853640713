"""How it goes, in words: command and measurement, feet, style, and what went wrong."""

from collections.abc import Sequence
from html import escape

import viser

from robopolicy.view.web.html import bar, box, lamp
from robopolicy.view.web.pace import Pace
from robopolicy.view.web.panel import Moment


class StatusPanel:
    """A table that is always in sight.

    Its block has the same as attributes, for a program: ``data-robopolicy="status"``, ``data-time`` [s],
    ``data-rate`` [1/s], ``data-paused``, and for each channel ``data-NAME`` (measured) and ``data-NAME-told``.

    Args:
        gui: Where to put it.
        names: Of what is told, or measured; one per row of a caption.
        feet: Names of the feet.
        pace: Of the time.
    """

    def __init__(self, gui: viser.GuiApi, names: Sequence[str], feet: Sequence[str], pace: Pace):
        self._names, self._feet, self._pace = names, feet, pace
        self._html = gui.add_html("")

    def update(self, moment: Moment) -> None:
        """Write it anew."""
        cells = ["<tr><td></td><td>command</td><td>measured</td></tr>"]
        data: dict[str, object] = {"robopolicy": "status", "time": f"{moment.time:.2f}", "rate": f"{moment.rate:.1f}"}
        data["paused"] = int(self._pace.paused)
        for name, row in zip(self._names, moment.rows, strict=True):
            data |= {name: row.measured, f"{name}_told": row.command}
            words = (row.name, row.command, row.measured)
            cells.append("<tr>" + "".join(f"<td>{escape(word)}</td>" for word in words) + "</tr>")
        parts = [f'<table style="width:100%">{"".join(cells)}</table>']
        look = moment.look
        if look.contact is not None:
            feet = zip(self._feet, look.contact, strict=True)
            parts.append("<div>" + "".join(lamp(name, bool(on)) for name, on in feet) + "</div>")
        if look.style is not None:
            parts.append(bar("style score", look.style, 1.0, "score"))
        notes = [*look.notes, *(f"{name} failed: {said}" for name, said in moment.problems.items())]
        parts += [f"<div>{escape(note)}</div>" for note in notes]
        speed = "paused" if self._pace.paused else f"{moment.rate:.0f} pictures/s"
        parts.append(f'<div style="opacity:0.6">{moment.time:.1f} s, {speed}</div>')
        self._html.content = box("".join(parts), **data)
