"""A fit as a table for people, as plain values, and as the file that a task reads."""

import json
import math
from pathlib import Path
from typing import Any

from robopolicy.errors import UserError
from robopolicy.sysid.fit import Estimate, Fit
from robopolicy.sysid.parameters import UNITS


def as_text(fit: Fit) -> str:
    """Tables: what was fitted, what it is good for, and what a person should know."""
    rows = [("", "", "measured", "95%", "robot file", "")]
    for e in fit.estimates:
        if e.parameter.name == "encoder_offset" and not e.known:
            continue
        value, half = (f"{e.value:.4g}", f"± {e.half:.2g}") if e.known else ("not known", "")
        rows.append(
            (e.parameter.name, e.parameter.where, value, half, f"{e.parameter.file:.4g}", UNITS[e.parameter.name])
        )
    lines = _columns(rows)
    errors = [("error of position [mrad]", "robot file", "measured")]
    errors += [(kind, f"{1e3 * fit.before[kind]:.2f}", f"{1e3 * fit.after[kind]:.2f}") for kind in fit.before]
    fitted, judged = fit.seconds
    lines += ["", f"fitted to {fitted:.0f} s; judged by the {judged:.0f} s after them:", *_columns(errors)]
    return "\n".join([*lines, *(f"warning: {line}" for line in warnings(fit))])


def warnings(fit: Fit) -> list[str]:
    """What the log does not say, and what a person should know about it."""
    found = list(fit.notes)
    for e in fit.estimates:
        if not e.known and e.parameter.name != "encoder_offset":
            found.append(f"{_name(e)} is not known: {e.why}")
    hidden = [e.parameter.where for e in fit.estimates if e.parameter.name == "encoder_offset" and e.half > 0.02]
    if hidden:
        found.append(f"encoder_offset is not known where gravity does not show it: {', '.join(hidden)}")
    return found


def as_values(fit: Fit) -> dict[str, Any]:
    """All of it for JSON."""
    numbers = [
        {
            "name": e.parameter.name,
            "where": e.parameter.where,
            "value": e.value if e.known else None,
            "half_width": e.half if math.isfinite(e.half) else None,
            "robot_file": e.parameter.file,
            "unit": UNITS[e.parameter.name],
            "why_not": e.why,
        }
        for e in fit.estimates
    ]
    error = {"before_rad": fit.before, "after_rad": fit.after}
    return {"numbers": numbers, **error, "warnings": warnings(fit)}


def write_measured(fit: Fit, robot: str, log: Path, margin: float, path: Path) -> None:
    """Write what is known, with the ranges that a training draws from.

    Args:
        fit: What was found.
        robot: The robot's name.
        log: Where it comes from.
        margin: A range reaches at least this part of the value to either side, for what a log of one robot on one day
            cannot say: heat, wear, the next robot.
        path: The file.

    Raises:
        UserError: It cannot be written.
    """
    lines = [
        "# Written by `robopolicy sysid`. value: fitted; range: its 95% interval, or the margin where that is wider.",
        "# A training draws from the ranges: robopolicy train TASK --measured FILE",
        f"robot = {json.dumps(robot)}",
        f"log = {json.dumps(log.name)}",
        "",
        "[error_rad]  # root mean square over the part of the log that was not fitted: robot file, measured",
        *(f"{json.dumps(kind)} = [{fit.before[kind]:.6g}, {fit.after[kind]:.6g}]" for kind in fit.before),
    ]
    section = None
    for e in fit.estimates:
        if not e.known:
            continue
        name, where = e.parameter.name, json.dumps(e.parameter.where)
        head = "[encoder_offset]  # rad" if name == "encoder_offset" else f"[servos.{where}]"
        half = max(e.half, margin * abs(e.value))
        low, high = e.value - half, e.value + half
        if name != "encoder_offset":
            low = max(low, 0.0)
        entry = f"{{ value = {e.value:.6g}, range = [{low:.6g}, {high:.6g}] }}"
        if name == "latency":
            lines += ["", "[latency]  # s", f"value = {e.value:.6g}", f"range = [{low:.6g}, {high:.6g}]"]
            continue
        if head != section:
            lines += ["", head]
            section = head
        lines.append(f"{where if name == 'encoder_offset' else name} = {entry}")
    try:
        path.write_text("\n".join(lines) + "\n")
    except OSError as error:
        raise UserError(f"--output {path} cannot be written: {error.strerror}") from None


def _name(e: Estimate) -> str:
    return f"{e.parameter.name} of {e.parameter.where}" if e.parameter.where else e.parameter.name


def _columns(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows)]
    numbers = range(len(rows[0]) - 4, len(rows[0]) - 1) if len(rows[0]) > 3 else range(1, 3)
    aligned = (
        [cell.rjust(w) if i in numbers else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths))]
        for row in rows
    )
    return ["  ".join(cells).rstrip() for cells in aligned]
