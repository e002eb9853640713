"""Hidden plants are a function of the seed, and each perturbation touches only its own part of the plant."""

from dataclasses import asdict

import numpy as np
import pytest
from robopolicy_runtime.errors import ContractError
from robopolicy_runtime.transfer.deviations import NOMINAL, Deviations
from robopolicy_runtime.transfer.draw import PERTURBATIONS, WHOLE, draw_single, draw_whole

NAMES = list(PERTURBATIONS)


def changed(deviations: Deviations) -> set[str]:
    nominal = asdict(NOMINAL)
    return {k for k, v in asdict(deviations).items() if not np.array_equal(v, nominal[k])}


@pytest.mark.parametrize("name", NAMES)
def test_strength_0_is_nominal_and_strength_1_is_the_stated_size(name):
    p = PERTURBATIONS[name]
    assert draw_single(name, 0.0, 3, 2).deviations == NOMINAL
    assert changed(draw_single(name, 1.0, 3, 2).deviations)
    assert p.size(0) == p.nominal
    assert p.size(1) == pytest.approx(p.full)
    assert p.size(0.5) == pytest.approx((p.nominal + p.full) / 2)


def test_each_field_belongs_to_one_perturbation():
    """Else the one would overwrite the other in a whole plant."""
    fields = [field for name in NAMES for field in PERTURBATIONS[name].at(1.0, 0, 2)]
    assert len(fields) == len(set(fields))
    assert set(fields) | {"push_interval"} == set(asdict(NOMINAL))  # and none is forgotten


def test_along_a_curve_only_the_size_changes():
    half, full = (draw_single("com", s, 5, 2).deviations.com_shift for s in (0.5, 1.0))
    assert half is not None
    assert full is not None
    np.testing.assert_allclose(2 * half, full)
    assert np.linalg.norm(full) == pytest.approx(PERTURBATIONS["com"].full)


@pytest.mark.parametrize("name", ["encoder_offset", "imu_orientation", "gyro_bias", "com", "asymmetry"])
def test_directions_depend_on_the_seed(name):
    drawn = [PERTURBATIONS[name].at(1.0, seed, 3) for seed in range(8)]
    field = next(iter(drawn[0]))
    assert len({tuple(np.atleast_1d(d[field])) for d in drawn}) > 1


def test_whole_plant_is_a_function_of_the_seed():
    a, b, other = draw_whole(11, 4), draw_whole(11, 4), draw_whole(12, 4)
    assert a.strengths == b.strengths
    assert repr(a.deviations) == repr(b.deviations)
    assert a.strengths != other.strengths
    assert set(a.strengths) == set(NAMES)
    assert all(0 < s < WHOLE for s in a.strengths.values())
    assert a.sizes["latency"] == a.deviations.latency == a.strengths["latency"] * PERTURBATIONS["latency"].full


def test_what_does_not_exist():
    with pytest.raises(ContractError, match="no perturbation 'wind'; there are: torque_speed"):
        draw_single("wind", 1.0, 0, 2)
    with pytest.raises(ContractError, match=r"'latency': strength 1\.5 is not from 0 to 1"):
        draw_single("latency", 1.5, 0, 2)
