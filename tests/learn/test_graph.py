"""Recorded GPU work: the same numbers as without, and a plain word where it cannot be recorded."""

import warnings

import pytest
import torch
from torch import Tensor

from robopolicy.learn.graph import Graphed


def double(x: Tensor) -> Tensor:
    return 2 * x


def test_on_a_cpu_it_is_the_function_itself():
    graphed = Graphed(double, torch.device("cpu"))
    for k in range(6):
        assert torch.equal(graphed(torch.full((3,), float(k))), torch.full((3,), 2.0 * k))


def test_what_cannot_be_recorded_is_said_once_and_runs_as_usual(monkeypatch):
    graphed = Graphed(double, torch.device("cpu"))
    graphed.possible = True
    monkeypatch.setattr(graphed, "_beside", lambda inputs: double(*inputs))
    monkeypatch.setattr(
        graphed, "_record", lambda inputs: (_ for _ in ()).throw(RuntimeError("a copy from\n  the host"))
    )
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        results = [graphed(torch.tensor([float(k)])) for k in range(8)]
    assert [float(r) for r in results] == [2.0 * k for k in range(8)]
    assert [str(w.message) for w in said] == ["no CUDA graph of double, so it runs slower: a copy from the host"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_replay_does_what_the_function_does():
    device = torch.device("cuda")
    generator, total = torch.Generator(device).manual_seed(1), torch.zeros(4, device=device)

    def work(x: Tensor) -> tuple[Tensor, Tensor]:
        total.add_(x)
        return 3 * x, torch.rand(4, generator=generator, device=device)

    graphed = Graphed(work, device, [generator])
    draws = []
    for k in range(8):
        scaled, drawn = graphed(torch.full((4,), float(k), device=device))
        assert torch.equal(scaled, torch.full((4,), 3.0 * k, device=device))
        draws.append(drawn.clone())
    assert graphed.possible
    assert torch.equal(total, torch.full((4,), 28.0, device=device))
    assert len({tuple(d.tolist()) for d in draws}) == 8
