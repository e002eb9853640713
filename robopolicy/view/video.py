"""Film a motion: states in, an mp4 or a sheet of pictures out. Works without a screen, and without OpenGL."""

from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import mujoco
import numpy as np

from robopolicy.errors import UserError


class Painter(Protocol):
    """What draws one picture."""

    def draw(self, data: mujoco.MjData, camera: mujoco.MjvCamera) -> np.ndarray:
        """Draw the state in ``data`` (kinematics up to date). Returns RGB bytes. Shape (height, width, 3)."""
        ...

    def close(self) -> None:
        """Free what the painter holds."""
        ...


def frames(
    model: mujoco.MjModel,
    qpos: np.ndarray,
    *,
    width: int = 640,
    height: int = 480,
    follow: str | None = None,
    azimuth: float = 145.0,
    zoom: float = 1.0,
) -> Iterator[np.ndarray]:
    """Draw one picture per state, from a camera at three quarters in front that follows the robot smoothly.

    Args:
        model: What to draw; `stage` gives it a sky and a floor.
        qpos: States. Shape (K, nq).
        width: Of the picture [pixel].
        height: Of the picture [pixel].
        follow: Name of the body to follow; by default the one with the free joint.
        azimuth: Direction the camera looks into, about the vertical; 180 looks back along -x [degree].
        zoom: Above 1 is nearer.

    Yields:
        RGB bytes. Shape (height, width, 3).

    Raises:
        UserError: The states are not of this model or not finite, the body does not exist, or MUJOCO_GL names
            an OpenGL that does not work here.
    """
    qpos = np.asarray(qpos, dtype=np.float64)
    if qpos.ndim != 2 or qpos.shape[1] != model.nq or not len(qpos):
        raise UserError(f"cannot film states of shape {qpos.shape}: this model needs (K, {model.nq})")
    if not np.isfinite(qpos).all():
        raise UserError(f"cannot film: state {int(np.flatnonzero(~np.isfinite(qpos).all(axis=1))[0])} is not finite")
    body = _followed(model, follow)
    data = mujoco.MjData(model)
    centres = np.empty((len(qpos), 3))
    for k in reversed(range(len(qpos))):
        data.qpos[:] = qpos[k]
        mujoco.mj_kinematics(model, data)
        centres[k] = data.xpos[body]
    middle, size = bounds(model, data)  # of the first state, which was set last
    centres = _smooth(centres) + [0.0, 0.0, middle[2] - centres[0, 2]]
    camera = mujoco.MjvCamera()
    camera.azimuth, camera.elevation, camera.distance = azimuth, -13.0, 2.1 * size / zoom
    painter = _painter(model, width, height)
    try:
        for state, centre in zip(qpos, centres, strict=True):
            data.qpos[:] = state
            mujoco.mj_fwdPosition(model, data)
            camera.lookat[:] = centre
            yield painter.draw(data, camera)
    finally:
        painter.close()


def render(
    model: mujoco.MjModel,
    qpos: np.ndarray,
    path: Path | str,
    fps: float,
    *,
    width: int = 640,
    height: int = 480,
    follow: str | None = None,
    text: str | None = None,
) -> Path:
    """Film states into an mp4.

    Args:
        model: What to draw; `stage` gives it a sky and a floor.
        qpos: One state per picture. Shape (K, nq).
        path: Where the film goes; its folder must exist.
        fps: Pictures per second of the film.
        width: Even number [pixel].
        height: Even number [pixel].
        follow: Name of the body to follow; by default the one with the free joint.
        text: A line to write into the upper left corner.

    Raises:
        UserError: As `frames`; or the file cannot be written.
    """
    pictures = frames(model, qpos, width=width, height=height, follow=follow)
    if text:
        pictures = (write_on(picture, text) for picture in pictures)
    return write_mp4(pictures, Path(path), fps)


def write_mp4(pictures: Iterable[np.ndarray], path: Path, fps: float) -> Path:
    """Write pictures, RGB bytes of even width and height, as H.264; a broken-off film leaves no file.

    Raises:
        UserError: The file cannot be written.
    """
    import av

    unfinished = path.with_name(path.name + ".part")
    try:
        with av.open(str(unfinished), "w", format="mp4", options={"movflags": "faststart"}) as film:
            stream = None
            for picture in pictures:
                if stream is None:
                    stream = film.add_stream("libx264", rate=round(fps), options={"crf": "23", "preset": "veryfast"})
                    stream.height, stream.width = picture.shape[:2]
                    stream.pix_fmt = "yuv420p"
                film.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            if stream is not None:
                film.mux(stream.encode())
        unfinished.replace(path)
    except OSError as error:
        raise UserError(f"cannot write the film {path}: {error.strerror or error}") from error
    finally:
        unfinished.unlink(missing_ok=True)
    return path


