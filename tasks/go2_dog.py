"""Go2 moves like a real dog: AMP on captured motion, without a gait clock.

The captures are not part of the project. With the six clips of AMP_for_hardware (datasets/mocap_motions) in a folder:

    for f in mocap_motions/*.txt; do
        robopolicy clip import $f --robot go2 --output clips/dog/$(basename $f .txt).npz
    done
    robopolicy train go2_dog
"""

from dataclasses import replace

from robopolicy.env.command import Command
from robopolicy.motion.prior import Prior
from robopolicy.task import Task, load_task, observe, term
from robopolicy.terms import observations, rewards


def task() -> Task:
    plain = load_task("go2_velocity")
    senses = {name: o for name, o in plain.observations.items() if name != "gait_phase"}
    return replace(
        plain,
        command=Command(ranges={"vx": (0.0, 1.2), "vy": (-0.1, 0.1), "wz": (-1.0, 1.0)}, zero=0.0, from_clips=0.5),
        observations=senses,
        privileged=plain.privileged | {"mean_velocity": observe(observations.mean_velocity)},
        rewards={
            "velocity": term(1.0, rewards.track_mean_velocity, std=0.5),
            "velocity_fine": term(1.0, rewards.track_mean_velocity, std=0.15),
            "yaw": term(1.0, rewards.track_mean_yaw_rate, std=0.3),
            "torque": term(-0.2, rewards.torque),
            "action_rate": term(-0.05, rewards.action_rate),
            "limits": term(-1.0, rewards.joint_limits),
            "slip": term(-0.05, rewards.foot_slip),
        },
        prior=Prior(clips=("clips/dog/*.npz",), weight=0.5, reward_scale=4.0, input_noise=0.3),
    )
