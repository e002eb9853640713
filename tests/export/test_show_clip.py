"""Keys, recorded clips, fades, and what comes of several clips at once."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from robopolicy_runtime.errors import ContractError
from robopolicy_runtime.show.clip import Clip, Track, read_clip
from robopolicy_runtime.show.mixer import Mixer
from robopolicy_runtime.show.table import Table

POSE = {"neck": 0.1, "yaw": -0.2, "knee": 0.5}
MOVABLE = frozenset(("vx", "neck", "yaw"))


def read(folder: Path = Path(), **table) -> Clip:
    return read_clip("c", Table(table, "clips.c"), folder, POSE, MOVABLE)


def steady(name: str, value: float, **fields) -> Clip:
    """A clip that has one value all the time."""
    track = Track((0.0,), (value,), ("smooth",))
    return replace(Clip(name, {"yaw": track}, 1.0, fade_in_s=0.0, fade_out_s=0.0), **fields)


def test_each_ease_is_the_curve_that_it_is_called():
    keys = [
        {"time": 1.0, "yaw": 0.2},
        {"time": 2.0, "yaw": 1.2},
        {"time": 3.0, "vx": 9.0},  # yaw is not keyed here
        {"time": 4.0, "yaw": 0.2, "ease": "linear"},
        {"time": 5.0, "yaw": 0.7, "ease": "hold"},
    ]
    clip = read(keys=keys)
    yaw = lambda t: clip.at(t)["yaw"]  # noqa: E731
    assert (yaw(0.0), yaw(1.0), yaw(6.0)) == (0.2, 0.2, 0.7)
    for t in (0.1, 0.25, 0.5, 0.9):
        assert yaw(1 + t) == pytest.approx(0.2 + np.polyval([-2, 3, 0, 0], t))
        assert yaw(2 + 2 * t) == pytest.approx(1.2 - t)
        assert yaw(4 + t) == 0.2
    assert clip.duration_s == 5.0


def test_a_loop_has_no_seam():
    clip = read(loop=True, duration=2.0, keys=[{"time": 0.5, "yaw": 1.0}, {"time": 1.5, "yaw": -1.0}])
    times = np.arange(0, 6, 0.001)
    values = np.array([clip.at(t)["yaw"] for t in times])
    np.testing.assert_allclose(values, [clip.at(t + 2.0)["yaw"] for t in times], atol=1e-9)
    assert np.abs(np.diff(values)).max() < 0.0031  # the steepest of a smooth step is 1.5 times its mean: 3 per second
    assert clip.at(0.0)["yaw"] == pytest.approx(0.0)  # half way from -1 at 1.5 s to 1 at 0.5 s of the next round


def test_a_motion_clip_moves_joints_as_recorded_against_the_default_pose(tmp_path: Path):
    rng = np.random.default_rng(0)
    qpos, names = rng.normal(0, 0.3, (11, 10)), ["knee", "yaw", "neck"]
    np.savez(tmp_path / "m.npz", fps=20.0, joint_names=np.array(names), qpos=qpos, qvel=qpos[:, 1:], loop=False)
    clip = read(tmp_path, file="m.npz")
    assert set(clip.tracks) == {"yaw", "neck"}  # nobody may move the knee
    assert (clip.duration_s, clip.loop) == (0.5, False)
    for t in np.linspace(0, 0.5, 37):
        for name, column in (("yaw", 8), ("neck", 9)):
            expected = np.interp(t, np.arange(11) / 20, qpos[:, column]) - POSE[name]
            assert clip.at(t)[name] == pytest.approx(expected, abs=1e-12)
    looped = read(tmp_path, file="m.npz", loop=True, duration=0.55, joints="yaw")
    assert set(looped.tracks) == {"yaw"}
    seam = (qpos[10, 8] + qpos[0, 8]) / 2 - POSE["yaw"]  # half way from the last frame to the first
    assert looped.at(0.525)["yaw"] == pytest.approx(seam)


@pytest.mark.parametrize(
    ("table", "what"),
    [
        ({}, "clips.c: needs either keys or file"),
        ({"keys": [], "file": "x.npz"}, "needs either keys or file"),
        (
            {"keys": [{"time": 0.0, "knee": 1.0}]},
            "nothing that can be moved is called 'knee'; there are: neck, vx, yaw",
        ),
        ({"keys": [{"yaw": 1.0}]}, r"clips.c.keys\[0\]: time is missing"),
        ({"keys": [{"time": 1, "yaw": 1}, {"time": 1, "yaw": 0}]}, r"keys\[1\]: time 1 s is not after 1 s"),
        ({"keys": [{"time": 0, "yaw": "left"}]}, r"keys\[0\]: yaw must be a finite number, not 'left'"),
        ({"keys": [{"time": 0, "yaw": 1, "ease": "slow"}]}, "ease is 'slow'; there are: smooth, linear, hold"),
        ({"keys": [{"time": 1}]}, "keys name nothing that moves"),
        ({"keys": [{"time": 1, "yaw": 1}], "fade": 1}, "nothing is called 'fade'; there are: .*fade_in"),
        ({"keys": [{"time": 2, "yaw": 1}], "duration": 1}, "duration 1 s ends before its last key"),
        ({"keys": [{"time": 0.3, "yaw": 1}]}, "fade_in and fade_out take longer than its 0.3 s"),
        ({"keys": [{"time": 2, "yaw": 1}], "mode": "mix"}, "mode is 'mix'; there are: add, replace"),
        ({"file": "no.npz"}, "file no.npz cannot be read: No such file"),
    ],
)
def test_a_clip_with_a_mistake(table: dict, what: str):
    with pytest.raises(ContractError, match=what):
        read(**table)


def test_files_that_are_no_motion_clips(tmp_path: Path):
    (tmp_path / "a.npz").write_text("hello")
    np.savez(tmp_path / "b.npz", fps=50.0, loop=False)
    np.savez(tmp_path / "c.npz", fps=50.0, loop=False, joint_names=np.array(["yaw"]), qpos=np.zeros((5, 9)))
    np.savez(tmp_path / "d.npz", fps=50.0, loop=False, joint_names=np.array(["knee"]), qpos=np.zeros((5, 8)))
    np.savez(tmp_path / "e.npz", fps=50.0, loop=False, joint_names=np.array(["yaw"]), qpos=np.full((5, 8), np.nan))
    for name, what in (
        ("a", "cannot be read"),
        ("b", "is no motion clip: joint_names"),
        ("c", r"qpos of shape \(5, 9\) at 50 per second for 1 joints"),
        ("d", "none of the joints in .* may be moved: knee"),
        ("e", "qpos is not finite"),
    ):
        with pytest.raises(ContractError, match=what):
            read(tmp_path, file=f"{name}.npz")


def test_fades_are_smooth_steps_and_an_end_never_jumps():
    clip = steady("a", 1.0, duration_s=2.0, fade_in_s=0.4, fade_out_s=0.8)
    assert clip.weight(0.1) == pytest.approx(np.polyval([-2, 3, 0, 0], 0.25))
    assert (clip.weight(0.4), clip.weight(1.2), clip.weight(2.0)) == (1.0, 1.0, 0.0)
    assert clip.weight(1.4) == pytest.approx(np.polyval([-2, 3, 0, 0], 0.75))
    for end in (0.1, 0.6, 1.5):  # told to end while it comes, plays, goes
        times = np.arange(0, 2.5, 0.001)
        weights = np.array([clip.weight(t, end if t >= end else None) for t in times])
        assert np.abs(np.diff(weights)).max() < 1.6 * 0.001 * (1 / 0.4 + 1 / 0.8)
        assert weights[times > end + 0.8].max() == 0
    assert steady("b", 1.0, loop=True).weight(1e6) == 1.0


def test_clips_are_added_or_replace_what_is_below_in_the_order_they_were_begun():
    clips = {
        "base": steady("base", 0.1, loop=True),
        "add": steady("add", 0.3, loop=True),
        "over": steady("over", -0.5, loop=True, replaces=True, fade_in_s=0.4, fade_out_s=0.4),
    }
    mixer = Mixer(("vx", "yaw"), clips, "base", 0.02)
    assert mixer.mix(0).tolist() == [0.0, 0.1]
    assert mixer.play("add", 5) is None
    assert mixer.mix(5).tolist() == pytest.approx([0.0, 0.4])
    mixer.play("over", 10)
    assert mixer.mix(20)[1] == pytest.approx((0.4 - 0.5) / 2)  # half way in
    assert mixer.weights.tolist() == pytest.approx([1.0, 1.0, 0.5])
    assert mixer.mix(30)[1] == pytest.approx(-0.5)
    assert mixer.play("over", 30) == "it plays already"
    assert mixer.end("over", 40) is None
    assert mixer.mix(50)[1] == pytest.approx((0.4 - 0.5) / 2)  # and half way out
    assert mixer.mix(60)[1] == pytest.approx(0.4)
    assert mixer.end("over", 60) == "it does not play"
    assert mixer.end("base", 60) == "it is the background"
    assert mixer.play("over", 61) is None  # and all over again
    mixer.end_all(62)
    assert mixer.mix(90).tolist() == pytest.approx([0.0, 0.1])
