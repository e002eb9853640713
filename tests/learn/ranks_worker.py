"""What the processes of ``test_ranks.py`` do: ``python ranks_worker.py WHAT FOLDER``, under torchrun or alone."""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import torch
from stable_baselines3.common.logger import configure
from toy import PointMass

from robopolicy.learn.config import PPOConfig
from robopolicy.learn.policy import RunningNormalizer
from robopolicy.learn.ppo import PPO
from robopolicy.learn.ranks import Ranks

# A constant learning rate: the adaptive one takes steps of half its size, at which rounding may decide.
CONFIG = PPOConfig(horizon=16, epochs=3, minibatches=2, hidden_actor=(32,), hidden_critic=(32,), schedule="constant")


def averages(ranks: Ranks, folder: Path) -> None:
    mine = float(ranks.rank + 1)
    a, b = ranks.mean([torch.full((2, 3), mine), torch.tensor(10 * mine, dtype=torch.float64)])
    assert torch.equal(a, torch.full((2, 3), 1.5))
    assert (a.shape, b.shape, b.dtype, float(b)) == ((2, 3), (), torch.float64, 15.0)
    assert ranks.agree(mine, ranks.rank == 1) == (1.0, True)
    assert ranks.agree(mine, False) == (1.0, False)
    layer = torch.nn.Linear(2, 1)
    torch.nn.init.constant_(layer.weight, mine)
    ranks.share(layer)
    assert torch.equal(layer.weight, torch.ones(1, 2))
    layer(torch.full((1, 2), mine)).sum().backward()
    ranks.average_gradients(layer.parameters())
    assert torch.equal(layer.weight.grad, torch.full((1, 2), 1.5))  # type: ignore[arg-type]
    data = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    halves, whole = RunningNormalizer(3), RunningNormalizer(3)
    for part in data.split(20):  # each rank has ten rows of each batch of twenty
        halves.update(part[ranks.rank :: 2], ranks)
        whole.update(part)
    torch.testing.assert_close(halves.state_dict(), whole.state_dict())
    (folder / f"averages-{ranks.rank}").touch()


def learn(ranks: Ranks, folder: Path, robots: int, seed: int, iterations: int) -> None:
    env = PointMass(robots, seed=seed)
    model = PPO(env=env, config=CONFIG, ranks=ranks, seed=seed)
    ranks.share(model.policy)
    model.set_logger(configure(None, []))
    _, callback = model._setup_learn(2**62, None)
    curve = []
    for _ in range(iterations):
        model.collect_rollouts(model.env, callback, model.rollout_buffer, model.n_steps)
        model.train()
        curve.append(model.logger.name_to_value["env/distance"])
    weights = torch.cat([p.flatten() for p in model.policy.parameters()]).tolist()
    told = {"weights": weights, "curve": curve, "steps": model.num_timesteps, "rate": float(model.rate)}
    (folder / f"learned-{ranks.rank}-of-{ranks.count}.json").write_text(json.dumps(told))


def train(ranks: Ranks, folder: Path, fatal: bool) -> None:
    """A real training, of which rank 1 dies in its third iteration if that is asked for."""
    from robopolicy import train as training
    from robopolicy.task import find_task, load_task

    update, calls = PPO.train, []

    def dying(self: PPO) -> None:
        calls.append(1)
        if ranks.rank == 1 and len(calls) == 3:
            os._exit(9)
        update(self)

    if fatal:
        PPO.train = dying  # type: ignore[method-assign]
        training._SAVE_EVERY_S = 0.0
    task = replace(load_task("go2_velocity"), num_envs=16, ppo=PPOConfig(horizon=4, epochs=1, minibatches=1))
    training.train(task, find_task("go2_velocity"), training.Options(run=str(folder / "run"), steps=16 * 4 * 2 * 4))


if __name__ == "__main__":
    what, where = sys.argv[1], Path(sys.argv[2])
    torch.set_num_threads(1)
    together = Ranks.join("cpu")
    if what == "averages":
        averages(together, where)
    elif what == "same":  # the same robots everywhere: what one process would do alone
        learn(together, where, robots=32, seed=3, iterations=5)
    elif what == "curve":
        learn(together, where, robots=64 // together.count, seed=3 + together.rank, iterations=40)
    else:
        train(together, where, fatal=what == "die")
    together.leave()
    os._exit(0)  # as robopolicy/__main__.py does, and for its reason
