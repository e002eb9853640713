"""The droid walks as in droid_walk, and bears more: motors as they are, late or lost readings, loads, hard pushes.

Let it begin as a policy that walks, ``robopolicy train droid_robust --start-from RUN_OF_DROID_WALK``: one that learns
to walk among all of this from nothing falls so often that it gives up turning and going backward.
"""

from dataclasses import replace

from robopolicy.task import Push, Task, load_task, observe, randomize
from robopolicy.terms import observations, randomizers

# Noise, and how many readings are seen: from the last few a policy can tell how late, strong and heavy its robot is.
SEEN = {"gyro": (1.0, 8), "gravity": (0.2, 8), "joint_position": (0.02, 4), "joint_velocity": (1.0, 4)}


def task() -> Task:
    walk = load_task("droid_walk")
    seen = {name: replace(walk.observations[name], noise=noise, history=n) for name, (noise, n) in SEEN.items()}
    seen["last_action"] = replace(walk.observations["last_action"], history=3)
    # With what the critic sees besides, a robot that falls for its load is no surprise to it.
    known = {
        "gravity_b": observe(observations.gravity),
        "com": observe(observations.centre_of_mass, scale=10),
        "torque": observe(observations.joint_torque),
        "stiffness": observe(observations.joint_stiffness, scale=5),
        "contact": observe(observations.foot_contact),
    }
    wider = {
        "friction": randomize(randomizers.ground_friction, friction=(0.35, 1.3)),
        "link_mass": randomize(randomizers.link_mass, scale=(0.9, 1.1)),
        "base_mass": randomize(randomizers.base_mass, added=(-1.0, 4.0)),
        "base_com": randomize(randomizers.base_com, shift=0.05),
        "joint_friction": randomize(randomizers.joint_friction, scale=(0.5, 8.0)),
        "joint_damping": randomize(randomizers.joint_damping, added=(0.0, 0.4)),
        "armature": randomize(randomizers.armature, scale=(0.8, 1.2)),
        "motor_strength": randomize(randomizers.motor_strength, scale=(0.85, 1.1)),
        "side_strength": randomize(randomizers.side_strength, difference=(-0.15, 0.15)),
        "pd_gains": randomize(randomizers.pd_gains, kp=(0.85, 1.15), kd=(0.8, 1.2)),
        "torque_speed": randomize(randomizers.torque_speed, no_load=(0.7, 1.1), corner=(0.2, 0.7)),
        "supply": randomize(randomizers.supply_voltage, voltage=(0.7, 1.1), sag=(0.0, 0.15)),
        "backlash": randomize(randomizers.backlash, play=(0.0, 0.05)),
        "encoder_offset": randomize(randomizers.encoder_offset, limit=0.05),
        "imu": randomize(randomizers.imu_orientation, limit=0.06),
        "gyro_bias": randomize(randomizers.gyro_bias, limit=0.2),
        "latency": randomize(randomizers.action_latency, steps=(0, 6)),
        "sensor_latency": randomize(randomizers.sensor_latency, steps=(0, 2)),
        "loss": randomize(randomizers.packet_loss, share=(0.0, 0.2)),
    }
    return replace(
        walk,
        observations=walk.observations | seen,
        privileged=walk.privileged | known,
        randomizers=walk.randomizers | wider,
        push=Push(velocity=0.4, yaw_rate=0.4, force=20.0, force_s=(0.1, 0.5), interval_s=(2.0, 5.0), ramp_steps=1000),
        # Here a robot's motion differs from the clips for reasons that a discriminator must not live on.
        prior=replace(walk.prior, input_noise=0.6),
        # Half of droid_walk's step size: with so much noise twice as large an update is mostly chance.
        ppo=replace(walk.ppo, learning_rate=4e-4, final_learning_rate=5e-5),
    )
