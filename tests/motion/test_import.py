"""From a foreign file to a clip: feet on the ground and at rest, told what was settled, in time and in memory."""

import dataclasses
import subprocess
import sys

import layout_files as files
import numpy as np
import pytest
from motion_clips import foot_bottoms
from test_clip_formats import amp

from robopolicy.cli import main
from robopolicy.motion import formats
from robopolicy.motion.check import check
from robopolicy.motion.clip import Clip, velocities
from robopolicy.motion.ground import Stand, on_ground
from robopolicy.motion.importing.recording import Options
from robopolicy.paths import clips_dir

KIMODO = ("dance", "high5", "jumpjack", "walk", "wave")
DOGS = ("leftturn0", "pace0", "pace1", "rightturn0", "trot0", "trot1")
pytestmark = pytest.mark.filterwarnings("ignore::robopolicy.motion.importing.recording.ImportNote")


def import_file(capsys, path, robot: str, output, *flags: str) -> tuple[Clip, str]:
    """The clip that the command writes, and what it says."""
    assert main(["clip", "import", str(path), "--robot", robot, "--output", str(output), *flags]) == 0
    return Clip.load(output), capsys.readouterr().out


# ---- real files


@pytest.mark.parametrize(
    ("robot", "folder", "name"),
    [*(("g1", "g1_kimodo", f"{n}.csv") for n in KIMODO), *(("go2", "a1_mocap", f"{n}.txt") for n in DOGS)],
)
def test_real_recordings_stand_on_the_ground(tmp_path, capsys, data_dir, request, robot, folder, name):
    """Mean slide under 2 cm/s in contact, penetration under 1 cm: measured apart from the code, and by the check."""
    clip, said = import_file(capsys, data_dir / folder / name, robot, tmp_path / "clip.npz")
    model = request.getfixturevalue(robot)
    heights, places = foot_bottoms(model, clip.qpos)
    assert heights.min() > -0.01
    down = (heights[:-1] < 0.005) & (heights[1:] < 0.005)
    assert down.mean() > 0.1
    slide = np.linalg.norm(np.diff(places[:, :, :2], axis=0), axis=2) * clip.fps
    for foot in range(heights.shape[1]):
        assert slide[down[:, foot], foot].mean() < 0.02
    feet = ("foot sliding", "penetration", "floating")
    assert not [str(defect) for defect in check(clip, model) if defect.kind in feet]
    assert "warning: foot sliding" not in said
    if robot == "g1":  # the motion is still that of the file: nothing but legs and one shift changed it
        table = np.loadtxt(data_dir / folder / name, delimiter=",")
        np.testing.assert_allclose(clip.qpos[:, :2], table[:, :2])
        assert np.abs(clip.qpos[:, 2] - table[:, 2]).max() < 0.02
        np.testing.assert_allclose(np.abs((clip.qpos[:, 3:7] * table[:, 3:7]).sum(axis=1)), 1, atol=1e-6)
        assert np.sqrt(np.mean((clip.qpos[:, 7:19] - table[:, 7:19]) ** 2)) < 0.1
        np.testing.assert_allclose(
            clip.qpos[:, 19:], np.clip(table[:, 19:], model.lower[12:], model.upper[12:]), atol=0.02
        )


