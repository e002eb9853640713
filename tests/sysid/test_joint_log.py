"""Logs are read whole, in the robot's order of joints, and refused if they are another robot's or a moving one's."""

import arm
import numpy as np
import pytest

from robopolicy.errors import UserError
from robopolicy.sysid.joint_log import load_joint_log


def small(**changes) -> dict:
    time = np.arange(0.0, 2.0, 0.02)
    values = np.sin(time[:, None] + np.arange(3))
    table = {"joint_names": np.array(arm.JOINTS), "time": time, "target": values, "position": 0.9 * values}
    return table | {"velocity": 0.8 * values, "gravity": arm.DOWN} | changes


def test_npz_in_another_order(arms, tmp_path):
    table = small()
    swapped = {name: table[name][:, ::-1] for name in ("target", "position", "velocity")}
    np.savez(tmp_path / "log.npz", **(table | swapped | {"joint_names": table["joint_names"][::-1]}))
    log = load_joint_log(tmp_path / "log.npz", arms)
    np.testing.assert_array_equal(log.target, table["target"])
    np.testing.assert_array_equal(log.position, table["position"])
    np.testing.assert_array_equal(log.velocity, table["velocity"])


def test_csv_without_velocities_and_with_an_empty_cell(arms, tmp_path):
    table = small()
    head = ["time", *(f"{kind}.{joint}" for kind in ("target", "position") for joint in arm.JOINTS)]
    rows = [
        [f"{t!r}" for t in (float(time), *map(float, target), *map(float, position))]
        for time, target, position in zip(table["time"], table["target"], table["position"], strict=True)
    ]
    rows[5][4] = ""
    (tmp_path / "log.csv").write_text("\n".join(",".join(row) for row in [head, *rows]))
    log = load_joint_log(tmp_path / "log.csv", arms)
    assert np.isnan(log.position[5, 0])
    assert np.isfinite(log.position[6]).all()
    slope = 0.9 * np.cos(table["time"][:, None] + np.arange(3))
    np.testing.assert_allclose(log.velocity[20:-1], slope[20:-1], atol=1e-3)
    assert any("no velocities" in note for note in log.notes)
    assert any("gravity" in note for note in log.notes)


def test_dense_readings_are_thinned_and_orders_are_not(arms, tmp_path):
    time = np.arange(0.0, 1.0, 0.001)
    values = np.zeros((1000, 3))
    np.savez(tmp_path / "log.npz", **small(time=time, target=values, position=values, velocity=values))
    log = load_joint_log(tmp_path / "log.npz", arms)
    assert len(log.order_time) == 1000
    assert len(log.time) == 250


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"joint_names": np.array(["a", "b", "c"])}, "no log of robot 'arms'.*left_shoulder"),
        ({"time": np.zeros(100)}, "does not rise"),
        ({"target": np.full((100, 3), np.nan)}, "nothing was driven"),
        ({"position": np.zeros((100, 2))}, "position has shape"),
        ({"gravity": np.stack((np.sin(np.arange(100)), np.zeros(100), -np.cos(np.arange(100))), 1)}, "the base moves"),
    ],
)
def test_what_cannot_be_used_is_refused(arms, tmp_path, changes, said):
    np.savez(tmp_path / "log.npz", **small(**changes))
    with pytest.raises(UserError, match=said):
        load_joint_log(tmp_path / "log.npz", arms)


def test_velocities_that_one_joint_lacks_are_taken_from_its_positions(arms, tmp_path):
    table = small()
    velocity = table["velocity"].copy()
    velocity[:, 1] = np.nan
    np.savez(tmp_path / "log.npz", **(table | {"velocity": velocity}))
    log = load_joint_log(tmp_path / "log.npz", arms)
    np.testing.assert_array_equal(log.velocity[:, [0, 2]], table["velocity"][:, [0, 2]])
    np.testing.assert_allclose(log.velocity[1:-1, 1], np.gradient(table["position"][:, 1], table["time"])[1:-1])
    assert any("no velocities of 1 joints" in note for note in log.notes)
