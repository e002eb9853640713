"""`robopolicy report`: from run folders and ONNX files to one HTML page."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from robopolicy.errors import UserError

if TYPE_CHECKING:
    from robopolicy.report.judge import Judged

_MOST_VIDEO = 6_000_000  # bytes of all films together, so that a page can be sent by mail


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("targets", type=Path, nargs="+", metavar="RUN", help="run folders or .onnx files")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="the page, .html")
    parser.add_argument("--episodes", type=int, default=256, help="of the evaluation (default 256)")
    parser.add_argument("--cell-episodes", type=int, default=8, metavar="N", help="per command; 0: no map (default 8)")
    parser.add_argument("--seed", type=int, default=12345, help="seed of the episodes")
    parser.add_argument("--no-video", action="store_true", help="pictures instead of a film, which take less time")


def run(arguments: argparse.Namespace) -> int:
    """Judge everything and write the page.

    Raises:
        UserError: A target is no run and no policy file, or the page cannot be written.
    """
    output, a = arguments.output, arguments
    if output.suffix not in (".html", ".htm"):
        raise UserError(f"--output {output}: the report is a page, which ends in .html")
    if not output.resolve().parent.is_dir():
        raise UserError(f"--output {output}: no folder {output.resolve().parent}")
    if a.episodes < 1 or a.cell_episodes < 0:
        raise UserError(f"--episodes {a.episodes} must be at least 1, --cell-episodes {a.cell_episodes} at least 0")
    from robopolicy.report.judge import judge
    from robopolicy.report.subject import gather
    from robopolicy.report.walk import FILM_S

    subjects = gather(a.targets)
    for s in subjects:
        for line in s.missing:
            print(f"note: {s.label}: {line}", file=sys.stderr)
    film_s = FILM_S if len(subjects) == 1 else FILM_S / 2
    judged = [judge(s, a.episodes, a.seed, a.cell_episodes, film_s, not a.no_video) for s in subjects]
    _leave_out_long_films(judged)
    _write(output, render(judged))
    print(f"wrote {output} ({output.stat().st_size / 1e6:.1f} MB)")
    return 0


def render(judged: "Sequence[Judged]") -> str:
    """The whole page: of one policy with all that is known, of several with what tells them apart."""
    from robopolicy.report import background, results
    from robopolicy.report.page import page

    parts = [results.headline(judged), results.evaluation(judged), background.settings_differences(judged)]
    parts += [results.films(judged), results.command_range(judged), results.gait(judged)]
    parts += [background.learning(judged, prior=False), background.learning(judged, prior=True)]
    if len(judged) == 1:
        parts += [background.randomness(judged[0]), background.contract(judged[0])]
    parts.append(background.origin(judged))
    names = [j.subject.label for j in judged]
    return page(names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}", parts)


def _leave_out_long_films(judged: "Sequence[Judged]") -> None:
    size = 0
    for j in judged:
        size += len(j.video or b"")
        if size > _MOST_VIDEO:
            size -= len(j.video or b"")
            j.video = None
            j.subject.missing.append("film left out, the page would be too large; its pictures are here")


def _write(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
