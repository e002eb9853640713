"""What a gamepad at the browser asks for."""

import json

import pytest

pytest.importorskip("mjviser", reason="the web page needs: pip install 'robopolicy[web]'")

from robopolicy_runtime.contract import Command
from robopolicy_runtime.devices import Gamepad

from robopolicy.view.tour import Channel
from robopolicy.view.web.gamepad import SILENCE_S, Gamepads, read, steering

VX, VY, WZ = Channel("vx", -0.2, 0.4), Channel("vy", -0.1, 0.1), Channel("wz", -0.6, 0.5)


@pytest.mark.parametrize(
    ("axes", "asked"),
    [
        ((0, -1, 0), {"vx": 0.4}),
        ((0, 1, 0), {"vx": -0.2}),
        ((0, -0.5, 0), {"vx": 0.2}),
        ((-1, 0, 0), {"vy": 0.1}),
        ((0, 0, 1), {"wz": -0.6}),
        ((0, 0, -1), {"wz": 0.5}),
        ((0.07, -0.08, 0.05), {}),
    ],
)
def test_sticks_ask_for_a_share_of_the_range(axes, asked):
    assert steering([VX, VY, WZ], axes) == pytest.approx({"vx": 0.0, "vy": 0.0, "wz": 0.0} | asked)


def test_the_sticks_are_the_runtime_s(tmp_path):
    (tmp_path / "js").touch()
    command = Command(("vx", "vy", "wz"), (-0.2, -0.1, -0.6), (0.4, 0.1, 0.5), ("", "", ""), (0.0, 0.0, 0.0))
    runtime = Gamepad(command, str(tmp_path / "js"))
    for axes in ((0.3, -0.6, 0.9), (-1, 1, -1), (0.0, 0.05, -0.5)):
        for number, stick in zip((0, 1, 3), axes):  # the right stick is axis 3 there
            runtime._steer(number, stick)
        assert steering([VX, VY, WZ], axes) == pytest.approx(runtime._values)


def test_without_a_sideways_channel_the_left_stick_turns():
    for channels in ([VX, WZ], [VX, Channel("vy", 0, 0), WZ]):
        assert steering(channels, (1, 0, 0)) == pytest.approx({"vx": 0, "wz": -0.6})
        assert steering(channels, (0.2, 0, -1)) == pytest.approx({"vx": 0, "wz": 0.5})
    assert steering([Channel("height", 0, 1)], (1, 1, 1)) == {}


@pytest.mark.parametrize(
    "message",
    [
        b'{"axes": [0, 0, 0], "buttons": []}',
        "",
        "nonsense",
        "7",
        "null",
        "[1, 2]",
        "{}",
        '{"axes": [0, 0], "buttons": []}',
        '{"axes": {"0": 1}, "buttons": []}',
        '{"axes": [0, 0, "x"], "buttons": []}',
        '{"axes": [0, 0, null], "buttons": []}',
        '{"axes": [0, 0, NaN], "buttons": []}',
        '{"axes": [0, 0, 1e999], "buttons": []}',
        '{"axes": [0, 0, ' + "9" * 400 + '], "buttons": []}',
        '{"axes": [0, 0, 0], "buttons": 3}',
        '{"axes": [0, 0, 0]}',
        "[" * 1999,
        " " * 2001,
    ],
)
def test_a_message_that_is_not_ours_says_nothing(message):
    assert read(message, 0.0) is None


def test_axes_stay_within_their_range():
    held = read(json.dumps({"axes": [7, -7, 0.5, 9], "buttons": [True, False, 1, True]}), 3.0)
    assert held is not None
    assert held.axes == (1, -1, 0.5)
    assert held.buttons == {0, 3}
    assert held.time == 3.0


class Line:
    """A websocket that says what it is told to, and lets the test look in between."""

    def __init__(self, *messages, look):
        self.messages, self.look = messages, look

    async def __aiter__(self):
        for message in self.messages:
            yield message
            self.look()


def listen(pads: Gamepads, *messages: str, look=lambda: None) -> None:
    coroutine = pads.hear(Line(*messages, look=look))  # type: ignore[arg-type]
    with pytest.raises(StopIteration):
        coroutine.send(None)


def held_down(*axes: float, buttons: tuple[int, ...] = ()) -> str:
    return json.dumps({"axes": axes, "buttons": [i in buttons for i in range(17)]})


def test_what_was_said_long_ago_does_not_count():
    now, seen = [0.0], []

    def look():
        now[0] += 0.9 * SILENCE_S
        seen.append((pads.connected, pads.axes))

    pads = Gamepads(lambda: now[0])
    listen(pads, held_down(0.5, 0.0, 0.0), "nonsense", held_down(0.0, -0.5, 0.0), look=look)
    assert seen == [(True, (0.5, 0, 0)), (False, (0, 0, 0)), (True, (0, -0.5, 0))]
    assert (pads.connected, pads.axes) == (False, (0, 0, 0)), "it is gone"


def test_a_button_asks_once_and_not_for_what_made_the_gamepad_known():
    pads = Gamepads()
    down = [(), (1,), (1, 12), (1,), (1, 2, 9), (), (1,)]
    listen(pads, *(held_down(0, 0, 0, buttons=buttons) for buttons in down))
    assert pads.asked() == ["pause", "forward", "reset", "pause"]
    assert pads.asked() == []
    listen(pads, *(held_down(0, 0, 0, buttons=buttons) for buttons in ((2,), (2,), ())))
    assert pads.asked() == []


def test_of_two_gamepads_each_axis_is_that_of_the_one_that_moves_it_farthest():
    pads, seen = Gamepads(), []
    second = lambda: listen(pads, held_down(-0.2, 0.9, 0), look=lambda: seen.append(pads.axes))  # noqa: E731
    listen(pads, held_down(0.5, 0.1, 0), look=second)
    assert seen == [(0.5, 0.9, 0)]
