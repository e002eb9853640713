"""What a person sees while training: a line of progress; and what stays: a row per iteration."""

import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from robopolicy.train import Trainer

_EVERY_S = 2.0  # on a terminal the line is rewritten this often
_EVERY_LOG_S = 20.0  # elsewhere a new line is written this often


class Progress:
    """Reports a training.

    Args:
        folder: The run folder.
        trainer: What to report on.
    """

    def __init__(self, folder: Path, trainer: "Trainer"):
        self.folder, self.trainer = folder, trainer
        self.terminal = sys.stderr.isatty()
        self._last_time = time.perf_counter()
        self._last_steps = trainer.model.num_timesteps
        self._shown = 0.0

    def report(self) -> None:
        """Log one iteration, and show the line if it is due."""
        model, logger = self.trainer.model, self.trainer.model.logger
        now = time.perf_counter()
        steps = model.num_timesteps
        rate = (steps - self._last_steps) / (now - self._last_time)
        self._last_time, self._last_steps = now, steps
        logger.record("time_s", round(self.trainer.elapsed, 2))
        logger.record("env_steps", steps)
        logger.record("steps_per_s", rate)
        values = dict(logger.name_to_value)
        logger.dump(steps)
        if now - self._shown > (_EVERY_S if self.terminal else _EVERY_LOG_S):
            self._shown = now
            self._show(values, rate)

    def _show(self, values: dict, rate: float) -> None:
        trainer = self.trainer
        done = trainer.done()
        left = trainer.elapsed * (1 - done) / max(done, 1e-6)
        episode = trainer.env.max_episode_steps
        falls = values.get("env/falls", 0.0) * episode
        parts = [
            f"{100 * done:3.0f}%",
            f"{trainer.model.num_timesteps / 1e6:.2f} M steps",
            f"{rate / 1e3:.1f} k/s",
            f"{left / 60:.1f} min left",
        ]
        if "env/velocity_error" in values:
            parts.append(f"velocity error {values['env/velocity_error']:.2f} m/s {values['env/yaw_error']:.2f} rad/s")
        parts.append(f"falls per episode {falls:.2f}")
        if "prior/style_reward" in values:
            parts.append(f"style {values['prior/style_reward']:.2f}")
        if values.get("env/diverged"):
            parts.append(f"UNSTABLE PHYSICS in {100 * values['env/diverged']:.2g}% of the steps")
        line = "  ".join(parts)
        if self.terminal:
            print(f"\r\x1b[2K{line}", end="", file=sys.stderr, flush=True)
        else:
            print(line, file=sys.stderr, flush=True)

    def close(self, interrupted: bool) -> None:
        """End the line, draw the curves, and say where everything lies and how to go on."""
        if self.terminal:
            print(file=sys.stderr)
        self.trainer.model.logger.close()
        try:
            from robopolicy.view.plots import learning_curves

            learning_curves(self.folder)
        except Exception as error:
            warnings.warn(f"no learning curves: {error}", stacklevel=2)
        if interrupted:
            print(f"stopped and saved; go on with: robopolicy train --resume {self.folder}")
        else:
            print(f"saved {self.folder}")
