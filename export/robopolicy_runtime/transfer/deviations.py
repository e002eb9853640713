"""How a hidden plant differs from the one of the training."""

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Deviations:
    """Everything about a hidden plant that is not in the policy file; the defaults are the nominal plant.

    J joints in contract order. Whatever is drawn once per plant is here; what is drawn again at every step (noise,
    jitter, losses, pushes) is here as its size.

    Attributes:
        no_load_scale: No-load speed of every motor, times the contract's velocity limit. Infinite: the torque does not
            depend on the speed, as in training.
        corner: Speed up to which the full torque is there, as a share of the no-load speed.
        supply: Supply voltage as a share of the nominal one; scales torque and no-load speed.
        sag: How much of it is lost when all motors give their full torque, as a share of the nominal voltage.
        coulomb: Dry friction added to every joint, as a share of its torque limit.
        viscous: Viscous friction added to every joint, as a share of its ``kd``.
        backlash: Play between motor and joint, from one end to the other [rad].
        encoder_offset: What the encoders read too much [rad]; the motors regulate what they read. Shape (J,); None
            for none.
        encoder_step: Smallest difference that the encoders tell apart [rad]; 0 for none.
        position_noise: Deviation of the joint angles that the policy is told [rad].
        velocity_noise: Deviation of the joint velocities that the policy is told [rad/s].
        latency: Time from an order to its effect [s], the same for a whole episode.
        jitter: Largest change of it from step to step, to either side [s]; nothing arrives before it is sent.
        loss: Probability that an order, or a set of readings, is lost. The order before stays, readings stay old.
        imu_rotation: Rotation vector from the contract's IMU frame to the true one [rad]. Shape (3,); None for none.
        gyro_bias: What the gyro reads too much, IMU frame [rad/s]. Shape (3,); None for none.
        gyro_noise: Deviation of each gyro axis [rad/s].
        gravity_noise: Deviation of each component of the measured direction of gravity, before it is normalised.
        payload: Mass added to the base, as a share of the robot's mass; the base's inertia grows in proportion.
        com_shift: Shift of the base's centre of mass, base frame [m]. Shape (3,); None for none.
        asymmetry: Gains and torque limits on the left times ``1 + asymmetry``, on the right ``1 - asymmetry``.
        friction_scale: Friction of every contact, times the nominal one.
        timestep_scale: Wanted physics time step, times the nominal one; the nearest one is taken that divides the
            control period.
        other_cone: The other model of the friction cone: elliptic for pyramidal, or pyramidal for elliptic.
        other_integrator: MuJoCo's ``implicitfast``, or where that is the nominal one ``implicit``, which also knows how
            Coriolis forces change within a step.
        push_speed: Speed that each push would give the free robot [m/s]: a horizontal force on the base for 0.1 s.
        push_interval: Mean time between pushes [s].
    """

    no_load_scale: float = math.inf
    corner: float = 0.5
    supply: float = 1.0
    sag: float = 0.0
    coulomb: float = 0.0
    viscous: float = 0.0
    backlash: float = 0.0
    encoder_offset: np.ndarray | None = None
    encoder_step: float = 0.0
    position_noise: float = 0.0
    velocity_noise: float = 0.0
    latency: float = 0.0
    jitter: float = 0.0
    loss: float = 0.0
    imu_rotation: np.ndarray | None = None
    gyro_bias: np.ndarray | None = None
    gyro_noise: float = 0.0
    gravity_noise: float = 0.0
    payload: float = 0.0
    com_shift: np.ndarray | None = None
    asymmetry: float = 0.0
    friction_scale: float = 1.0
    timestep_scale: float = 1.0
    other_cone: bool = False
    other_integrator: bool = False
    push_speed: float = 0.0
    push_interval: float = 3.0


NOMINAL = Deviations()
