"""Films of a policy while it learns: every so often one of the newest checkpoint, made by a process of its own."""

import io
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

_SECONDS = 8.0  # length of a film
_SMALL_S, _SMALL_FPS, _SMALL_WIDTH = 4.0, 10, 280  # of the one in TensorBoard, which keeps them all in memory


class Films:
    """Has films made of a run, one at a time, at low priority, so that the training hardly notices.

    Args:
        folder: The run folder; films go into ``films/`` in it, named by the steps trained, and beside them events
            with which TensorBoard shows the beginning of each.
        minutes: Time between two of them [min]; 0 makes none.
    """

    def __init__(self, folder: Path, minutes: float):
        self.folder, self.minutes = folder, minutes
        self._last = time.monotonic()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def due(self) -> bool:
        """Whether it is time for the next one, and the last one is done."""
        idle = self._process is None or self._process.poll() is not None
        return bool(self.minutes) and idle and time.monotonic() - self._last >= 60 * self.minutes

    def make(self, steps: int) -> None:
        """Begin a film of the checkpoint that was just saved."""
        self._last = time.monotonic()
        path = self.folder / "films" / f"{steps:012d}.mp4"
        path.parent.mkdir(exist_ok=True)
        said = (path.parent / "log.txt").open("ab")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "robopolicy.films", str(self.folder), str(path)],
            stdout=said,
            stderr=said,
            preexec_fn=(lambda: os.nice(10)) if hasattr(os, "nice") else None,
        )
        said.close()

    def close(self) -> None:
        """Wait for the last one."""
        if self._process is not None and self._process.wait():
            warnings.warn(f"the last film failed; {self.folder / 'films' / 'log.txt'} says why", stacklevel=2)


def animation(film: Path) -> tuple[bytes, int, int]:
    """The beginning of a film, small, as an animated GIF; and its width and height [pixel]."""
    import av
    from PIL import Image

    pictures: list[Image.Image] = []
    with av.open(str(film)) as opened:
        for frame in opened.decode(video=0):
            if (frame.time or 0.0) >= _SMALL_S:
                break
            if (frame.time or 0.0) >= len(pictures) / _SMALL_FPS - 1e-6:
                width = min(_SMALL_WIDTH, frame.width)
                picture = frame.to_image(width=width, height=round(width * frame.height / frame.width))
                pictures.append(picture.quantize(64))
    data = io.BytesIO()
    pictures[0].save(data, "gif", save_all=True, append_images=pictures[1:], duration=1000 // _SMALL_FPS, loop=0)
    return data.getvalue(), *pictures[0].size


def tell_tensorboard(film: Path) -> None:
    """Write the beginning of a film as an image of its step, which is its name, into an event file beside it."""
    from tensorboard.compat.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]
    from tensorboard.compat.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    data, width, height = animation(film)
    picture = Summary.Image(width=width, height=height, colorspace=3, encoded_image_string=data)
    writer = EventFileWriter(str(film.parent))
    summary = Summary(value=[Summary.Value(tag="film", image=picture)])
    writer.add_event(Event(step=int(film.stem), wall_time=time.time(), summary=summary))
    writer.close()


def _main() -> int:
    from robopolicy.cli import main

    run, film = sys.argv[1:]
    failed = main(["play", run, "--video", film, "--seconds", str(_SECONDS)])
    if not failed:
        try:
            tell_tensorboard(Path(film))
        except Exception as error:  # the film is there all the same
            print(f"{film} is not shown in TensorBoard: {error}", file=sys.stderr)
    return failed


if __name__ == "__main__":
    sys.exit(_main())
