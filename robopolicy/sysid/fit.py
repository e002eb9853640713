"""Fit the servos to a log by least squares over simulated pieces of it."""

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from mujoco import minimize

from robopolicy.errors import UserError
from robopolicy.robot import RobotModel
from robopolicy.sysid.joint_log import JointLog
from robopolicy.sysid.parameters import SERVO, Parameter, as_servos, kinds, parameters
from robopolicy.sysid.stand import Pieces, Stand, cut

PIECE_S = 1.0
TRAINED = 0.7  # part of the log that is fitted; the rest judges
CONFIDENCE = 1.96  # standard deviations of a 95% interval
_NOISE = (3e-4, 0.02)  # rad, rad/s: no encoder of a servo is better than this
_PRIOR = 0.02  # holds what the log says nothing about
_STEP = 1e-4  # of a parameter over its scale, for derivatives
_SATURATED = 0.003  # part of the readings at which a limit shows
_LEAST_OFFSET = 0.004  # rad
_MOVED = 0.01  # rad, standard deviation: what a joint that moved less does says nothing of its servo
_STILL = "its joints hardly moved"
_LOWER_LIMITS = (0.9, 0.75, 0.6, 0.45)


@dataclass(frozen=True)
class Estimate:
    """A fitted number.

    Attributes:
        parameter: What it is.
        value: In the parameter's unit; the robot file's where it is not known.
        half: Half the width of its 95% interval; infinite where it was not fitted.
        known: Whether the log says it well enough to be used.
        why: If not, why.
    """

    parameter: Parameter
    value: float
    half: float
    known: bool
    why: str = ""


@dataclass(frozen=True)
class Fit:
    """What a log says about a robot.

    Attributes:
        estimates: In the order of ``parameters``.
        before, after: Root mean square error of each kind of servo on the part of the log that was not fitted, with the
            robot file's numbers and with the fitted ones [rad].
        seconds: Length of what was fitted, and of what judged [s].
        notes: What a person should know.
    """

    estimates: list[Estimate]
    before: dict[str, float]
    after: dict[str, float]
    seconds: tuple[float, float]
    notes: list[str]


def fit(robot: RobotModel, log: JointLog, say: Callable[[str], None] = lambda line: None) -> Fit:
    """Fit all that the log excites.

    The first 70% of the log are fitted, the rest judges. Pieces of a second begin at their own first reading and run on
    under the logged targets. The uncertainty is the larger of two: of independent residuals, and of the scatter between
    pieces (the "sandwich" of White, 1980, with pieces as clusters), which also sees what the model lacks.

    Raises:
        UserError: Too little of the log was driven.
    """
    driven = log.order_time[np.isfinite(log.target).all(1)]
    begin, end = driven[0], driven[-1]
    middle = begin + TRAINED * (end - begin)
    train, judge = cut(log, PIECE_S, begin, middle), cut(log, PIECE_S, middle, end)
    if len(train.start) < 4 or len(judge.start) < 2:
        raise UserError(
            f"{log.path}: too short: {len(train.start)} pieces of {PIECE_S:g} s to fit, {len(judge.start)} to judge; "
            "at least 4 and 2 are needed, 20 are better"
        )
    problem = _Problem(Stand(robot, log), parameters(robot, log), train)
    try:
        return _fit(robot, log, problem, judge, say)
    finally:
        problem.stand.close()


def _fit(robot: RobotModel, log: JointLog, problem: "_Problem", judge: Pieces, say: Callable[[str], None]) -> Fit:
    start = np.array([p.start for p in problem.parameters])
    file = np.array([p.file for p in problem.parameters])
    free = np.array([p.name != "torque" for p in problem.parameters])
    say(f"{free.sum()} numbers from {len(problem.train.start)} pieces of the log")
    values = problem.solve(start, free, iterations=10)
    reached = problem.limits(values)
    for i, (limit, shows) in reached.items():
        values[i], free[i] = limit, shows
    problem.weigh(values)
    say("again, each joint weighted by what is left of its error")
    values = problem.solve(values, free, iterations=5)
    half = problem.half_widths(values, free)
    asked = problem.asked(values)
    moved = np.nanstd(log.position, axis=0) >= _MOVED
    why = [
        _STILL
        if p.name in SERVO and not moved[list(p.joints)].any()
        else _why_unknown(p, values[i], half[i], free[i], asked)
        for i, p in enumerate(problem.parameters)
    ]
    known = np.array([not reason for reason in why])
    values = np.where(known, values, file)
    if (free & ~known).any():
        say("again, without the numbers that the log does not excite")
        values = problem.solve(values, free & known, iterations=5)
    estimates = [Estimate(*one) for one in zip(problem.parameters, values.tolist(), half.tolist(), known.tolist(), why)]
    errors = [problem.error(v, judge, kinds(robot)) for v in (file, values)]
    still = [name for name, does in zip(robot.joint_names, moved, strict=True) if not does]
    notes = list(log.notes) + [f"{name} hardly moved (less than {_MOVED} rad)" for name in still]
    seconds = [len(p.piece) * float(np.median(np.diff(log.time))) for p in (problem.train, judge)]
    return Fit(estimates, errors[0], errors[1], (seconds[0], seconds[1]), notes)


