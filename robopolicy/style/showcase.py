"""One clip and one policy side by side: the same command, brought into step stride by stride, for people to look at."""

import dataclasses
from dataclasses import dataclass

import numpy as np

from robopolicy.motion.contacts import touchdowns
from robopolicy.motion.feet import Feet
from robopolicy.motion.pose import heading, move, quat_exp, quat_mul, rotate2
from robopolicy.robot import RobotModel
from robopolicy.style.compare import Row
from robopolicy.style.motions import ClipSet, Motion
from robopolicy.style.rollouts import roll_out

SECONDS = 10.0
"""Length of the episode that is shown, of which the first two seconds are dropped."""
_LEAST_S = 1.0  # if it falls before this, its fall is shown


@dataclass(frozen=True)
class Showcase:
    """A policy and a clip.

    Attributes:
        label: Of the policy.
        clip: Name of the clip.
        command: What the policy was told [m/s, m/s, rad/s].
        dt: Time between frames [s].
        policy: Undisturbed, on the plant as the model says, from a touchdown of the lead foot if there is one.
        reference: The clip, from a touchdown too, as long as it goes on.
        frame: Frame of the reference that is in step with each of the policy's; shorter than the policy where the clip
            ends. Shape (K,).
        pace: Stride frequency of the policy over that of the clip; None where one of them does not step.
    """

    label: str
    clip: str
    command: np.ndarray
    dt: float
    policy: Motion
    reference: Motion
    frame: np.ndarray
    pace: float | None

    def ghost(self) -> tuple[np.ndarray, np.ndarray]:
        """States of both for a film: the clip in step with the policy, at its place and heading.

        Returns:
            Policy and clip. Shapes (K, 7 + J).
        """
        ours = self.policy.qpos[: len(self.frame)]
        theirs = self.reference.qpos[self.frame].copy()
        turn = np.zeros((len(theirs), 3))
        turn[:, 2] = heading(ours[:, 3:7]) - heading(theirs[:, 3:7])
        theirs[:, :2] = ours[:, :2]
        theirs[:, 3:7] = quat_mul(quat_exp(turn), theirs[:, 3:7])
        return ours, theirs


def showcase(row: Row, robot: RobotModel, seed: int) -> Showcase:
    """Show a policy at the velocity of a brisk forward clip of the set that it is compared with."""
    clips, dt = row.clips, row.subject.task.control_dt
    k = brisk(clips)
    command = clips.commands[k].mean(0)
    one = dataclasses.replace(
        clips,
        clips=(clips.clips[k],),
        held_out=(clips.held_out[k],),
        trained=(clips.trained[k],),
        commands=(command[None],),
    )
    policy = roll_out(row.subject, one, 1, seed, nominal=True, seconds=SECONDS)[0]
    if len(policy) * dt < _LEAST_S:
        policy = roll_out(row.subject, one, 1, seed, nominal=True, seconds=SECONDS, settle=0.0)[0]
    clip = clips.clips[k]
    seconds = 1.5 * SECONDS if clip.loop else clip.duration
    qpos, qvel, _ = clip.sample(np.arange(round(seconds / dt)) * dt)
    reference = Motion(clip.name, qpos, qvel, Feet(robot).heights(qpos))
    policy, steps = _from_touchdown(policy)
    reference, beats = _from_touchdown(reference)
    frame, pace = in_step(steps, beats, len(policy), len(reference))
    return Showcase(row.subject.label, clip.name, command, dt, policy, reference, frame, pace)


def brisk(clips: ClipSet) -> int:
    """The clip at about three quarters of the fastest forward speed; it shows most."""
    forward = np.array([c[:, 0].mean() for c in clips.commands])
    other = np.array([np.abs(c[:, 1:].mean(0)).sum() for c in clips.commands])
    return int(np.argmin(np.abs(forward - 0.75 * forward.max()) + 2 * other))


def in_step(steps: np.ndarray, beats: np.ndarray, count: int, most: int) -> tuple[np.ndarray, float | None]:
    """Frames of a reference whose lead foot touches down when the policy's does.

    Between two touchdowns the reference is played faster or slower; without two of each it runs at its own speed.

    Args:
        steps: Frames of the policy's touchdowns, the first is 0.
        beats: Frames of the reference's touchdowns, the first is 0.
        count: Frames of the policy.
        most: Frames of the reference.

    Returns:
        Frames of the reference, shape (K,) with K <= count, and the policy's stride frequency over the reference's.
    """
    n = min(len(steps), len(beats))
    if n < 2:
        return np.arange(min(count, most)), None
    frame = np.interp(np.arange(steps[n - 1] + 1), steps[:n], beats[:n])
    return np.minimum(frame.round().astype(int), most - 1), float(beats[n - 1] / steps[n - 1])


def _from_touchdown(motion: Motion) -> tuple[Motion, np.ndarray]:
    """The motion from the lead foot's first touchdown on, from the origin along x; and all its touchdowns."""
    landed = touchdowns(motion.contact)[0] if len(motion) > 1 else np.array([], dtype=int)
    first = int(landed[0]) if len(landed) else 0
    qpos = motion.qpos[first:]
    if len(qpos):
        yaw = -heading(qpos[:1, 3:7])[0]
        qpos = move(qpos, np.array([*-rotate2(np.array(yaw), qpos[0, :2]), yaw]))
    moved = dataclasses.replace(motion, qpos=qpos, qvel=motion.qvel[first:], height=motion.height[first:])
    return moved, landed - first
