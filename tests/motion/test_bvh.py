"""BVH: kinematics computed by hand and by SciPy, any channel order, units and axes inferred, errors with their line."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from walker import PERSON, Walk, walk, write_bvh

from robopolicy.errors import UserError
from robopolicy.motion import formats
from robopolicy.motion.formats.bvh import load
from robopolicy.motion.importing.recording import Options

pytestmark = pytest.mark.filterwarnings("ignore::robopolicy.motion.importing.recording.ImportNote")
ARM = """HIERARCHY
ROOT Body
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT Elbow
  {
    OFFSET 0 1 0
    CHANNELS 3 Yrotation Zrotation Xrotation
    End Site
    {
      OFFSET 0 1 0
    }
  }
}
MOTION
Frames: 2
Frame Time: 0.05
0 0 0  0 0 0  0 0 0
1 2 3  90 0 0  90 90 0
"""


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_tiny_arm_by_hand(tmp_path):
    """Root turned 90 degrees about z: up becomes -x. The elbow then turns 90 about its y, then 90 about its own z.

    In the elbow's frame the end lies at y; Ry(90) Rz(90) takes y to Ry(90) (-x) = +z; the root takes z to z.
    """
    motion = load(write(tmp_path / "arm.bvh", ARM))
    assert motion.joint_names == ("Body", "Elbow", "Elbow end")
    assert motion.parents == (-1, 0, 1)
    assert motion.fps == pytest.approx(20)

    def in_file_axes(points):  # z up again to y up
        return np.stack([points[..., 0], points[..., 2], -points[..., 1]], axis=-1)

    places = in_file_axes(motion.positions)
    np.testing.assert_allclose(places[0], [[0, 0, 0], [0, 1, 0], [0, 2, 0]], atol=1e-9)
    np.testing.assert_allclose(places[1], [[1, 2, 3], [0, 2, 3], [0, 2, 4]], atol=1e-9)


def random_skeleton(rng: np.random.Generator, count: int):
    """A tree with offsets, and the names that the walker's writer needs."""
    names = ["Hips", "Head", "LeftFoot", *(f"J{i}" for i in range(3, count))]
    skeleton = [("Hips", -1, (0, 0, 0)), ("Head", 0, (0, 60, 0)), ("LeftFoot", 0, (0, -90, 0))]
    return skeleton + [(names[i], int(rng.integers(0, i)), tuple(rng.normal(0, 8, 3))) for i in range(3, count)]


@pytest.mark.parametrize("order", ["ZXY", "XYZ", "YZX", "ZYX", "XZY", "YXZ"])
def test_a_written_random_skeleton_comes_back(tmp_path, order):
    rng = np.random.default_rng(3)
    skeleton, frames = random_skeleton(rng, 9), 6
    angles = {name: rng.uniform(-80, 80, (frames, 3)) for name, _, _ in skeleton}
    angles["Hips"] *= 0.1
    root = rng.normal(0, 50, (frames, 3))
    write_bvh(tmp_path / "x.bvh", Walk(25.0, root, angles, np.zeros(0), np.zeros(0)), order, skeleton=skeleton)
    motion = load(tmp_path / "x.bvh")
    up = Rotation.from_euler("x", 90, degrees=True)
    places, turns = {}, {}
    for name, parent, offset in skeleton:
        local = Rotation.from_euler("ZXY", angles[name], degrees=True)
        if parent < 0:
            places[name], turns[name] = root, local
            continue
        above = skeleton[parent][0]
        places[name] = places[above] + turns[above].apply(np.array(offset))
        turns[name] = turns[above] * local
        np.testing.assert_allclose(motion.place(name), up.apply(places[name]) / 100, atol=1e-5)
        assert motion.rotations is not None
        quat = motion.rotations[:, motion.joint_names.index(name)]
        found = Rotation.from_quat(quat[:, [1, 2, 3, 0]])
        assert (found.inv() * (up * turns[name])).magnitude().max() < 1e-5


@pytest.mark.parametrize(("scale", "unit"), [(1.0, "cm"), (0.01, "m"), (10.0, "mm"), (0.45 / 2.54, "units of CMU")])
@pytest.mark.parametrize("z_up", [False, True])
def test_units_and_axes_are_inferred_and_told(tmp_path, scale, unit, z_up):
    made = walk(seconds=0.5)
    write_bvh(tmp_path / "w.bvh", made, scale=scale, z_up=z_up)
    with pytest.warns(UserWarning, match=f"read in {unit}.*, because .* tall; {'z' if z_up else 'y'} is up, because"):
        motion = load(tmp_path / "w.bvh")
    ankles = np.stack([motion.place("LeftFoot"), motion.place("RightFoot")], axis=1)
    np.testing.assert_allclose(ankles[..., 2], made.ankles[..., 1] / 100, atol=1e-4)
    np.testing.assert_allclose(ankles[..., 0], made.ankles[..., 0] / 100, atol=1e-4)


