"""The clips of a robot, to compare with: which one is meant by a command, and its pose beside the robot."""

from collections.abc import Mapping

import numpy as np

from robopolicy.errors import UserError
from robopolicy.motion.clip import Clip, list_clips, load_clips
from robopolicy.motion.pose import heading, quat_exp, quat_mul
from robopolicy.robot import load_robot

_STILL = 0.03  # a clip that is slower than this [m/s, rad/s] stays where it is: an emote


class Repertoire:
    """Clips by name.

    Args:
        robot: Name of the robot.
        patterns: Clips by style, as a prior names them; by default all of the robot's own.

    Attributes:
        clips: In the robot's joint order; empty for a robot that nobody knows here.
        emotes: Names of those that stay in place.
    """

    def __init__(self, robot: str, patterns: Mapping[str, tuple[str, ...]] | None = None):
        self.clips: dict[str, Clip] = {}
        self._style: dict[str, str] = {}
        try:
            model = load_robot(robot).compile()
            groups = patterns or {"": tuple(list_clips(model.robot.name))}
            for style, names in groups.items():
                for clip in load_clips(model.robot.name, names):
                    self.clips[clip.name] = clip.for_robot(model)
                    self._style[clip.name] = style
        except UserError:
            self.clips = {}  # a policy can be watched without the clips it learned from
        self._velocity = {name: clip.planar_velocity().mean(axis=0) for name, clip in self.clips.items()}
        self.emotes = [name for name, v in self._velocity.items() if np.abs(v).max() < _STILL]

    def nearest(self, velocity: np.ndarray, style: str = "") -> str | None:
        """Name of the clip of that style whose mean velocity (vx, vy, wz) is nearest; None if there is none."""
        fitting = [name for name in self.clips if self._style[name] == style] or list(self.clips)
        if not fitting:
            return None
        return min(fitting, key=lambda name: float(np.linalg.norm(self._velocity[name] - velocity[:3])))

    def beside(self, name: str, time: float, robot: np.ndarray, offset: np.ndarray) -> np.ndarray:
        """A clip's pose, facing as the robot does.

        Args:
            name: Of the clip; a clip that ends is shown over and over.
            time: [s].
            robot: State of the robot. Shape (nq,).
            offset: From the robot, world frame [m]. Shape (2,).

        Returns:
            Shape (nq,).
        """
        clip = self.clips[name]
        qpos = clip.sample(np.array([time if clip.loop else time % clip.duration]))[0][0].copy()
        yaw = heading(robot[3:7])
        turn = float(yaw - heading(qpos[3:7]))
        qpos[:2] = robot[:2] + offset
        qpos[3:7] = quat_mul(quat_exp(np.array([0.0, 0.0, turn])), qpos[3:7])
        return qpos
