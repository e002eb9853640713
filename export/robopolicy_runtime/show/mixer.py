"""The background and the clips that were triggered, as one set of deviations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from robopolicy_runtime.show.clip import Clip


@dataclass
class _Playing:
    clip: Clip
    since: int
    ended_s: float | None = None


class Mixer:
    """Plays clips; time is counted in control periods. M names.

    Args:
        names: Channels and joints, the order of ``mix``.
        clips: By name.
        background: Which of them plays always; or None.
        period_s: One control period [s].

    Attributes:
        weights: How much of each clip plays, in the order of ``clips``. Shape (len(clips),).
    """

    def __init__(
        self, names: Sequence[str], clips: Mapping[str, Clip], background: str | None, period_s: float
    ) -> None:
        self._clips, self._period_s = dict(clips), period_s
        self._index = {name: i for i, name in enumerate(names)}
        self._order = {name: i for i, name in enumerate(self._clips)}
        self._background = background
        self.clear(0)

    def clear(self, now: int) -> None:
        """Only the background plays, from its beginning."""
        self._playing: dict[str, _Playing] = {}
        if self._background is not None:
            self._playing[self._background] = _Playing(self._clips[self._background], now)
        self.weights = np.zeros(len(self._clips))

    def play(self, name: str, now: int) -> str | None:
        """Begin a clip in period ``now``. Returns why not, or None."""
        if name in self._playing:
            return "it plays already"
        self._playing[name] = _Playing(self._clips[name], now)
        return None

    def end(self, name: str, now: int) -> str | None:
        """Let a clip fade out from period ``now`` on. Returns why not, or None."""
        playing = self._playing.get(name)
        if playing is None:
            return "it does not play"
        if name == self._background:
            return "it is the background"
        if playing.ended_s is None:
            playing.ended_s = (now - playing.since) * self._period_s
        return None

    def end_all(self, now: int) -> None:
        """Let every clip but the background fade out."""
        for name in self._playing:
            self.end(name, now)

    def mix(self, now: int) -> np.ndarray:
        """The deviations in period ``now``: the background, then the clips in the order they were begun. Shape (M,)."""
        mixed = np.zeros(len(self._index))
        self.weights = np.zeros(len(self._clips))
        for name, playing in list(self._playing.items()):
            clip, time_s = playing.clip, (now - playing.since) * self._period_s
            if clip.left(time_s, playing.ended_s) <= 0:
                del self._playing[name]
                continue
            weight = clip.weight(time_s, playing.ended_s)
            self.weights[self._order[name]] = weight
            for track, value in clip.at(time_s).items():
                i = self._index[track]
                mixed[i] += weight * (value - mixed[i] if clip.replaces else value)
        return mixed