def test_units_and_axes_are_as_told(tmp_path):
    made = walk(seconds=0.5)
    write_bvh(tmp_path / "w.bvh", made)  # in centimetres, y up
    ankle = made.ankles[:, 0] / 100
    for options, to_metres, axes in (
        (Options(units="cm", up="y"), 1.0, ankle[:, [0, 2, 1]] * [1, -1, 1]),
        (Options(units="mm"), 0.1, ankle[:, [0, 2, 1]] * [1, -1, 1]),
        (Options(units="cmu", up="z"), 5.64444, ankle),
        (Options(up="x"), 1.0, ankle[:, [1, 2, 0]]),
    ):
        found = load(tmp_path / "w.bvh", options).place("LeftFoot")
        np.testing.assert_allclose(found, to_metres * axes, atol=1e-3)
    write_bvh(tmp_path / "giant.bvh", made, scale=100.0)
    with pytest.raises(UserError, match="no size for a body .*--units m\\|cm\\|mm\\|cmu says which"):
        load(tmp_path / "giant.bvh")


def test_prefixes_go_and_the_content_decides(tmp_path):
    path = write(tmp_path / "dance.txt", ARM.replace("ROOT Body", "ROOT mixamorig:Body"))
    assert load(path).joint_names[0] == "Body"
    assert formats.recognise(path) == "bvh"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("OFFSET 0 1 0\n    CHANNELS", "OFFSET 0 1\n    CHANNELS", "line 8: OFFSET has 2 numbers, not 3"),
        ("Yrotation Zrotation Xrotation", "Yrotation Zrotation Wrotation", "line 9: unknown channel 'Wrotation'"),
        ("CHANNELS 3", "CHANNELS 2", "line 9: CHANNELS says 2 and names 3"),
        ("Frames: 2", "Frames: 3", "line 19: the file ends where frame 2 of 3 should come"),
        ("Frames: 2", "Frames: 1", "line 17: the file has 1 frames"),
        ("90 90 0\n", "90 90 0\n1 1 1  1 1 1  1 1 1\n", "line 20: more lines follow"),
        ("0.05", "0", "line 18: Frame Time is 0 s"),
        ("1 2 3  90", "1 two 3  90", "line 20: frame 1 has 'two', which is not a number"),
        ("1 2 3  90", "1 nan 3  90", "line 20: frame 1 has NaN"),
        ("1 2 3  90", "2 3  90", "line 20: frame 1 has 8 numbers, not 9"),
        ("  JOINT Elbow\n  {", "  JOINT Elbow\n", "line 8: '{' should follow"),
        ("MOTION", "MOTIONS", "line 16: 'MOTIONS' does not belong here"),
        ("Elbow", "Body", "two joints are called 'Body'"),
        (
            "OFFSET 0 1 0",
            "OFFSET 0 1000000 0",
            "bad.bvh: the skeleton is 1.5e+06 units tall, which is no size for a body",
        ),
    ],
)
def test_a_broken_file_is_refused_with_its_line(tmp_path, old, new, says):
    assert old in ARM
    with pytest.raises(UserError, match="(?s).*") as error:
        load(write(tmp_path / "bad.bvh", ARM.replace(old, new)))
    wanted = says.replace("line 20: more", "line 21: more").replace("line 19: the file ends", "line 20: the file ends")
    assert wanted in str(error.value)


def test_the_walker_is_a_person():
    """Its own kinematics put the ankles where its plan wants them: the test source is sound."""
    made = walk(seconds=1.5)
    place, turn = {"Hips": made.root}, {"Hips": Rotation.from_euler("ZXY", made.angles["Hips"], degrees=True)}
    for name, parent, offset in PERSON[1:]:
        above = PERSON[parent][0]
        place[name] = place[above] + turn[above].apply(np.array(offset))
        turn[name] = turn[above] * Rotation.from_euler("ZXY", made.angles[name], degrees=True)
    np.testing.assert_allclose(place["LeftFoot"], made.ankles[:, 0], atol=0.2)
    np.testing.assert_allclose(place["RightFoot"], made.ankles[:, 1], atol=0.2)
