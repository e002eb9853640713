"""Regenerates every clip that comes with the project: ``python -m robopolicy.motion.generate [ROBOT ...]``.

The clips follow from the numbers in this file, the keyframe files beside them and the robots' models alone,
so running it again writes the same trajectories.
"""

import argparse
import dataclasses
from functools import partial
from pathlib import Path

import numpy as np

from robopolicy.motion.clip import Clip
from robopolicy.motion.gait import Gait, generate, with_velocity
from robopolicy.motion.keyframes import compile_keyframes
from robopolicy.paths import clips_dir
from robopolicy.robot import RobotModel, load_robot

DROID_WALK = Gait(duty=0.6, height=0.322, forward=-0.02, sway=0.029, bounce=0.006, roll=0.03, rock=0.025, toe=0.08)
DROID_JAUNTY = Gait(
    duty=0.55,
    height=0.336,
    forward=-0.024,
    sway=0.034,
    bounce=-0.006,
    roll=0.065,
    yaw=0.08,
    pitch=-0.05,
    rock=0.035,
    toe=0.12,
)
"""Tall, high-stepping, swaggering. The knees give under the weight (negative bounce): so much sway with a body
highest over the standing foot would take the pressure point off the sole. More than this little bounce is dear
(with 15 mm the walk costs half as much again); the hips' yaw and the head show character for next to nothing."""
DROID_STAND = Gait(style="stand", cycles=6, height=0.324, forward=-0.02)
DROID_VELOCITIES = {
    "forward_0.10": (0.1, 0, 0),
    "forward_0.20": (0.2, 0, 0),
    "forward_0.30": (0.3, 0, 0),
    "forward_0.40": (0.4, 0, 0),
    "backward_0.10": (-0.1, 0, 0),
    "backward_0.20": (-0.2, 0, 0),
    "left_0.06": (0, 0.06, 0),
    "left_0.12": (0, 0.12, 0),
    "right_0.06": (0, -0.06, 0),
    "right_0.12": (0, -0.12, 0),
    "in_place": (0, 0, 0),
    "turn_left_0.30": (0, 0, 0.3),
    "turn_left_0.60": (0, 0, 0.6),
    "turn_right_0.30": (0, 0, -0.3),
    "turn_right_0.60": (0, 0, -0.6),
    "forward_0.15_turn_left_0.40": (0.15, 0, 0.4),
    "forward_0.15_turn_right_0.40": (0.15, 0, -0.4),
    "forward_0.30_turn_left_0.40": (0.3, 0, 0.4),
    "forward_0.30_turn_right_0.40": (0.3, 0, -0.4),
    "forward_0.25_left_0.06": (0.25, 0.06, 0),
    "forward_0.25_right_0.06": (0.25, -0.06, 0),
    "forward_0.15_left_0.10": (0.15, 0.1, 0),
    "forward_0.15_right_0.10": (0.15, -0.1, 0),
    "backward_0.12_turn_left_0.30": (-0.12, 0, 0.3),
    "backward_0.12_turn_right_0.30": (-0.12, 0, -0.3),
    "backward_0.12_left_0.06": (-0.12, 0.06, 0),
    "backward_0.12_right_0.06": (-0.12, -0.06, 0),
    "left_0.08_turn_left_0.30": (0, 0.08, 0.3),
    "right_0.08_turn_right_0.30": (0, -0.08, -0.3),
}

GO2_TROT = Gait(
    style="trot",
    period=0.48,
    duty=0.55,
    cycles=6,
    step_height=0.07,
    height=0.305,
    bounce=0.006,
    roll=0.012,
    rock=0.012,
)
GO2_PACE = Gait(
    style="pace",
    period=0.48,
    duty=0.58,
    cycles=6,
    step_height=0.065,
    height=0.305,
    sway=0.024,
    bounce=0.005,
    roll=0.05,
    rock=0.012,
)
GO2_STAND = Gait(style="stand", period=0.48, cycles=8, height=0.312)
GO2_VELOCITIES = {
    "forward_0.30": (0.3, 0, 0),
    "forward_0.60": (0.6, 0, 0),
    "forward_1.00": (1.0, 0, 0),
    "backward_0.40": (-0.4, 0, 0),
    "left_0.30": (0, 0.3, 0),
    "right_0.30": (0, -0.3, 0),
    "in_place": (0, 0, 0),
    "turn_left_0.80": (0, 0, 0.8),
    "turn_right_0.80": (0, 0, -0.8),
    "forward_0.50_turn_left_0.60": (0.5, 0, 0.6),
    "forward_0.50_turn_right_0.60": (0.5, 0, -0.6),
}


def droid_clips(model: RobotModel) -> list[Clip]:
    """The droid's walks, its idle stand, and its keyframed emotes."""
    clips = [generate("stand_idle", model, DROID_STAND, _droid_idle)]
    for name, (vx, vy, wz) in DROID_VELOCITIES.items():
        gait = dataclasses.replace(
            with_velocity(DROID_WALK, vx, vy, wz),
            pitch=0.05 * vx,
            yaw=0.06 * vx,
            step_height=0.04 + 0.02 * abs(vx),
        )
        name = name if name.startswith("turn") else f"walk_{name}"
        clips.append(generate(name, model, gait, partial(_droid_head, gait)))
    for name, velocity in DROID_VELOCITIES.items():
        gait = with_velocity(DROID_JAUNTY, *velocity)
        gait = dataclasses.replace(gait, step_height=0.066 - 0.02 * abs(gait.vx))
        clips.append(generate(f"jaunty_{name}", model, gait, partial(_jaunty_head, gait)))
    return clips + [compile_keyframes(path, model) for path in sorted((clips_dir() / "droid/keyframes").glob("*.toml"))]


