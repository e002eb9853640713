"""Gaits read from footfalls that were laid down by hand."""

import numpy as np
import pytest

from robopolicy.motion.contacts import (
    circular_mean,
    contact_phase,
    contacts,
    duty_factor,
    stride_frequency,
    strides,
    touchdowns,
)

DT = 0.02


def footfalls(period: int, duty: list[float], phase: list[float], frames: int = 400) -> np.ndarray:
    """A clockwork gait: foot f is down for ``duty`` of each period, from ``phase`` on. Shape (K, F)."""
    clock = np.arange(frames)[:, None] / period - np.array(phase)
    return np.mod(clock + 1e-9, 1.0) < np.array(duty)


def test_a_clockwork_gait_is_read_as_it_was_written():
    contact = footfalls(40, [0.6, 0.5, 0.5, 0.75], [0.0, 0.5, 0.25, 0.9])
    np.testing.assert_allclose(duty_factor(contact), [0.6, 0.5, 0.5, 0.75], atol=0.005)
    np.testing.assert_allclose(stride_frequency(contact, DT), 1 / (40 * DT))
    mean, spread = contact_phase(contact, DT)
    np.testing.assert_allclose(mean, [0.0, 0.5, 0.25, 0.9], atol=1e-9)
    np.testing.assert_allclose(spread, 0.0, atol=1e-6)
    found = strides(contact, DT)
    np.testing.assert_allclose(found.period, 0.8)
    np.testing.assert_allclose(found.duty, np.tile([0.6, 0.5, 0.5, 0.75], (len(found.start), 1)))
    assert list(found.start) == list(touchdowns(contact)[0][:-1])


def test_features_of_a_stride():
    features = strides(footfalls(40, [0.6, 0.5], [0.0, 0.25]), DT).features()
    np.testing.assert_allclose(features[0], [1.25, 0.6, 0.5, 1.0, 0.0, 0.0, 1.0], atol=1e-9)
    dragged = footfalls(40, [0.6, 2.0], [0.0, 0.0])  # the second foot never leaves the ground
    np.testing.assert_allclose(strides(dragged, DT).features()[0], [1.25, 0.6, 1.0, 1.0, 0.0, 0.0, 0.0], atol=1e-9)


def test_a_foot_that_never_lands_has_no_phase_and_a_pause_is_no_stride():
    mean, spread = contact_phase(footfalls(40, [0.6, 2.0], [0.0, 0.0]), DT)
    assert mean[0] == pytest.approx(0.0)
    assert np.isnan(mean[1])
    assert np.isnan(spread[1])
    standing = np.ones((300, 2), dtype=bool)
    assert len(strides(standing, DT).start) == 0
    np.testing.assert_array_equal(stride_frequency(standing, DT), 0.0)
    paused = np.concatenate(
        (footfalls(40, [0.6, 0.6], [0.0, 0.5], 100), standing, footfalls(40, [0.6, 0.6], [0.9, 0.4]))
    )
    assert strides(paused, DT).period.max() < 2.0


def test_flicker_of_one_frame_is_no_step():
    contact = footfalls(40, [0.6, 0.5], [0.0, 0.5])
    noisy = contact.copy()
    noisy[[10, 31], 0] ^= True
    np.testing.assert_array_equal(contacts(np.where(noisy, 0.0, 0.05)), contact)


def test_a_foot_leaves_the_ground_by_a_centimetre_and_lands_within_half_of_one():
    height = 0.001 * np.array([30, 7, 7, 3, 3, 7, 9, 9, 4, 12, 12, 7, 7, 3, 3, 3])[:, None]
    expected = np.array([0, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1], dtype=bool)[:, None]
    np.testing.assert_array_equal(contacts(height), expected)


def test_phases_are_averaged_round_the_circle():
    phase = np.array([[0.95, 0.1], [0.05, np.nan], [0.0, 0.3]])
    mean, spread = circular_mean(phase)
    assert np.mod(mean[0] + 0.5, 1.0) == pytest.approx(0.5, abs=1e-9)
    assert mean[1] == pytest.approx(0.2)
    length = (1 + 2 * np.cos(2 * np.pi * 0.05)) / 3
    assert spread[0] == pytest.approx(np.sqrt(-2 * np.log(length)) / (2 * np.pi))
