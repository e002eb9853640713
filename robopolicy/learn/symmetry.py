"""A policy that treats left and right alike: what the mirror shows it answers with the mirror image of its action.

Source: Yu, Turk, Liu, "Learning Symmetric and Low-Energy Locomotion", 2018 (arXiv:1801.08093).
"""

import numpy as np
import torch
from torch import Tensor

from robopolicy.errors import UserError
from robopolicy.learn.policy import RobotPolicy
from robopolicy.motion.mirror import POSITION_SIGN, ROTATION_SIGN, Mirror
from robopolicy.robot import RobotModel
from robopolicy.rotation import matrix
from robopolicy.task import Task
from robopolicy.terms import observations

_CHANNEL_SIGN = {
    **{"vx": 1, "vy": -1, "vz": 1, "wx": -1, "wy": 1, "wz": -1},
    **{"height": 1, "roll": -1, "pitch": 1, "yaw": -1, "style": 1},
}


class Symmetry:
    """The mirror images of what a task's actor sees and does.

    Args:
        task: Says what is seen.
        robot: The compiled robot.
        device: Where.

    Raises:
        UserError: The robot, its default pose or its servos are not symmetric, or nobody knows what the mirror image of
            an observation or a command channel is.
    """

    def __init__(self, task: Task, robot: RobotModel, device: torch.device):
        if task.teacher:
            raise UserError("ppo.symmetry_coef: a teacher sees what is privileged, whose mirror image is not known")
        mirror = Mirror(robot)
        joints = np.zeros((len(robot.joint_names),) * 2)
        joints[mirror.joint_index, np.arange(len(joints))] = mirror.joint_sign
        for what, values in (("default pose", robot.default_pose @ joints), ("action scale", robot.action_scale)):
            wanted = robot.default_pose if what == "default pose" else robot.action_scale[mirror.joint_index]
            if np.abs(values - wanted).max() > 1e-6:
                worst = robot.joint_names[int(np.abs(values - wanted).argmax())]
                raise UserError(f"ppo.symmetry_coef: the {what} of robot {robot.robot.name!r} differs at {worst!r}")
        imu = matrix(torch.as_tensor(robot.mj.site_quat[robot.imu_site]).unsqueeze(0))[0].numpy()
        known = {
            observations.angular_velocity: imu.T @ np.diag(ROTATION_SIGN) @ imu,
            observations.projected_gravity: imu.T @ np.diag(POSITION_SIGN) @ imu,
            observations.command: np.diag([_channel(name) for name in task.channels.names]),
            observations.joint_position: joints,
            observations.joint_velocity: joints,
            observations.last_action: joints,
            observations.gait_phase: _clock_sign(task, mirror) * np.eye(2),
        }
        blocks = []
        for name, term in task.observations.items():
            if term.function not in known:
                raise UserError(f"ppo.symmetry_coef: the mirror image of observation {name!r} is not known")
            blocks += [known[term.function]] * term.history
        whole = np.zeros((sum(map(len, blocks)),) * 2)
        start = 0
        for block in blocks:
            end = start + len(block)
            whole[start:end, start:end] = block
            start = end
        self.seen = torch.as_tensor(whole, dtype=torch.float32, device=device)
        self.done = torch.as_tensor(joints, dtype=torch.float32, device=device)

    def loss(self, policy: RobotPolicy, seen: Tensor, action: Tensor) -> Tensor:
        """Mean square difference between the action in the mirror and the answer to what the mirror shows.

        Args:
            policy: The actor and its normaliser.
            seen: Normalised observations. Shape (B, A).
            action: The actor's answers to them. Shape (B, J).
        """
        normalizer = policy.actor_normalizer
        width = normalizer.var.sqrt() + normalizer.epsilon
        mirrored = normalizer((seen * width + normalizer.mean) @ self.seen)
        return (policy.actor(mirrored) - action @ self.done).square().mean()


def _clock_sign(task: Task, mirror: Mirror) -> int:
    """What the mirror does to the gait clock: -1 moves it half a cycle on, as where the feet of a pair take turns."""
    found = set()
    for name, term in task.rewards.items():
        if "offsets" in term.params:
            offset = np.asarray(term.params["offsets"], float)
            if len(offset) != len(mirror.foot_index):
                feet = len(mirror.foot_index)
                raise UserError(f"rewards.{name} has {len(offset)} offsets, robot {task.robot!r} {feet} feet")
            apart = np.mod(offset[mirror.foot_index] - offset + 0.25, 1.0) - 0.25
            if np.allclose(apart, 0.0):
                found.add(1)
            elif np.allclose(apart, 0.5):
                found.add(-1)
            else:
                raise UserError(
                    f"ppo.symmetry_coef: in rewards.{name} the feet of a pair are neither together nor half a cycle "
                    f"apart (offsets {term.params['offsets']}): such a gait is not symmetric"
                )
    if len(found) > 1:
        raise UserError(
            "ppo.symmetry_coef: in one reward's clock the feet of a pair step together, in another's in turn"
        )
    return found.pop() if found else -1


def _channel(name: str) -> int:
    """Whether a command channel keeps its sign in the mirror."""
    word = "style" if name.startswith("style") else name.split("_")[-1]
    if word not in _CHANNEL_SIGN:
        known = ", ".join(_CHANNEL_SIGN)
        raise UserError(
            f"ppo.symmetry_coef: whether command channel {name!r} keeps its sign in a mirror is not known; "
            f"a name that ends in one of {known} says so"
        )
    return _CHANNEL_SIGN[word]