def test_what_was_settled_is_said(tmp_path, capsys, data_dir):
    path = data_dir / "g1_kimodo" / "walk.csv"
    _, said = import_file(capsys, path, "g1", tmp_path / "walk.npz")
    assert "note: walk.csv: a CSV has no rate: 30 frames per second" in said
    assert "note: walk.csv: quaternions are wxyz: so the robot is upright" in said
    assert "note: feet slide at" in said
    assert "note: feet locked: " in said
    assert "layout g1_csv; 150 frames at 30 per second, 4.97 s, open" in said
    said_all = ("--layout", "g1_csv", "--fps", "60", "--quat", "wxyz", "--units", "rad", "--no-lock-feet")
    clip, said = import_file(capsys, path, "g1", tmp_path / "fast.npz", *said_all)
    assert clip.fps == 60
    assert "quaternions" not in said
    assert "no rate" not in said
    assert "locked" not in said
    assert "warning: foot sliding" in said
    np.testing.assert_allclose(clip.qpos[:, 7:], np.loadtxt(path, delimiter=",")[:, 7:])
    _, said = import_file(capsys, data_dir / "g1_kimodo" / "wave.csv", "g1", tmp_path / "wave.npz")
    assert "locked" not in said
    assert "note: feet stand at -10 mm, by which the whole clip is shifted" in said
    _, said = import_file(capsys, data_dir / "g1_kimodo" / "wave.csv", "g1", tmp_path / "wave.npz", "--lock-feet")
    assert "locked" in said


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--layout", "nope"), "unknown layout 'nope'; known: amp_hardware"),
        (("--quat", "zyxw"), "--quat zyxw: unknown order; known: wxyz, xyzw"),
        (("--fps", "0"), "--fps 0.0: must be a positive number"),
        (("--fps", "1e-9"), "--fps 1e-09: must be a positive number of frames per second, 1 to 10000"),
        (("--fps", "nan"), "--fps nan: must be"),
        (("--units", "grad"), "--units grad: unknown"),
        (("--layout", "gmr"), "x.csv: is not of layout gmr: not a pickle"),
        (("--quat", "xyzw", "--robot", "droid"), "is no motion of robot 'droid'"),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(tmp_path, capsys, flags, message):
    path, output = files.csv(tmp_path / "x.csv", files.make_motion()), tmp_path / "out.npz"
    output.write_bytes(b"mine")
    assert main(["clip", "import", str(path), "--robot", "g1", "--output", str(output), *flags]) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert len(said.err.strip().splitlines()) == 1
    assert output.read_bytes() == b"mine"


def test_our_own_files_are_left_as_they_are(tmp_path, capsys, droid):
    from robopolicy.motion.clip import load_clips

    clip = load_clips("droid", "stand_idle")[0]
    lifted = dataclasses.replace(clip, qpos=clip.qpos + np.eye(21)[2] * 0.2)
    lifted.save(tmp_path / "up.npz")
    out, said = import_file(capsys, tmp_path / "up.npz", "droid", tmp_path / "out.npz")
    assert out.content_hash() == lifted.content_hash()
    assert "note:" not in said
    out, said = import_file(capsys, tmp_path / "up.npz", "droid", tmp_path / "out.npz", "--no-lock-feet")
    assert out.content_hash() == lifted.content_hash()
    out, said = import_file(capsys, tmp_path / "up.npz", "droid", tmp_path / "out.npz", "--lock-feet")
    assert "feet locked" in said
    assert np.abs(foot_bottoms(droid, out.qpos)[0]).max() < 0.01


@pytest.mark.parametrize("flag", ["--lock-feet", "--no-lock-feet"])
@pytest.mark.parametrize(
    ("robot", "says"), [("droid", "a keyframe file says itself"), ("go2", "is read with its feet planted")]
)
def test_locking_is_refused_where_the_file_says_which_feet_stand(tmp_path, capsys, flag, robot, says):
    path, out = clips_dir() / "droid" / "keyframes" / "happy_nod.toml", tmp_path / "out.npz"
    if robot == "go2":
        path = amp(tmp_path / "dog.txt")
    assert main(["clip", "import", str(path), "--robot", robot, "--output", str(out), flag]) == 2
    said = capsys.readouterr()
    assert says in said.err
    assert said.out == ""
    assert not out.exists()


# ---- the ground


def standing(model, frames: int = 40, lift: float = 0.0) -> Clip:
    qpos = np.tile(np.concatenate([model.home_qpos[:7], model.default_pose]), (frames, 1))
    qpos[:, 2] += lift
    return Clip("still", 30.0, model.joint_names, qpos, velocities(qpos, 30.0), loop=False, robot=model.robot.name)


