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


def test_the_error_that_came_first_is_the_one_that_is_told(monkeypatch):
    """The end of a recording that was broken off fails as well."""
    graphed = Graphed(double, torch.device("cpu"))
    graphed.possible = True

    def record(inputs: object) -> None:
        try:
            raise RuntimeError("a copy from the host")
        except RuntimeError:
            raise RuntimeError("operation failed due to a previous error during capture") from None

    monkeypatch.setattr(graphed, "_beside", lambda inputs: double(*inputs))
    monkeypatch.setattr(graphed, "_record", record)
    for _ in range(3):
        graphed(torch.zeros(1))
    with pytest.warns(UserWarning, match="a copy from the host"):
        graphed(torch.zeros(1))


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


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_after_a_recording_that_failed_everything_goes_on():
    device = torch.device("cuda")
    generator = torch.Generator(device).manual_seed(1)

    def work(x: Tensor) -> Tensor:
        return x + torch.rand(4, generator=generator, device=device) * float(x.sum().item() >= 0)  # the host waits

    graphed = Graphed(work, device, [generator])
    here = torch.cuda.current_stream(device)
    with pytest.warns(UserWarning, match="no CUDA graph"):
        draws = [graphed(torch.zeros(4, device=device)).clone() for _ in range(8)]
    assert torch.cuda.current_stream(device) == here
    assert len({tuple(d.tolist()) for d in draws}) == 8
    recorded = Graphed(lambda x: 2 * x, device)
    for k in range(6):
        assert torch.equal(
            recorded(torch.full((3,), float(k), device=device)), torch.full((3,), 2.0 * k, device=device)
        )
    assert recorded.possible


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_whole_simulation_step_is_recorded():
    """With the solver's loop, which Warp adds to torch's recording as a conditional node."""
    gpu = pytest.importorskip("robopolicy.sim.gpu", reason="needs robopolicy[gpu]")
    from robopolicy.robot import load_robot

    model = load_robot("go2").compile(visual=False).mj
    recorded, plain = (gpu.GpuSimulation(model, 4, "cuda") for _ in range(2))
    for sim in (recorded, plain):
        sim.bind("qpos")[:, 2] += 0.3
    step = Graphed(lambda: recorded.step(4), recorded.device)
    for _ in range(10):
        step()
        plain.step(4)
    assert step.possible
    torch.testing.assert_close(recorded.bind("qpos"), plain.bind("qpos"), atol=1e-4, rtol=1e-4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_all_that_a_training_repeats_is_recorded():
    pytest.importorskip("mujoco_warp", reason="needs robopolicy[gpu]")
    from small_envs import shipped
    from stable_baselines3.common.logger import Logger

    from robopolicy.train import Options, Trainer

    trainer = Trainer(shipped("droid_walk", num_envs=64), Options(steps=2**62, device="cuda"))
    model, prior = trainer.model, trainer.prior
    model.set_logger(Logger(None, []))
    trainer.warm_start()
    _, callback = model._setup_learn(2**62, None, reset_num_timesteps=False)
    for _ in range(4):
        model.collect_rollouts(model.env, callback, model.rollout_buffer, model.n_steps)
        model.train()
    assert prior is not None
    assert model.logger.name_to_value["env/falls"] < 1.0
    for part in (model._step_env, model._descent, prior._descent):
        assert part.possible
        assert part._recorded, part.function.__qualname__
