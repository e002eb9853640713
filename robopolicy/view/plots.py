"""Learning curves of a run as one picture."""

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np

from robopolicy.errors import UserError

PANELS = {
    "velocity error [m/s], [rad/s]": r"env/(velocity|yaw)_error",
    "falls, share of control steps": r"env/(falls|diverged)",
    "reward terms": r"env/reward/.*",
    "style reward": r"prior/style_reward(_std)?",
    "discriminator": r"prior/(accuracy|logit_gap|saturated)",
    "losses": r"(train|prior)/.*(loss|penalty)",
    "policy": r"train/(std|explained_variance|.*kl.*|.*clip.*)",
    "speed [steps/s]": r"steps_per_s",
}
"""Title, and the columns that it shows; TensorBoard has them all."""

_STYLE: dict[Any, Any] = {
    "axes.edgecolor": "#9aa3ad",
    "axes.labelcolor": "#4a525b",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 9,
    "text.color": "#23282e",
    "xtick.color": "#4a525b",
    "ytick.color": "#4a525b",
}


def learning_curves(run: Path) -> Path:
    """Draw ``progress.csv`` of a run folder into ``curves.png`` beside it.

    Args:
        run: Folder with a ``progress.csv``: columns ``time_s`` and ``env_steps``, and one per metric; a row
            per log line, empty cells where a metric was not logged.

    Returns:
        The picture's path.

    Raises:
        UserError: There is no such file, or it has no rows, or lacks ``time_s``.
    """
    columns = read_progress(run / "progress.csv")
    minutes = columns["time_s"] / 60
    panels = _panels(list(columns))

    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with rc_context(_STYLE):
        rows = max(1, -(-len(panels) // 2))
        figure = Figure(figsize=(12, 3.1 * rows), layout="constrained")
        FigureCanvasAgg(figure)
        for i, (title, names) in enumerate(panels.items()):
            axes = figure.add_subplot(rows, 2, i + 1)
            for name in names:
                shown = np.isfinite(columns[name])
                axes.plot(minutes[shown], columns[name][shown], linewidth=1.3, label=_short(name, names))
            axes.set_title(title, loc="left", fontweight="bold", fontsize=10)
            axes.set_xlabel("minutes")
            axes.grid(alpha=0.25)
            axes.margins(x=0.01)
            axes.legend(frameon=False, fontsize=7, ncols=1 + len(names) // 7)
        if "env_steps" in columns:
            steps = np.nanmax(columns["env_steps"])
            figure.suptitle(
                f"{run.resolve().name}: {steps:,.0f} steps in {np.nanmax(minutes):.1f} minutes",
                x=0.01,
                ha="left",
            )
        figure.savefig(run / "curves.png", dpi=110)
    return run / "curves.png"


def read_progress(path: Path) -> dict[str, np.ndarray]:
    """The columns of a ``progress.csv``; not a number where a cell is empty. Shape (rows,) each.

    Raises:
        UserError: As `learning_curves`.
    """
    try:
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise UserError(f"no learning curves: cannot read {path}: {error.strerror}") from error
    if not rows:
        raise UserError(f"no learning curves: {path} has no rows")
    names = [name for name in rows[0] if name]
    if "time_s" not in names:
        raise UserError(f"no learning curves: {path} has no column time_s; it has: {', '.join(names)}")
    return {name: np.array([_number(row[name]) for row in rows]) for name in names}


def _number(cell: str | None) -> float:
    try:
        return float(cell or "nan")
    except ValueError:
        return float("nan")


def _panels(names: list[str]) -> dict[str, list[str]]:
    """The columns of every panel that has any."""
    found = {title: [n for n in names if re.fullmatch(shown, n)] for title, shown in PANELS.items()}
    return {title: columns for title, columns in found.items() if columns}


def _short(name: str, names: list[str]) -> str:
    """A column's name without the prefix that all of its panel share."""
    prefix = name.rsplit("/", 1)[0] + "/" if "/" in name else ""
    return name.removeprefix(prefix) if all(n.startswith(prefix) for n in names) else name
