"""A robot's way from its own readings, against clips whose way is known."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from robopolicy.motion.clip import Clip, find_clips
from robopolicy.motion.odometry import dead_reckoning
from robopolicy.robot import load_robot


def readings(clip: Clip) -> tuple[np.ndarray, np.ndarray]:
    """What the clip's base would feel: gravity and angular velocity in its frame. Shapes (K, 3)."""
    turned = Rotation.from_quat(clip.qpos[:, [4, 5, 6, 3]])
    return turned.inv().apply([0, 0, -1]), clip.qvel[:, 3:6]


@pytest.mark.parametrize(
    ("robot", "name"),
    [
        ("droid", "walk_forward_0.30"),
        ("droid", "walk_backward_0.12_turn_left_0.30"),
        ("droid", "jaunty_left_0.12"),
        ("go2", "trot_forward_0.60"),
    ],
)
def test_the_way_of_a_clip(robot: str, name: str):
    model = load_robot(robot).compile()
    clip = Clip.load(find_clips(robot, name)[0]).for_robot(model)
    gravity, gyro = readings(clip)
    found = dead_reckoning(gravity, gyro, clip.qpos[:, 7:], 1 / clip.fps, model)
    np.testing.assert_array_equal(found[:, 7:], clip.qpos[:, 7:])
    first = Rotation.from_quat(clip.qpos[0, [4, 5, 6, 3]]).as_euler("ZYX")[0]
    frame = Rotation.from_euler("z", first)  # the reckoning begins at the origin, facing ahead
    truth = frame.inv().apply(clip.qpos[:, :3] - clip.qpos[0, :3])
    way = np.linalg.norm(np.diff(truth[:, :2], axis=0), axis=1).sum()
    assert np.abs(found[:, :2] - found[0, :2] - truth[:, :2]).max() < 0.05 * way
    assert np.abs(found[:, 2] - clip.qpos[:, 2]).max() < 0.006
    turned = frame.inv() * Rotation.from_quat(clip.qpos[:, [4, 5, 6, 3]])
    apart = (turned.inv() * Rotation.from_quat(found[:, [4, 5, 6, 3]])).magnitude()
    assert apart.max() < 0.03
