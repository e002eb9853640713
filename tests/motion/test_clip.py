"""The clip: its file, its other forms, its velocities."""

import dataclasses
import errno

import mujoco
import numpy as np
import pytest
from motion_clips import arc_state, make_arc

from robopolicy.errors import UserError
from robopolicy.motion import clip as clip_module
from robopolicy.motion.clip import Clip, estimate_cycle, find_clip, list_clips, load_clips, velocities
from robopolicy.motion.pose import move, power2, quat_conj, quat_log, quat_mul


def write(path, **changes):
    """A small good file with some fields changed; None leaves a field out."""
    c = make_arc()
    fields = {
        "fps": c.fps,
        "joint_names": np.array(c.joint_names),
        "qpos": c.qpos,
        "qvel": c.qvel,
        "loop": True,
    }
    fields |= changes
    np.savez(path, **{k: v for k, v in fields.items() if v is not None})
    return path


def with_value(values, index, value):
    values = np.array(values, float)
    values[index] = value
    return values


# ---- files


def test_a_saved_clip_loads_equal_and_without_pickle(tmp_path, arc):
    arc = dataclasses.replace(arc, source="by hand")
    arc.save(tmp_path / "arc.npz")
    back = Clip.load(tmp_path / "arc.npz")
    assert (back.name, back.fps, back.joint_names, back.loop) == ("arc", 20.0, ("a", "b"), True)
    assert (back.robot, back.source) == ("toy", "by hand")
    np.testing.assert_array_equal(back.qpos, arc.qpos)
    np.testing.assert_array_equal(back.qvel, arc.qvel)
    np.testing.assert_array_equal(back.phase, arc.phase)
    with np.load(tmp_path / "arc.npz", allow_pickle=False) as data:
        assert {"fps", "joint_names", "qpos", "qvel", "loop"} <= set(data.files)
        assert data["qpos"].dtype == np.float64


def test_saving_twice_writes_the_same_bytes(tmp_path, arc):
    arc.save(tmp_path / "a.npz")
    arc.save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"fps": None}, ["'fps'", "missing", "joint_names, loop, qpos, qvel"]),
        ({"loop": None}, ["'loop'", "missing"]),
        ({"fps": 0.0}, ["'fps'", "positive"]),
        ({"fps": np.nan}, ["'fps'", "positive"]),
        ({"fps": np.array([1.0, 2.0])}, ["'fps'", "one value", "(2,)"]),
        ({"qpos": np.zeros((0, 9)), "qvel": np.zeros((0, 8))}, ["'qpos'", "zero length"]),
        ({"qpos": make_arc().qpos[:1], "qvel": make_arc().qvel[:1]}, ["one frame"]),
        ({"qpos": make_arc().qpos[:, :8]}, ["'qpos'", "(40, 8)", "(K, 9)"]),
        ({"qvel": make_arc().qvel[:-1]}, ["'qvel'", "(39, 8)", "(40, 8)"]),
        ({"qpos": with_value(make_arc().qpos, (7, 8), np.nan)}, ["'qpos'", "NaN", "frame 7"]),
        ({"qvel": with_value(make_arc().qvel, (3, 0), np.inf)}, ["'qvel'", "infinity", "frame 3"]),
        ({"qpos": with_value(make_arc().qpos, (5, 3), 0.5)}, ["quaternion", "norm", "frame 5"]),
        ({"qpos": np.full((40, 9), "x")}, ["'qpos'", "not numbers"]),
        ({"joint_names": np.array(["a", "a"])}, ["'joint_names'", "more than once"]),
        ({"phase": np.linspace(0, 1, 40)}, ["'phase'", "[0, 1)", "frame 39"]),
        ({"phase": np.zeros(3)}, ["'phase'", "(3,)"]),
    ],
)
def test_every_broken_field_is_named(tmp_path, changes, words):
    path = write(tmp_path / "broken.npz", **changes)
    with pytest.raises(UserError) as error:
        Clip.load(path)
    message = str(error.value)
    assert "\n" not in message
    for word in [str(path), *words]:
        assert word in message


@pytest.mark.parametrize("value", ["False", "no", np.nan, 0.5, 2])
def test_loop_is_true_or_false(tmp_path, arc, value):
    arc.save(tmp_path / "x.npz")
    with np.load(tmp_path / "x.npz") as data:
        fields = dict(data)
    for loop, read in ((np.bool_(False), False), (0, False), (1.0, True), (value, None)):
        fields["loop"] = np.array(loop)
        np.savez(tmp_path / "x.npz", **fields)
        if read is not None:
            assert Clip.load(tmp_path / "x.npz").loop is read
    with pytest.raises(UserError, match=r"x.npz: field 'loop' is .*; it must be true or false"):
        Clip.load(tmp_path / "x.npz")


