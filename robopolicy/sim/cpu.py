"""Physics on CPU threads: mujoco.batch behind the Simulation interface."""

import warnings
from collections.abc import Callable

import mujoco
import numpy as np
import torch
from mujoco.batch import Batch
from torch import Tensor

from robopolicy.cores import usable_cores
from robopolicy.sim.simulation import Rows, Simulation

_VELOCITY = mujoco.mjtStage.mjSTAGE_VEL.value
_NONE = mujoco.mjtStage.mjSTAGE_NONE.value
_UNSTABLE = [
    w.value
    for w in (
        mujoco.mjtWarning.mjWARN_BADQPOS,
        mujoco.mjtWarning.mjWARN_BADQVEL,
        mujoco.mjtWarning.mjWARN_BADQACC,
    )
]


class CpuSimulation(Simulation):
    """N simulations on a C thread pool; bit-identical to a loop of ``mj_step`` at any number of threads.

    Args:
        model: The model every simulation starts from.
        num_envs: N.
        threads: Engine threads; 0 takes one per core this process may use.
    """

    def __init__(self, model: mujoco.MjModel, num_envs: int, threads: int = 0):
        self.model = model
        self.num_envs = num_envs
        self.device = torch.device("cpu")
        self.threads = threads or usable_cores()
        # One MjData per thread, which stays in the cache, beats one per simulation (persistent), although that would
        # begin a step with the stages the last one left.
        self._batch = Batch(model, num_envs, self.threads)
        self._batch.reset(stage=_VELOCITY)
        self._expanded: set[str] = set()
        self._bound: set[str] = set()

    def bind(self, field: str) -> Tensor:
        known = field in self._bound
        tensor = _live(self._batch.bind(field))
        if not known:
            self._bound.add(field)
            self._batch.forward(stage=_VELOCITY)  # an output is zero until the next call after it was bound
        return tensor

    def expand(self, field: str) -> Tensor:
        self._expanded.add(field)
        return _live(self._batch.expand(field))

    def anyone(self, mask: Tensor) -> bool:
        return bool(mask.numpy().any())

    def assign(self, mask: Tensor, targets: dict[str, Tensor], draw: Callable[[Rows, int], dict[str, Tensor]]) -> None:
        rows = torch.from_numpy(_ids(mask)).long()
        if not len(rows):
            return
        for name, values in draw(rows, len(rows)).items():
            targets[name].index_copy_(0, rows, values.to(targets[name].dtype))

    def update_model(self, mask: Tensor) -> None:
        if self._expanded:
            self._batch.set_const(_ids(mask))

    def step(self, substeps: int) -> None:
        self._batch.step(nstep=substeps, stage=_VELOCITY)

    def advance(self, substeps: int) -> None:
        self._batch.step(nstep=substeps, stage=_NONE)

    def reset(self, mask: Tensor) -> None:
        self._batch.reset(_ids(mask), stage=_NONE)

    def hold(self, mask: Tensor, ctrl: Tensor) -> None:
        if not self.model.nhistory:
            return
        # Per servo: a cell for users, a cursor, then as many times as values (mjData.history).
        cells = self.bind("history").view(self.num_envs, self.model.nu, -1)
        samples = (cells.shape[2] - 2) // 2
        rows = torch.from_numpy(_ids(mask)).long()
        cells[rows, :, 2 + samples :] = ctrl[rows].unsqueeze(-1).to(cells.dtype)

    def forward(self, mask: Tensor) -> None:
        self._batch.forward(_ids(mask), stage=_VELOCITY)

    def diverged(self) -> Tensor:
        counts = self._batch.warning[:, _UNSTABLE, 1]
        diverged = torch.from_numpy(counts.any(axis=1))
        # The engine's own reset sets the counters back to 1 each time, so they say "again" only if zeroed here.
        self._batch.warning[:, _UNSTABLE, 1] = 0
        return diverged

    def state_dict(self) -> dict[str, Tensor]:
        state = {f"model/{name}": self.expand(name).clone() for name in sorted(self._expanded)}
        state["state"] = torch.from_numpy(self._batch.state.copy())
        return state

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        fields = {key.removeprefix("model/"): value for key, value in state.items() if key != "state"}
        for name, value in fields.items():
            self.expand(name).copy_(value)
        if fields:
            self._batch.set_const()
        self._batch.state[:] = state["state"].numpy()
        self._batch.forward(stage=_VELOCITY)


def _live(array: np.ndarray) -> Tensor:
    with warnings.catch_warnings():
        # Outputs are read-only on NumPy's side, and torch says so; a write there would be lost, not harmful.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


def _ids(mask: Tensor) -> np.ndarray:
    return np.flatnonzero(mask.numpy()).astype(np.int32)
