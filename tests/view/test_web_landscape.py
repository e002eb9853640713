"""The landscape on the page is the ground that the feet stand on."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

pytest.importorskip("mjviser", reason="the web page needs: pip install 'robopolicy[web]'")

from robopolicy.cli import main
from robopolicy.env.terrain import Ground, Terrain
from robopolicy.view.tour import held
from robopolicy.view.web.landscape import Landscape
from robopolicy.view.web.page import Page
from robopolicy.view.web.run_subject import RunSubject

TERRAIN = Terrain(bumps=0.05, slope=0.2, steps=0.04, size=32.0)


def drawn(place: list[float], half: float = 2.0, square: int = 3) -> np.ndarray:
    """Corners of the triangles around a place, in the world [m]. Shape (T, 3, 3)."""
    meshes = []

    def add(name, vertices, faces, **look):
        meshes.append(SimpleNamespace(vertices=vertices, faces=faces))
        return meshes[-1]

    server = SimpleNamespace(scene=SimpleNamespace(add_mesh_simple=add))
    land = Landscape(server, "/land", TERRAIN, half, square)  # type: ignore[arg-type]
    for near in ([0.0, 0.0], place):
        land.draw(np.array(near), np.array([1.0, 2.0, 3.0]))
    assert all(mesh.position.tolist() == [1, 2, 3] for mesh in meshes)
    return np.concatenate([mesh.vertices[mesh.faces] for mesh in meshes])


@pytest.mark.parametrize("place", [[0.0, 0.0], [3.3, -4.7], [-15.9, 15.9]])
def test_the_triangles_are_the_ground(place):
    corners = drawn(place)
    ground = Ground(TERRAIN, torch.device("cpu"))
    for weights in ([1, 0, 0], [0.6, 0.3, 0.1], [0.1, 0.1, 0.8], [1 / 3, 1 / 3, 1 / 3]):
        points = np.tensordot(weights, corners, (0, 1))
        np.testing.assert_allclose(points[:, 2], ground.height(torch.as_tensor(points[:, :2])), atol=1e-4)
    a, b, c = corners.transpose(1, 0, 2)
    assert (np.cross(b - a, c - a)[:, 2] > 0).all(), "they are seen from above"
    assert len(np.unique(corners.mean(1).round(4), axis=0)) == len(corners) == 2 * 50 * 50
    middle = corners.reshape(-1, 3)[:, :2]
    inside = np.clip(place, -14, 14)
    assert np.abs((middle.min(0) + middle.max(0)) / 2 - inside).max() < 0.4


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """Trained for a second, on hills."""
    folder = tmp_path_factory.mktemp("web") / "rough"
    tiny = ["--num-envs", "16", "--threads", "1", "--steps", "384", "--prior.warm-start", "10"]
    hills = [
        "--terrain.slope",
        "0.2",
        "--terrain.bumps",
        "0.02",
        "--terrain.size",
        "32",
        "--terrain.ramp-steps",
        "1000",
    ]
    assert main(["train", "droid_walk", *tiny, *hills, "--run", str(folder)]) == 0
    return folder


@pytest.mark.parametrize("count", [1, 3])
def test_a_robot_stands_on_what_is_drawn(run, count):
    subject = RunSubject(run, count)
    page = Page(subject, held(subject.channels, [0, 0, 0]), port=0)
    scene = page.scene
    try:
        assert subject.terrain is not None
        for _ in range(2):
            subject.start()
            states = subject.everyone()
            assert np.ptp(states[:, 2]) > 1e-3 or count == 1, "each stands somewhere else"
            scene.draw(states, 0, 1.0)
            for state, land in zip(states, scene._land, strict=True):
                below = state[2] - scene.height(state[:2])
                assert below == pytest.approx(scene._standing, abs=0.1)
                points = land._meshes[0].vertices[:, :2]
                assert (points.min(0) < state[:2] - 0.25).all()
                assert (points.max(0) > state[:2] + 0.25).all()
            assert not scene._floor.visible
        sides = [np.ptp(land._meshes[0].vertices[:, 1]) for land in scene._land]
        assert count == 1 or max(sides) + 2 * 0.16 <= scene._spacing + 0.08, "they do not reach their neighbours"
    finally:
        page.close()
