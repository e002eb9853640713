"""Move the joints of a robot on a stand so that a log says what its motors do: ``robopolicy-runtime excite``."""

import argparse
import re
import sys
from collections.abc import Mapping

import numpy as np

from robopolicy_runtime.commands import Script
from robopolicy_runtime.contract import Contract
from robopolicy_runtime.errors import ContractError
from robopolicy_runtime.log import LogWriter
from robopolicy_runtime.machine import Machine
from robopolicy_runtime.policy import Controller, PolicyFile
from robopolicy_runtime.session import Closable, add_flags, connect, drive, guarded

_TURN_S = 4.0  # sines, steps, and slow ways take turns
_HOLD_S = 0.4
_FADE_S = 0.4
_NEAR_LIMIT = 0.05  # rad, to the end of a joint's range
_BANDS = ((0.2, 0.5), (0.5, 1.5), (1.5, 4.0))  # Hz; one sine of each
_OVERLAP = 2.0  # sum of the sines, at most, that is let through whole


def excitation(contract: Contract, joints: str, amplitude: float, seconds: float, seed: int = 0) -> np.ndarray:
    """Targets about the default pose, in turns of sines, steps and slow ways. Shape (T, J) [rad].

    Every joint has its own frequencies, steps and speeds, at most ``amplitude`` from the pose, in its range and below
    half of its speed. Sines show inertia and latency, steps the strength, slow ways dry friction and gravity.

    Args:
        contract: The robot's.
        joints: Regular expression of the joints that move; the others hold the pose.
        amplitude: [rad].
        seconds: How long.
        seed: Of the frequencies and steps.

    Raises:
        ContractError: No joint is called so, or a number is out of its range.
    """
    names = contract.joint_names
    moving = np.array([re.fullmatch(joints, name) is not None for name in names])
    if not moving.any():
        raise ContractError(f"--joints {joints}: fits no joint; they are: {', '.join(names)}")
    if not 0 < amplitude <= 1 or not seconds > 0:
        raise ContractError(f"--amplitude {amplitude:g} rad, --seconds {seconds:g}: up to 1 rad, for more than 0 s")
    pose = np.array(contract.default_pose)
    low = np.maximum(np.array(contract.position_lower) + _NEAR_LIMIT, pose - amplitude)
    high = np.minimum(np.array(contract.position_upper) - _NEAR_LIMIT, pose + amplitude)
    room = np.where(moving, np.clip(np.minimum(high - pose, pose - low), 0.0, None), 0.0)
    time = np.arange(0.0, seconds, contract.control_period_s)
    random = np.random.default_rng(seed)
    speed = np.array([10.0 if v is None else v for v in contract.velocity_limit])
    parts = (_sines(time, room, speed, random), _steps(time, len(names), random), _slow(time, len(names), random))
    turn = (time // _TURN_S).astype(int) % len(parts)
    # Each turn begins and ends at the pose.
    into = time % _TURN_S
    fade = np.clip(np.minimum(into, np.minimum(_TURN_S - into, seconds - time)) / _FADE_S, 0.0, 1.0)
    return pose + room * fade[:, None] * np.choose(turn[:, None], parts)


def _sines(time: np.ndarray, room: np.ndarray, speed: np.ndarray, random: np.random.Generator) -> np.ndarray:
    total = np.zeros((len(time), len(room)))
    for low, high in _BANDS:
        rate = 2 * np.pi * random.uniform(low, high, len(room))
        size = np.minimum(1.0, 0.5 * speed / np.maximum(rate * room, 1e-9))
        total += size * np.sin(rate * time[:, None] + random.uniform(0, 2 * np.pi, len(room)))
    return np.clip(total / _OVERLAP, -1.0, 1.0)


def _steps(time: np.ndarray, joints: int, random: np.random.Generator) -> np.ndarray:
    holds = int(time[-1] / _HOLD_S) + 1
    return random.uniform(-1.0, 1.0, (holds, joints))[(time / _HOLD_S).astype(int)]


def _slow(time: np.ndarray, joints: int, random: np.random.Generator) -> np.ndarray:
    """Triangles: constant speeds, slow enough that friction and gravity are all there is."""
    period = random.uniform(1.5, 3.0, joints)
    return 2 * np.abs(2 * ((time[:, None] / period + random.uniform(0, 1, joints)) % 1.0) - 1) - 1


class Excitation(Controller):
    """Stands where a policy would; the state machine asks it for targets.

    Args:
        file: A policy of the robot.
        targets: One after the other. Shape (T, J) [rad].
    """

    def __init__(self, file: PolicyFile, targets: np.ndarray) -> None:
        self._targets, self._at = targets, 0
        super().__init__(file)

    def reset(self) -> None:
        """From the start."""
        super().reset()
        self._at = 0
        self.action = np.full(len(self._default), np.nan, np.float32)  # no network is asked

    def step(
        self,
        gyro: np.ndarray,
        gravity: np.ndarray,
        joint_pos: np.ndarray,
        joint_vel: np.ndarray,
        command: np.ndarray | Mapping[str, float],
    ) -> np.ndarray:
        """The next targets (J,) [rad], whatever was read; the last ones stay."""
        target = self._targets[min(self._at, len(self._targets) - 1)]
        self._at += 1
        return target


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="robopolicy-runtime excite",
        description="Move the joints of a robot whose base is clamped, and log them for `robopolicy sysid`.",
    )
    parser.add_argument("file", help="policy.onnx, any policy of this robot: joints, gains and limits are taken")
    parser.add_argument("--log", required=True, help="file for every control period; it must not exist yet")
    parser.add_argument("--seconds", type=float, default=36.0, help="how long (36)")
    parser.add_argument("--amplitude", type=float, default=0.2, help="most radians from the default pose (0.2)")
    parser.add_argument("--joints", default=".*", help="regular expression of the joints that move; the others hold")
    parser.add_argument("--seed", type=int, default=0, help="of frequencies and steps")
    add_flags(parser)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Returns 0 after an orderly end, 2 if the robot or the file is refused."""
    options = parse(arguments)
    return guarded(lambda held: _run(options, held))


def _run(options: argparse.Namespace, held: list[Closable]) -> None:
    file = PolicyFile.open(options.file)
    contract = file.contract
    targets = excitation(contract, options.joints, options.amplitude, options.seconds, options.seed)
    log = LogWriter(options.log, contract)
    held.append(log)
    safety = connect(options, file.path, contract, held, "inf")
    machine = Machine(Excitation(file, targets), safety, options.ramp)
    begin = 1.0 + options.ramp
    source = Script(f"0.5 ready\n{begin:g} run", contract.command)
    held.append(source)
    drive(machine, source, contract.control_period_s, log, begin + options.seconds)
    print(f"wrote {options.log}; what it says: robopolicy sysid {options.log}")


if __name__ == "__main__":
    sys.exit(main())