@pytest.mark.parametrize("robot", ["g1", "go2", "droid"])
@pytest.mark.parametrize("lift", [0.083, -0.02])
def test_a_clip_that_is_off_by_a_constant_is_shifted(request, robot, lift):
    model = request.getfixturevalue(robot)
    clip = standing(model, lift=lift)
    shifted, how = on_ground(clip, model)
    np.testing.assert_allclose(shifted.qpos[:, 2], model.home_qpos[2], atol=1e-3)
    np.testing.assert_array_equal(np.delete(shifted.qpos, 2, axis=1), np.delete(clip.qpos, 2, axis=1))
    assert how.shift == pytest.approx(-lift, abs=1.5e-3)
    again, how = on_ground(shifted, model)
    assert again is shifted
    assert how.shift == 0


def test_a_foot_that_swings_does_not_count(g1):
    """Half of the time the left knee is bent: the ground is where the right foot stands all the time."""
    clip = standing(g1, 60, lift=0.05)
    knee = 7 + g1.joint_names.index("left_knee_joint")
    clip.qpos[:, knee] += 0.6 * (1 - np.cos(np.linspace(0, 4 * np.pi, 60)))
    assert on_ground(clip, g1)[1].shift == pytest.approx(-0.05, abs=2e-3)


@pytest.mark.parametrize("robot", ["g1", "go2"])
def test_sliding_and_sinking_are_measured(request, robot):
    """Oracle: a body that drags its feet at 5 cm/s, one that jumps aside by 2 cm, and one that bows into the ground."""
    model = request.getfixturevalue(robot)

    def how(clip: Clip) -> Stand:
        return on_ground(clip, model)[1]

    still = how(standing(model))
    assert not still.restless
    assert max(still.slide, still.peak) < 1e-9
    drags = standing(model)
    drags.qpos[:, 0] = 0.05 * np.arange(40) / 30
    assert how(drags).slide == pytest.approx(0.05)
    assert how(drags).peak == pytest.approx(0.05)
    assert how(drags).restless
    jerk = standing(model)
    jerk.qpos[20:, 0] += 0.02
    assert how(jerk).slide < 0.02
    assert how(jerk).peak == pytest.approx(0.6)
    assert how(jerk).restless
    sinks = standing(model)
    sinks.qpos[30:33, 2] -= 0.03
    assert how(sinks).depth == pytest.approx(0.03, abs=1e-3)
    assert how(sinks).restless


# ---- an hour


@pytest.mark.slow
def test_an_hour_imports_within_a_minute_and_a_gibibyte(tmp_path, data_dir):
    """108000 frames at 30 per second: a walk there and back again, 720 times."""
    walk = np.loadtxt(data_dir / "g1_kimodo" / "walk.csv", delimiter=",")
    np.savetxt(tmp_path / "hour.csv", np.concatenate([walk, walk[::-1]] * 360), delimiter=",", fmt="%.9g")
    code = (
        "import resource, time; from robopolicy.cli import main; start = time.process_time()\n"
        f"assert main(['clip', 'import', {str(tmp_path / 'hour.csv')!r}, '--robot', 'g1', '--output', "
        f"{str(tmp_path / 'hour.npz')!r}]) == 0\n"
        "print('took', time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    _, seconds, gibibytes = done.stdout.splitlines()[-1].split()
    assert len(Clip.load(tmp_path / "hour.npz")) == 108_000
    assert float(seconds) < 60
    assert float(gibibytes) < 1


def test_a_motion_read_twice_is_the_same(tmp_path, g1):
    path = files.csv(tmp_path / "x.csv", files.make_motion())
    once, twice = (formats.read(path, g1, Options(quat="xyzw")) for _ in range(2))
    assert once.content_hash() == twice.content_hash()
