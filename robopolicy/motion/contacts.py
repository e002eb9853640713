"""A gait read from its footfalls: duty factor, stride frequency, and when each foot steps within a stride.

Definitions: Hildebrand, "Symmetrical Gaits of Horses", Science 150, 1965. A stride lasts from one touchdown of a foot
to the next of the same foot. Contacts are arrays of shape (K, F), bool, a control period apart.
"""

from dataclasses import dataclass

import numpy as np

_DOWN = 0.005  # a foot lands when its lowest point comes below this [m]
_UP = 0.010  # ... and has left the ground when it rises above this: between the two it stays what it was


@dataclass(frozen=True)
class Strides:
    """S strides of the lead foot, the first.

    Attributes:
        start: Frame of the touchdown. Shape (S,).
        period: [s]. Shape (S,).
        duty: Part of the stride in which each foot is down. Shape (S, F).
        phase: When each foot touches down, as a part of the stride after the lead foot did; not a number where it
            does not. Shape (S, F).
    """

    start: np.ndarray
    period: np.ndarray
    duty: np.ndarray
    phase: np.ndarray

    def features(self) -> np.ndarray:
        """Frequency [Hz], duty factors, and the phase of each foot as a point on the circle, (0, 0) without a
        touchdown. Shape (S, 1 + 3 F)."""
        angle = 2 * np.pi * self.phase
        circle = np.nan_to_num(np.concatenate((np.cos(angle), np.sin(angle)), axis=1))
        return np.concatenate((1 / self.period[:, None], self.duty, circle), axis=1)


def contacts(height: np.ndarray) -> np.ndarray:
    """Which feet are on the ground, from the height of their lowest points [m], (K, F) to (K, F) bool.

    A foot that bounces or scuffs by less than a centimetre has not left the ground; one frame in the air, or on the
    ground, is none.
    """
    told = np.where(height < _DOWN, 1, np.where(height > _UP, 0, -1))
    told[:1] = np.where(told[:1] < 0, 0, told[:1])
    frame = np.where(told >= 0, np.arange(len(height))[:, None], 0)
    down = np.take_along_axis(told, np.maximum.accumulate(frame, axis=0), axis=0).astype(bool)
    if len(down) > 2:
        alone = (down[:-2] == down[2:]) & (down[1:-1] != down[2:])
        down[1:-1] ^= alone
    return down


def touchdowns(contact: np.ndarray) -> list[np.ndarray]:
    """Frames in which each foot touches down, the first frame excluded. F arrays."""
    landed = contact[1:] & ~contact[:-1]
    return [np.flatnonzero(foot) + 1 for foot in landed.T]


def strides(contact: np.ndarray, dt: float, longest: float = 2.0) -> Strides:
    """The strides of the first foot; pauses longer than ``longest`` [s] are none."""
    landed = touchdowns(contact)
    lead = landed[0]
    begin, end = lead[:-1], lead[1:]
    kept = (end - begin) * dt <= longest
    begin, end = begin[kept], end[kept]
    duty, phase = np.empty((len(begin), contact.shape[1])), np.full((len(begin), contact.shape[1]), np.nan)
    for s, (a, b) in enumerate(zip(begin, end, strict=True)):
        duty[s] = contact[a:b].mean(0)
        for foot, frames in enumerate(landed):
            inside = frames[(frames >= a) & (frames < b)]
            if len(inside):
                phase[s, foot] = (inside[0] - a) / (b - a)
    return Strides(begin, (end - begin) * dt, duty, phase)


def duty_factor(contact: np.ndarray) -> np.ndarray:
    """Part of the time in which each foot is down. Shape (F,)."""
    return contact.mean(0)


def stride_frequency(contact: np.ndarray, dt: float) -> np.ndarray:
    """Strides of each foot per second, from its first touchdown to its last [Hz]; 0 with fewer than two. Shape (F,)."""
    landed = touchdowns(contact)
    return np.array([(len(f) - 1) / ((f[-1] - f[0]) * dt) if len(f) > 1 else 0.0 for f in landed])


def circular_mean(phase: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean of phases in [0, 1) and their spread over the first axis; those that are no number do not count.

    The spread is the circular standard deviation ``sqrt(-2 log R) / (2 pi)`` (Mardia and Jupp, "Directional
    Statistics", 2000, section 2.3), in parts of a stride: 0 for equal phases. (S, F) to (F,), (F,).
    """
    angle = 2 * np.pi * phase
    counted = np.isfinite(phase).sum(0)
    point = np.nansum(np.cos(angle), 0) + 1j * np.nansum(np.sin(angle), 0)
    length = np.clip(np.abs(point) / np.maximum(counted, 1), 1e-12, 1.0)
    mean = np.where(counted > 0, np.mod(np.angle(point) / (2 * np.pi), 1.0), np.nan)
    return mean, np.where(counted > 0, np.sqrt(-2 * np.log(length)) / (2 * np.pi), np.nan)


def contact_phase(contact: np.ndarray, dt: float) -> tuple[np.ndarray, np.ndarray]:
    """Circular mean and spread of when each foot touches down, in parts of the first one's stride. (F,), (F,)."""
    return circular_mean(strides(contact, dt).phase)
