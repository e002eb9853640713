"""Judging command by command: a cell is what `eval` says of that command."""

import numpy as np
import pytest
import torch
from small_envs import compiled, quiet, shipped

from robopolicy.env.command import Command
from robopolicy.evaluate import evaluate
from robopolicy.report.grid import as_values, measure, planes


def test_planes_of_a_velocity_and_of_other_commands():
    found = planes(Command(ranges={"vx": (-0.2, 0.4), "vy": (-0.1, 0.1), "wz": (-1.0, 1.0)}), points=4)
    assert [(p.x, p.y) for p in found] == [("vx", "wz"), ("vx", "vy")]
    assert found[0].xs == pytest.approx((-0.2, 0.0, 0.2, 0.4))
    assert found[1].ys == pytest.approx((-0.1, -1 / 30, 1 / 30, 0.1))
    assert [(p.x, p.y) for p in planes(Command(ranges={"nod": (0, 1), "tilt": (0, 1), "roll": (0, 1)}))] == [
        ("nod", "tilt")
    ]
    assert [(p.x, p.y) for p in planes(Command(ranges={"nod": (0, 1), "tilt": (0, 0)}))] == [("nod", "")]
    assert planes(Command(ranges={"vx": (0, 0), "vy": (0, 0), "wz": (0, 0)})) == []


def test_a_cell_equals_the_evaluation_of_its_command():
    """With as many robots and the same seed every robot is the same one, and without noise and pushes, which are drawn
    for all at once, it lives the same life whatever the others are told."""
    task = quiet("go2_velocity", randomizers=shipped("go2_velocity").randomizers, joint_noise=0.1, episode_s=4.0)
    joints = len(compiled("go2").joint_names)

    def act(obs: torch.Tensor) -> torch.Tensor:
        return 0.5 * torch.sin(3 * obs[:, :joints])

    found = measure(task, act, episodes=2, seed=3, seconds=2.3, points=3)
    assert [len(plane.cells) for plane in found] == [3, 3]
    cells = [cell for plane in found for row in plane.cells for cell in row]
    robots = 2 * len(cells)
    for k in (0, 5, 16):
        held = evaluate(task, act, robots, seed=3, seconds=2.3, command=cells[k].command)
        each, rows = held.per_episode, slice(2 * k, 2 * k + 2)
        assert each is not None
        assert cells[k].survival.value == each.survived[rows].mean()
        lived = each.counted[rows] > 0
        if not lived.any():
            assert cells[k].velocity_rmse_mps is None
            continue
        squares = each.velocity_rmse_mps[rows][lived] ** 2
        expected = np.sqrt((squares * each.counted[rows][lived]).sum() / each.counted[rows].sum())
        assert cells[k].velocity_rmse_mps == pytest.approx(expected, rel=1e-9)
    assert len({c.velocity_rmse_mps for c in cells}) > 5


def test_cells_lie_where_their_commands_say():
    task = quiet("go2_velocity", episode_s=0.2)
    joints = len(compiled("go2").joint_names)
    found = measure(task, lambda obs: torch.zeros(len(obs), joints), episodes=1, seconds=0.1)
    for plane in found:
        x, y = (task.command.names.index(name) for name in (plane.x, plane.y))
        for value_y, row in zip(plane.ys, plane.cells, strict=True):
            for value_x, cell in zip(plane.xs, row, strict=True):
                assert cell.command[[x, y]] == pytest.approx([value_x, value_y])
                assert cell.command.sum() == pytest.approx(value_x + value_y, abs=1e-6)  # the third is zero
    values = as_values(found, task.command.names)
    assert len(values) == 50
    assert values[1]["command"]["vx"] == pytest.approx(found[0].xs[1])