def contact_sheet(pictures: Path | str | Iterable[np.ndarray], path: Path | str, columns: int = 4) -> Path:
    """Lay pictures side by side in one PNG.

    Args:
        pictures: RGB pictures of one size, or a film, of which three rows are taken at equal distances.
        path: Where the PNG goes.
        columns: Pictures in a row.
    """
    from PIL import Image

    if isinstance(pictures, str | Path):
        film = read_mp4(Path(pictures))
        chosen = [film[i] for i in np.linspace(0, len(film) - 1, min(3 * columns, len(film))).round().astype(int)]
    else:
        chosen = list(pictures)
    if not chosen:
        raise UserError(f"no pictures for the contact sheet {path}")
    blank = np.full_like(chosen[0], 255)
    chosen += [blank] * (-len(chosen) % columns)
    rows = [np.concatenate(chosen[i : i + columns], axis=1) for i in range(0, len(chosen), columns)]
    path = Path(path)
    unfinished = path.with_name(path.name + ".part")
    try:
        Image.fromarray(np.concatenate(rows, axis=0)).save(unfinished, format="png")
        unfinished.replace(path)
    except OSError as error:
        raise UserError(f"cannot write the pictures {path}: {error.strerror or error}") from error
    finally:
        unfinished.unlink(missing_ok=True)
    return path


def read_mp4(path: Path) -> list[np.ndarray]:
    """Every picture of a film.

    Raises:
        UserError: It is not a film.
    """
    import av

    try:
        with av.open(str(path)) as film:
            return [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    except (OSError, IndexError) as error:
        raise UserError(f"cannot read the film {path}: {error}") from error


def _painter(model: mujoco.MjModel, width: int, height: int) -> Painter:
    from robopolicy.view.opengl import OpenGlPainter, context_class

    context = context_class()
    if context is not None:
        return OpenGlPainter(model, width, height, context)
    from robopolicy.view.raycast import RayPainter

    return RayPainter(model, width, height)


def _followed(model: mujoco.MjModel, name: str | None) -> int:
    if name is None:
        free = np.flatnonzero(model.jnt_type == mujoco.mjtJoint.mjJNT_FREE)
        return int(model.jnt_bodyid[free[0]]) if len(free) else 0
    known = [model.body(i).name for i in range(model.nbody)]
    if name not in known:
        raise UserError(f"no body {name!r} to follow; the model has: {', '.join(known[1:])}")
    return known.index(name)


def bounds(model: mujoco.MjModel, data: mujoco.MjData) -> tuple[np.ndarray, float]:
    """Middle (3,) and largest side [m] of the box around everything but the world's own geoms."""
    moving = model.geom_bodyid > 0
    if not moving.any():
        return np.array(model.stat.center), float(model.stat.extent)
    centre, radius = data.geom_xpos[moving], model.geom_rbound[moving, None]
    low, high = (centre - radius).min(axis=0), (centre + radius).max(axis=0)
    return (low + high) / 2, float((high - low).max())


def _smooth(path: np.ndarray, window: int = 31) -> np.ndarray:
    """Moving average over ``window`` samples, the ends held. Shape (K, 3)."""
    half = min(window, len(path)) // 2
    padded = np.concatenate([np.repeat(path[:1], half, 0), path, np.repeat(path[-1:], half, 0)])
    kernel = np.ones(2 * half + 1) / (2 * half + 1)
    return np.stack([np.convolve(padded[:, i], kernel, "valid") for i in range(path.shape[1])], axis=1)


def write_on(picture: np.ndarray, text: str) -> np.ndarray:
    """The picture with lines of text in its upper left corner, in letters of one width."""
    from PIL import Image, ImageDraw

    image = Image.fromarray(picture)
    ImageDraw.Draw(image).text((12, 8), text, fill=(30, 34, 40), font=_font())
    return np.asarray(image)


@cache
def _font() -> Any:
    import matplotlib
    from PIL import ImageFont

    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSansMono.ttf", 14)
