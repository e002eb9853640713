"""Which styles a task has, and how a policy is asked for one."""

from dataclasses import replace

import numpy as np
import torch

from robopolicy.motion.prior import Prior
from robopolicy.style.runs import held_command, styles
from robopolicy.task import Task, load_task


def with_prior(name: str, **changes) -> Task:
    task = load_task(name)
    return replace(task, prior=replace(task.prior, **changes))


def test_a_single_style_is_named_by_its_clips():
    (style,) = styles(with_prior("go2_trot", clips=("trot_*", "/tmp/dog/*.npz", "./bow.npz")))
    assert style.name == "trot_* dog bow"
    assert style.label is None
    assert styles(replace(load_task("go2_velocity"), prior=Prior())) == []


def test_each_of_several_styles_is_asked_for_by_its_own_channel():
    task = with_prior("go2_trot", clips=(), styles={"a": ("trot_*",), "b": ("pace_*",)}, adjustable=True)
    assert task.channels.names == ["vx", "vy", "wz", "style", "style_a", "style_b"]
    velocity = np.array([[0.5, 0.0, 0.1], [9.0, 0.0, 0.0]])
    first, second = (held_command(task, style, velocity, 0.3) for style in styles(task))
    torch.testing.assert_close(first, torch.tensor([[0.5, 0, 0.1, 0.3, 1, 0], [1.0, 0, 0, 0.3, 1, 0]]))
    torch.testing.assert_close(second, torch.tensor([[0.5, 0, 0.1, 0.3, 0, 1], [1.0, 0, 0, 0.3, 0, 1]]))


def test_without_a_prior_there_is_nothing_to_tell():
    task = with_prior("go2_trot", weight=0.0)
    assert held_command(task, styles(task)[0], np.array([[0.2, 0.0, 0.0]])).shape == (1, 3)


def test_other_channels_rest():
    task = load_task("droid_stand")
    own = held_command(task, None, np.array([[0.2, 0.0, 0.0]]))
    assert own.shape == (1, len(task.channels.names))
    np.testing.assert_allclose(own[0].numpy(), task.channels.default)
