"""A classifier that nobody trained against: how well can it tell a policy's motion from the clips, on unseen ones?

Unlike the prior's discriminator it is trained after the fact, and judged on clips and episodes that it has not seen.
AUC 0.5: it cannot tell; 1: it always can.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from robopolicy.motion.contacts import strides
from robopolicy.motion.metrics import auc
from robopolicy.style.distances import windows
from robopolicy.style.motions import Motion

_FOLDS = 4
_EACH = 1500  # samples of each side that it learns from
_STEPS = 150


Group = tuple[int, np.ndarray]
"""Fold, and samples (M, D) that must not be split between training and test."""


def window_groups(motions: Sequence[Motion], clips: Sequence[str], dt: float) -> list[Group]:
    """Windows of motion by clip, see ``distances.windows``."""
    return _groups(motions, clips, lambda m: windows(m, dt))


def stride_groups(motions: Sequence[Motion], clips: Sequence[str], dt: float) -> list[Group]:
    """What no discriminator of ours sees: duty factors, stride frequency, and the feet's phases, stride by stride."""
    return _groups(motions, clips, lambda m: strides(m.contact, dt).features())


def fresh_auc(reference: Sequence[Group], rollouts: Sequence[Group], seed: int = 0) -> float | None:
    """AUC of small networks, each trained on all folds but one and tested on that one; the mean over the folds.

    Args:
        reference: Samples of the clips.
        rollouts: Samples of the policy.
        seed: Of the networks' weights and of which samples are used.

    Returns:
        None where one side has fewer than two folds with samples.
    """
    found = []
    for fold in range(_FOLDS):
        test = [_rows(side, fold, inside=True) for side in (reference, rollouts)]
        train = [_rows(side, fold, inside=False) for side in (reference, rollouts)]
        if min(map(len, test)) >= 2 and min(map(len, train)) >= 5:
            score = _train(*train, seed=seed + fold)
            found.append(auc(score(test[0]), score(test[1])))
    return float(np.mean(found)) if found else None


def _groups(motions: Sequence[Motion], clips: Sequence[str], describe) -> list[Group]:
    """A clip and the episodes at its velocities go into one fold. Few clips are cut into stretches of time instead."""
    pieces = -(-_FOLDS // len(clips))
    out: list[Group] = []
    for motion in motions:
        cut = np.linspace(0, len(motion), pieces + 1).round().astype(int)
        for p in range(pieces):
            part = _part(motion, slice(cut[p], cut[p + 1]))
            if len(part) > 1:
                out.append(((clips.index(motion.clip) + p * len(clips)) % _FOLDS, describe(part)))
    return out


def _part(motion: Motion, frames: slice) -> Motion:
    return Motion(motion.clip, motion.qpos[frames], motion.qvel[frames], motion.height[frames])


def _rows(groups: Sequence[Group], fold: int, inside: bool) -> np.ndarray:
    chosen = [rows for own, rows in groups if (own == fold) == inside and len(rows)]
    return np.concatenate(chosen) if chosen else np.empty((0, 0))


def _train(reference: np.ndarray, rollouts: np.ndarray, seed: int):
    """Logistic regression with one hidden layer; returns a function from samples (M, D) to scores (M,)."""
    rng = np.random.default_rng(seed)
    sides = [rows[rng.choice(len(rows), min(_EACH, len(rows)), replace=False)] for rows in (reference, rollouts)]
    both = np.concatenate(sides)
    mean, std = both.mean(0), both.std(0) + 1e-6

    def scaled(rows: np.ndarray) -> torch.Tensor:
        return torch.as_tensor((rows - mean) / std, dtype=torch.float32)

    label = torch.cat((torch.ones(len(sides[0])), torch.zeros(len(sides[1]))))
    # Both sides weigh the same, however many samples they have.
    weight = torch.where(label > 0, 0.5 / len(sides[0]), 0.5 / len(sides[1]))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Linear(both.shape[1], 32), nn.ELU(), nn.Linear(32, 1))
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2, weight_decay=1e-1)
    inputs = scaled(both)
    for _ in range(_STEPS):
        logit = net(inputs).squeeze(-1)
        loss = (weight * nn.functional.binary_cross_entropy_with_logits(logit, label, reduction="none")).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    @torch.no_grad()
    def score(rows: np.ndarray) -> np.ndarray:
        return net(scaled(rows)).squeeze(-1).numpy()

    return score
