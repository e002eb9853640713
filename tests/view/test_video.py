"""Films: what is drawn is the robot, with OpenGL where there is one and without."""

from typing import Any

import mujoco
import numpy as np
import pytest

from robopolicy.errors import UserError
from robopolicy.robot import load_robot
from robopolicy.view import opengl, video
from robopolicy.view.raycast import RayPainter
from robopolicy.view.stage import stage

SIZE: dict[str, Any] = {"width": 160, "height": 120}


@pytest.fixture(scope="module")
def droid():
    return load_robot("droid").compile()


@pytest.fixture(scope="module")
def walk(droid):
    qpos = np.tile(droid.home_qpos, (6, 1))
    qpos[:, 0] = np.linspace(0, 1, 6)
    return qpos


@pytest.fixture
def no_opengl(monkeypatch):
    monkeypatch.setattr(opengl, "context_class", lambda: None)


@pytest.fixture
def with_opengl():
    if opengl.context_class() is None:
        pytest.skip("no OpenGL here: apt install libosmesa6")


def accent(picture):
    """How many pixels are the droid's orange."""
    r, g, b = (picture[..., i].astype(int) for i in range(3))
    return int(((r > 120) & (r > g + 40) & (g > b + 20)).sum())


def check_pictures(droid, walk):
    pictures = list(video.frames(stage(droid.spec), walk, **SIZE))
    assert len(pictures) == 6
    assert all(p.shape == (120, 160, 3) and p.dtype == np.uint8 for p in pictures)
    assert all(accent(p) > 20 for p in pictures), "the camera lost the robot"
    assert pictures[0][:20].mean() > 150, "no bright sky"
    # Below the horizon there is a checkered floor, and the robot darkens it with its shadow.
    assert pictures[0][60:].std() > 10


def test_rays_draw_the_robot(droid, walk, no_opengl):
    check_pictures(droid, walk)


def test_opengl_draws_the_robot(droid, walk, with_opengl):
    check_pictures(droid, walk)


def test_both_painters_see_the_robot_at_the_same_place(droid, walk, with_opengl, monkeypatch):
    model = stage(droid.spec)
    drawn = next(video.frames(model, walk, **SIZE))
    monkeypatch.setattr(opengl, "context_class", lambda: None)
    cast = next(video.frames(model, walk, **SIZE))

    def middle(picture):
        r, g, b = (picture[..., i].astype(int) for i in range(3))
        rows, columns = np.nonzero((r > 120) & (r > g + 40) & (g > b + 20))
        return np.array([rows.mean(), columns.mean()])

    np.testing.assert_allclose(middle(drawn), middle(cast), atol=2)


@pytest.mark.parametrize("name", ["droid", "g1", "go2"])
def test_no_ray_misses_a_shape(name):
    """MuJoCo's many-rays call leaves out shapes beside a colliding one; its one-ray call does not."""
    robot = load_robot(name).compile()
    painter = RayPainter(stage(robot.spec), 16, 16)
    data = mujoco.MjData(painter.model)
    data.qpos[:] = robot.home_qpos
    mujoco.mj_fwdPosition(painter.model, data)
    eye = np.array([1.2, -0.9, 0.5])
    rays = np.array([0, 0, 0.25]) - eye + np.random.default_rng(0).normal(scale=0.25, size=(2000, 3))
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    geom, _, _ = painter._cast(data, eye, rays)
    for ray, found in zip(rays, geom, strict=True):
        one = np.array([-1], np.int32)
        mujoco.mj_ray(painter.model, data, eye, ray, painter.groups, 1, -1, one)
        assert one[0] == found


def test_shadow_falls_below_the_robot(droid, no_opengl):
    painter = RayPainter(stage(droid.spec), 160, 120)
    data = mujoco.MjData(painter.model)
    data.qpos[:] = droid.home_qpos
    mujoco.mj_fwdPosition(painter.model, data)
    points = np.array([[-0.15, -0.08, 0.0], [1.5, 1.5, 0.0]])
    np.testing.assert_array_equal(painter._lit(data, points, np.array([0, 0, 0.3])), [0, 1])


def test_film_has_every_frame_and_no_leftovers(droid, walk, no_opengl, tmp_path):
    path = video.render(stage(droid.spec), walk, tmp_path / "walk.mp4", 25, text="0.3 m/s", **SIZE)
    film = video.read_mp4(path)
    assert len(film) == 6
    assert film[0].shape == (120, 160, 3)
    assert [p.name for p in tmp_path.iterdir()] == ["walk.mp4"]
    sheet = video.contact_sheet(path, tmp_path / "walk.png", columns=4)
    assert sheet.read_bytes().startswith(b"\x89PNG")


def test_stage_leaves_the_robot_alone(droid):
    before = droid.spec.to_xml()
    model = stage(droid.spec)
    assert droid.spec.to_xml() == before
    assert (model.nq, model.nv) == (droid.mj.nq, droid.mj.nv)
    assert [model.joint(i).name for i in range(model.njnt)] == [droid.mj.joint(i).name for i in range(droid.mj.njnt)]


def test_painting_leaves_the_model_alone(droid, walk, with_opengl):
    samples = droid.mj.vis.quality.offsamples
    next(video.frames(droid.mj, walk, **SIZE))
    assert droid.mj.vis.quality.offsamples == samples != 0


def test_wrong_states_are_named(droid, walk, tmp_path):
    with pytest.raises(UserError, match=r"\(6, 5\).*\(K, 21\)"):
        next(video.frames(droid.mj, walk[:, :5]))
    bad = walk.copy()
    bad[3, 0] = np.nan
    with pytest.raises(UserError, match="state 3 is not finite"):
        next(video.frames(droid.mj, bad))
    with pytest.raises(UserError, match=r"no body 'tail'.*base"):
        next(video.frames(droid.mj, walk, follow="tail"))


def test_unwritable_film_is_named(droid, walk, no_opengl, tmp_path):
    with pytest.raises(UserError, match="cannot write the film"):
        video.render(droid.mj, walk, tmp_path / "absent" / "walk.mp4", 25, **SIZE)


def test_a_broken_opengl_is_named_with_its_package(monkeypatch):
    opengl.context_class.cache_clear()
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    monkeypatch.setattr(opengl, "works", lambda name: False)
    with pytest.raises(UserError, match="MUJOCO_GL=osmesa does not work here: apt install libosmesa6"):
        opengl.context_class()
    opengl.context_class.cache_clear()


def test_without_opengl_rays_are_cast(monkeypatch):
    opengl.context_class.cache_clear()
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.setattr(opengl, "works", lambda name: False)
    assert opengl.context_class() is None
    opengl.context_class.cache_clear()
