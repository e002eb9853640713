"""What a policy does when nobody disturbs it: footfalls under a few commands, and a film of a tour."""

import tempfile
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import numpy as np
import torch

from robopolicy.env.env import Env
from robopolicy.evaluate import Act, first_episodes
from robopolicy.motion.contacts import circular_mean, contacts, stride_frequency, strides
from robopolicy.task import Task
from robopolicy.view.performers import Performer, find_performer
from robopolicy.view.play import perform
from robopolicy.view.tour import Channel, Part, tour
from robopolicy.view.video import frames, write_mp4, write_on

SETTLE_S = 2.0
SECONDS = 8.0
"""Length of an episode whose footfalls are read, after the first 2 s."""
FILM_S = 8.0
_FPS = 20.0
_SIZE = 480, 360  # of a picture [pixel]
_PICTURES = 8
_MOST_PARTS = 6


@dataclass(frozen=True)
class Footfalls:
    """Which feet are down under one command.

    Attributes:
        label: What a person would call the command.
        command: All that the policy is told. Shape (C,).
        contact: From 2 s on, until the fall. Shape (K, F) bool.
        dt: Time between frames [s].
        frequency: Strides of the first foot per second [Hz]; 0 if it does not step.
        duty: Part of the time in which each foot is down. Shape (F,).
        phase: When each foot lands, as a part of the first one's stride; not a number where it does not. Shape (F,).
        fell: Whether it fell.
    """

    label: str
    command: np.ndarray
    contact: np.ndarray
    dt: float
    frequency: float
    duty: np.ndarray
    phase: np.ndarray
    fell: bool


def footfalls(task: Task, act: Act) -> list[Footfalls]:
    """The policy on the plant as the model says, without noise, under each command of the films' tour."""
    parts = _parts(task)
    env = Env(replace(task, episode_s=SECONDS + 1), num_envs=len(parts), nominal=True)
    env.reset(stagger=False)
    told = torch.as_tensor(np.stack([p.command for p in parts]), dtype=torch.float32)
    settled = round(SETTLE_S / task.control_dt)
    heights, lived = [], []
    for _, alive in first_episodes(env, act, told, round(SECONDS / task.control_dt)):
        heights.append(env.state.foot_clearance.clone())
        lived.append(alive)
    height, alive = torch.stack(heights).double().numpy()[settled:], torch.stack(lived).numpy()
    found = []
    for n, part in enumerate(parts):
        down = contacts(height[alive[settled:, n], n])
        phase, _ = circular_mean(strides(down, task.control_dt).phase)
        found.append(
            Footfalls(
                part.label,
                part.command,
                down,
                task.control_dt,
                float(stride_frequency(down, task.control_dt)[0]),
                down.mean(0) if len(down) else np.full(down.shape[1], np.nan),
                phase,
                not alive[-1, n],
            )
        )
    return found


def film(path: Path, seconds: float = FILM_S, moving: bool = True) -> tuple[bytes | None, list[bytes]]:
    """A tour of commands as an MP4, and pictures of it as JPEGs.

    Args:
        path: Run folder or ONNX file.
        seconds: Length [s].
        moving: Whether to film it; otherwise only the pictures are drawn.
    """
    performer = find_performer(path)
    stride = max(1, round(1 / (_FPS * performer.dt)))
    states, texts = perform(performer, _some(tour(performer.channels)), seconds, stride)
    chosen = np.linspace(0, len(states) - 1, _PICTURES + 1).round().astype(int)[1:]  # not the start, where it stands
    sheet = [_picture(performer, states[k], texts[k]) for k in chosen] if not moving else []
    video = None
    if moving:
        width, height = _SIZE
        drawn = frames(performer.model, states, width=width, height=height, zoom=1.1)
        pictures = [write_on(picture, text) for picture, text in zip(drawn, texts, strict=True)]
        sheet = [pictures[k] for k in chosen]
        with tempfile.TemporaryDirectory() as folder:
            video = write_mp4(pictures, Path(folder) / "film.mp4", 1 / (stride * performer.dt)).read_bytes()
    return video, [_jpeg(picture) for picture in sheet]


def _picture(performer: Performer, state: np.ndarray, text: str) -> np.ndarray:
    """One state alone: the camera of a film would smooth over its neighbours, which are far away here."""
    width, height = _SIZE
    return write_on(next(frames(performer.model, state[None], width=width, height=height, zoom=1.1)), text)


def _jpeg(picture: np.ndarray) -> bytes:
    from PIL import Image

    file = BytesIO()
    Image.fromarray(picture).save(file, format="jpeg", quality=80)
    return file.getvalue()


def _parts(task: Task) -> list[Part]:
    told = task.channels
    channels = [Channel(n, *bounds, "", d) for (n, bounds), d in zip(told.ranges.items(), told.default, strict=True)]
    return _some(tour(channels))


def _some(parts: list[Part]) -> list[Part]:
    """At most so many, spread over all."""
    if len(parts) <= _MOST_PARTS:
        return parts
    return [parts[k] for k in np.linspace(0, len(parts) - 1, _MOST_PARTS).round().astype(int)]
