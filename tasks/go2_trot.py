"""Go2 follows a velocity command in the style of our own trot clips."""

from dataclasses import replace

from robopolicy.env.command import Command
from robopolicy.motion.prior import Prior
from robopolicy.task import Gait, Task, load_task, observe, term
from robopolicy.terms import observations, rewards

TROT = (0.0, 0.5, 0.5, 0.0)  # phase of FL, FR, RL, RR


def task() -> Task:
    plain = load_task("go2_velocity")
    return replace(
        plain,
        command=Command(ranges={"vx": (-0.4, 1.0), "vy": (-0.3, 0.3), "wz": (-0.8, 0.8)}, from_clips=0.3),
        gait=Gait(period_s=0.48, standing_speed=0.1),
        privileged=plain.privileged | {"mean_velocity": observe(observations.mean_velocity)},
        # The clips shape posture and gait, so that only what they cannot say is left to rewards.
        rewards={
            "velocity": term(1.0, rewards.track_mean_velocity, std=0.5),
            "velocity_fine": term(1.0, rewards.track_mean_velocity, std=0.15),
            "yaw": term(0.5, rewards.track_mean_yaw_rate, std=0.6),
            "yaw_fine": term(0.7, rewards.track_mean_yaw_rate, std=0.2),
            "contact": term(1.0, rewards.contact_clock, offsets=TROT, duty=0.55),
            "torque": term(-0.2, rewards.torque),
            "action_rate": term(-0.05, rewards.action_rate),
            "limits": term(-1.0, rewards.joint_limits),
            "slip": term(-0.05, rewards.foot_slip),
        },
        prior=Prior(clips=("trot_*", "stand"), weight=0.5, reward_scale=4.0, input_noise=0.3, see_phase=True),
    )
