"""The robot with its base held: simulated under the logged targets, for many sets of parameters at once."""

import copy
from dataclasses import dataclass

import mujoco
import numpy as np
from mujoco import rollout

from robopolicy.cores import usable_cores
from robopolicy.robot import RobotModel
from robopolicy.sysid.joint_log import JointLog

STEP_S = 0.002
MOST_LATENCY = 0.08  # s
_AT_ONCE = 8  # sets of parameters that are simulated together: bounds the memory
_GRAVITY = 9.81


@dataclass(frozen=True)
class Servos:
    """Parameters of every joint's motor, for P sets of them.

    Attributes:
        kp, kd, armature, friction, torque: As of ``robopolicy.servo.Servo``, in effect. Shape (P, J).
        offset: What the encoder reads too much [rad]. Shape (P, J).
        latency: From a target's being sent to its effect [s]. Shape (P,).
    """

    kp: np.ndarray
    kd: np.ndarray
    armature: np.ndarray
    friction: np.ndarray
    torque: np.ndarray
    offset: np.ndarray
    latency: np.ndarray


@dataclass(frozen=True)
class Pieces:
    """Pieces of a log that are simulated from their own first reading; M of them, R readings in all.

    Attributes:
        start: When each begins [s]. Shape (M,).
        position, velocity: First reading of each. Shape (M, J).
        steps: Physics steps of the longest.
        piece: Which piece a reading is in. Shape (R,).
        place: The physics step before it. Shape (R,).
        part: How much of the step to the next one has passed. Shape (R,).
        read_position, read_velocity: The readings; NaN where not known. Shape (R, J).
    """

    start: np.ndarray
    position: np.ndarray
    velocity: np.ndarray
    steps: int
    piece: np.ndarray
    place: np.ndarray
    part: np.ndarray
    read_position: np.ndarray
    read_velocity: np.ndarray


def cut(log: JointLog, length_s: float, begin: float, end: float) -> Pieces:
    """Cut the part of a log from ``begin`` to ``end`` [s] into pieces that were driven throughout.

    A piece begins at a whole reading; numbers that are missing later on are only left out.
    """
    whole = log.time[np.isfinite(log.position).all(1) & np.isfinite(log.velocity).all(1)]
    spans = []
    for low, high in _driven(log):
        at, stop = max(low + MOST_LATENCY, begin), min(high, end)
        while True:
            first = int(np.searchsorted(whole, at))
            if first == len(whole) or whole[first] + 0.5 * length_s > stop:
                break
            at = min(whole[first] + length_s, stop)
            spans.append((whole[first], at))
    rows = [np.flatnonzero((log.time > low) & (log.time <= high)) for low, high in spans]
    piece = np.repeat(np.arange(len(spans)), [len(r) for r in rows])
    row = np.concatenate([np.zeros(0, int), *rows])
    start = np.array([low for low, _ in spans])
    first = np.searchsorted(log.time, start)
    passed = (log.time[row] - start[piece]) / STEP_S
    place = np.floor(passed).astype(int)
    return Pieces(
        start,
        log.position[first],
        log.velocity[first],
        int(place.max(initial=0)) + 2,
        piece,
        place,
        passed - place,
        log.position[row],
        log.velocity[row],
    )


def _driven(log: JointLog) -> list[tuple[float, float]]:
    """From when to when all joints had targets [s], without a break."""
    driven = np.isfinite(log.target).all(1)
    edge = np.flatnonzero(np.diff(np.concatenate(([False], driven, [False])).astype(int)))
    # The last order is in force for as long as one usually is.
    ends = np.append(log.order_time, log.order_time[-1] + np.median(np.diff(log.order_time)))
    return [(float(ends[low]), float(ends[high])) for low, high in edge.reshape(-1, 2)]


