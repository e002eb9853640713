"""Changing the style while walking."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_envs import quiet
from torch import Tensor

import robopolicy.style.switch as switching
from robopolicy.env.env import Env
from robopolicy.style.runs import Subject
from robopolicy.style.switch import Switch, switch

STYLES = {"calm": ("walk_forward_0.20",), "still": ("stand_idle",)}


def subject(act, **changes) -> Subject:
    task = quiet("droid_walk", **changes)
    task = replace(task, prior=replace(task.prior, clips=(), styles=STYLES))
    return Subject("run: calm", Path("run"), "droid_walk", "", "", task, act, None, None, 0.5, 0)


def stand(obs: Tensor) -> Tensor:
    return torch.zeros(len(obs), 14)


def test_every_robot_is_told_every_style_in_turn_at_one_velocity(monkeypatch: pytest.MonkeyPatch):
    told: list[Tensor] = []

    class Watched(Env):
        def hold_command(self, command: Tensor) -> dict[str, Tensor]:
            told.append(command.clone())
            return super().hold_command(command)

    monkeypatch.setattr(switching, "Env", Watched)
    monkeypatch.setattr(switching, "SPELL_S", 0.2)
    found = switch(subject(stand), trials=6)
    assert (found.trials, found.changes, len(told)) == (6, 4, 5)
    for before, after in itertools.pairwise(told):
        assert torch.equal(before[:, :4], after[:, :4])  # velocity, and the whole style
        assert torch.equal(before[:, 4:], after[:, [5, 4]])
    low, high = subject(stand).task.command.bounds(torch.device("cpu"))
    share = (told[0][:, :3] / torch.maximum(-low, high)).abs().amax(1)
    assert (share > 0.5).all()  # nobody stands
    assert (told[0][:, 3] == 1).all()


def test_falls_are_counted_once_and_standing_looks_like_standing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(switching, "SPELL_S", 0.6)
    found = switch(subject(stand), trials=4)
    assert found.fell == 0
    # It stands whatever it is told, so that under both styles it is nearest to the standing clip.
    assert not found.follows
    assert all(row[1] < row[0] for row in found.distance)
    tipped = switch(subject(lambda obs: torch.full((len(obs), 14), 4.0)), trials=4)
    assert tipped.fell == 4
    assert not np.isfinite(tipped.distance).any()
    assert not tipped.follows
    assert json.loads(json.dumps(tipped.as_dict(), allow_nan=False))["distance"] == [[None, None], [None, None]]


def test_a_robot_that_no_command_moves_changes_its_style_as_it_stands(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(switching, "SPELL_S", 0.2)
    fixed = quiet("droid_walk").command
    still = replace(fixed, ranges=dict.fromkeys(fixed.ranges, (0.0, 0.0)))
    found = switch(subject(stand, command=still), trials=4)
    assert (found.trials, found.fell) == (4, 0)


def test_following_means_nearest_to_its_own_clips():
    assert Switch("p", ("a", "b"), 1, 1, 0, [[1.0, 2.0], [5.0, 4.0]]).follows
    assert not Switch("p", ("a", "b"), 1, 1, 0, [[1.0, 2.0], [3.0, 4.0]]).follows
