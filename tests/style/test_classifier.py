"""The fresh classifier on samples of which it is known whether they differ."""

import numpy as np
import pytest

from robopolicy.style.classifier import Group, fresh_auc, stride_groups, window_groups
from robopolicy.style.distances import WINDOW
from robopolicy.style.motions import Motion


def groups(rng: np.random.Generator, shift: float = 0.0, count: int = 12, identity: float = 0.0) -> list[Group]:
    """Samples of four columns; a group may carry a mark of its own in all of its samples."""
    out = []
    for k in range(count):
        mark = identity * rng.normal(size=4)
        out.append((k % 4, rng.normal(size=(60, 4)) + mark + shift))
    return out


def test_equal_distributions_cannot_be_told_apart():
    rng = np.random.default_rng(0)
    assert fresh_auc(groups(rng), groups(rng)) == pytest.approx(0.5, abs=0.06)


def test_a_shift_is_told():
    rng = np.random.default_rng(1)
    assert (fresh_auc(groups(rng, shift=3.0), groups(rng)) or 0) > 0.995
    some = fresh_auc(groups(rng, shift=0.4), groups(rng)) or 0
    assert some == pytest.approx(
        0.71, abs=0.05
    )  # P(N(0.8, 2) > 0) along the diagonal of four columns: Phi(0.8 / 2^0.5)


def test_what_tells_one_episode_from_another_does_not_leak():
    """Each group has its mark. Split by rows, a classifier would know the marks and tell all sides apart."""
    rng = np.random.default_rng(2)
    a, b = groups(rng, identity=5.0, count=40), groups(rng, identity=5.0, count=40)
    found = fresh_auc(a, b)
    split = [[(k % 4, row[None]) for _, rows in side for k, row in enumerate(rows)] for side in (a, b)]
    leaked = fresh_auc(split[0], split[1])
    assert found is not None
    assert leaked is not None
    assert leaked > found + 0.1
    assert found < 0.7


def test_too_little_gives_no_answer():
    rng = np.random.default_rng(3)
    assert fresh_auc([], groups(rng)) is None
    assert fresh_auc(groups(rng, count=1), groups(rng)) is None


def motion(clip: str, frames: int) -> Motion:
    qpos = np.zeros((frames, 9))
    qpos[:, 3], qpos[:, 7] = 1.0, np.arange(frames)
    return Motion(clip, qpos, np.zeros((frames, 8)), np.ones((frames, 2)))


def test_a_clip_and_its_episodes_fall_into_one_fold():
    names = [f"c{k}" for k in range(6)]
    folds = {
        name: {fold for fold, _ in window_groups([motion(name, 30), motion(name, 20)], names, 0.02)} for name in names
    }
    assert all(len(f) == 1 for f in folds.values())
    assert {next(iter(f)) for f in folds.values()} == {0, 1, 2, 3}


def test_a_single_clip_is_cut_in_time():
    found = window_groups([motion("only", 100)], ["only"], 0.02)
    assert sorted(fold for fold, _ in found) == [0, 1, 2, 3]
    for fold, rows in found:
        frames = rows.reshape(len(rows), WINDOW, -1)[:, :, 0]
        assert frames.min() >= 25 * fold
        assert frames.max() < 25 * (fold + 1)


def test_strides_are_features_of_their_own():
    steps = motion("walk", 400)
    clock = np.arange(400)[:, None] / 40 - np.array([0.0, 0.5])
    steps.height[:] = np.where(np.mod(clock + 1e-9, 1) < 0.6, 0.0, 0.05)
    rows = np.concatenate([rows for _, rows in stride_groups([steps], ["walk"], 0.02)])
    assert len(rows) >= 4
    np.testing.assert_allclose(rows, np.tile([1.25, 0.6, 0.6, 1, -1, 0, 0], (len(rows), 1)), atol=1e-9)
