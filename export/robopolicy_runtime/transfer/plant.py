"""A plant that the policy never saw: the robot in its file, with other motors, sensors, timing and body."""

import math

import mujoco
import numpy as np

from robopolicy_runtime.contract import Contract
from robopolicy_runtime.transfer.actuator import Actuator, Drive
from robopolicy_runtime.transfer.deviations import NOMINAL, Deviations
from robopolicy_runtime.verify import Plant

PUSH_S = 0.1
_BAD_STATE = (mujoco.mjtWarning.mjWARN_BADQPOS, mujoco.mjtWarning.mjWARN_BADQVEL, mujoco.mjtWarning.mjWARN_BADQACC)


class HiddenPlant(Plant):
    """The robot with torque motors; drives, encoders and the way to them are computed here, at the physics rate.

    With nominal deviations it moves as ``verify.Plant`` does; under the integrator RK4 only nearly so, because the
    torque stays the same within a physics step.

    Attributes:
        torque: What the motors give, before friction [N m]. Shape (J,).
        saturation: Share of the joints and physics steps of the last control period in which a motor gave less than
            its drive asked for.
    """

    def __init__(self, mjcf: str, contract: Contract, deviations: Deviations = NOMINAL) -> None:
        """Compile the MJCF and change it.

        Raises:
            ContractError: See ``verify.Plant``.
        """
        super().__init__(mjcf, contract)
        self.deviations = deviations
        self.torque = np.zeros(len(contract.joint_names))
        self.saturation = 0.0
        self._seed = 0
        self._base = int(self.model.jnt_bodyid[0])
        strength = 1 + deviations.asymmetry * self.sides()
        limits = np.array([math.inf if v is None else v for v in contract.velocity_limit])
        self._actuator = Actuator(
            np.array(contract.kp) * strength,
            np.array(contract.kd) * strength,
            np.array(contract.torque_limit) * strength,
            limits * deviations.no_load_scale,
            deviations,
        )
        self._damping = self.model.dof_damping[self.dof_adr].copy()
        self._make_motors()
        self._change_body()
        self._change_solver()
        self._mass = float(self.model.body_subtreemass[self._base])
        turn = np.zeros(3) if deviations.imu_rotation is None else np.asarray(deviations.imu_rotation, float)
        self._sensor_rotation = self.imu_rotation @ rotation_of(turn)
        self._gyro_bias = np.zeros(3) if deviations.gyro_bias is None else np.asarray(deviations.gyro_bias, float)
        self.reset(self.data.qpos.copy(), self.data.qvel.copy())

    def sides(self) -> np.ndarray:
        """1 for joints on the left of the base, -1 on the right, 0 in the middle, in the model's own pose. (J,)."""
        data = mujoco.MjData(self.model)
        mujoco.mj_kinematics(self.model, data)
        offset = data.xanchor[self.joints] - data.xpos[self._base]
        left = offset @ data.xmat[self._base].reshape(3, 3)[:, 1]
        return np.where(np.abs(left) < 1e-3, 0.0, np.sign(left))

    def seed(self, seed: int) -> None:
        """Choose the noise, losses and pushes of the episodes that follow; ``reset`` starts them anew."""
        self._seed = seed

    def reset(self, qpos: np.ndarray, qvel: np.ndarray) -> None:
        """Start from a state; the motors hold the pose that they read until the first order arrives."""
        super().reset(qpos, qvel)
        self.data.xfrc_applied[:] = 0
        self._random = np.random.default_rng(self._seed)
        self._actuator.reset()
        self._physics_step, self._sent, self._received = 0, 0, 0
        self._on_the_way: list[tuple[int, int, np.ndarray]] = []
        self._target = self._actuator.encoder(self.data.qpos[self.qpos_adr])
        self._play = np.zeros(len(self.joints))
        self._push_from = self._random.uniform(0, 1) * self.deviations.push_interval
        self._push_at = math.inf
        self._read()

    def step(self, targets: np.ndarray) -> None:
        """One control period with the given joint targets [rad], which may arrive late or never. Shape (J,)."""
        self._send(np.array(targets, float))
        self._push()
        saturated = 0
        for _ in range(self._substeps):
            if self._on_the_way:
                self._receive()
            angle, speed = self._joints()
            drive = self._actuator.drive(self._target, angle, speed)
            self._advance(drive, speed)
            self._physics_step += 1
            saturated += int(np.count_nonzero(drive.saturated))
            self.torque, self._play = drive.torque, drive.play
        self._arrive()
        self.saturation = saturated / (self._substeps * len(self.joints))
        if self._random.random() >= self.deviations.loss:
            self._read()

    def sensors(self) -> dict[str, np.ndarray]:
        """What the robot's sensors told last; see ``verify.Plant.sensors``."""
        return self._readings

    def fallen(self) -> bool:
        """Whether the robot has fallen, or its numbers have run away."""
        return self.diverged or super().fallen()

    @property
    def diverged(self) -> bool:
        """Whether MuJoCo met numbers that are too large or not finite since the reset."""
        return any(self.data.warning[int(w)].number for w in _BAD_STATE)

    def _joints(self) -> tuple[np.ndarray, np.ndarray]:
        """Angles and speeds of the driven joints. Shapes (J,)."""
        return self.data.qpos[self.qpos_adr], self.data.qvel[self.dof_adr]

    def _advance(self, drive: Drive, speed: np.ndarray) -> None:
        """One physics step."""
        m, data = self.model, self.data
        # The integrator must know how the torque falls with the speed, or a stiff drive would shake. It knows it of
        # the motors where it does of verify's, and of the friction always.
        m.actuator_biasprm[self.actuators, 2] = -drive.motor_damping
        m.dof_damping[self.dof_adr] = self._damping + drive.friction
        data.ctrl[self.actuators] = drive.torque + drive.motor_damping * speed
        mujoco.mj_step(m, data)

    def _arrive(self) -> None:
        """What is left to do at the end of a control period; here nothing."""

    def _make_motors(self) -> None:
        m = self.model
        m.actuator_dyntype[:] = mujoco.mjtDyn.mjDYN_NONE
        m.actuator_gaintype[:] = mujoco.mjtGain.mjGAIN_FIXED
        m.actuator_biastype[:] = mujoco.mjtBias.mjBIAS_AFFINE
        m.actuator_gainprm[:], m.actuator_biasprm[:] = 0, 0
        m.actuator_gainprm[:, 0] = 1
        m.actuator_ctrllimited[:], m.actuator_forcelimited[:] = 0, 0

    def _change_body(self) -> None:
        m, d, base = self.model, self.deviations, self._base
        m.geom_friction[:, 0] *= d.friction_scale
        if not d.payload and d.com_shift is None:
            return
        scale = 1 + d.payload * m.body_subtreemass[base] / m.body_mass[base]
        m.body_mass[base] *= scale
        m.body_inertia[base] *= scale
        if d.com_shift is not None:
            m.body_ipos[base] += d.com_shift
        mujoco.mj_setConst(m, self.data)

    def _change_solver(self) -> None:
        option, d, physics = self.model.opt, self.deviations, self.contract.physics
        self._substeps = physics.substeps
        if d.timestep_scale != 1:
            self._substeps = max(1, round(physics.substeps / d.timestep_scale))
            option.timestep = self.contract.control_period_s / self._substeps
        if d.other_cone:
            pyramidal, elliptic = mujoco.mjtCone.mjCONE_PYRAMIDAL, mujoco.mjtCone.mjCONE_ELLIPTIC
            option.cone = elliptic if option.cone == pyramidal else pyramidal
        if d.other_integrator:
            # Not Euler for implicitfast: it does not know how the motors damp, and stiff ones shake under it.
            full, fast = mujoco.mjtIntegrator.mjINT_IMPLICIT, mujoco.mjtIntegrator.mjINT_IMPLICITFAST
            option.integrator = full if option.integrator == fast else fast

    def _send(self, targets: np.ndarray) -> None:
        """An order sets out."""
        lost, late = self._random.random(2)
        self._sent += 1
        if lost < self.deviations.loss:
            return
        delay = max(0.0, self.deviations.latency + self.deviations.jitter * (2 * late - 1))
        arrival = self._physics_step + round(delay / self.model.opt.timestep)
        self._on_the_way.append((arrival, self._sent, targets))

    def _receive(self) -> None:
        """Orders arrive; one that a later one has overtaken counts no more."""
        for arrival, number, targets in self._on_the_way:
            if arrival <= self._physics_step and number > self._received:
                self._received, self._target = number, targets
        self._on_the_way = [order for order in self._on_the_way if order[0] > self._physics_step]

    def _push(self) -> None:
        """Begin or end a push where it is time."""
        d = self.deviations
        if not d.push_speed:
            return
        now = self._physics_step * self.model.opt.timestep
        if now >= self._push_at + PUSH_S:
            self.data.xfrc_applied[self._base] = 0
            self._push_at = math.inf
        if now >= self._push_from:
            angle, wait = self._random.uniform(0, 2 * math.pi), self._random.uniform(0.5, 1.5)
            force = self._mass * d.push_speed / PUSH_S
            self.data.xfrc_applied[self._base, :2] = force * np.array([math.cos(angle), math.sin(angle)])
            self._push_at, self._push_from = now, now + max(wait * d.push_interval, 2 * PUSH_S)

    def _read(self) -> None:
        """Take new readings."""
        d, joints = self.deviations, len(self.joints)
        noise = self._random.standard_normal(6 + 2 * joints)
        rotation = self._sensor_rotation
        gravity = rotation.T @ (-self.rotation[2]) + d.gravity_noise * noise[3:6]
        angle = self.data.qpos[self.qpos_adr] + self._play + d.position_noise * noise[6 : 6 + joints]
        self._readings = {
            "gyro": rotation.T @ self.data.qvel[3:6] + self._gyro_bias + d.gyro_noise * noise[:3],
            "gravity": gravity / np.linalg.norm(gravity),
            "joint_pos": self._actuator.encoder(angle),
            "joint_vel": self.data.qvel[self.dof_adr] + d.velocity_noise * noise[6 + joints :],
        }


def rotation_of(vector: np.ndarray) -> np.ndarray:
    """Rotation matrix of a rotation vector [rad], by Rodrigues' formula. Shape (3, 3)."""
    angle = float(np.linalg.norm(vector))
    if angle == 0:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross
