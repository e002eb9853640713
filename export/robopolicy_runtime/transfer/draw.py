"""Hidden plants by seed: single perturbations of a strength from 0 to 1, and whole plants with all of them at once.

Every draw is a function of the seed and the perturbation's name, so that the plants of one perturbation do not change
when another one is added, and a seed means the same plant to every policy of a robot. Directions and signs are drawn,
sizes follow from the strength: along a curve only the size changes.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from robopolicy_runtime.errors import ContractError
from robopolicy_runtime.transfer.deviations import NOMINAL, Deviations

WHOLE = 0.5  # a whole hidden plant has every perturbation, each of a strength drawn from 0 to this

Changes = dict[str, Any]


@dataclass(frozen=True)
class Perturbation:
    """One way in which a plant can differ.

    Attributes:
        name: Its name.
        nominal, full: Its size at strength 0 and 1, linear between them. At 0 the plant is the nominal one.
        unit: Of the size; ``1`` for a ratio.
        text: What the size is.
        changes: The fields of ``Deviations`` for a size, a source of randomness and the number of joints.
    """

    name: str
    nominal: float
    full: float
    unit: str
    text: str
    changes: Callable[[float, np.random.Generator, int], Changes]

    def size(self, strength: float) -> float:
        """Size at a strength, in ``unit``."""
        return self.nominal + (self.full - self.nominal) * strength

    def at(self, strength: float, seed: int, joints: int) -> Changes:
        """The fields that differ from nominal at a strength; none at 0.

        Raises:
            ContractError: The strength is not from 0 to 1.
        """
        if not 0 <= strength <= 1:
            raise ContractError(f"perturbation {self.name!r}: strength {strength:g} is not from 0 to 1")
        return {} if strength == 0 else self.changes(self.size(strength), generator(seed, self.name), joints)


def generator(seed: int, name: str) -> np.random.Generator:
    """A source of randomness of its own for each seed and name."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def _direction(rng: np.random.Generator) -> np.ndarray:
    """A random unit vector. Shape (3,)."""
    vector = rng.standard_normal(3)
    return vector / np.linalg.norm(vector)


def _field(name: str) -> Callable[[float, np.random.Generator, int], Changes]:
    return lambda size, rng, joints: {name: size}


def _supply(size: float, rng: np.random.Generator, joints: int) -> Changes:
    return {"supply": size, "sag": 0.5 * (1 - size)}


def _torque_speed(size: float, rng: np.random.Generator, joints: int) -> Changes:
    return {"no_load_scale": size, "corner": 0.3}


def _joint_friction(size: float, rng: np.random.Generator, joints: int) -> Changes:
    return {"coulomb": size, "viscous": 5 * size}


def _encoder_offset(size: float, rng: np.random.Generator, joints: int) -> Changes:
    return {"encoder_offset": size * rng.uniform(-1, 1, joints)}


def _encoder_noise(size: float, rng: np.random.Generator, joints: int) -> Changes:
    return {"encoder_step": size, "position_noise": size, "velocity_noise": 50 * size}


def _imu_rotation(size: float, rng: np.random.Generator, joints: int) -> Changes:
    return {"imu_rotation": size * _direction(rng)}


def _gyro_bias(size: float, rng: np.random.Generator, joints: int) -> Changes:
    return {"gyro_bias": size * _direction(rng)}


def _imu_noise(size: float, rng: np.random.Generator, joints: int) -> Changes:
    return {"gyro_noise": size, "gravity_noise": 0.2 * size}


def _com(size: float, rng: np.random.Generator, joints: int) -> Changes:
    return {"com_shift": size * _direction(rng)}


def _asymmetry(size: float, rng: np.random.Generator, joints: int) -> Changes:
    return {"asymmetry": size * rng.choice((-1.0, 1.0))}


def _solver(size: float, rng: np.random.Generator, joints: int) -> Changes:
    return {"other_cone": True, "other_integrator": size > 1}


_ALL = (
    Perturbation(
        "torque_speed", 2.0, 0.25, "1",
        "no-load speed, times the contract's velocity limit; the torque falls from 0.3 of it on", _torque_speed,
    ),
    Perturbation(
        "supply", 1.0, 0.4, "1",
        "supply voltage, times the nominal; scales torque and no-load speed, and sags under load by half as much again",
        _supply,
    ),
    Perturbation(
        "joint_friction", 0.0, 0.15, "1",
        "dry friction added, as a share of the torque limit; with viscous friction of 5 times that share of kd",
        _joint_friction,
    ),
    Perturbation("backlash", 0.0, 0.1, "rad", "play between motor and joint, end to end", _field("backlash")),
    Perturbation("encoder_offset", 0.0, 0.12, "rad", "largest error of each encoder's zero", _encoder_offset),
    Perturbation(
        "encoder_noise", 0.0, 0.04, "rad",
        "encoder step and deviation of the angles; of the velocities 50 times it per second", _encoder_noise,
    ),
    Perturbation("latency", 0.0, 0.06, "s", "time from an order to its effect", _field("latency")),
    Perturbation("jitter", 0.0, 0.04, "s", "largest change of that time from step to step", _field("jitter")),
    Perturbation("packet_loss", 0.0, 0.5, "1", "share of the orders and of the readings that is lost", _field("loss")),
    Perturbation("imu_orientation", 0.0, 0.2, "rad", "angle by which the IMU is mounted askew", _imu_rotation),
    Perturbation("gyro_bias", 0.0, 0.6, "rad/s", "what the gyro reads too much", _gyro_bias),
    Perturbation(
        "imu_noise", 0.0, 1.5, "rad/s",
        "deviation of the gyro; of gravity's direction 0.2 s times it", _imu_noise,
    ),
    Perturbation("payload", 0.0, 0.5, "1", "mass added to the base, as a share of the robot's", _field("payload")),
    Perturbation("com", 0.0, 0.12, "m", "shift of the base's centre of mass", _com),
    Perturbation(
        "asymmetry", 0.0, 0.4, "1",
        "gains and torque limits: one side has so much more, the other so much less", _asymmetry,
    ),
    Perturbation(
        "ground_friction", 1.0, 0.1, "1",
        "friction of every contact, times the nominal", _field("friction_scale"),
    ),
    Perturbation(
        "timestep", 1.0, 0.4, "1",
        "physics time step, times the nominal; the control period stays", _field("timestep_scale"),
    ),
    Perturbation(
        "solver", 0.0, 2.0, "1",
        "up to 1: the other friction cone (elliptic or pyramidal); above: another integrator too", _solver,
    ),
    Perturbation("push", 0.0, 0.8, "m/s", "speed that pushes of 0.1 s, every 3 s, give the base", _field("push_speed")),
)  # fmt: skip

PERTURBATIONS: dict[str, Perturbation] = {p.name: p for p in _ALL}


@dataclass(frozen=True)
class Drawn:
    """A hidden plant.

    Attributes:
        seed: The seed it was drawn from.
        strengths: The strength of each perturbation, by name.
        deviations: How it differs from the nominal plant.
    """

    seed: int
    strengths: dict[str, float]
    deviations: Deviations

    @property
    def sizes(self) -> dict[str, float]:
        """The size of each perturbation, in its unit."""
        return {name: PERTURBATIONS[name].size(strength) for name, strength in self.strengths.items()}


def draw_single(name: str, strength: float, seed: int, joints: int) -> Drawn:
    """The nominal plant with one perturbation.

    Args:
        name: One of ``PERTURBATIONS``.
        strength: From 0, nothing, to 1.
        seed: Decides on directions and signs.
        joints: How many joints the robot has.

    Raises:
        ContractError: There is no such perturbation, or the strength is not from 0 to 1.
    """
    if name not in PERTURBATIONS:
        raise ContractError(f"no perturbation {name!r}; there are: {', '.join(PERTURBATIONS)}")
    changes = PERTURBATIONS[name].at(strength, seed, joints)
    return Drawn(seed, {name: strength}, Deviations(**changes) if changes else NOMINAL)


def draw_whole(seed: int, joints: int, most: float = WHOLE) -> Drawn:
    """A plant with every perturbation at once, each of a strength drawn uniformly from 0 to ``most``.

    Args:
        seed: Decides on everything.
        joints: How many joints the robot has.
        most: Largest strength.

    Raises:
        ContractError: The largest strength is not from 0 to 1.
    """
    strengths, changes = {}, {}
    for name, perturbation in PERTURBATIONS.items():
        strengths[name] = float(generator(seed, f"strength of {name}").uniform(0, most))
        changes |= perturbation.at(strengths[name], seed, joints)
    return Drawn(seed, strengths, Deviations(**changes))
