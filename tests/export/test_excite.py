"""The motion that measures motors stays within what the robot may do, and shows what a fit needs."""

import numpy as np
import pytest
import synthetic
from robopolicy_runtime.errors import ContractError
from robopolicy_runtime.excite import Excitation, excitation
from robopolicy_runtime.policy import PolicyFile


def test_targets_stay_within_range_and_amplitude():
    contract = synthetic.contract()
    targets = excitation(contract, ".*", 0.3, 24.0, seed=3)
    assert targets.shape == (1200, 2)
    assert (np.abs(targets - synthetic.DEFAULT) <= 0.3 + 1e-9).all()
    assert (targets >= synthetic.LOWER + 0.05).all()
    assert (targets <= synthetic.UPPER - 0.05).all()
    np.testing.assert_allclose(targets[0], synthetic.DEFAULT, atol=1e-9)
    assert (np.ptp(targets, axis=0) > 0.4).all()
    assert abs(np.corrcoef(targets.T)[0, 1]) < 0.5  # joints are told apart


def test_others_hold_the_pose():
    targets = excitation(synthetic.contract(), "left_.*", 0.2, 12.0)
    np.testing.assert_allclose(targets[:, 1], synthetic.DEFAULT[1], atol=1e-9)
    assert np.ptp(targets[:, 0]) > 0.3


def test_wrong_numbers_are_refused():
    with pytest.raises(ContractError, match="fits no joint; they are: left_hip, right_hip"):
        excitation(synthetic.contract(), "tail", 0.2, 12.0)
    with pytest.raises(ContractError, match="amplitude"):
        excitation(synthetic.contract(), ".*", 3.0, 12.0)


def test_it_stands_where_a_policy_would(policy_path):
    file = PolicyFile.open(policy_path)
    targets = excitation(file.contract, ".*", 0.2, 4.0)
    source = Excitation(file, targets)
    readings = (np.zeros(3), np.array([0.0, 0.0, -1.0]), synthetic.DEFAULT, np.zeros(2), np.zeros(3))
    got = [source.step(*readings) for _ in range(len(targets) + 1)]
    np.testing.assert_array_equal(got, [*targets, targets[-1]])
    source.reset()
    np.testing.assert_array_equal(source.step(*readings), targets[0])
