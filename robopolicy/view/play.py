"""`robopolicy play`: watch a run, an exported policy or a clip, in a window or as a film."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from robopolicy.errors import UserError
from robopolicy.view.caption import Captions, table
from robopolicy.view.performers import Performer, find_performer
from robopolicy.view.tour import Part, at, held, tour
from robopolicy.view.video import contact_sheet, frames, write_mp4, write_on
from robopolicy.view.window import no_window


@dataclass(frozen=True)
class Web:
    """Where a web page listens, and how many robots of a run it shows."""

    host: str = "127.0.0.1"
    port: int = 8080
    robots: int = 1


_FPS = 30.0  # a film has about so many pictures per second
_SHEET = 12  # pictures on a contact sheet


def play(
    target: Path,
    video: Path | None,
    seconds: float,
    command: Sequence[float] | None,
    robot: str | None,
    web: Web | None = None,
) -> None:
    """Show how something moves.

    Args:
        target: A run folder (its newest checkpoint), an ONNX file (in plain MuJoCo), or a clip: a file, or
            with ``robot`` the name of one of its clips.
        video: Film to write, an .mp4, with a contact sheet (.png) beside it; None opens a window, or a web page where
            there is no screen.
        seconds: Length of the film [s].
        command: Held from beginning to end; None: a tour of commands.
        robot: Robot of a clip.
        web: Show a web page, here.

    Raises:
        UserError: The target is none of these, the command does not fit it, the film cannot be written, or
            there is neither a screen for a window nor what a web page needs.
    """
    if web is not None and video is not None:
        raise UserError("--video writes a film; it does not go with --web, --host, --port and --robots")
    if video is not None and video.suffix != ".mp4":
        raise UserError(f"--video {video}: a film ends in .mp4")
    if video is not None and not video.resolve().parent.is_dir():
        raise UserError(f"--video {video}: no folder {video.resolve().parent}")
    if not 0 < seconds < float("inf"):
        raise UserError(f"--seconds {seconds:g}: a film has a positive length")
    if video is None and (web is not None or no_window()):
        _open_page(target, command, robot, web or Web())
        return
    performer = find_performer(target, robot)
    if command is not None and not performer.channels:
        raise UserError(f"--command is for policies; {performer.title} moves as it was recorded")
    parts = tour(performer.channels) if command is None else held(performer.channels, command)
    if command is not None:
        _note_outside(performer, parts[0].command)
    if video is None:
        from robopolicy.view.window import show

        show(performer, parts)
        return
    film(performer, parts, min(seconds, performer.seconds), video)
    print(f"wrote {video} and {video.with_suffix('.png')}")


def _open_page(target: Path, command: Sequence[float] | None, robot: str | None, web: Web) -> None:
    if find_spec("mjviser") is None:
        why = no_window() or "--web: viser and mjviser are not installed"
        raise UserError(f"{why}; for a web page: pip install 'robopolicy[web]'; for a film: --video FILE.mp4")
    from robopolicy.view.web.serve import serve

    serve(target, command, robot, web.host, web.port, web.robots)


def film(performer: Performer, parts: Sequence[Part], seconds: float, video: Path) -> None:
    """Write a film of a performer, and a contact sheet beside it.

    Args:
        performer: Who moves.
        parts: What it is told, in equal shares of the time.
        seconds: Length [s].
        video: The mp4 to write; the sheet has its name with .png.
    """
    stride = max(1, round(1 / (_FPS * performer.dt)))
    states, texts = perform(performer, parts, seconds, stride)
    chosen = set(np.linspace(0, len(states) - 1, min(_SHEET, len(states))).round().astype(int).tolist())
    sheet: list[np.ndarray] = []

    def pictures() -> Iterator[np.ndarray]:
        for k, picture in enumerate(frames(performer.model, states, zoom=1.1)):
            picture = write_on(picture, texts[k])
            if k in chosen:
                sheet.append(picture)
            _progress((k + 1) / len(states))
            yield picture

    write_mp4(pictures(), video, 1 / (stride * performer.dt))
    contact_sheet(sheet, video.with_suffix(".png"))


def perform(
    performer: Performer, parts: Sequence[Part], seconds: float, stride: int = 1
) -> tuple[np.ndarray, list[str]]:
    """Let it move from its start.

    Args:
        performer: Who moves.
        parts: What it is told, in equal shares of the time.
        seconds: How long [s].
        stride: Every so many steps are kept.

    Returns:
        States, shape (K, nq), and a caption for each.
    """
    captions, fallen_until = Captions(performer), -1.0
    qpos, qvel = performer.start()
    fell, states, texts = False, [], []
    for k in range(max(1, round(seconds / performer.dt))):
        time = k * performer.dt
        part = at(parts, time, seconds)
        label = part.label or performer.title
        fallen_until = time + 1.0 if fell else fallen_until
        rows = captions.read(part.command, qpos, qvel, fell)
        if k % stride == 0:
            states.append(qpos)
            texts.append(table(label + " (fell)" * (time < fallen_until), rows))
        qpos, qvel, fell = performer.step(part.command)
    return np.array(states), texts


def _note_outside(performer: Performer, command: np.ndarray) -> None:
    """Say so where a command leaves the trained range: it is allowed, but nothing is promised there."""
    for channel, value in zip(performer.channels, command, strict=True):
        if not channel.low <= value <= channel.high:
            trained = f"{channel.low:g}..{channel.high:g}"
            print(f"note: {channel.name} {value:g} is outside the trained range {trained}", file=sys.stderr)


def _progress(done: float) -> None:
    if sys.stderr.isatty():
        print(f"\rfilming {done:4.0%}", end="\n" if done >= 1 else "", file=sys.stderr, flush=True)
