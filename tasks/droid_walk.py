"""The droid walks where it is told, in the style of its clips."""

from robopolicy.env.command import Command
from robopolicy.learn.config import PPOConfig
from robopolicy.motion.prior import Prior
from robopolicy.task import Gait, Push, Task, ends, observe, randomize, term
from robopolicy.terms import observations, randomizers, rewards, terminations

LEFT_RIGHT = (0.0, 0.5)  # phase of the feet


def task() -> Task:
    return Task(
        robot="droid",
        command=Command(
            ranges={"vx": (-0.2, 0.4), "vy": (-0.12, 0.12), "wz": (-0.6, 0.6)},
            resample_s=(3.0, 6.0),
            from_clips=0.4,
            zero=0.05,
        ),
        gait=Gait(period_s=0.64, standing_speed=0.03),
        observations={
            "gyro": observe(observations.angular_velocity, scale=0.25, noise=0.2),
            "gravity": observe(observations.projected_gravity, noise=0.03),
            "command": observe(observations.command),
            "joint_position": observe(observations.joint_position, noise=0.01),
            "joint_velocity": observe(observations.joint_velocity, scale=0.05, noise=0.5),
            "last_action": observe(observations.last_action),
            "gait_phase": observe(observations.gait_phase),
        },
        privileged={
            "base_velocity": observe(observations.base_linear_velocity),
            "mean_velocity": observe(observations.mean_velocity),
            "base_height": observe(observations.base_height),
            "foot_clearance": observe(observations.foot_clearance, scale=10),
        },
        rewards={
            "alive": term(0.2, rewards.alive),
            # Averaged over a cycle, or the sway of every step would be an error and not stepping the cure.
            # Wide and narrow: the wide one leads there from afar, the narrow one makes standing still a poor answer.
            "velocity": term(2.0, rewards.track_mean_velocity, std=0.25),
            "velocity_fine": term(3.0, rewards.track_mean_velocity, std=0.08),
            "yaw": term(0.7, rewards.track_mean_yaw_rate, std=0.6),
            "yaw_fine": term(1.2, rewards.track_mean_yaw_rate, std=0.2),
            # Without it the droid answers small commands by standing still, which loses little and never falls.
            "contact": term(2.5, rewards.contact_clock, offsets=LEFT_RIGHT, duty=0.6),
            "clock": term(1.0, rewards.foot_clock, offsets=LEFT_RIGHT, duty=0.6, height=0.04, std=0.025),
            "action_rate": term(-0.02, rewards.action_rate),
            "torque": term(-0.1, rewards.torque),
            "limits": term(-1.0, rewards.joint_limits),
            "slip": term(-0.1, rewards.foot_slip),
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
            "armature": randomize(randomizers.armature, scale=(0.9, 1.1)),
            "motor_strength": randomize(randomizers.motor_strength, scale=(0.9, 1.1)),
            "pd_gains": randomize(randomizers.pd_gains, kp=(0.9, 1.1), kd=(0.9, 1.1)),
            "encoder_offset": randomize(randomizers.encoder_offset, limit=0.02),
            "imu": randomize(randomizers.imu_orientation, limit=0.02),
            "latency": randomize(randomizers.action_latency, steps=(0, 2)),
        },
        push=Push(velocity=0.3, yaw_rate=0.3, interval_s=(5.0, 10.0)),
        prior=Prior(
            clips=("walk_*", "turn_*", "stand_idle"), weight=0.5, reward_scale=6.0, input_noise=0.3, see_phase=True
        ),
        ppo=PPOConfig(
            horizon=12,
            schedule="linear",
            learning_rate=8e-4,
            final_learning_rate=2e-4,
            initial_std=0.5,
            min_std=0.1,
            entropy_coef=0.002,
        ),
    )
