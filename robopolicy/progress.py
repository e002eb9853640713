"""What a person sees while training: a line of progress; and what stays: a row per iteration."""

import csv
import json
import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stable_baselines3.common.logger import KVWriter, Logger, TensorBoardOutputFormat

from robopolicy.errors import UserError

if TYPE_CHECKING:
    from robopolicy.train import Trainer

_EVERY_S = 2.0  # on a terminal the line is rewritten this often
_EVERY_LOG_S = 20.0  # elsewhere a new line is written this often

_FIRST = ("time_s", "env_steps", "steps_per_s")  # columns that a person looks for


class ProgressTable(KVWriter):
    """``progress.csv``: a row per iteration. A run that goes on keeps the rows it had.

    Args:
        path: The file.
        steps: Rows of later steps are dropped: the run goes on from here.
    """

    def __init__(self, path: Path, steps: int):
        self.path = path
        self.rows: list[dict[str, Any]] = []
        if path.is_file():
            with path.open(newline="") as file:
                self.rows = [row for row in csv.DictReader(file) if float(row.get("env_steps") or 0) <= steps]
        self._rewrite([name for name in (self.rows[0] if self.rows else {}) if name])

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0) -> None:
        """Add a row; a column that is new goes to the end, empty in the rows before."""
        self.rows.append(dict(key_values))  # the logger clears its own
        new = sorted(key_values.keys() - set(self.columns), key=lambda name: (name not in _FIRST, name))
        try:
            if new:
                self._rewrite([*self.columns, *new])
            else:
                self._writer.writerow(key_values)
                self._file.flush()
        except OSError as error:
            raise UserError(f"cannot write {self.path}: {error.strerror or error}") from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _rewrite(self, columns: list[str]) -> None:
        """All rows again, with these columns; the file is the old one or the new one."""
        if hasattr(self, "_file"):
            self._file.close()
        self.columns = columns
        part = self.path.with_name(f".{self.path.name}.part")
        with part.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            if columns:
                writer.writeheader()
            writer.writerows(self.rows)
        part.replace(self.path)
        self._file = self.path.open("a", newline="")
        self._writer = csv.DictWriter(self._file, columns, lineterminator="\n")


def open_logs(folder: Path, steps: int = 0, wandb: bool = False) -> Logger:
    """The logger of a run: ``progress.csv``, and events for TensorBoard, which Weights & Biases can copy.

    Args:
        folder: The run folder.
        steps: Steps of all robots that the run has made already.
        wandb: Copy them.

    Raises:
        UserError: Weights & Biases is not installed.
    """
    if wandb:
        try:
            import wandb as service
        except ImportError:
            raise UserError("--wandb needs Weights & Biases: pip install 'robopolicy[wandb]'") from None
        settings = json.loads((folder / "config.json").read_text())
        service.init(project="robopolicy", name=folder.name, dir=str(folder), config=settings, sync_tensorboard=True)
    return Logger(str(folder), [ProgressTable(folder / "progress.csv", steps), TensorBoardOutputFormat(str(folder))])


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