class Stand:
    """The robot on a stand, without contacts: what it touches is not in the log.

    Args:
        robot: Its masses and its geometry are taken as they are.
        log: The orders, and how the base is tilted.

    Attributes:
        limbs: Which limb each joint is in; limbs do not feel each other. Shape (J,).
    """

    def __init__(self, robot: RobotModel, log: JointLog) -> None:
        spec = robot.robot.compile(STEP_S, ground=False, visual=False).spec
        for key in list(spec.keys):
            spec.delete(key)
        base = spec.joints[0].parent
        spec.delete(spec.joints[0])
        base.quat = [1.0, 0.0, 0.0, 0.0]
        for sensor in list(spec.sensors):
            spec.delete(sensor)
        model = spec.compile()
        model.opt.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
        model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_CONTACT
        model.opt.gravity = _GRAVITY * log.gravity
        ids = [model.joint(name).id for name in robot.joint_names]
        self._qpos, self._dof = model.jnt_qposadr[ids], model.jnt_dofadr[ids]
        # How soft dry friction is follows from this; it shall be as in a training, where the base is free.
        model.dof_invweight0[self._dof] = robot.mj.dof_invweight0[robot.dof_adr]
        self.limbs = model.dof_treeid[self._dof].copy()
        self._models = [copy.copy(model) for _ in range(_AT_ONCE)]
        self._nq, self._nv = model.nq, model.nv
        self._state_size = mujoco.mj_stateSize(model, mujoco.mjtState.mjSTATE_FULLPHYSICS)
        threads = usable_cores()
        self._data = [mujoco.MjData(model) for _ in range(threads)]
        self._rollout = rollout.Rollout(nthread=threads)
        driven = np.isfinite(log.target).all(1)
        times, targets = log.order_time[driven], log.target[driven]
        # The integral of the target over time is piecewise linear: its differences are the mean target of a step,
        # so that the latency acts continuously.
        self._knots = np.concatenate(([times[0] - 10.0], times, [times[-1] + 10.0]))
        area = np.cumsum(targets * np.diff(np.append(times, times[-1] + 10.0))[:, None], axis=0)
        self._area = np.concatenate(([-10.0 * targets[0]], np.zeros((1, targets.shape[1])), area))

    def close(self) -> None:
        """End the threads."""
        self._rollout.close()

    def readings(self, servos: Servos, pieces: Pieces) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What the encoders would read, position and velocity (P, R, J), and the torque asked for [N m] (P, R, J).

        The torque is that of the step that leads to the reading, before the motor's limit.
        """
        found = [self._some(_slice(servos, i, i + _AT_ONCE), pieces) for i in range(0, len(servos.latency), _AT_ONCE)]
        return tuple(np.concatenate(parts) for parts in zip(*found))  # type: ignore[return-value]

    def _some(self, servos: Servos, pieces: Pieces) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        sets, count = len(servos.latency), len(pieces.start)
        models = []
        for i in range(sets):
            self._install(self._models[i], servos, i)
            models += [self._models[i]] * count
        # A step of the semi-implicit integrator is a leap-frog step whose velocities lie half a step early: with orders
        # and velocities taken there, and half of the damping explicit, it is accurate to second order.
        edges = pieces.start[:, None] + STEP_S * (np.arange(pieces.steps + 1) - 0.5)
        control = np.stack([self._mean_target(edges, late) for late in servos.latency])  # (P, M, steps, J)
        control = control - servos.offset[:, None, None]
        initial = np.zeros((sets, count, self._state_size))
        initial[..., 1 + self._qpos] = pieces.position - servos.offset[:, None]
        initial[..., 1 + self._nq + self._dof] = pieces.velocity
        initial = initial.reshape(sets * count, -1)
        state, _ = self._rollout.rollout(
            models, self._data, initial, control.reshape(sets * count, pieces.steps, -1), skip_checks=False
        )
        state = np.concatenate((initial[:, None], state), axis=1).reshape(sets, count, pieces.steps + 1, -1)
        passed = pieces.place + pieces.part
        position = _at(state[..., 1 + self._qpos], pieces.piece, passed)
        velocity = _at(state[..., 1 + self._nq + self._dof], pieces.piece, passed + 0.5)
        told = control[:, pieces.piece, np.minimum(pieces.place, pieces.steps - 1)]
        torque = servos.kp[:, None] * (told - position) - servos.kd[:, None] * velocity
        return position + servos.offset[:, None], velocity, torque

    def _install(self, model: mujoco.MjModel, servos: Servos, i: int) -> None:
        model.actuator_gainprm[:, 0] = servos.kp[i]
        model.actuator_biasprm[:, 1] = -servos.kp[i]
        model.actuator_biasprm[:, 2] = -servos.kd[i]
        model.actuator_forcerange[:] = np.stack((-servos.torque[i], servos.torque[i]), axis=1)
        damping = servos.kd[i] + model.dof_damping[self._dof]
        # Not below nothing, where a step would be unstable.
        model.dof_armature[self._dof] = np.maximum(servos.armature[i] - 0.5 * STEP_S * damping, 0.0)
        model.dof_frictionloss[self._dof] = servos.friction[i]

    def _mean_target(self, edges: np.ndarray, latency: float) -> np.ndarray:
        """Mean target of every step between ``edges`` (M, steps + 1). Shape (M, steps, J)."""
        at = edges - latency
        area = np.stack([np.interp(at, self._knots, column) for column in self._area.T], axis=-1)
        return np.diff(area, axis=1) / STEP_S


def _at(states: np.ndarray, piece: np.ndarray, passed: np.ndarray) -> np.ndarray:
    """States (P, M, steps + 1, J) of each piece, so many steps after its start, between two of them. (P, R, J)."""
    place = np.floor(passed).astype(int)
    before, after = states[:, piece, place], states[:, piece, place + 1]
    return before + (passed - place)[:, None] * (after - before)


def _slice(servos: Servos, start: int, stop: int) -> Servos:
    return Servos(**{name: value[start:stop] for name, value in vars(servos).items()})
