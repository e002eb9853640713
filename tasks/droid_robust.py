"""The droid walks as in droid_walk, and bears more: motors as they are, late and noisy sensors, loads, hard pushes."""

from dataclasses import replace

from robopolicy.task import Push, Task, load_task, randomize
from robopolicy.terms import randomizers

NOISE = {"gyro": 1.0, "gravity": 0.15, "joint_position": 0.02, "joint_velocity": 1.0}


def task() -> Task:
    walk = load_task("droid_walk")
    # The last three of each, from which a policy can tell how late and how strong its robot is.
    seen = {name: replace(walk.observations[name], noise=noise, history=3) for name, noise in NOISE.items()}
    wider = {
        "friction": randomize(randomizers.ground_friction, friction=(0.35, 1.3)),
        "link_mass": randomize(randomizers.link_mass, scale=(0.9, 1.1)),
        "base_mass": randomize(randomizers.base_mass, added=(-1.0, 4.0)),
        "base_com": randomize(randomizers.base_com, shift=0.04),
        "joint_friction": randomize(randomizers.joint_friction, scale=(0.5, 8.0)),
        "joint_damping": randomize(randomizers.joint_damping, added=(0.0, 0.4)),
        "armature": randomize(randomizers.armature, scale=(0.8, 1.2)),
        "motor_strength": randomize(randomizers.motor_strength, scale=(0.75, 1.15)),
        "pd_gains": randomize(randomizers.pd_gains, kp=(0.85, 1.15), kd=(0.8, 1.2)),
        "torque_speed": randomize(randomizers.torque_speed, no_load=(0.5, 1.1), corner=(0.2, 0.7)),
        "supply": randomize(randomizers.supply_voltage, voltage=(0.7, 1.1), sag=(0.0, 0.2)),
        "backlash": randomize(randomizers.backlash, play=(0.0, 0.05)),
        "encoder_offset": randomize(randomizers.encoder_offset, limit=0.05),
        "imu": randomize(randomizers.imu_orientation, limit=0.08),
        "latency": randomize(randomizers.action_latency, steps=(0, 6)),
        "sensor_latency": randomize(randomizers.sensor_latency, steps=(0, 2)),
    }
    return replace(
        walk,
        observations=walk.observations | seen,
        randomizers=walk.randomizers | wider,
        push=Push(velocity=0.4, yaw_rate=0.4, force=20.0, force_s=(0.1, 0.5), interval_s=(2.0, 5.0), ramp_steps=1000),
    )