def _why_unknown(p: Parameter, value: float, half: float, free: bool, asked: dict[str, float]) -> str:
    """Why a number is not to be used; empty if it is."""
    if p.name == "torque" and not free:
        return f"the limit was not reached: at most {asked[p.where]:.3g} N m were asked for"
    lowest = p.low != 0 and value < p.low + 0.01 * p.scale  # nothing at all is a number like any other
    if free and (lowest or value > p.high - 0.01 * p.scale):
        return f"it ran to the end of what was tried, {value:.3g}"
    if p.name == "latency":
        return "" if half < 0.004 else "the log does not excite it: targets change too slowly"
    if p.name == "encoder_offset":
        if half > 0.02:
            return "gravity does not show it"
        return "" if abs(value) > max(2 * half, _LEAST_OFFSET) else "no more than the log could tell from zero"
    return "" if half < 0.3 * max(value, p.file) else "the log does not excite it"


class _Problem:
    """Residuals of the fitted pieces, and what follows from them; n parameters, over their scales."""

    def __init__(self, stand: Stand, parameters: list[Parameter], train: Pieces) -> None:
        self.stand, self.parameters, self.train = stand, parameters, train
        self._scale = np.array([p.scale for p in parameters])
        self._joints = train.position.shape[1]
        self._measured = np.concatenate((train.read_position, train.read_velocity), axis=1)
        floor = np.repeat(_NOISE, self._joints)
        # At first each signal counts by its own size; what hardly moves counts little.
        self._sigma = 0.1 * np.maximum(np.nanstd(self._measured, axis=0), 50 * floor)
        self._colours = self._colour()

    def solve(self, values: np.ndarray, free: np.ndarray, iterations: int) -> np.ndarray:
        """The best values of the free parameters, beginning at ``values`` (n,)."""
        x0 = (values / self._scale)[free]
        bounds = [
            np.array([getattr(p, side) for p in self.parameters])[free] / self._scale[free] for side in ("low", "high")
        ]

        def residual(x: np.ndarray) -> np.ndarray:
            full = np.tile((values / self._scale)[:, None], x.shape[1])
            full[free] = x
            return np.concatenate((self._residual(full), _PRIOR * (x - x0[:, None])))

        def jacobian(x: np.ndarray, _: np.ndarray) -> np.ndarray:
            full = values / self._scale
            full[free] = x[:, 0]
            return np.concatenate((self._jacobian(full, free), _PRIOR * np.eye(len(x0))))

        x, _ = minimize.least_squares(
            x0,
            residual,
            bounds,
            jacobian,
            xtol=1e-3,
            max_iter=iterations,
            verbose=minimize.Verbosity.SILENT,
            output=io.StringIO(),
        )
        found = values.copy()
        found[free] = x * self._scale[free]
        return found

    def weigh(self, values: np.ndarray) -> None:
        """Weight every signal by what is left of its error."""
        left = np.sqrt(np.nanmean((self._predict(values[:, None])[0] - self._measured) ** 2, axis=0))
        self._sigma = np.hypot(np.nan_to_num(left), np.repeat(_NOISE, self._joints))

    def half_widths(self, values: np.ndarray, free: np.ndarray) -> np.ndarray:
        """Half the width of each parameter's 95% interval (n,)."""
        x = values / self._scale
        jacobian, residual = self._jacobian(x, free), self._residual(x[:, None])[:, 0]
        covariance = np.linalg.inv(jacobian.T @ jacobian + np.eye(free.sum()))
        piece = np.repeat(self.train.piece, self._measured.shape[1])[self._there]
        pull = np.zeros((len(self.train.start), free.sum()))
        np.add.at(pull, piece, jacobian * residual[:, None])
        count = len(pull)
        robust = covariance @ (pull.T @ pull) @ covariance * count / (count - 1)
        half = np.full(len(values), np.inf)
        half[free] = CONFIDENCE * np.sqrt(np.maximum(np.diag(covariance), np.diag(robust))) * self._scale[free]
        return half

    def limits(self, values: np.ndarray) -> dict[int, tuple[float, bool]]:
        """For each torque limit: the best of some values, and whether the log shows it.

        Below the largest torque that was asked for, a limit that is too high has no derivative: some are tried.
        """
        found = {}
        largest = self._asked(values)
        cost = self._cost(values[:, None])[0]
        for i, p in enumerate(self.parameters):
            if p.name != "torque":
                continue
            torque = largest[:, list(p.joints)]
            tried = np.tile(values[:, None], len(_LOWER_LIMITS))
            tried[i] = np.minimum(p.file, np.quantile(torque, 0.999)) * np.array(_LOWER_LIMITS)
            costs = self._cost(tried)
            best = int(costs.argmin())
            shows = bool((torque > p.file).mean() > _SATURATED)
            if costs[best] < 0.98 * cost:
                found[i] = (float(tried[i, best]), True)
            else:
                found[i] = (p.file, shows)
        return found

    def asked(self, values: np.ndarray) -> dict[str, float]:
        """The largest torque that was asked of each kind of servo [N m]."""
        torque = self._asked(values)
        return {p.where: float(torque[:, list(p.joints)].max()) for p in self.parameters if p.name == "torque"}

    def error(self, values: np.ndarray, pieces: Pieces, kinds: dict[str, tuple[int, ...]]) -> dict[str, float]:
        """Root mean square error of each kind of servo's positions [rad]."""
        position, _, _ = self.stand.readings(as_servos(self.parameters, values[:, None], self._joints), pieces)
        square = (position[0] - pieces.read_position) ** 2
        return {kind: float(np.sqrt(np.nanmean(square[:, list(joints)]))) for kind, joints in kinds.items()}

    @property
    def _there(self) -> np.ndarray:
        return np.isfinite(self._measured).ravel()

    def _predict(self, values: np.ndarray) -> np.ndarray:
        """Positions and velocities side by side, of P sets of values (n, P). Shape (P, R, 2 J)."""
        position, velocity, _ = self.stand.readings(as_servos(self.parameters, values, self._joints), self.train)
        return np.concatenate((position, velocity), axis=2)

    def _asked(self, values: np.ndarray) -> np.ndarray:
        servos = as_servos(self.parameters, values[:, None], self._joints)
        return np.abs(self.stand.readings(servos, self.train)[2][0])

    def _residual(self, x: np.ndarray) -> np.ndarray:
        """Weighted errors of the readings that are there, of P points (n, P). Shape (S, P)."""
        error = (self._predict(x * self._scale[:, None]) - self._measured) / self._sigma
        return error.reshape(x.shape[1], -1)[:, self._there].T

    def _cost(self, values: np.ndarray) -> np.ndarray:
        return (self._residual(values / self._scale[:, None]) ** 2).sum(axis=0)

    def _jacobian(self, x: np.ndarray, free: np.ndarray) -> np.ndarray:
        """Derivatives of ``_residual`` at x (n,). Shape (S, free)."""
        middle = 0.5 * np.array([p.low + p.high for p in self.parameters]) / self._scale
        step = np.where(x < middle, _STEP, -_STEP)
        groups = [[i for i in group if free[i]] for group in self._colours]
        groups = [group for group in groups if group]
        points = np.tile(x[:, None], len(groups) + 1)
        for column, group in enumerate(groups):
            points[group, column] += step[group]
        found = self._residual(points)
        signal = np.tile(np.arange(self._joints), 2)
        joint = np.broadcast_to(signal, self._measured.shape).ravel()[self._there]
        jacobian = np.zeros((len(found), len(x)))
        for column, group in enumerate(groups):
            change = found[:, column] - found[:, -1]
            for i in group:
                touched = np.isin(self.stand.limbs[joint], self.stand.limbs[list(self.parameters[i].joints)])
                jacobian[touched, i] = change[touched] / step[i]
        return jacobian[:, free]

    def _colour(self) -> list[list[int]]:
        """Parameters that can be changed at once: on a held base, limbs do not feel each other."""
        groups: list[tuple[set[int], list[int]]] = []
        for i, p in enumerate(self.parameters):
            limbs = set(self.stand.limbs[list(p.joints)].tolist())
            for taken, group in groups:
                if not taken & limbs:
                    taken |= limbs
                    group.append(i)
                    break
            else:
                groups.append((limbs, [i]))
        return [group for _, group in groups]
