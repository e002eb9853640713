"""The hidden plant in another physics engine: the robot in the policy's file as Bullet moves it."""

import math

import mujoco
import numpy as np

from robopolicy_runtime.contract import Contract
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
        super().reset(qpos, qvel)

    def step(self, targets: np.ndarray) -> None:
        """One control period with the given joint targets [rad]; see ``HiddenPlant.step``. Shape (J,)."""
        m, data, world = self.model, self.data, self._world
        assert world is not None
        self._send(np.array(targets, float))
        self._push()
        saturated, driven, timestep = 0, self.joints - 1, m.opt.timestep
        qpos_adr, dof_adr = m.jnt_qposadr[world.hinges], m.jnt_dofadr[world.hinges]
        stiffness, rest = m.jnt_stiffness[world.hinges], m.qpos_spring[qpos_adr]
        dry, viscous = m.dof_frictionloss[dof_adr], m.dof_damping[dof_adr].copy()
        push = data.xfrc_applied[self._base, :3].copy()
        angle, speed = data.qpos[qpos_adr], data.qvel[dof_adr]
        for _ in range(self._substeps):
            if self._on_the_way:
                self._receive()
            drive = self._actuator.drive(self._target, angle[driven], speed[driven])
            torque = stiffness * (rest - angle)
            torque[driven] += drive.torque
            viscous[driven] = self._damping + drive.friction
            world.step(torque, dry + viscous * np.abs(speed), push, timestep)
            angle, speed = world.joints()
            self._physics_step += 1
            saturated += int(np.count_nonzero(drive.saturated))
            self.torque, self._play = drive.torque, drive.play
        data.qpos[:], data.qvel[:] = world.state()
        data.time += self._substeps * timestep
        self.saturation = saturated / (self._substeps * len(self.joints))
        if self._random.random() >= self.deviations.loss:
            self._read()

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
