"""One episode of a policy on a plant, and what many of them say together."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from robopolicy_runtime.contract import Contract
from robopolicy_runtime.errors import ContractError
from robopolicy_runtime.policy import Controller, PolicyFile
from robopolicy_runtime.transfer.bullet import BulletPlant
from robopolicy_runtime.transfer.draw import Drawn, generator
from robopolicy_runtime.transfer.intervals import Estimate, bootstrap, wilson
from robopolicy_runtime.transfer.plant import HiddenPlant

SETTLE_S = 2.0  # tracking errors count from here on
WINDOW_S = 1.0  # velocities are averaged over this long
PLANTS: dict[str, type[HiddenPlant]] = {"mujoco": HiddenPlant, "bullet": BulletPlant}  # by physics engine


@dataclass(frozen=True)
class Episode:
    """What one episode gave.

    Attributes:
        seed: Of plant, start, command and noise.
        survived: Whether it ended without a fall.
        fall_s: When the robot fell [s]; None if it did not.
        velocity_rmse_mps: RMSE of the base's planar velocity in its heading frame, 1 s moving average, against the
            command, from 2 s on and while the robot stood [m/s]; None where it fell before, or has no velocity command.
        yaw_rmse_radps: The same of the turning speed [rad/s].
        tilt_rad: RMS angle between the base's up and the world's [rad].
        saturation: Share of the joints and of the time in which a motor gave less than its drive asked for.
        action_rate_radps: RMS change of the joint targets, per second [rad/s].
    """

    seed: int
    survived: bool
    fall_s: float | None
    velocity_rmse_mps: float | None
    yaw_rmse_radps: float | None
    tilt_rad: float
    saturation: float
    action_rate_radps: float


@dataclass(frozen=True)
class Summary:
    """Many episodes: survival with the Wilson interval, means with bootstrap intervals; see ``Episode``.

    ``fall_s`` is over the episodes that ended in a fall, ``velocity_rmse_mps`` and ``yaw_rmse_radps`` over those that
    lasted long enough; None where there are none.
    """

    survival: Estimate
    fall_s: Estimate | None
    velocity_rmse_mps: Estimate | None
    yaw_rmse_radps: Estimate | None
    tilt_rad: Estimate | None
    saturation: Estimate | None
    action_rate_radps: Estimate | None


MEANS = ("fall_s", "velocity_rmse_mps", "yaw_rmse_radps", "tilt_rad", "saturation", "action_rate_radps")


def summarize(episodes: Sequence[Episode]) -> Summary:
    """What episodes say together.

    Raises:
        ValueError: There are none.
    """
    alive = sum(e.survived for e in episodes)
    means = {name: bootstrap([v for e in episodes if (v := getattr(e, name)) is not None]) for name in MEANS}
    return Summary(wilson(alive, len(episodes)), **means)


def draw_command(contract: Contract, seed: int) -> np.ndarray:
    """A command from the whole range the policy was trained on; style channels keep their default. Shape (C,)."""
    c = contract.command
    drawn = generator(seed, "command").uniform(c.lower, c.upper)
    styled = np.array([name == "style" or name.startswith("style_") for name in c.names])
    return np.where(styled, c.default, drawn)


@dataclass(frozen=True)
class Starts:
    """Where episodes begin: states (E, nq), (E, nv)."""

    qpos: np.ndarray
    qvel: np.ndarray

    @staticmethod
    def of(file: PolicyFile) -> "Starts":
        """The starts that the file recorded for its own proof.

        Raises:
            ContractError: It has none, or they are of another robot.
        """
        reference, plant = file.reference(), HiddenPlant(file.mjcf, file.contract)
        for name, size in (("eval_qpos0", plant.model.nq), ("eval_qvel0", plant.model.nv)):
            if name not in reference:
                raise ContractError(f"{file.path}: the recorded reference has no {name!r}")
            shape = reference[name].shape
            if len(shape) != 2 or not shape[0] or shape[1] != size:
                raise ContractError(f"{file.path}: the recorded {name!r} has shape {shape}, expected (E2, {size})")
        return Starts(reference["eval_qpos0"], reference["eval_qvel0"])


def run_episode(file: PolicyFile, starts: Starts, drawn: Drawn, seconds: float, engine: str = "mujoco") -> Episode:
    """Let the policy drive a hidden plant under one command.

    Args:
        file: The policy.
        starts: Where it can begin.
        drawn: The plant; its seed also decides on start, command and noise.
        seconds: Length [s].
        engine: One of ``PLANTS``.
    """
    contract = file.contract
    plant = PLANTS[engine](file.mjcf, contract, drawn.deviations)
    controller = Controller(file, contract.joint_names)
    command = draw_command(contract, drawn.seed)
    start = drawn.seed % len(starts.qpos)
    plant.seed(drawn.seed)
    plant.reset(starts.qpos[start], starts.qvel[start])
    period, velocities, tilts, saturations, targets = contract.control_period_s, [], [], [], []
    fall_s = None
    for step in range(max(1, round(seconds / period))):
        target = controller.step(**plant.sensors(), command=command)
        plant.step(target)
        targets.append(target)
        saturations.append(plant.saturation)
        if plant.fallen():
            fall_s = (step + 1) * period
            break
        tilts.append(math.acos(np.clip(plant.rotation[2, 2], -1.0, 1.0)))
        velocities.append(heading_velocity(plant))
    planar = turning = None
    if contract.score.kind == "velocity":
        planar, turning = tracking(np.array(velocities), command[:3], period)
    changes = np.diff(np.array(targets), axis=0)
    return Episode(
        seed=drawn.seed,
        survived=fall_s is None,
        fall_s=fall_s,
        velocity_rmse_mps=planar,
        yaw_rmse_radps=turning,
        tilt_rad=_rms(np.array(tilts)),
        saturation=float(np.mean(saturations)),
        action_rate_radps=_rms(changes) / period,
    )


def heading_velocity(plant: HiddenPlant) -> np.ndarray:
    """Base velocity forward and to the left, level with the ground [m/s], and turning speed [rad/s]. Shape (3,)."""
    rotation = plant.rotation
    yaw = math.atan2(rotation[1, 0], rotation[0, 0])
    c, s = math.cos(yaw), math.sin(yaw)
    vx, vy = plant.data.qvel[:2]
    return np.array([c * vx + s * vy, c * vy - s * vx, rotation[2] @ plant.data.qvel[3:6]])


def tracking(velocity: np.ndarray, command: np.ndarray, period: float) -> tuple[float | None, float | None]:
    """RMSE of the moving average against the command: planar [m/s], and turning [rad/s].

    Args:
        velocity: Heading velocity after each control step. Shape (T, 3).
        command: Wanted heading velocity. Shape (3,).
        period: Control period [s].

    Returns:
        Both None if the episode ended before anything counts.
    """
    window, settled = round(WINDOW_S / period), round(SETTLE_S / period)
    if len(velocity) <= max(settled, window - 1):
        return None, None
    total = np.cumsum(np.concatenate((np.zeros((1, 3)), velocity)), axis=0)
    mean = (total[window:] - total[:-window]) / window
    # The mean that ends at step k has index k - window + 1.
    error = mean[max(settled - window + 1, 0) :] - command
    return float(np.sqrt(np.mean(np.sum(error[:, :2] ** 2, 1)))), _rms(error[:, 2])


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values)))) if values.size else 0.0
