"""Which engine, and where."""

import importlib.util
import os
import warnings

import mujoco
import torch

from robopolicy.errors import UserError
from robopolicy.sim.simulation import Simulation

DEVICES = ("auto", "cpu", "cuda", "warp-cpu")


def choose_device(name: str) -> str:
    """Turn ``auto`` into a device that is there, and check any other.

    Args:
        name: ``auto`` (a GPU if there is one, else the CPU), ``cpu``, ``cuda`` or ``cuda:1``, or ``warp-cpu`` (the
            GPU's engine on Warp's own CPU device: slow, to try things).

    Returns:
        ``cpu``, ``warp-cpu``, or a GPU with its number.

    Raises:
        UserError: Unknown, or what it needs is missing; the message says how to get it.
    """
    if name == "auto":
        trouble = _trouble()
        if trouble:
            warnings.warn(f"training on the CPU: {trouble}", stacklevel=2)
        if trouble is not None:
            return "cpu"
        if not _has_warp():
            warnings.warn("training on the CPU: for the GPU that is here, pip install 'robopolicy[gpu]'", stacklevel=2)
            return "cpu"
        name = "cuda"
    if name.split(":")[0] not in DEVICES:
        raise UserError(f"unknown device {name!r}; known: {', '.join(DEVICES)}")
    if name == "cpu":
        return name
    if not _has_warp():
        raise UserError(f"device {name!r} needs mujoco_warp: pip install 'robopolicy[gpu]'")
    if name.startswith("cuda"):
        if torch.version.cuda is None:
            raise UserError(
                f"device {name!r} needs torch with CUDA, and this is torch {torch.__version__}: "
                "pip install --force-reinstall torch --index-url https://download.pytorch.org/whl/cu128"
            )
        trouble = _trouble()
        if trouble is not None:
            why = trouble or "`nvidia-smi` should list one"
            raise UserError(f"device {name!r}: torch finds no NVIDIA GPU that it can use; {why}")
        if name == "cuda":  # torchrun may have started several: a GPU for each
            name = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
        known = [f"cuda:{k}" for k in range(torch.cuda.device_count())]
        if name not in known:
            raise UserError(f"no device {name!r}; there are: {', '.join(known)}")
    return name


def make_simulation(
    model: mujoco.MjModel, num_envs: int, device: str = "cpu", threads: int = 0, contacts: int | None = None
) -> Simulation:
    """The physics.

    Args:
        model: The model every simulation starts from.
        num_envs: N.
        device: What ``choose_device`` gave.
        threads: The CPU engine's; 0: one per core.
        contacts: Room for so many contacts per robot on a GPU; by default Warp's guess.
    """
    if device == "cpu":
        from robopolicy.sim.cpu import CpuSimulation

        return CpuSimulation(model, num_envs, threads)
    from robopolicy.sim.gpu import GpuSimulation

    return GpuSimulation(model, num_envs, device, contacts)


def _trouble() -> str | None:
    """Why torch can use no GPU, in one line, empty if it does not say; None if it can."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        if torch.cuda.is_available():
            return None
    return " ".join(str(said[-1].message).split()) if said else ""


def _has_warp() -> bool:
    return importlib.util.find_spec("mujoco_warp") is not None
