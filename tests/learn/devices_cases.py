"""A whole training with its tensors on a device that is not the host's, on a machine that has no such device.

Not covered, because a GPU alone can show it: streams, graphs, Warp's kernels there, NCCL.
"""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from pretend_gpu import Generator, MixedDevicesError, OnDevice, PretendGpu
from small_envs import shipped
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

pytest.importorskip("mujoco_warp", reason="needs robopolicy[gpu]")
import warp as wp

if torch.cuda.is_available():
    pytest.skip("here is a GPU: tests/learn/test_graph.py", allow_module_level=True)

from robopolicy.checkpoint import Run
from robopolicy.learn.graph import Graphed
from robopolicy.learn.policy import RobotPolicy, load_policy
from robopolicy.task import Task
from robopolicy.train import Options, Trainer


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[PretendGpu]:
    """A pretended GPU, which ``--device cuda`` chooses; mujoco_warp simulates on Warp's CPU device."""
    to_torch, from_torch, move = wp.to_torch, wp.from_torch, RobotPolicy.to

    def moved(self: RobotPolicy, *where: Any) -> RobotPolicy:
        """Move a policy; unlike on a GPU its parameters become other objects, which its optimiser must learn."""
        before = list(self.parameters())
        move(self, *where)
        after = dict(zip(map(id, before), self.parameters(), strict=True))
        group = self.optimizer.param_groups[0]
        group["params"] = [after[id(parameter)] for parameter in group["params"]]
        return self

    monkeypatch.setattr("robopolicy.train.choose_device", lambda name: str(PretendGpu.device))
    monkeypatch.setattr(torch, "Generator", Generator)
    monkeypatch.setattr(wp, "to_torch", lambda array: OnDevice(to_torch(array)))
    monkeypatch.setattr(wp, "from_torch", lambda tensor: from_torch(tensor.held))
    monkeypatch.setattr(wp, "device_from_torch", lambda device: wp.get_device("cpu"))
    monkeypatch.setattr(RobotPolicy, "to", moved)
    torch._C._set_only_lift_cpu_tensors(True)  # type: ignore[attr-defined]
    with PretendGpu() as mode:
        yield mode
    torch._C._set_only_lift_cpu_tensors(False)  # type: ignore[attr-defined]


def small_task(**prior: Any) -> Task:
    task = shipped("droid_walk", num_envs=8)
    task.observations["joint_position"].history = 3
    task.ppo.horizon = 4
    for name, value in ({"warm_start": 3, "adapt": 1.0} | prior).items():
        setattr(task.prior, name, value)
    return task


def begin(task: Task) -> tuple[Trainer, BaseCallback]:
    trainer = Trainer(task, Options(steps=2**62, device="cuda", threads=1))
    trainer.model.set_logger(Logger(None, []))
    return trainer, trainer.model._setup_learn(2**62, None, reset_num_timesteps=False)[1]


def iterate(trainer: Trainer, callback: BaseCallback) -> None:
    model = trainer.model
    model.collect_rollouts(model.env, callback, model.rollout_buffer, model.n_steps)
    model.train()


def as_loaded(tree: Any) -> Any:
    """What ``torch.load(..., map_location="cpu")`` makes of a saved state."""
    return tree_map(lambda x: x.held.clone() if isinstance(x, OnDevice) else x, tree)


def everywhere(trainer: Trainer) -> list[Tensor]:
    assert trainer.prior is not None
    return [*trainer.model.policy.state_dict().values(), *trainer.prior.net.state_dict().values()]


def test_the_host_and_the_device_do_not_mix(gpu: PretendGpu):
    """The oracle itself: what raises on a GPU, and what waits for it, does so here."""
    there, here = torch.zeros(3, device=gpu.device), torch.zeros(3)
    for mix in (
        lambda: there + here,
        lambda: torch.where(there > 0, here, there),
        lambda: torch.cat((there, here)),
        lambda: there[here > 0],
        lambda: torch.zeros(()).lerp_(there[0], 0.1),
    ):
        with pytest.raises(MixedDevicesError):
            mix()
    gpu.exchanged.clear()
    (2.0 * there).clamp(max=1.0).mean()
    there.index_add_(0, torch.zeros(1, dtype=torch.long, device=gpu.device), torch.ones(1, device=gpu.device))
    assert not gpu.exchanged
    for waits in (lambda: bool(there[0]), lambda: there[there > 0], there.cpu, there.tolist, lambda: there.copy_(here)):
        gpu.exchanged.clear()
        waits()
        assert gpu.exchanged


@pytest.mark.parametrize("loss", ["lsgan", "wgan"])
def test_a_training_stays_on_the_device(gpu: PretendGpu, monkeypatch: pytest.MonkeyPatch, loss: str):
    exchanged: dict[str, list[str]] = {}

    def listened(self: Graphed, *inputs: Tensor) -> Any:
        before = len(gpu.exchanged)
        result = self.function(*inputs)
        exchanged.setdefault(self.function.__qualname__, []).extend(gpu.exchanged[before:])
        return result

    monkeypatch.setattr(Graphed, "__call__", listened)
    trainer, callback = begin(small_task(loss=loss))
    trainer.warm_start()
    iterate(trainer, callback)
    assert len(exchanged) == 3
    exchanged.clear()  # the first call may bring constants along; a recording comes later
    gpu.exchanged.clear()
    iterate(trainer, callback)
    assert len(gpu.exchanged) <= 5, "the host should wait a few times an iteration, not a step"
    assert all(isinstance(tensor, OnDevice) and bool(tensor.isfinite().all()) for tensor in everywhere(trainer))
    assert list(exchanged.values()) == [[], [], []], "this cannot be recorded as a CUDA graph"


@pytest.mark.parametrize("engine", ["the same", "another"])
def test_a_run_goes_on(gpu: PretendGpu, engine: str):
    trainer, callback = begin(small_task())
    iterate(trainer, callback)
    state = as_loaded(
        {
            "learner": trainer.model.training_state(),
            "env": trainer.env.state_dict(),
            "prior": trainer.prior.state_dict() if trainer.prior else None,
        }
    )
    assert not any(isinstance(x, OnDevice) for x in tree_leaves(state["learner"]))
    sidecar = {"seconds": 1.0, "steps": 96, "engine": trainer.engine if engine == "the same" else "cpu"}
    second, callback = begin(trainer.task)
    run = Run(folder=None, task=trainer.task, config={}, state=state, sidecar=sidecar)  # type: ignore[arg-type]
    if engine == "the same":
        second.restore(run)
    else:
        with pytest.warns(UserWarning, match="begin new episodes"):
            second.restore(run)
    for ours, theirs in zip(everywhere(second), everywhere(trainer), strict=True):
        assert torch.equal(ours.held, theirs.held)  # type: ignore[attr-defined]
    _, callback = second.model._setup_learn(2**62, None, reset_num_timesteps=False)
    iterate(second, callback)
    assert all(isinstance(tensor, OnDevice) for tensor in everywhere(second))


def test_the_policy_of_a_run_acts_on_the_host(gpu: PretendGpu):
    trainer, callback = begin(small_task())
    iterate(trainer, callback)
    sizes = {name: getattr(trainer.env, name) for name in ("actor_dim", "critic_dim", "num_actions")}
    policy = load_policy(trainer.task.ppo, sizes, as_loaded(trainer.model.training_state()["policy"]))
    obs = torch.randn(5, sizes["actor_dim"])
    there = trainer.model.policy.actor_mean(obs.to(gpu.device))
    torch.testing.assert_close(policy.actor_mean(obs), there.cpu())
