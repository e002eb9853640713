"""The droid stands where it is, bends and leans as told, and looks where it is told."""

from robopolicy.env.command import Command
from robopolicy.learn.config import PPOConfig
from robopolicy.motion.prior import Prior
from robopolicy.task import Push, Task, ends, observe, randomize, term
from robopolicy.terms import observations, randomizers, rewards, terminations

HEAD = "head_pitch head_yaw head_roll"


def task() -> Task:
    return Task(
        robot="droid",
        command=Command(
            ranges={
                "height": (-0.04, 0.01),
                "pitch": (-0.15, 0.2),
                "roll": (-0.12, 0.12),
                "head_pitch": (-0.5, 0.5),
                "head_yaw": (-0.7, 0.7),
                "head_roll": (-0.3, 0.3),
            },
            units={
                "height": "m",
                "pitch": "rad",
                "roll": "rad",
                "head_pitch": "rad",
                "head_yaw": "rad",
                "head_roll": "rad",
            },
            resample_s=(2.0, 5.0),
            zero=0.2,
        ),
        observations={
            "gyro": observe(observations.angular_velocity, scale=0.25, noise=0.2),
            "gravity": observe(observations.projected_gravity, noise=0.03),
            "command": observe(observations.command),
            "joint_position": observe(observations.joint_position, noise=0.01),
            "joint_velocity": observe(observations.joint_velocity, scale=0.05, noise=0.5),
            "last_action": observe(observations.last_action),
        },
        privileged={
            "base_velocity": observe(observations.base_linear_velocity),
            "base_height": observe(observations.base_height),
            "foot_clearance": observe(observations.foot_clearance, scale=10),
        },
        rewards={
            "alive": term(0.2, rewards.alive),
            # Wide and narrow: the narrow ones alone are zero from afar, and a robot that stands still learns nothing.
            "posture": term(1.0, rewards.track_posture, std=0.4),
            "posture_fine": term(1.5, rewards.track_posture, std=0.12),
            "head": term(1.0, rewards.track_joints, joints=HEAD, first=3, std=0.8),
            "head_fine": term(1.5, rewards.track_joints, joints=HEAD, first=3, std=0.25),
            "feet_down": term(0.5, rewards.feet_down),
            "action_rate": term(-0.05, rewards.action_rate),
            "torque": term(-0.2, rewards.torque),
            "limits": term(-1.0, rewards.joint_limits),
            "slip": term(-0.2, rewards.foot_slip),
        },
        terminations={
            "tilted": ends(terminations.tilted, limit=0.9),
            "too_low": ends(terminations.too_low, share=0.6),
        },
        randomizers={
            "friction": randomize(randomizers.ground_friction, friction=(0.5, 1.2)),
            "link_mass": randomize(randomizers.link_mass, scale=(0.95, 1.05)),
            "base_mass": randomize(randomizers.base_mass, added=(-0.5, 0.8)),
            "base_com": randomize(randomizers.base_com, shift=0.02),
            "joint_friction": randomize(randomizers.joint_friction, scale=(0.5, 1.5)),
            "motor_strength": randomize(randomizers.motor_strength, scale=(0.9, 1.1)),
            "pd_gains": randomize(randomizers.pd_gains, kp=(0.9, 1.1), kd=(0.9, 1.1)),
            "encoder_offset": randomize(randomizers.encoder_offset, limit=0.02),
            "imu": randomize(randomizers.imu_orientation, limit=0.02),
            "latency": randomize(randomizers.action_latency, steps=(0, 2)),
        },
        push=Push(velocity=0.3, yaw_rate=0.3, interval_s=(5.0, 10.0)),
        prior=Prior(clips=("stand_idle", "look_around"), weight=0.2, see_command=False),
        ppo=PPOConfig(
            horizon=12,
            schedule="linear",
            learning_rate=8e-4,
            final_learning_rate=2e-4,
            initial_std=0.5,
            min_std=0.08,
            entropy_coef=0.002,
        ),
    )
