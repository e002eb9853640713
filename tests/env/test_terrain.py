"""Ground that is not flat: what the environment thinks of it, against MuJoCo's own rays and physics."""

from dataclasses import replace

import mujoco
import numpy as np
import pytest
import torch
from small_envs import actions, quiet, reference

from robopolicy.env.env import Env
from robopolicy.env.terrain import Ground, Terrain
from robopolicy.errors import UserError

ROUGH = Terrain(bumps=0.05, slope=0.2, steps=0.06, size=32.0, cell=0.1)


def below(model: mujoco.MjModel, data: mujoco.MjData, point: np.ndarray) -> float:
    """Height of the floor under a point, by a ray that sees the floor alone."""
    geom = np.zeros(1, np.int32)
    seen = np.zeros(6, np.uint8)
    seen[5] = 1
    top = np.array([point[0], point[1], 50.0])
    return 50.0 - mujoco.mj_ray(model, data, top, np.array([0, 0, -1.0]), seen, 1, -1, geom)


def make(n: int = 16, terrain: Terrain = ROUGH, task: str = "droid_walk", **changes) -> Env:
    env = Env(quiet(task, terrain=terrain, **changes), n, seed=1)
    env.reset(stagger=False)
    return env


def only_floor(env: Env) -> tuple[mujoco.MjModel, mujoco.MjData]:
    model = env.robot.mj
    model.geom_group[:] = 0
    model.geom_group[model.geom("floor").id] = 5
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    return model, data


@pytest.mark.parametrize(
    "terrain",
    [
        ROUGH,
        Terrain(bumps=0.1, size=40.0),
        Terrain(slope=0.3, size=40.0, cell=0.2),
        Terrain(steps=0.1, size=40.0),
        Terrain(bumps=0.1, steps=0.1, size=40.0, cell=0.06),  # no whole number of cells
    ],
)
def test_heights_are_where_a_ray_meets_the_landscape(terrain: Terrain):
    env = make(1, terrain)
    model, data = only_floor(env)
    points = np.random.default_rng(0).uniform(-15.5, 15.5, (200, 2))
    ours = Ground(terrain, torch.device("cpu")).height(torch.as_tensor(points, dtype=torch.float32)).numpy()
    rays = np.array([below(model, data, point) for point in points])
    assert np.ptp(rays) > 0.02
    np.testing.assert_allclose(ours, rays, atol=2e-4)


def test_the_landscape_is_as_rough_as_told():
    x = np.linspace(-20, 20, Terrain(size=40.0).count)
    hills = Terrain(slope=0.3, size=40.0).heights()
    slope = np.hypot(*np.gradient(hills, x, x))
    assert np.arctan(slope.max()) == pytest.approx(0.3, rel=0.5)
    assert slope[:, : len(x) // 10].max() < 0.15 * slope.max()  # the gentle side
    steps = Terrain(steps=0.1, size=40.0).heights()[:, -1]
    jumps = np.abs(np.diff(steps))
    assert jumps.max() == pytest.approx(0.1)
    assert set(np.round(jumps / 0.1, 6)) == {0.0, 1.0}
    bumps = Terrain(bumps=0.04, size=40.0).heights()[:, -1]
    assert np.ptp(bumps) == pytest.approx(0.04, rel=0.05)
    assert np.array_equal(bumps, Terrain(bumps=0.04, size=40.0).heights()[:, -1])
    assert not np.array_equal(bumps, Terrain(bumps=0.04, size=40.0, seed=1).heights()[:, -1])


def test_robots_begin_all_over_it_on_their_feet_and_stand():
    env = make(64)
    place = env.qpos[:, :2]
    assert place[:, 0].std() > 2
    assert place[:, 1].std() > 2
    assert float(env.state.foot_clearance.min()) > -0.005
    assert float(env.state.base_height.min()) > 0.9 * env.robot.home_qpos[2]
    ended = torch.zeros(64, dtype=torch.bool)
    for _ in range(15):
        ended |= env.step(torch.zeros(64, env.num_actions)).terminated
    assert ended.float().mean() < 0.2


def test_clearance_and_height_are_above_the_ground_below():
    env = make(6)
    model, data = only_floor(env)
    for action in actions(env, 20):
        env.step(action)
    state = env.state
    level = compiled_foot_height(env)
    for i in range(6):
        qpos = state.qpos[i].double().numpy()
        assert float(state.base_height[i]) == pytest.approx(qpos[2] - below(model, data, qpos[:2]), abs=1e-3)
        for f in range(2):
            foot = state.foot_pos_w[i, f].double().numpy()
            expected = min(foot[2] - level[f] - below(model, data, foot[:2]), 0.1)
            assert float(state.foot_clearance[i, f]) == pytest.approx(expected, abs=1e-3)


def compiled_foot_height(env: Env) -> np.ndarray:
    data = mujoco.MjData(env.robot.mj)
    data.qpos[:] = env.robot.home_qpos
    mujoco.mj_kinematics(env.robot.mj, data)
    return data.site_xpos[env.robot.foot_sites, 2]


def test_the_style_is_judged_by_heights_above_the_ground():
    """A robot lifted onto a hill looks to the discriminator as on the plane."""
    task = quiet(terrain=ROUGH)
    env, flat = (Env(t, 4, seed=1, reference=reference("droid")) for t in (task, replace(task, terrain=Terrain())))
    env.reset(stagger=False)
    flat.reset(stagger=False)
    flat.qpos.copy_(env.qpos)
    flat.qvel.copy_(env.qvel)
    everyone = torch.ones(4, dtype=torch.bool)
    assert env.ground is not None
    flat.qpos[:, 2] -= env.ground.height(env.qpos[:, :2].float())
    for e in (env, flat):
        e.sim.forward(everyone)
    torch.testing.assert_close(env.snapshot().motion, flat.snapshot().motion, atol=1e-5, rtol=0)


def test_robots_spread_with_the_time_trained():
    terrain = replace(ROUGH, ramp_steps=100)
    env = make(64, terrain, episode_s=0.02)
    gentle = float(env.qpos[:, 0].max())
    env.clock.fill_(100)
    env.starts.forget()
    env.step(torch.zeros(64, env.num_actions))
    env.step(torch.zeros(64, env.num_actions))
    assert float(env.qpos[:, 0].max()) > gentle + 5


def test_a_nominal_robot_stands_on_a_plane():
    env = Env(quiet(terrain=ROUGH), 2, nominal=True)
    env.reset(stagger=False)
    assert env.ground is None
    assert env.state.ground is None
    assert not env.qpos[:, :2].any()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"slope": 1.0}, "terrain.slope is 1.0 rad"),
        ({"size": 10.0}, "terrain.size"),
        ({"bumps": -1.0}, "terrain.bumps"),
    ],
)
def test_settings_that_make_no_landscape_are_refused(change: dict, words: str):
    with pytest.raises(UserError, match=words):
        Env(quiet(terrain=replace(ROUGH, **change)), 2)
