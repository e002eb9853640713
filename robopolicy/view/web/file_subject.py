"""An exported policy on the page, in plain MuJoCo with a plant that can be changed."""

from collections import deque
from pathlib import Path

import mujoco
import numpy as np
from robopolicy_runtime.contract import Contract
from robopolicy_runtime.verify import Plant as PlainPlant

from robopolicy.env.terrain import Terrain
from robopolicy.mjcf import FLOOR
from robopolicy.view.performers import FilePerformer
from robopolicy.view.web.subject import Look, Plant

_LATE = 10  # most physics steps of added latency
_TOUCH = 1e-3  # a foot that is so near to the floor touches it [m]
_CLEARANCE = "_clearance"  # ending of the sensors that tell how near it is


class FileSubject(FilePerformer):
    """The robot of an ONNX file."""

    count, chosen, can_change = 1, 0, True
    terrain: Terrain | None = None  # the contract knows a plane only

    def __init__(self, path: Path):
        """Read and check the file.

        Raises:
            UserError: The file is refused; the message says why.
        """
        super().__init__(path)
        self._plant = self._late = LatePlant(self.file.mjcf, self.file.contract)
        model = self._late.model
        sensors = [model.sensor(i) for i in range(model.nsensor)]
        clearance = {s.name.removesuffix(_CLEARANCE): int(s.adr[0]) for s in sensors if s.name.endswith(_CLEARANCE)}
        self.feet, self._clearance = tuple(clearance), np.array(list(clearance.values()), dtype=int)
        self.clips: dict[str, tuple[str, ...]] = {}
        self.step_latency = float(model.opt.timestep)
        self.max_latency = _LATE * self.step_latency
        self.base_mass = self._late.base_mass

    def everyone(self) -> np.ndarray:
        return self._late.data.qpos[None].copy()

    def look(self) -> Look:
        data = self._late.data
        torque, target = data.actuator_force[self._late.actuators], data.ctrl[self._late.actuators]
        contact = data.sensordata[self._clearance] < _TOUCH if self.feet else None
        return Look(torque.copy(), target.copy(), contact)

    def push(self, velocity: np.ndarray) -> None:
        self._late.data.qvel[:2] += velocity

    def change(self, plant: Plant) -> None:
        self._late.change(plant)

    def perform(self, clip: str, once: bool) -> None:
        raise NotImplementedError("a policy plays no clips")


class LatePlant(PlainPlant):
    """The plant of ``verify`` with another floor, another mass, and targets that arrive late."""

    def __init__(self, mjcf: str, contract: Contract):
        super().__init__(mjcf, contract)
        model = self.model
        self._base = int(model.jnt_bodyid[0])
        self._floor = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_GEOM, FLOOR)
        self._given = {f: getattr(model, f).copy() for f in ("geom_friction", "body_mass", "body_inertia")}
        self.base_mass = float(model.body_mass[self._base])
        self._way: deque[np.ndarray] = deque(maxlen=1)

    def reset(self, qpos: np.ndarray, qvel: np.ndarray) -> None:
        super().reset(qpos, qvel)
        self._way.clear()

    def step(self, targets: np.ndarray) -> None:
        """One control period; a target acts when as many later ones as there are physics steps of latency are out."""
        for _ in range(self.contract.physics.substeps):
            self._way.append(np.array(targets))
            self.data.ctrl[self.actuators] = self._way[0]
            mujoco.mj_step(self.model, self.data)

    def change(self, plant: Plant) -> None:
        """Change the plant from what the file says."""
        model, grown = self.model, 1 + plant.mass / self.base_mass
        for name, values in self._given.items():
            getattr(model, name)[:] = values
        model.geom_friction[self._floor, 0] *= plant.friction
        model.body_mass[self._base] *= grown
        model.body_inertia[self._base] *= grown
        mujoco.mj_setConst(model, mujoco.MjData(model))  # it leaves its data at the model's own pose
        late = round(plant.latency / model.opt.timestep)
        self._way = deque(self._way, maxlen=late + 1)
