"""Masks, not indices: above the simulation no shape and no branch depends on a value on the device."""

import ast
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small_envs import actions, real_motors, reference, shipped
from torch.utils._python_dispatch import TorchDispatchMode

import robopolicy
from robopolicy.env.adr import Adr
from robopolicy.env.env import Env
from robopolicy.task import Push, list_tasks

PACKAGE = Path(robopolicy.__file__).parent
BOUNDARY = {"adapters.py"}  # where other libraries want NumPy
FILES = [
    *sorted(p for p in (PACKAGE / "env").glob("*.py") if p.name not in BOUNDARY),
    *sorted((PACKAGE / "terms").glob("*.py")),
    PACKAGE / "rotation.py",
    PACKAGE / "motion" / "features.py",
]
WAITING = {
    "item",
    "nonzero",
    "tolist",
    "numpy",
    "cpu",
    "argwhere",
    "masked_select",
    "unique",
    "flatnonzero",
    "allclose",
}
OPERATORS = ("_local_scalar_dense", "nonzero", "nonzero_static", "masked_select", "unique", "equal", "is_nonzero")


def offences(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr in WAITING:
            yield f"line {node.lineno}: .{node.attr}"
        called = node.func if isinstance(node, ast.Call) else None
        given = len(node.args) + len(node.keywords) if isinstance(node, ast.Call) else 0
        if isinstance(called, ast.Attribute) and called.attr == "where" and given == 1:
            yield f"line {called.lineno}: where with a condition alone"


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_nothing_in_the_source_waits_for_a_value(path: Path):
    assert not list(offences(path.read_text()))


def test_the_scan_finds_what_it_looks_for():
    assert len(list(offences("x.item()\ntorch.nonzero(m)\ntorch.where(m)\ntorch.where(m, a, b)"))) == 3


class NoWaiting(TorchDispatchMode):
    """Raises where a value of a tensor would decide what Python does, or a shape."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name in OPERATORS:
            raise AssertionError(f"{name} waits for a value")
        if name in ("index", "index_put", "index_put_"):
            for index in args[1]:
                if index is not None and index.dtype in (torch.bool, torch.uint8):
                    raise AssertionError(f"{name} by a mask has a shape that depends on values")
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("offence", [lambda x: float(x[0]), lambda x: x[x > 0], lambda x: 1 if x[0] else 0])
def test_the_guard_notices(offence):
    with pytest.raises(AssertionError), NoWaiting():
        offence(torch.ones(3))


@pytest.mark.parametrize("name", list_tasks())
def test_a_control_step_waits_for_nothing(name: str):
    """With episodes that end, pushes and new commands in it, for every task of ours."""
    push = Push(velocity=0.5, yaw_rate=0.3, force=20.0, interval_s=(0.02, 0.06), ramp_steps=10)
    task = shipped(name, episode_s=0.1, push=push, adr=Adr(active=True, start=0.3, episodes=1))
    task = replace(task, randomizers=task.randomizers | real_motors())
    env = Env(task, 8, reference=reference(task.robot))
    env.reset()
    ended = 0
    for action in actions(env, 12):
        with NoWaiting():
            step = env.step(action)
        ended += int((step.terminated | step.truncated).sum())
    assert ended > 8