def test_a_clip_is_saved_as_npz_only(tmp_path, arc):
    (tmp_path / "walk.mp4").write_bytes(b"mine")
    with pytest.raises(UserError, match=r"cannot write .*walk.mp4: a clip ends in .npz"):
        arc.save(tmp_path / "walk.mp4")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("walk.mp4", b"mine")]


def test_files_that_are_no_clips(tmp_path):
    (tmp_path / "text.npz").write_text("hello")
    good = write(tmp_path / "good.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(good[: len(good) // 2])
    (tmp_path / "flipped.npz").write_bytes(good[:2000] + bytes(b ^ 255 for b in good[2000:2100]) + good[2100:])
    np.save(tmp_path / "bare.npy", np.zeros(3))
    np.savez(tmp_path / "pickled.npz", fps=np.array({"a": 1}, dtype=object))
    for name in ("text.npz", "cut.npz", "flipped.npz", "bare.npy", "pickled.npz", "absent.npz"):
        with pytest.raises(UserError, match=name):
            Clip.load(tmp_path / name)


def test_a_full_disk_keeps_the_earlier_file(tmp_path, arc, monkeypatch):
    path = tmp_path / "arc.npz"
    arc.save(path)
    before = path.read_bytes()

    def full(file, **arrays):
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(clip_module.np, "savez_compressed", full)
    with pytest.raises(UserError, match="No space left"):
        arc.save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["arc.npz"]
    with pytest.raises(UserError, match="cannot write"):
        arc.save(tmp_path / "absent" / "arc.npz")


def test_the_hash_follows_the_content_not_the_name(arc):
    same = dataclasses.replace(arc, name="other", source="elsewhere", qpos=arc.qpos.copy())
    assert same.content_hash() == arc.content_hash()
    assert len(arc.content_hash()) == 64
    for changed in (
        {"fps": 21.0},
        {"loop": False},
        {"phase": None},
        {"joint_names": ("b", "a")},
        {"qpos": with_value(arc.qpos, (0, 0), 1e-12)},
    ):
        assert dataclasses.replace(arc, **changed).content_hash() != arc.content_hash()


# ---- robots


def test_joints_are_matched_by_name(droid):
    clip = load_clips("droid", "walk_forward_0.20")[0]
    order = np.random.default_rng(1).permutation(len(clip.joint_names))
    shuffled = dataclasses.replace(
        clip,
        joint_names=tuple(clip.joint_names[i] for i in order),
        qpos=np.concatenate([clip.qpos[:, :7], clip.qpos[:, 7 + order]], axis=1),
        qvel=np.concatenate([clip.qvel[:, :6], clip.qvel[:, 6 + order]], axis=1),
    )
    back = shuffled.for_robot(droid)
    assert back.joint_names == droid.joint_names
    np.testing.assert_array_equal(back.qpos, clip.qpos)
    np.testing.assert_array_equal(back.qvel, clip.qvel)


def test_a_clip_of_another_robot_is_refused_by_name(droid, go2):
    with pytest.raises(UserError) as error:
        load_clips("go2", "stand")[0].for_robot(droid)
    for word in ("'stand'", "'go2'", "'droid'", "lacks l_hip_yaw", "has FL_hip", "head_roll"):
        assert word in str(error.value)


def test_a_missing_joint_is_an_error_not_zero(droid):
    clip = load_clips("droid", "stand_idle")[0]
    short = dataclasses.replace(clip, joint_names=clip.joint_names[:-1], qpos=clip.qpos[:, :-1], qvel=clip.qvel[:, :-1])
    with pytest.raises(UserError, match="lacks head_roll;"):
        short.for_robot(droid)


def test_clips_are_found_by_name_wildcard_and_path(tmp_path, arc):
    assert [c.name for c in load_clips("droid", ["look_around", "walk_left_*", "look_around"])] == [
        "look_around",
        *sorted(n for n in list_clips("droid") if n.startswith("walk_left_")),
    ]
    arc.save(tmp_path / "mine.npz")
    assert load_clips("droid", str(tmp_path / "mine.npz"))[0].name == "mine"
    assert load_clips("droid", [str(tmp_path / "*.npz")])[0].name == "mine"
    with pytest.raises(UserError, match="unknown clip 'moonwalk'.*walk_forward_0.20"):
        load_clips("droid", "moonwalk")
    with pytest.raises(UserError, match="mine.npz"):
        load_clips("droid", str(tmp_path / "yours.npz"))


def test_a_folder_stands_for_the_clips_in_it(tmp_path, arc):
    for name in ("b", "a"):
        arc.save(tmp_path / "clips" / f"{name}.npz")
    (tmp_path / "clips" / "SOURCES.md").write_text("by hand")
    (tmp_path / "clips" / "old").mkdir()
    for pattern in ("clips", "clips/", "clips/*"):
        assert [clip.name for clip in load_clips("droid", f"{tmp_path}/{pattern}")] == ["a", "b"]
    with pytest.raises(UserError, match="no clips \\(.npz\\) in the folder .*old"):
        load_clips("droid", f"{tmp_path}/clips/old")
    with pytest.raises(UserError, match="no clip at .*S\\*; in .*clips: a.npz, b.npz"):
        load_clips("droid", f"{tmp_path}/clips/S*")
    with pytest.raises(UserError, match="clips are 2 clips; name one: a, b"):
        find_clip("droid", f"{tmp_path}/clips")
    assert find_clip("droid", f"{tmp_path}/clips/a*") == tmp_path / "clips" / "a.npz"


def test_clips_of_one_name_are_refused(tmp_path, arc, monkeypatch):
    for day in ("day1", "day2"):
        arc.save(tmp_path / day / "walk.npz")
    one, two = (str(tmp_path / day / "walk.npz") for day in ("day1", "day2"))
    with pytest.raises(UserError, match=f"two clips are called 'walk': {one} and {two}; .*rename one"):
        load_clips("droid", [one, two])
    monkeypatch.chdir(tmp_path)
    assert len(load_clips("droid", [one, "./day1/walk.npz", "day1/*"])) == 1  # one file by three names


# ---- time


def test_durations(arc):
    assert arc.duration == 2.0
    assert dataclasses.replace(arc, loop=False).duration == 39 / 20


@pytest.mark.parametrize("loop", [True, False])
@pytest.mark.parametrize("dt", [0.02, 0.05, 0.04, 1 / 47, 0.1])
def test_resampling_keeps_time(arc, loop, dt):
    """Frame k of the result is the motion at k dt: a loader that stretches by n / (n - 1) fails this."""
    new = dataclasses.replace(arc, loop=loop).resample(dt)
    truth = arc_state(np.arange(len(new)) * dt, 2.0)
    # linear interpolation of 20 frames per second errs by at most h^2 / 8 of the acceleration
    np.testing.assert_allclose(new.qpos[:, 7:], truth[:, 7:], atol=0.3 * np.pi**2 * 0.05**2 / 8 * 1.01)
    planar = new.qpos[:, :2] - truth[:, :2]
    assert np.abs(planar).max() < 2e-3
    assert np.isclose(new.fps, 1 / dt)
    if loop:
        assert np.isclose(new.duration % 2.0, 0.0, atol=1e-6) or np.isclose(new.duration % 2.0, 2.0, atol=1e-6)
    else:
        assert new.duration <= 39 / 20 + 1e-9
        assert new.duration > 39 / 20 - dt


def test_a_loop_goes_on_through_its_seam_for_ever(arc):
    times = np.array([-1.3, 1.97, 2.0, 2.013, 3.999, 4.0, 7.77])
    qpos, qvel, phase = arc.sample(times)
    truth = arc_state(times, 2.0)
    np.testing.assert_allclose(qpos[:, :2], truth[:, :2], atol=3e-3)
    np.testing.assert_allclose(quat_log(quat_mul(quat_conj(truth[:, 3:7]), qpos[:, 3:7])), 0, atol=1e-6)
    np.testing.assert_allclose(qpos[:, 7:], truth[:, 7:], atol=1e-2)
    np.testing.assert_allclose(np.linalg.norm(qvel[:, :2], axis=1), 0.5, atol=2e-3)
    np.testing.assert_allclose(np.arctan2(qvel[:, 1], qvel[:, 0]), np.angle(np.exp(0.4j * times)), atol=0.02)
    assert phase is not None
    np.testing.assert_allclose(np.exp(2j * np.pi * phase), np.exp(2j * np.pi * times / 2.0), atol=1e-6)


def test_the_seam_of_a_resampled_loop_is_an_ordinary_step():
    clip = load_clips("droid", "walk_forward_0.30_turn_left_0.40")[0].resample(1 / 33)
    first = np.diff(clip.qpos, axis=0)[:, 7:]
    follow = move(clip.qpos[:1], clip.cycle())[0]
    assert np.abs(follow[7:] - clip.qpos[-1, 7:]).max() < np.abs(first).max()
    step = np.linalg.norm(np.diff(clip.qpos[:, :2], axis=0), axis=1)
    assert step.min() * 0.9 < np.linalg.norm(follow[:2] - clip.qpos[-1, :2]) < step.max() * 1.1


def test_cycle_is_the_displacement(arc):
    truth = arc_state(np.array([2.0]), 2.0)[0]
    np.testing.assert_allclose(arc.cycle(), [truth[0], truth[1], 0.8], atol=1e-4)
    np.testing.assert_allclose(estimate_cycle(arc.qpos), [truth[0], truth[1], 0.8], atol=1e-4)
    np.testing.assert_allclose(
        move(arc.qpos[:1], power2(arc.cycle(), 2))[0, :2], arc_state(np.array([4.0]), 2.0)[0, :2], atol=1e-3
    )


def test_an_open_clip_is_split_in_time(arc):
    path = dataclasses.replace(arc, loop=False)
    first, second = path.split()
    np.testing.assert_array_equal(np.concatenate([first.qpos, second.qpos]), arc.qpos)
    assert first.phase is not None
    assert len(first.phase) == len(first) == 20
    short = dataclasses.replace(path, qpos=arc.qpos[:3], qvel=arc.qvel[:3], phase=None)
    with pytest.raises(UserError, match="3 frames"):
        short.split()


def test_a_loop_is_not_split_and_goes_on_past_its_seam(arc):
    """Truth: the formula that the arc was sampled from."""
    assert arc.split() == (arc, arc)
    longer = arc.unrolled(3)
    assert not longer.loop
    assert longer.phase is not None
    np.testing.assert_allclose(longer.qpos, arc_state(np.arange(43) * arc.dt, 2.0), atol=3e-3)
    np.testing.assert_allclose(longer.qpos[:40], arc.qpos, atol=1e-9)
    np.testing.assert_allclose(longer.phase[40:], arc.phase[:3])


# ---- velocities


@pytest.mark.parametrize("loop", [True, False])
def test_velocities_are_mujocos(droid, loop):
    clip = load_clips("droid", "walk_forward_0.30_turn_left_0.40")[0]
    qpos, mj = clip.qpos, droid.mj
    cycle = clip.cycle()
    got = velocities(qpos, clip.fps, cycle if loop else None)

    def step(a, b):
        out = np.empty(mj.nv)
        mujoco.mj_differentiatePos(mj, out, clip.dt, a, b)
        return out

    for k in range(1, len(qpos) - 1):
        expected = 0.5 * (step(qpos[k - 1], qpos[k]) + step(qpos[k], qpos[k + 1]))
        np.testing.assert_allclose(got[k], expected, atol=1e-9)
    if loop:
        expected = 0.5 * (step(qpos[-2], qpos[-1]) + step(qpos[-1], move(qpos[0], cycle)))
        np.testing.assert_allclose(got[-1], expected, atol=1e-9)
    else:
        np.testing.assert_allclose(got[0], step(qpos[0], qpos[1]), atol=1e-9)
        np.testing.assert_allclose(got[-1], step(qpos[-2], qpos[-1]), atol=1e-9)


def test_velocities_of_the_arc_have_a_formula(arc):
    times = np.arange(40) / 20
    swing = np.pi * times
    np.testing.assert_allclose(arc.qvel[:, 0], 0.5 * np.cos(0.4 * times), atol=1e-3)
    np.testing.assert_allclose(arc.qvel[:, 1], 0.5 * np.sin(0.4 * times), atol=1e-3)
    np.testing.assert_allclose(arc.qvel[:, 5], 0.4, atol=1e-9)
    np.testing.assert_allclose(arc.qvel[:, 6], 0.3 * np.pi * np.cos(swing), atol=0.01)


@pytest.mark.parametrize("loop", [True, False])
def test_planar_velocity_is_seen_from_the_heading(arc, loop):
    clip = dataclasses.replace(arc, loop=loop)
    for window in (0.0, 0.5, 1.0, 30.0):
        np.testing.assert_allclose(clip.planar_velocity(window), [[0.5, 0.0, 0.4]] * 40, atol=6e-3)


def test_planar_velocity_averages_over_the_window():
    """A base that rocks back and forth once a second: a window of a second sees its drift alone."""
    times = np.arange(100) / 50
    qpos = np.zeros((100, 7))
    qpos[:, 3] = 1
    qpos[:, 0] = 0.2 * times + 0.05 * np.sin(2 * np.pi * times)
    clip = Clip("rock", 50.0, (), qpos, velocities(qpos, 50.0, np.array([0.4, 0, 0])), loop=True)
    np.testing.assert_allclose(clip.planar_velocity(1.0)[:, 0], 0.2, atol=1e-9)
    assert np.ptp(clip.planar_velocity(0.5)[:, 0]) > 0.1


def test_a_keyframe_file_is_told_from_a_broken_clip(tmp_path):
    path = tmp_path / "bow.toml"
    path.write_text('robot = "droid"')
    with pytest.raises(UserError, match="bow.toml: a keyframe file, not a clip; robopolicy clip import"):
        Clip.load(path)
