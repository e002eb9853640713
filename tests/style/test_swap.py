"""The swap test and its control on distances that are known."""

import numpy as np

from robopolicy.style.distances import Distance
from robopolicy.style.swap import holds, make_swap

OWN = [0, 0, 1, 1]  # two sets of clips, two seeds of each


def distances(*rows: tuple[float, float]) -> np.ndarray:
    return np.array(rows)


def test_it_holds_where_every_policy_is_nearest_to_its_own_clips():
    assert holds(distances((1, 9), (2, 8), (9, 2), (7, 1)), OWN)


def test_one_seed_that_prefers_the_other_clips_spoils_it():
    assert not holds(distances((1, 9), (8, 2), (9, 2), (7, 1)), OWN)


def test_how_well_a_policy_learned_is_not_whose_style_it_has():
    """Set 1 is nearer to a policy of set 0 than to one of its own, which is far from everything."""
    assert holds(distances((1, 5), (2, 8), (9, 6), (7, 1)), OWN)


def test_a_policy_that_fell_at_once_spoils_it():
    assert not holds(distances((np.nan, 9), (2, 8), (9, 2), (7, 1)), OWN)
    assert not holds(distances((1, 9), (2, np.nan), (np.nan, np.nan), (7, 1)), OWN)


def test_a_tie_does_not_hold():
    assert not holds(distances((2, 2), (2, 2)), [0, 1])


def table(*rows: tuple[float, float]) -> list[list[Distance | None]]:
    return [[Distance(v, v / 100, v / 2) for v in row] for row in rows]


def test_the_control_puts_shuffled_clips_in_the_place_of_the_own():
    real = table((10, 40), (50, 12))
    far = make_swap(["a", "b"], ["x", "y"], [0, 1], real, table((60, 0), (0, 70)))
    assert far.verdicts() == {"frechet": True, "mmd": True, "movement": True, "control_fails": True}
    near = make_swap(["a", "b"], ["x", "y"], [0, 1], real, table((60, 0), (0, 30)))  # 30 < 50: still the nearest
    assert not near.verdicts()["control_fails"]


def test_as_json_nothing_is_infinite_and_the_own_clips_are_named():
    swap = make_swap(
        ["a", "b"], ["x", "y"], [1, 0], [[None, *table((1, 2))[0][1:]], *table((3, 4))], table((1, 1), (1, 1))
    )
    values = swap.as_dict()
    assert values["frechet"] == [[None, 2.0], [3.0, 4.0]]
    assert values["own"] == ["y", "x"]
    assert values["shuffled"] == [[0.5, 0.5], [0.5, 0.5]]
