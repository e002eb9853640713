"""Physics on a GPU: mujoco_warp behind the Simulation interface. It also runs, slowly, on Warp's own CPU device."""

import difflib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import mujoco
import mujoco_warp as mjw
import torch
import warp as wp
from torch import Tensor

from robopolicy.errors import UserError
from robopolicy.sim.inertia import FIELDS, InertiaConstants
from robopolicy.sim.simulation import Rows, Simulation
from robopolicy.sim.stream import current_stream

_TOO_LARGE = 1e10  # mjMAXVAL: beyond it MuJoCo calls a number unstable
# What mj_setConst derives from masses, inertias and poses.
_DERIVED = ("body_subtreemass", "body_invweight0", "dof_invweight0", "actuator_acc0")
_PLACES = ("body_pos", "body_quat", "body_iquat", "qpos0")
_INERTIAL = (*FIELDS, *_PLACES)
# Capacity that was too small: physics went on without some contacts.
_SERIOUS = mjw.OverflowType.ALL & ~(mjw.OverflowType.ITERATIONS | mjw.OverflowType.LS_ITERATIONS)


class GpuSimulation(Simulation):
    """N simulations in float32, stepped together; every call can be captured in a CUDA graph.

    Torch tensors share memory with the engine's arrays, which are allocated once.

    Args:
        model: The model every simulation starts from.
        num_envs: N.
        device: ``cuda``, ``cuda:1``, ... or ``warp-cpu``.
        contacts: Room for so many contacts per simulation, on average; by default Warp's guess.

    Raises:
        UserError: Warp cannot use the device.
    """

    def __init__(self, model: mujoco.MjModel, num_envs: int, device: str = "cuda", contacts: int | None = None):
        self.model = model
        self.num_envs = num_envs
        # With its number, which torch.device("cuda") lacks.
        self.device = torch.empty(0, device="cpu" if device == "warp-cpu" else device).device
        wp.config.log_level = wp.LOG_WARNING  # not a line for every kernel
        wp.init()
        if self.device.type == "cuda":
            _require(self.device)
        self._wp_device = wp.device_from_torch(self.device)
        self._template = mujoco.MjData(model)
        with self._here():
            self._m = mjw.put_model(model)
            if self.device.type == "cuda":  # else the solver goes through all its iterations
                self._m.opt.graph_conditional = wp.is_conditional_graph_supported()
            self._m.opt.warn_overflow = 0  # a message for every world and step; `overflow` tells once
            self._d = mjw.make_data(model, num_envs, nconmax=contacts)
        self._state = {name: self._data(name) for name in ("time", "qpos", "qvel", "qacc_warmstart", "ctrl", "act")}
        self._state |= {name: self._data(name) for name in ("qfrc_applied", "xfrc_applied")}
        self._history = self._data("history") if model.nhistory else None
        self._default = {name: torch.zeros_like(tensor[:1]) for name, tensor in self._state.items()}
        self._default["qpos"][0] = torch.as_tensor(model.qpos0, dtype=torch.float32)
        self._expanded: dict[str, Tensor] = {}
        self._inertia = InertiaConstants(model, self.device)
        self._unstable = torch.zeros(num_envs, dtype=torch.bool, device=self.device)
        self.reset(torch.ones_like(self._unstable))
        self.forward(torch.ones_like(self._unstable))

    def bind(self, field: str) -> Tensor:
        if field not in self._state:
            known = [name for name in dir(self._template) if not name.startswith("_")]
            array = getattr(self._d, field, None)
            if field not in known or not isinstance(array, wp.array):
                raise _no_such("MjData", field, known)
        return self._data(field)

    def expand(self, field: str) -> Tensor:
        if field not in self._expanded:
            known = [name for name in dir(self.model) if not name.startswith("_")]
            if field not in known or not isinstance(getattr(self._m, field, None), wp.array):
                raise _no_such("MjModel", field, known)
            for name in (field, *_DERIVED) if field in _INERTIAL else (field,):
                if name not in self._expanded:
                    self._own(name)
        return self._expanded[field]

    def assign(self, mask: Tensor, targets: dict[str, Tensor], draw: Callable[[Rows, int], dict[str, Tensor]]) -> None:
        for name, values in draw(slice(None), self.num_envs).items():
            target = targets[name]
            target.copy_(torch.where(_as_column(mask, target), values.to(target.dtype), target))

    def update_model(self, mask: Tensor) -> None:
        if any(field in self._expanded for field in _PLACES):
            with self._here():
                mjw.set_const(self._m, self._d, restore=False)
        elif any(field in self._expanded for field in FIELDS):
            with self._here():
                derived = self._inertia.derive(self._expanded)
            for name, value in derived.items():
                self._expanded[name].copy_(value)

    def step(self, substeps: int) -> None:
        self.advance(substeps)
        self._guard()
        self.forward(self._unstable)

    def advance(self, substeps: int) -> None:
        # Numbers may break; `step` looks after them.
        with self._here():
            for _ in range(substeps):
                mjw.step(self._m, self._d)

    def reset(self, mask: Tensor) -> None:
        for name, tensor in self._state.items():
            tensor.copy_(torch.where(_as_column(mask, tensor), self._default[name], tensor))
        if self._history is not None:
            with self._here():
                mjw.reset_history(self._m, self._d, wp.from_torch(mask))

    def hold(self, mask: Tensor, ctrl: Tensor) -> None:
        if self._history is None:
            return
        # Per servo: a cell for users, a cursor, then as many times as values (mjData.history).
        cells = self._history.view(self.num_envs, self.model.nu, -1)
        values = cells[..., 2 + (cells.shape[2] - 2) // 2 :]
        held = ctrl.to(values.dtype).unsqueeze(-1).expand_as(values)
        values.copy_(torch.where(mask.view(-1, 1, 1), held, values))

    def forward(self, mask: Tensor) -> None:
        # For all, since shapes are fixed: where the state is as before, so are the results. Only what can be bound; a
        # step computes everything anew, so that whatever is written between steps counts.
        with self._here():
            mjw.fwd_kinematics(self._m, self._d)
            mjw.transmission(self._m, self._d)
            mjw.collision(self._m, self._d)
            self._d.sensordata.zero_()
            mjw.sensor_pos(self._m, self._d)
            mjw.com_vel(self._m, self._d)
            mjw.sensor_vel(self._m, self._d)

    def diverged(self) -> Tensor:
        diverged = self._unstable.clone()
        self._unstable.zero_()
        return diverged

    def overflow(self) -> list[str]:
        bits = 0
        for flag in torch.unique(self._data("overflow")).tolist():
            bits |= flag
        self._data("overflow").zero_()
        return [flag.name or "" for flag in mjw.OverflowType(bits & _SERIOUS)]

    def state_dict(self) -> dict[str, Tensor]:
        state = {f"model/{name}": tensor.clone() for name, tensor in sorted(self._expanded.items())}
        state |= {f"state/{name}": tensor.clone() for name, tensor in self._state.items()}
        return state if self._history is None else state | {"state/history": self._history.clone()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        for key, value in state.items():
            kind, name = key.split("/")
            (self.expand(name) if kind == "model" else self._data(name)).copy_(value)
        self.forward(self._unstable)

    def _guard(self) -> None:
        """Put the default state where numbers broke, as MuJoCo does by itself, and remember where."""
        qpos, qvel = self._state["qpos"], self._state["qvel"]
        worst = torch.maximum(qpos.abs().amax(1), qvel.abs().amax(1))
        broken = ~(worst < _TOO_LARGE)  # also where it is not a number
        self._unstable |= broken
        self.reset(broken)

    def _own(self, field: str) -> None:
        """Give every simulation its own value of a model field."""
        with self._here():
            fresh = mjw.put_model(self.model, batch_sizes={field: self.num_envs})
        array = getattr(fresh, field)
        setattr(self._m, field, array)
        tensor = wp.to_torch(array)
        self._expanded[field] = tensor.view(self.num_envs, *getattr(self.model, field).shape)

    def _data(self, field: str) -> Tensor:
        """A data field in the shape that MuJoCo gives it."""
        tensor = wp.to_torch(getattr(self._d, field))
        if field == "overflow":
            return tensor
        return tensor.view(self.num_envs, *getattr(self._template, field).shape) if field != "time" else tensor

    @contextmanager
    def _here(self) -> Iterator[None]:
        """Warp works on our device, in torch's stream."""
        if self.device.type != "cuda":
            with wp.ScopedDevice(self._wp_device):
                yield
            return
        with wp.ScopedStream(current_stream(self.device), sync_enter=False):
            yield


def _require(device: torch.device) -> None:
    """Raise a UserError if Warp cannot use a GPU that torch can."""
    if device.index < wp.get_cuda_device_count():
        return
    toolkit, driver = _dots(wp.get_cuda_toolkit_version()), _dots(wp.get_cuda_driver_version())
    raise UserError(
        f"Warp {wp.__version__} cannot use {device}: it is built for CUDA {toolkit}, the driver for {driver}; "
        "update the driver (nvidia-smi shows it), or install a warp-lang that fits it"
    )


def _dots(version: tuple[int, int] | None) -> str:
    return ".".join(map(str, version)) if version else "none"


def _as_column(mask: Tensor, target: Tensor) -> Tensor:
    return mask.view(-1, *(1 for _ in target.shape[1:]))


def _no_such(where: str, field: str, known: list[str]) -> ValueError:
    near = difflib.get_close_matches(field, known)
    return ValueError(f"{where} has no array {field!r}" + (f"; near: {', '.join(near)}" if near else ""))
