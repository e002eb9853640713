"""Groups of policies, and what is said about them, from figures that are made up."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from robopolicy.evaluate import Evaluation
from robopolicy.style.compare import Row, alike, over_seeds, trained_doses, transports
from robopolicy.style.measures import Gait, Measures
from robopolicy.style.motions import ClipSet
from robopolicy.style.report import _shown
from robopolicy.style.runs import Style, Subject
from robopolicy.style.tables import _of_dose, _of_steps
from robopolicy.task import load_task

CLIPS = ClipSet("walks", "k", (), (), (), ())
GAIT = Gait(9, 2.0, [0.6, 0.6], [0.0, 0.5], [0.0, 0.0])


def row(weight: float, seed: int = 0, frechet: float | None = 1.0, cost: float = 1.0, source: str = "t") -> Row:
    style = Style("walks", ("walk_*",))
    task = load_task("go2_trot")
    label = f"{source}{weight}{seed}"
    subject = Subject(
        label,
        Path(label),
        source,
        source,
        "p" if weight else "",
        task,
        lambda obs: torch.zeros(1),
        style,
        CLIPS,
        weight,
        seed,
    )
    measures = Measures(frechet, 0.1, 0.1, 0.1, 0.5, 0.5, cost, 1.0, GAIT)
    return Row(subject, CLIPS, measures, Evaluation(0.1, 0.1, 1.0, 1.0, None, 4, 1.0, 0.0))


def test_a_dose_has_a_mean_over_the_seeds_of_each_weight():
    rows = [row(0.5, 0, 4.0), row(0.0, 0, 30.0), row(0.5, 1, 6.0), row(0.3, 0, 9.0)]
    (dose,) = trained_doses(rows)
    assert dose.weights == [0.0, 0.3, 0.5]
    assert dose.values["frechet"] == [(30.0, 0.0), (9.0, 0.0), (5.0, pytest.approx(2**0.5))]
    assert dose.falls
    assert _of_dose(dose).passed
    (flat,) = trained_doses([*rows, row(0.7, 0, 5.5)])
    assert not flat.falls
    assert "0.7: 5.50" in _of_dose(flat).text


def test_other_tasks_and_single_weights_are_no_dose():
    assert trained_doses([row(0.5), row(0.5, 1)]) == []
    assert trained_doses([row(0.5), row(0.0, source="other")]) == []


def test_who_fell_at_once_is_farthest():
    (dose,) = trained_doses([row(0.0, frechet=30.0), row(0.5, frechet=None)])
    assert not dose.falls


def test_seeds_are_put_together():
    rows = [row(0.5, 0, 4.0), row(0.5, 1, 6.0), row(0.0, 0)]
    assert [len(g) for g in alike(rows)] == [2, 1]
    (found,) = over_seeds(rows)
    assert found.count == 2
    assert found.values["frechet"] == (5.0, pytest.approx(2**0.5))


def policy(weight: float, clips: ClipSet = CLIPS, source: str = "t", seed: int = 0) -> Subject:
    return replace(row(weight, seed, source=source).subject, clips=clips, label=f"{source}{weight}{clips.key}{seed}")


def test_transport_is_compared_within_a_task_where_that_is_possible():
    styled, plain, other = policy(0.5), policy(0.0), policy(0.0, source="other")
    costs = {(styled.label, "k"): 1.0, (plain.label, "k"): 4.0, (other.label, "k"): 100.0}
    (found,) = transports([styled, plain, other], [CLIPS], costs, {"k": 0.8})
    assert (found.ratio, found.same_task, found.copy) == (0.25, True, 0.8)
    (found,) = transports([styled, other], [CLIPS], costs, {"k": None})
    assert (found.ratio, found.same_task) == (0.01, False)
    assert transports([styled], [CLIPS], costs, {"k": None}) == []


def test_transport_of_every_set_is_compared_at_its_own_velocities():
    """Whatever clips a policy without a prior lists, it is told the velocities of those that it is compared on."""
    other = replace(CLIPS, name="runs", key="r")
    walks, runs, plain = policy(0.5), policy(0.5, other), policy(0.0)
    costs = {(walks.label, "k"): 1.0, (walks.label, "r"): 9.0, (runs.label, "k"): 9.0, (runs.label, "r"): 3.0}
    costs |= {(plain.label, "k"): 2.0, (plain.label, "r"): 4.0}
    found = transports([walks, runs, plain], [CLIPS, other], costs, {"k": 0.9, "r": 2.0})
    assert [(t.clips, t.ratio, t.copy) for t in found] == [("walks", 0.5, 0.9), ("runs", 0.75, 2.0)]
    assert all(t.same_task for t in found)


def test_transport_is_not_averaged_over_weights():
    half, whole, plain = policy(0.3), policy(0.6), policy(0.0)
    costs = {(half.label, "k"): 3.0, (whole.label, "k"): 1.0, (plain.label, "k"): 4.0}
    found = transports([half, whole, plain], [CLIPS], costs, {"k": None})
    assert [(t.weight, t.ratio) for t in found] == [(0.3, 0.75), (0.6, 0.25)]


def test_one_of_every_kind_is_shown_before_further_seeds():
    rows = [row(0.0, 0), *(row(0.5, k) for k in range(3)), *(row(0.3, k) for k in range(3))]
    assert [(r.subject.weight, r.subject.seed) for r in _shown(rows)] == [(0.5, 0), (0.3, 0), (0.0, 0), (0.5, 1)]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, None),
        ({"frequency_hz": 2.5}, "2.50 strides per second, in the clips 2.00"),
        ({"phase": [0.0, 0.3]}, "r lands at 0.30 of a stride, in the clips at 0.50"),
        ({"phase": [0.0, None]}, "r lands at - of a stride"),
        ({"duty": [0.6, 0.9]}, "r is down for 0.90 of a stride, in the clips for 0.60"),
        ({"duty": None, "phase": None, "frequency_hz": None}, "takes no steps"),
    ],
)
def test_footfalls_are_compared(changes: dict[str, Any], words: str | None):
    own = row(0.5)
    own = replace(own, measures=replace(own.measures, gait=replace(GAIT, **changes)))
    proof: Any = SimpleNamespace(
        copies={"k": row(0.5).measures}, robot=SimpleNamespace(robot=SimpleNamespace(feet=("l", "r")))
    )
    (verdict,) = _of_steps(proof, own)
    assert verdict.passed == (words is None)
    assert (words or "as the clips") in verdict.text
    standing = SimpleNamespace(copies={"k": replace(own.measures, gait=Gait(0, None, None, None, None))})
    assert _of_steps(standing, own) == []  # type: ignore[arg-type]


def test_phases_are_compared_round_the_circle():
    own = row(0.5)
    near = replace(own, measures=replace(own.measures, gait=replace(GAIT, phase=[0.0, 0.97])))
    proof: Any = SimpleNamespace(
        copies={"k": replace(own.measures, gait=replace(GAIT, phase=[0.0, 0.02]))},
        robot=SimpleNamespace(robot=SimpleNamespace(feet=("l", "r"))),
    )
    assert _of_steps(proof, near)[0].passed
    assert np.isclose((0.97 - 0.02 + 0.5) % 1 - 0.5, -0.05)
