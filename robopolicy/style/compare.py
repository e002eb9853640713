"""Policies compared with each other: more or less style, with a prior and without."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from robopolicy.evaluate import Evaluation, evaluate, summary
from robopolicy.style.distances import Yardstick
from robopolicy.style.measures import Measures, measure
from robopolicy.style.motions import ClipSet
from robopolicy.style.rollouts import roll_out
from robopolicy.style.runs import Subject

AMOUNTS = (0.0, 0.3, 0.7)
"""Of the style, which a policy is told to have, besides the whole."""

_SECONDS = 10.0  # of an episode over the whole command range, under each of them


@dataclass(frozen=True)
class Row:
    """A policy against a set of clips: its own, or for one without clips those of the others."""

    subject: Subject
    clips: ClipSet
    measures: Measures
    evaluation: Evaluation

    def as_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        s = self.subject
        names = {"run": str(s.folder), "policy": s.label, "clips": self.clips.name}
        settings = {"weight": s.weight, "seed": s.seed}
        return names | settings | {"matched": self.measures.as_dict(), "eval": summary(self.evaluation)}


@dataclass(frozen=True)
class Dose:
    """Policies that differ in how much of the style was rewarded, or one that is told how much of it to have.

    Attributes:
        of: The set of clips, or the policy that is told.
        told: Whether the weight is told to one policy; otherwise it is that of the reward.
        weights: Rising. Length W.
        values: Figure to its mean and its deviation over the seeds, by weight; None where it is not known.
            Shapes (W, 2).
    """

    of: str
    told: bool
    weights: list[float]
    values: dict[str, list[tuple[float, float] | None]]

    @property
    def falls(self) -> bool:
        """Whether the Fréchet distance gets smaller with every step of the weight."""
        means = [v[0] if v else np.inf for v in self.values["frechet"]]
        return all(b < a for a, b in pairwise(means))


@dataclass(frozen=True)
class Seeds:
    """Policies that differ in nothing but the seed of their training.

    Attributes:
        of: Task, clips and weight of the style reward.
        count: How many there are.
        values: Figure to mean and deviation; None where it is not known.
    """

    of: str
    count: int
    values: dict[str, tuple[float, float] | None]


@dataclass(frozen=True)
class Transport:
    """Cost of transport with the prior and without it.

    Attributes:
        clips: Name of the set whose velocities were told.
        weight: Of the style reward in those with the prior.
        styled, off: Means over the policies with and without.
        same_task: Whether they learned the same task but for the prior; otherwise their rewards differ too.
        copy: What the clips themselves would take, by inverse dynamics; None where they do not travel.
    """

    clips: str
    weight: float
    styled: float
    off: float
    same_task: bool
    copy: float | None = None

    @property
    def ratio(self) -> float:
        """With over without."""
        return self.styled / self.off


FIGURES = {
    "frechet": lambda row: row.measures.frechet,
    "mmd": lambda row: row.measures.mmd,
    "movement": lambda row: row.measures.movement,
    "dtw_rad": lambda row: row.measures.dtw_rad,
    "auc_windows": lambda row: row.measures.auc_windows,
    "auc_strides": lambda row: row.measures.auc_strides,
    "cost_of_transport": lambda row: row.measures.cost_of_transport,
    "velocity_rmse_mps": lambda row: row.evaluation.velocity_rmse_mps,
    "yaw_rmse_radps": lambda row: row.evaluation.yaw_rmse_radps,
    "survival": lambda row: row.evaluation.survival,
    "style_distance": lambda row: row.evaluation.style_distance,
}
"""A figure of a row, by its name."""


def _spread(values: Sequence[float | None]) -> tuple[float, float] | None:
    """Mean and sample deviation of what is known; the latter is 0 of a single value."""
    known = [v for v in values if v is not None]
    return (float(np.mean(known)), float(np.std(known, ddof=1)) if len(known) > 1 else 0.0) if known else None


def alike(rows: Sequence[Row]) -> list[list[Row]]:
    """The rows of policies that differ in nothing but their seeds, together."""
    groups: dict[tuple[str, str, str, float], list[Row]] = {}
    for row in rows:
        s = row.subject
        groups.setdefault((s.recipe, s.prior, row.clips.key, s.weight), []).append(row)
    return list(groups.values())


def over_seeds(rows: Sequence[Row]) -> list[Seeds]:
    """Mean and spread of every group of two or more seeds."""
    found = []
    for group in alike(rows):
        if len({row.subject.seed for row in group}) > 1:
            s = group[0].subject
            name = f"{s.source}, {group[0].clips.name}, weight {s.weight:g}"
            found.append(Seeds(name, len(group), {n: _spread([pick(r) for r in group]) for n, pick in FIGURES.items()}))
    return found


def trained_doses(rows: Sequence[Row]) -> list[Dose]:
    """Policies of one task and one set of clips that learned under different weights of the style reward."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        if row.subject.styled:
            groups.setdefault((row.subject.recipe, row.clips.key, row.subject.prior), []).append(row)
    found = []
    for (recipe, key, _), styled in groups.items():
        off = [r for r in rows if not r.subject.styled and (r.subject.recipe, r.clips.key) == (recipe, key)]
        members = [*off, *styled]
        weights = sorted({row.subject.weight for row in members})
        if len(weights) > 1:
            at = [[row for row in members if row.subject.weight == w] for w in weights]
            values = {name: [_spread([pick(r) for r in group]) for group in at] for name, pick in FIGURES.items()}
            found.append(Dose(members[0].clips.name, False, weights, values))
    return found


def told_dose(row: Row, yardstick: Yardstick, mass: float, episodes: int, seed: int) -> Dose:
    """One policy told to have none, some, more of its style; ``row`` is the whole."""
    s = row.subject
    judged = [
        replace(row, evaluation=evaluate(s.task, s.act, episodes, seed, seconds=_SECONDS, style=amount))
        for amount in (*AMOUNTS, 1.0)
    ]
    motions = [roll_out(s, row.clips, episodes, seed, amount) for amount in AMOUNTS]
    found = [
        replace(r, measures=measure(m, row.clips, yardstick, mass, seed))
        for r, m in zip(judged[:-1], motions, strict=True)
    ]
    values = {name: [_spread([pick(r)]) for r in [*found, judged[-1]]] for name, pick in FIGURES.items()}
    return Dose(s.label, True, [*AMOUNTS, 1.0], values)


def transports(
    subjects: Sequence[Subject],
    sets: Sequence[ClipSet],
    costs: Mapping[tuple[str, str], float | None],
    copies: Mapping[str, float | None],
) -> list[Transport]:
    """Cost of transport with and without a prior, for every set of clips, task, prior and weight that has both.

    Args:
        subjects: The policies.
        sets: The sets of clips.
        costs: Cost of transport of each policy at the velocities of each set, by label and key; None where none
            was told to travel.
        copies: Cost of transport of a perfect copy of each set, by key.
    """
    found = []
    for c in sets:
        off = list({s.folder: s for s in subjects if not s.styled}.values())  # a run of two styles counts once
        groups: dict[tuple[str, str, float], list[Subject]] = {}
        for s in subjects:
            if s.styled and s.clips and s.clips.key == c.key:
                groups.setdefault((s.recipe, s.prior, s.weight), []).append(s)
        for (recipe, _, weight), styled in groups.items():
            alike = [s for s in off if s.recipe == recipe]
            means = [_spread([costs[s.label, c.key] for s in side]) for side in (styled, alike or off)]
            if means[0] and means[1]:
                found.append(Transport(c.name, weight, means[0][0], means[1][0], bool(alike), copies[c.key]))
    return found
