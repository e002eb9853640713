"""Go2 follows a velocity command, without a prior: rewards alone shape the gait."""

from robopolicy.env.command import Command
from robopolicy.learn.config import PPOConfig
from robopolicy.task import Gait, Push, Task, ends, observe, randomize, term
from robopolicy.terms import observations, randomizers, rewards, terminations

TROT = (0.0, 0.5, 0.5, 0.0)  # phase of FL, FR, RL, RR


def task() -> Task:
    return Task(
        robot="go2",
        command=Command(ranges={"vx": (-0.8, 1.2), "vy": (-0.5, 0.5), "wz": (-1.0, 1.0)}),
        gait=Gait(period_s=0.5, standing_speed=0.1),
        observations={
            "gyro": observe(observations.angular_velocity, scale=0.25, noise=0.2),
            "gravity": observe(observations.projected_gravity, noise=0.05),
            "command": observe(observations.command),
            "joint_position": observe(observations.joint_position, noise=0.02),
            "joint_velocity": observe(observations.joint_velocity, scale=0.05, noise=1.0),
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
            # Averaged over a cycle, so that the sway of a trot is no error. Wide and narrow: the wide one leads there
            # from afar, the narrow one makes close a poor answer.
            "velocity": term(1.0, rewards.track_mean_velocity, std=0.5),
            "velocity_fine": term(1.5, rewards.track_mean_velocity, std=0.15),
            "yaw": term(0.5, rewards.track_mean_yaw_rate, std=0.6),
            "yaw_fine": term(0.7, rewards.track_mean_yaw_rate, std=0.2),
            "contact": term(3.0, rewards.contact_clock, offsets=TROT, duty=0.55),
            "clock": term(1.0, rewards.foot_clock, offsets=TROT, duty=0.55, height=0.06, std=0.04),
            "tilt": term(-1.0, rewards.tilt),
            "height": term(-10.0, rewards.height_error, share=0.95),
            "vertical": term(-0.5, rewards.vertical_velocity),
            "roll_pitch": term(-0.02, rewards.roll_pitch_rate),
            "torque": term(-0.2, rewards.torque),
            "action_rate": term(-0.05, rewards.action_rate),
            "limits": term(-1.0, rewards.joint_limits),
            "slip": term(-0.05, rewards.foot_slip),
            "pose": term(-0.3, rewards.pose_deviation),
        },
        terminations={
            "tilted": ends(terminations.tilted, limit=1.0),
            "too_low": ends(terminations.too_low, share=0.5),
        },
        randomizers={
            "friction": randomize(randomizers.ground_friction, friction=(0.4, 1.2)),
            "base_mass": randomize(randomizers.base_mass, added=(-1.0, 1.5)),
            "base_com": randomize(randomizers.base_com, shift=0.03),
            "motor_strength": randomize(randomizers.motor_strength, scale=(0.9, 1.1)),
            "pd_gains": randomize(randomizers.pd_gains, kp=(0.9, 1.1), kd=(0.9, 1.1)),
            "encoder_offset": randomize(randomizers.encoder_offset, limit=0.02),
        },
        push=Push(velocity=0.5, yaw_rate=0.3, interval_s=(5.0, 10.0)),
        ppo=PPOConfig(
            horizon=12,
            schedule="linear",
            learning_rate=1.5e-3,
            final_learning_rate=3e-4,
            initial_std=0.6,
            entropy_coef=0.002,
        ),
    )
