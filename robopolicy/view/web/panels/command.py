"""What the robot is told: a slider per channel, and a tour until somebody touches one."""

from collections.abc import Mapping, Sequence

import numpy as np
import viser

from robopolicy.view.tour import Channel, Part, at, neutral
from robopolicy.view.web.panel import Moment

_PART_S = 3.0  # each part of a tour lasts so long [s]
_STEPS = 100  # of a slider
_LABEL = "style_"  # beginning of the channels of which one is chosen


class CommandPanel:
    """Sliders, the style's label as a dropdown.

    Args:
        gui: Where to put them.
        channels: What can be told.
        parts: A tour, or one command that is held.
    """

    def __init__(self, gui: viser.GuiApi, channels: Sequence[Channel], parts: Sequence[Part]):
        self.channels, self._parts = channels, parts
        self._rest = neutral(channels)
        first = self._rest if len(parts) > 1 else parts[0].command
        self._tour = gui.add_checkbox("tour", len(parts) > 1, disabled=len(parts) < 2, hint="a command after another")
        self._sliders: dict[int, viser.GuiSliderHandle] = {}
        labels = [c.name.removeprefix(_LABEL) for c in channels if c.name.startswith(_LABEL)]
        self._steered: set[int] = set()  # by a gamepad, now
        self._labels: viser.GuiDropdownHandle | None = None
        for i, channel in enumerate(channels):
            if channel.name.startswith(_LABEL):
                continue
            if channel.high > channel.low:
                self._sliders[i] = self._slider(gui, channel, float(first[i]))
        if labels:
            told = [first[i] for i, c in enumerate(channels) if c.name.startswith(_LABEL)]
            self._labels = gui.add_dropdown("style label", labels, initial_value=labels[int(np.argmax(told))])
            self._labels.on_update(self._touched)
        gui.add_button("all to rest").on_click(lambda _: self.rest())

    def _slider(self, gui: viser.GuiApi, channel: Channel, value: float) -> viser.GuiSliderHandle:
        step = (channel.high - channel.low) / _STEPS
        low, high = min(channel.low, value), max(channel.high, value)  # a command that is held may lie outside
        hint = f"trained from {channel.low:g} to {channel.high:g} {channel.unit}".rstrip()
        name = channel.name if channel.unit in ("", "1") else f"{channel.name} [{channel.unit}]"
        slider = gui.add_slider(name, low, high, float(f"{step:.2g}"), value, hint=hint)
        slider.on_update(self._touched)
        return slider

    def _touched(self, event: viser.GuiEvent) -> None:
        if event.client_id is not None:  # by a person, not by ourselves
            self._tour.value = False

    def rest(self) -> None:
        """End the tour and tell the robot what it is told if nobody says anything."""
        self._tour.value = False
        for i, slider in self._sliders.items():
            slider.value = float(self._rest[i])

    def steer(self, values: Mapping[str, float]) -> None:
        """Move the sliders of the channels that a gamepad drives, or has just let go of; the others are a person's.

        Args:
            values: By name; 0 for a stick at rest.
        """
        for i, slider in self._sliders.items():
            channel = self.channels[i]
            value = values.get(channel.name, 0.0)
            if value or i in self._steered:
                self._tour.value = False
                slider.value = float(np.clip(value, channel.low, channel.high))
            (self._steered.add if value else self._steered.discard)(i)

    def told(self, time: float) -> np.ndarray:
        """The command at ``time`` [s]. Shape (C,)."""
        if self._tour.value:
            whole = _PART_S * len(self._parts)
            return at(self._parts, time % whole, whole).command
        command = self._rest.copy()
        for i, slider in self._sliders.items():
            command[i] = np.clip(np.nan_to_num(slider.value), slider.min, slider.max)
        if self._labels is not None:
            for i, channel in enumerate(self.channels):
                if channel.name.startswith(_LABEL):
                    command[i] = float(channel.name == _LABEL + self._labels.value)
        return command

    @property
    def style(self) -> str:
        """The style that is asked for, where there are several."""
        return "" if self._labels is None else self._labels.value

    def update(self, moment: Moment) -> None:
        """Nothing to show: what is told stands above."""
