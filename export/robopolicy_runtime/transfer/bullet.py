"""The hidden plant in another physics engine: the robot in the policy's file as Bullet moves it."""

import math

import mujoco
import numpy as np

from robopolicy_runtime.contract import Contract
from robopolicy_runtime.transfer.actuator import Drive
from robopolicy_runtime.transfer.bullet_world import BulletWorld
from robopolicy_runtime.transfer.deviations import NOMINAL, Deviations
from robopolicy_runtime.transfer.plant import HiddenPlant

TIMESTEP = 0.001  # largest physics step [s]
STIFFEST = 0.5  # largest share of a joint's velocity that its drive may take away within a physics step
LEFT_OUT = ("solver",)  # perturbations that are MuJoCo's own


class BulletPlant(HiddenPlant):
    """A ``HiddenPlant`` whose motion is Bullet's: ``data.qpos`` and ``data.qvel`` are what Bullet says.

    Motors, sensors, timing, body, friction and pushes are those of the hidden plant; the deviations ``other_cone`` and
    ``other_integrator`` change nothing. Torques stay the same within a physics step, which is therefore shorter than
    the contract's: at most 1 ms, and short enough for the stiffest drive.
    """

    def __init__(self, mjcf: str, contract: Contract, deviations: Deviations = NOMINAL) -> None:
        """Compile the MJCF, change it, and hand it over to Bullet.

        Raises:
            ContractError: See ``verify.Plant`` and ``BulletWorld``.
        """
        self._world: BulletWorld | None = None
        super().__init__(mjcf, contract, deviations)

    def reset(self, qpos: np.ndarray, qvel: np.ndarray) -> None:
        """Start from a state; see ``HiddenPlant.reset``."""
        # A new world: in an old one the contacts before would still be known, and no episode would repeat.
        self._world = BulletWorld(self.model)
        self._world.reset(np.asarray(qpos, float), np.asarray(qvel, float))
        m, hinges = self.model, self._world.hinges
        angles, dofs = m.jnt_qposadr[hinges], m.jnt_dofadr[hinges]
        self._stiffness, self._rest = m.jnt_stiffness[hinges], m.qpos_spring[angles]
        self._dry, self._viscous = m.dof_frictionloss[dofs], m.dof_damping[dofs].copy()
        super().reset(qpos, qvel)
        self._angle, self._speed = self.data.qpos[angles], self.data.qvel[dofs]

    def _joints(self) -> tuple[np.ndarray, np.ndarray]:
        driven = self.joints - 1
        return self._angle[driven], self._speed[driven]

    def _advance(self, drive: Drive, speed: np.ndarray) -> None:
        assert self._world is not None
        driven = self.joints - 1
        torque = self._stiffness * (self._rest - self._angle)
        torque[driven] += drive.torque
        self._viscous[driven] = self._damping + drive.friction
        rubbing = self._dry + self._viscous * np.abs(self._speed)
        self._world.step(torque, rubbing, self.data.xfrc_applied[self._base, :3], self.model.opt.timestep)
        self._angle, self._speed = self._world.joints()

    def _arrive(self) -> None:
        assert self._world is not None
        self.data.qpos[:], self.data.qvel[:] = self._world.state()
        self.data.time += self._substeps * self.model.opt.timestep

    @property
    def diverged(self) -> bool:
        """Whether numbers are too large, by MuJoCo's measure, or not finite."""
        return not all(bool((np.abs(v) < mujoco.mjMAXVAL).all()) for v in (self.data.qpos, self.data.qvel))

    def _change_solver(self) -> None:
        option, period = self.model.opt, self.contract.control_period_s
        step = min(TIMESTEP, STIFFEST * self._fastest()) * self.deviations.timestep_scale
        self._substeps = math.ceil(period / step - 1e-9)
        option.timestep = period / self._substeps

    def _fastest(self) -> float:
        """Shortest time in which a drive would take away its joint's velocity, with nothing else to hold it [s]."""
        m, data = self.model, mujoco.MjData(self.model)
        mujoco.mj_forward(m, data)
        inverse = np.zeros((m.nv, m.nv))
        mujoco.mj_solveM(m, data, inverse, np.eye(m.nv))
        easy = np.diag(inverse)[self.dof_adr]
        damping = np.array(self.contract.kd) * (1 + abs(self.deviations.asymmetry))
        return float(np.min(1 / np.maximum(damping * easy, 1e-9)))