def go2_clips(model: RobotModel) -> list[Clip]:
    """The Go2's stand, and its trots and paces at the same velocities."""
    clips = [generate("stand", model, GO2_STAND, _go2_idle)]
    for gait in (GO2_TROT, GO2_PACE):
        clips += [
            generate(f"{gait.style}_{name}", model, with_velocity(gait, *v)) for name, v in GO2_VELOCITIES.items()
        ]
    return clips


def _droid_head(gait: Gait, phase: np.ndarray, share: np.ndarray) -> dict[str, np.ndarray]:
    """The head while walking: level over a swaying body, bobbing against the steps, looking into the turn."""
    step = 4 * np.pi * (phase - 0.5 * gait.duty)
    over = 2 * np.pi * (phase - 0.5 * gait.duty)
    bob = 0.035 * np.cos(step - 0.9)
    gaze = 0.06 * np.sin(2 * np.pi * share) + 0.02 * np.sin(4 * np.pi * share + 1.0)
    look = 0.45 * gait.wz + 1.0 * gait.vy + gaze + 0.8 * gait.yaw * np.cos(2 * np.pi * phase)
    return {
        "neck_pitch": 0.08 + 0.2 * max(gait.vx, 0.0) + bob,
        "head_pitch": -0.08 - 0.2 * max(gait.vx, 0.0) - 0.8 * bob + 0.03 * np.sin(2 * np.pi * share + 0.5),
        # The droid's head_yaw turns about -z and its head_roll about -x: negative yaw looks to the left.
        "head_yaw": -look,
        "head_roll": -0.8 * gait.roll * np.cos(over - 0.4) + 0.1 * gait.wz,
    }


def _jaunty_head(gait: Gait, phase: np.ndarray, share: np.ndarray) -> dict[str, np.ndarray]:
    """The head of the jaunty walk: carried high, pumped forward with every step, tilting from side to side."""
    step = 4 * np.pi * (phase - 0.5 * gait.duty)
    over = 2 * np.pi * (phase - 0.5 * gait.duty)
    pump = 0.18 * np.sin(step - 0.6)
    look = 0.45 * gait.wz + 1.0 * gait.vy + 0.8 * gait.yaw * np.cos(2 * np.pi * phase)
    return {
        "neck_pitch": 0.02 + pump,
        "head_pitch": -0.10 - pump + 0.09 * np.cos(step - 1.4),
        "head_yaw": -look + 0.05 * np.sin(2 * np.pi * share),
        # Past upright and to the other side: the body leans one way, the head tips the other.
        "head_roll": -0.2 * np.cos(over - 0.7) + 0.1 * gait.wz,
    }


def _droid_idle(phase: np.ndarray, share: np.ndarray) -> dict[str, np.ndarray]:
    """Standing: it breathes twice, shifts its weight once, and its head wanders."""
    turn = 2 * np.pi * share
    return {
        "z": 0.003 * np.sin(2 * turn),
        "y": 0.006 * np.sin(turn),
        "x": 0.002 * np.sin(2 * turn + 0.7),
        "roll": -0.008 * np.sin(turn),
        "pitch": 0.008 * np.sin(2 * turn + 0.4),
        "yaw": 0.02 * np.sin(turn + 0.5),
        "neck_pitch": 0.08 + 0.03 * np.sin(2 * turn - 0.6),
        "head_pitch": -0.08 - 0.03 * np.sin(2 * turn - 1.2) + 0.02 * np.sin(turn),
        "head_yaw": 0.10 * np.sin(turn + 0.9) + 0.03 * np.sin(3 * turn),
        "head_roll": 0.04 * np.sin(turn - 0.4),
    }


def _go2_idle(phase: np.ndarray, share: np.ndarray) -> dict[str, np.ndarray]:
    """Standing: it breathes twice and shifts its weight once."""
    turn = 2 * np.pi * share
    return {
        "z": 0.003 * np.sin(2 * turn),
        "x": 0.004 * np.sin(turn + 1.0),
        "y": 0.006 * np.sin(turn),
        "roll": 0.01 * np.sin(turn + 0.3),
        "pitch": 0.008 * np.sin(2 * turn + 0.4),
    }


USUAL = {
    "droid": {"walk": (DROID_WALK, _droid_head), "jaunty": (DROID_JAUNTY, _jaunty_head)},
    "go2": {"trot": (GO2_TROT, None), "pace": (GO2_PACE, None)},
}
"""Gaits by robot and character, with what the rest of the body does."""
ROBOTS = {"droid": droid_clips, "go2": go2_clips}


def write(robot: str, folder: Path | None = None) -> list[Path]:
    """Generate and save a robot's clips.

    Args:
        robot: A key of :data:`ROBOTS`.
        folder: Where to; by default the project's ``assets/clips/<robot>``.
    """
    folder = clips_dir() / robot if folder is None else folder
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for clip in ROBOTS[robot](load_robot(robot).compile()):
        paths.append(folder / f"{clip.name}.npz")
        clip.save(paths[-1])
    return paths


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m robopolicy.motion.generate", description="make our clips again")
    parser.add_argument("robots", nargs="*", metavar="ROBOT", help=f"of {', '.join(ROBOTS)}; by default all")
    asked = parser.parse_args().robots
    for robot_name in asked:
        if robot_name not in ROBOTS:
            parser.error(f"no clips to make for robot {robot_name!r}; there are {', '.join(ROBOTS)}")
    for robot_name in asked or ROBOTS:
        written = write(robot_name)
        print(f"{robot_name}: {len(written)} clips in {written[0].parent}")
