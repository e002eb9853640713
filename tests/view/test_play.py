"""Play: the tour, the keys, the words, and what can be watched."""

import contextlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import mujoco.viewer
import numpy as np
import pytest

from robopolicy.errors import UserError
from robopolicy.motion.clip import Clip, find_clips
from robopolicy.view import window
from robopolicy.view.caption import Captions, Row, measure, table
from robopolicy.view.performers import ClipPerformer, find_performer
from robopolicy.view.play import film, perform, play
from robopolicy.view.tour import Channel, at, held, neutral, tour
from robopolicy.view.video import read_mp4

WALK = (
    Channel("vx", -0.2, 0.4, "m/s"),
    Channel("vy", -0.12, 0.12, "m/s"),
    Channel("wz", -0.6, 0.6, "rad/s"),
)
POSE = (Channel("height", -0.04, 0.01, "m"), Channel("head_yaw", -0.7, 0.7, "rad"))


# ---- the tour


def test_tour_of_velocities():
    parts = tour(WALK)
    assert [p.label for p in parts] == ["forward", "faster", "turn", "sideways", "backward", "stop"]
    commands = np.array([p.command for p in parts])
    assert (commands >= [c.low for c in WALK]).all()
    assert (commands <= [c.high for c in WALK]).all()
    assert commands[1, 0] > commands[0, 0] > 0 > commands[4, 0]
    assert abs(commands[2, 2]) > 0.5
    assert not commands[-1].any()


def test_tour_leaves_out_what_the_ranges_forbid():
    only_forward = (Channel("vx", 0.0, 1.0), Channel("vy", 0.0, 0.0), Channel("wz", 0.0, 0.0))
    assert [p.label for p in tour(only_forward)] == ["forward", "faster", "turn", "stop"]
    never_slow = (Channel("vx", 0.5, 1.0), *WALK[1:])
    assert all(p.command[0] >= 0.5 for p in tour(never_slow))


def test_tour_of_postures_goes_to_both_ends():
    parts = tour(POSE)
    assert [p.label for p in parts] == ["height up", "height down", "head_yaw up", "head_yaw down", "stop"]
    np.testing.assert_array_equal(parts[3].command, [0, -0.7])


def test_tour_of_styles_goes_through_every_one():
    styles = (Channel("style", 0, 1, "", 1.0), Channel("style_calm", 0, 1, "", 1.0), Channel("style_jaunty", 0, 1))
    parts = tour((*WALK, *styles))
    assert len(parts) == 11
    assert parts[0].label == "forward, calm"
    assert parts[5].label == "forward, jaunty"
    np.testing.assert_array_equal(parts[0].command[3:], [1, 1, 0])
    np.testing.assert_array_equal(parts[5].command[3:], [1, 0, 1])
    np.testing.assert_array_equal(parts[0].command[:3], parts[5].command[:3])
    np.testing.assert_array_equal(parts[-1].command, [0, 0, 0, 1, 1, 0])  # stop, in the first
    # Whoever names a velocity alone gets the first style in full.
    np.testing.assert_array_equal(held((*WALK, *styles), [0.3, 0, 0])[0].command, [0.3, 0, 0, 1, 1, 0])


def test_commands_blend_in():
    parts = tour(WALK)
    np.testing.assert_array_equal(at(parts, 0.0, 12.0).command, parts[0].command)
    change = [at(parts, t, 12.0).command[0] for t in (1.99, 2.0, 2.2, 2.5)]
    assert change[0] == change[1] < change[2] < change[3] == parts[1].command[0]
    assert at(parts, 12.0, 12.0).label == "stop"


def test_a_held_command_has_a_number_per_channel():
    np.testing.assert_array_equal(at(held(WALK, [0.3, 0, 0.1]), 5.0, 12.0).command, [0.3, 0, 0.1])
    for values in ([0.3], [0.3, 0, np.nan]):
        with pytest.raises(UserError, match="3 numbers: vx -0.2..0.4 m/s, vy"):
            held(WALK, values)


# ---- the words


def test_measure_reads_velocities_in_the_heading_frame():
    half = np.radians(90) / 2
    qpos = np.array([1, 2, 0.4, np.cos(half), 0, 0, np.sin(half), 0.25])  # facing +y
    qvel = np.array([-0.1, 0.3, 0, 0, 0, 0.5, 0])
    names = ["vx", "vy", "wz", "height", "pitch", "roll", "knee", "mood"]
    values = measure(names, ["knee"], 0.33, qpos, qvel)
    expected = {"vx": 0.3, "vy": 0.1, "wz": 0.5, "height": 0.07, "pitch": 0, "roll": 0, "knee": 0.25}
    assert values == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("axis", "name"), [(0, "roll"), (1, "pitch")])
def test_measure_reads_tilt_with_its_sign(axis, name):
    quat = np.zeros(4)
    quat[0], quat[1 + axis] = np.cos(0.1), np.sin(0.1)
    values = measure(["pitch", "roll"], [], 0.0, np.array([0, 0, 0, *quat]), np.zeros(6))
    assert values == pytest.approx({"pitch": 0, "roll": 0} | {name: 0.2})


def test_table_stands_on_its_side_when_it_is_wide():
    rows = [Row("vx m/s", "+0.30", "+0.28"), Row("wz rad/s", "+0.00", "+0.01")]
    assert table("turn", rows).splitlines() == [
        "turn",
        "          vx m/s  wz rad/s",
        "command    +0.30     +0.00",
        "measured   +0.28     +0.01",
    ]
    tall = table("look", [Row("head_pitch rad", "+0.30", "+0.28")] * 5).splitlines()
    assert len(tall) == 7
    assert max(map(len, tall)) < 40


# ---- the keys


