"""Trains mjlab's Go1 on flat ground and says how long that takes; `robopolicy bench --compare` starts it.

It runs by its path in another Python environment, which has mjlab, so it imports nothing of robopolicy. Its only
argument is a JSON object of settings: ``num_envs``, ``device``, ``hidden`` (widths of the layers), ``horizon``,
``epochs``, ``minibatches``, ``folder`` (for the robot's MJCF). It answers with one line of JSON that says what it runs,
then with one for every line on stdin, until that ends. Everything that libraries print goes to stderr.
"""
# pyright: reportMissingImports=false

import json
import os
import sys
import time
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

TASK = "Mjlab-Velocity-Flat-Unitree-Go1"
FEET = ("FR", "FL", "RR", "RL")  # sites of mjlab's Go1
OPTIONS = ("cone", "impratio", "iterations", "ls_iterations", "ccd_iterations", "tolerance", "ls_tolerance")
OPTIONS += ("solver", "integrator", "jacobian")


class Training:
    """mjlab's own task under its own runner, as its ``train`` script makes them, but without log files."""

    def __init__(self, settings: dict[str, Any]) -> None:
        import mjlab.tasks  # noqa: F401  fills the registry
        import torch
        from mjlab.envs import ManagerBasedRlEnv
        from mjlab.rl import MjlabOnPolicyRunner, RslRlVecEnvWrapper
        from mjlab.tasks.registry import load_env_cfg, load_rl_cfg, load_runner_cls
        from mjlab.utils.torch import configure_torch_backends

        device = settings["device"]
        if device != "cpu" and not torch.cuda.is_available():
            raise ImportError(f"its torch {torch.__version__} finds no GPU")
        configure_torch_backends()
        env_cfg, rl_cfg = load_env_cfg(TASK), load_rl_cfg(TASK)
        env_cfg.scene.num_envs = settings["num_envs"]
        rl_cfg.actor.hidden_dims = rl_cfg.critic.hidden_dims = tuple(settings["hidden"])
        rl_cfg.num_steps_per_env = settings["horizon"]
        rl_cfg.algorithm.num_learning_epochs = settings["epochs"]
        rl_cfg.algorithm.num_mini_batches = settings["minibatches"]
        self.torch, self.cuda = torch, device != "cpu"
        self.env = RslRlVecEnvWrapper(ManagerBasedRlEnv(cfg=env_cfg, device=device), rl_cfg.clip_actions)
        make_runner = load_runner_cls(TASK) or MjlabOnPolicyRunner
        self.runner = make_runner(self.env, asdict(rl_cfg), None, device)
        self.random_ages = True  # once, as mjlab's train script does

    def greeting(self, folder: Path) -> dict[str, Any]:
        """What runs here: versions, the robot's MJCF, time steps, sizes."""
        env = self.env.unwrapped
        sizes = {name: int(value.shape[1]) for name, value in self.env.get_observations().items()}
        names = ("mjlab", "mujoco-warp", "torch")
        return {
            "versions": {name: version(name) for name in names},
            "robot": str(self._write_robot(folder)),
            "mass": float(env.sim.mj_model.body_mass.sum()),
            "timestep": env.cfg.sim.mujoco.timestep,
            "control_dt": env.step_dt,
            "episode_s": env.max_episode_length_s,
            "observations": [sizes["actor"], sizes["critic"]],
            "rewards": sum(term.weight != 0 for term in env.cfg.rewards.values()),
            "randomizers": len(env.cfg.events),
        }

    def turn(self) -> dict[str, float]:
        """Time one iteration of the training, then the environment alone under the same actions [s]."""
        train = self._time(self._iterate)
        return {"train": train, "env": self._time(self._replay)}

    def _iterate(self) -> None:
        self.runner.learn(1, init_at_random_ep_len=self.random_ages)
        self.random_ages = False

    def _replay(self) -> None:
        with self.torch.inference_mode():
            for action in self.runner.alg.storage.actions:
                self.env.step(action)

    def _time(self, work: Any) -> float:
        if self.cuda:
            self.torch.cuda.synchronize()
        start = time.perf_counter()
        work()
        if self.cuda:
            self.torch.cuda.synchronize()
        return time.perf_counter() - start

    def _write_robot(self, folder: Path) -> Path:
        """mjlab's robot with its servos, contacts and solver options, as an MJCF that others can read."""
        from mjlab.entity import Entity
        from mjlab.utils.spec import export_spec

        env = self.env.unwrapped
        spec = Entity(env.cfg.scene.entities["robot"]).spec
        for name in OPTIONS:
            setattr(spec.option, name, getattr(env.sim.mj_model.opt, name))
        spec.key("init_state").name = "home"
        for name in FEET:
            foot = spec.site(name)
            foot.parent.add_site(name=f"{name}_foot", pos=foot.pos)
        export_spec(spec, folder)
        return (folder / "scene.xml").rename(folder / "go1.xml")


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(values: dict[str, Any]) -> None:
        print(json.dumps(values), file=answers, flush=True)

    settings = json.loads(sys.argv[1])
    try:
        training = Training(settings)
    except ImportError as error:
        answer({"error": str(error)})
        return
    answer(training.greeting(Path(settings["folder"])))
    for _ in sys.stdin:
        answer(training.turn())


if __name__ == "__main__":
    main()
