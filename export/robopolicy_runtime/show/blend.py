"""Animations and operator as one value for every name, within its range and no faster than its rate."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from robopolicy_runtime.contract import Command
from robopolicy_runtime.errors import ContractError
from robopolicy_runtime.show.file import ShowFile
from robopolicy_runtime.show.parts import Part


@dataclass(frozen=True)
class _Slots:
    """Where a policy's names are among the M of the show."""

    channels: np.ndarray  # in the order of its command
    low: np.ndarray
    high: np.ndarray
    heard: np.ndarray  # which of the channels are driven; the others keep their default. Shape (C,), bool
    joints: np.ndarray  # that are moved on top of it, and those that no policy drives
    deaf: np.ndarray  # the others. Shape (M,), bool


class Blend:
    """Keeps the values of M names. Each is a joint's offset where the show file lets it be moved, else a channel.

    The offset of a joint that no policy drives is from its default.

    Args:
        file: The show.
        names: Its M names, as the channels of a command.
        report: Gets a line, once, for what has no effect on a policy.

    Attributes:
        offset: What is to be added to the targets of joints, or to where they rest, by name [rad]. Shape (M,).
    """

    def __init__(self, file: ShowFile, names: Command, report: Callable[[str], None]) -> None:
        self._names, self._report = names.names, report
        self._at = {name: i for i, name in enumerate(names.names)}
        self._low, self._high, self._rest = np.array(names.lower), np.array(names.upper), np.array(names.default)
        rates = np.array([limit.rate for limit in file.limits.values()])
        self._step = rates * file.contract.control_period_s
        self._commands = {name: part.policy.contract.command for name, part in file.parts.items()}
        self._slots = {name: self._find(part, tuple(file.free)) for name, part in file.parts.items()}
        self._said = np.zeros((len(file.parts), len(self._names)), bool)
        self._row = {name: i for i, name in enumerate(file.parts)}
        self.clear()

    def clear(self) -> None:
        """Every value as if nobody had asked for anything."""
        self._value = self._rest.copy()
        self.offset = np.zeros(len(self._names))

    def channels(self, policy: str) -> np.ndarray:
        """Where the channels of a policy are among the names. Shape (C,)."""
        return self._slots[policy].channels

    def told(self, policy: str) -> np.ndarray:
        """What a policy is told, in the order of its command. Shape (C,)."""
        slots = self._slots[policy]
        return np.clip(self._value[slots.channels], slots.low, slots.high)

    def step(self, policy: str, moved: np.ndarray, operator: Mapping[str, float]) -> None:
        """One control period.

        Args:
            policy: The one that drives.
            moved: What the animations play: deviations from rest. Shape (M,).
            operator: Channels and joints by name; a joint's value is a deviation from its default pose [rad].

        Raises:
            ContractError: The operator names what the show does not have.
        """
        slots, command = self._slots[policy], self._commands[policy]
        by_hand = np.zeros(len(self._names))
        for name, value in operator.items():
            if name not in self._at:
                raise ContractError(f"nothing is called {name!r}; this show has: {', '.join(self._names)}")
            by_hand[self._at[name]] = value if np.isfinite(value) else 0.0
        heard = [name for name, hears in zip(command.names, slots.heard, strict=True) if hears]
        wanted = np.array(command.fill({name: value for name, value in operator.items() if name in heard}))
        wanted = np.where(np.isfinite(wanted), wanted, command.default) + moved[slots.channels] * slots.heard
        goal, offset = self._rest.copy(), np.zeros(len(self._names))
        goal[slots.channels] = np.clip(wanted, slots.low, slots.high)
        offset[slots.joints] = by_hand[slots.joints] + moved[slots.joints]
        self._value = self._approach(self._value, goal)
        self.offset = self._approach(self.offset, offset)
        self._say(policy, (moved != 0) | (by_hand != 0))

    def _approach(self, now: np.ndarray, goal: np.ndarray) -> np.ndarray:
        return now + np.clip(np.clip(goal, self._low, self._high) - now, -self._step, self._step)

    def _say(self, policy: str, active: np.ndarray) -> None:
        row = self._row[policy]
        new = active & self._slots[policy].deaf & ~self._said[row]
        for i in np.flatnonzero(new):
            self._report(
                f"{policy} has no channel {self._names[i]!r} and may not have a joint so called moved: ignored"
            )
        self._said[row] |= new

    def _find(self, part: Part, free: tuple[str, ...]) -> _Slots:
        command = part.policy.contract.command
        channels = np.array([self._at[name] for name in command.names], int)
        joints = np.array([self._at[name] for name in (*part.joints, *free)], int)
        heard = np.array([name not in part.joints for name in command.names])
        deaf = np.ones(len(self._names), bool)
        deaf[channels] = deaf[joints] = False
        low = np.maximum(command.lower, self._low[channels])
        return _Slots(channels, low, np.minimum(command.upper, self._high[channels]), heard, joints, deaf)