def test_keys_drive():
    keys = window.Keys(WALK)
    assert keys.command is None
    for _ in range(30):
        keys.press(window.UP)
    keys.press(window.LEFT)
    keys.press(window.END)
    assert keys.command is not None
    np.testing.assert_allclose(keys.command, [0.4, -0.015, 0.075])
    keys.press(ord("X"))
    keys.press(window.SPACE)
    np.testing.assert_array_equal(keys.command, neutral(WALK))
    keys.press(window.ENTER)
    assert keys.command is None


def test_keys_choose_a_channel():
    keys = window.Keys(POSE)
    keys.press(window.RIGHT)
    assert keys.chosen == "head_yaw"
    keys.press(window.DOWN)
    assert keys.command is not None
    np.testing.assert_allclose(keys.command, [0, -0.0875])
    keys.press(window.RIGHT)
    assert keys.chosen == "height"


def test_the_window_shows_a_clip(monkeypatch):
    """The loop with a viewer that counts: MuJoCo's own needs a screen."""
    seen, texts = [], []

    class Viewer(contextlib.nullcontext):
        cam = SimpleNamespace()

        def __init__(self, data):
            self.data = data

        def __enter__(self):
            return self

        def is_running(self):
            return len(seen) < 5

        def lock(self):
            return contextlib.nullcontext()

        def set_texts(self, text):
            texts.append(text)

        def sync(self):
            seen.append(self.data.qpos.copy())

    monkeypatch.setattr(mujoco.viewer, "launch_passive", lambda model, data, **_: Viewer(data))
    monkeypatch.setattr(window.time, "sleep", lambda _: None)
    performer = find_performer(Path("walk_forward_0.30"), "droid")
    window.show(performer, tour(performer.channels))
    assert np.diff(np.array(seen)[:, 0]).min() > 0
    assert texts[0][2].splitlines() == ["walk_forward_0.30", "vx m/s", "vy m/s", "wz rad/s"]


# ---- what can be watched


def test_a_clip_moves_as_it_is_and_a_loop_goes_on():
    path = find_clips("droid", "walk_forward_0.30")[0]
    clip = Clip.load(path)
    performer = find_performer(path)
    assert performer.seconds == float("inf")
    states, captions = perform(performer, tour(()), 2 * clip.duration)
    np.testing.assert_allclose(states[:5], clip.qpos[:5], atol=1e-9)
    assert states[-1, 0] == pytest.approx(2 * clip.duration * 0.3, abs=0.03)
    assert captions[-1].splitlines()[0] == "walk_forward_0.30"
    assert "command" not in captions[-1]


def test_an_open_clip_ends(tmp_path):
    path = find_clips("droid", "walk_forward_0.30")[0]
    half = replace(Clip.load(path), loop=False).split()[0]
    half.save(tmp_path / "half.npz")
    assert find_performer(tmp_path / "half.npz").seconds == pytest.approx(half.duration)


def test_a_clip_without_a_robot_asks_for_one(tmp_path):
    path = find_clips("droid", "happy_nod")[0]
    with np.load(path) as fields:
        np.savez(tmp_path / "nameless.npz", **{k: v for k, v in fields.items() if k != "robot"})
    with pytest.raises(UserError, match="--robot"):
        find_performer(tmp_path / "nameless.npz")
    assert find_performer(tmp_path / "nameless.npz", "droid").title == "nameless"


def test_a_pattern_is_not_one_clip():
    with pytest.raises(UserError, match="stands for 4 clips: turn_left_0.30"):
        ClipPerformer(Path("turn_*"), "droid")


def test_other_things_are_named(tmp_path):
    (tmp_path / "a.txt").write_text("no clip")
    (tmp_path / "a.onnx").write_text("no policy")
    with pytest.raises(UserError, match=r"a.txt is none of them: play a run folder, an .onnx file, an .npz"):
        find_performer(tmp_path / "a.txt")
    with pytest.raises(UserError, match=r"b does not exist"):
        find_performer(tmp_path / "b")
    with pytest.raises(UserError, match=r"a.onnx: not an ONNX file"):
        find_performer(tmp_path / "a.onnx")
    with pytest.raises(UserError, match=r"no run folder|is no run folder"):
        find_performer(tmp_path)
    with pytest.raises(UserError, match=r"--robot droid is for clips"):
        find_performer(tmp_path, "droid")
    with pytest.raises(UserError, match=r"no folder"):
        play(Path("happy_nod"), tmp_path / "none" / "a.mp4", 1.0, None, "droid")
    with pytest.raises(UserError, match=r"--seconds 0"):
        play(Path("happy_nod"), tmp_path / "a.mp4", 0.0, None, "droid")


def test_a_fall_is_said_and_the_past_forgotten():
    robot = SimpleNamespace(channels=WALK, joints=(), standing=0.3, dt=0.02)
    captions = Captions(robot)  # type: ignore[arg-type]
    upright, fast = np.array([0, 0, 0.3, 1, 0, 0, 0]), np.array([1.0, 0, 0, 0, 0, 0])
    captions.read(np.zeros(3), upright, fast)
    assert captions.read(np.zeros(3), upright, 0 * fast)[0].measured == "+0.50"
    assert captions.read(np.zeros(3), upright, 0 * fast, fell=True)[0].measured == "+0.00"


def test_film_and_sheet(tmp_path):
    performer = find_performer(Path("happy_nod"), "droid")
    film(performer, tour(()), 0.5, tmp_path / "nod.mp4")
    pictures = read_mp4(tmp_path / "nod.mp4")
    assert len(pictures) in (12, 13)
    assert (pictures[0][:60, :300] < 100).any(), "no text in the corner"
    assert (tmp_path / "nod.png").is_file()
