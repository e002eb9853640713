"""The policies of a show, of which one drives, and the change from one to another."""

import math
from collections.abc import Mapping

import numpy as np

from robopolicy_runtime.driver import Reading
from robopolicy_runtime.policy import Controller
from robopolicy_runtime.show.clip import smooth
from robopolicy_runtime.show.parts import Entry, Part

_GYRO_S = 0.1  # the gyro is averaged over about so long: a single noisy sample is no unrest


class Cast:
    """Who drives. J joints.

    Args:
        parts: The policies by name.
        start: Which one drives first.
        entry: When another may take over.
        fade_s: How long targets take to go over to the next one's [s].

    Attributes:
        name: The policy that drives, or will drive next.
        controller: It.
        faded: How far targets have gone over to it, from 0 to 1.
        driven: For how many control periods it has driven.
    """

    def __init__(self, parts: Mapping[str, Part], start: str, entry: Entry, fade_s: float) -> None:
        self.parts, self._start, self._entry, self._fade_s = parts, start, entry, fade_s
        self._controllers = {name: Controller(part.policy) for name, part in parts.items()}
        contract = parts[start].policy.contract
        self._joints, self._period_s = contract.joint_names, contract.control_period_s
        w, x, y, z = contract.imu.quaternion
        # The base's vertical in the IMU's frame: third row of the rotation from the IMU's frame to the base's.
        self._up = np.array([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)])
        self._gyro = np.zeros(3)
        self.choose(start)

    @property
    def part(self) -> Part:
        """The policy that drives, as the show file has it."""
        return self.parts[self.name]

    def choose(self, name: str | None = None) -> None:
        """Let a policy drive next, while nothing drives; by default the first one of the show."""
        self.name = self._start if name is None else name
        self.controller = self._controllers[self.name]
        self.begin()

    def begin(self) -> None:
        """The chosen policy takes over from no other; it begins anew."""
        self.controller.reset()
        self._from: np.ndarray | None = None  # the target that it takes over from
        self._last: np.ndarray | None = None
        self.driven, self._still, self.faded = 0, 0, 1.0

    def watch(self, reading: Reading, command: np.ndarray) -> None:
        """Note whether the robot stands still, once a control period; ``command`` is what the policy was told."""
        self._gyro += min(self._period_s / _GYRO_S, 1.0) * (reading.gyro - self._gyro)
        self._still = 0 if self._unrest(reading, command) else self._still + 1

    def switch(self, name: str, reading: Reading, command: np.ndarray, offset: np.ndarray) -> str | None:
        """Let another policy take over, if the robot is fit for it.

        Args:
            name: The other one.
            reading: The newest sample.
            command: What the policy before was told last. Shape (C,).
            offset: What was added to its targets [rad]. Shape (J,).

        Returns:
            Why not, or None.
        """
        why = self._unrest(reading, command)
        if why is not None:
            return why
        stood = self._still * self._period_s
        if stood < self._entry.still - 1e-9:
            return f"it has stood still for {stood:.2f} s; {self._entry.still:g} s are asked for"
        pose = np.array(self._controllers[name].contract.default_pose)
        away = np.abs(reading.joint_pos - offset - pose)
        if away.max() > self._entry.near:
            joint = self._joints[int(away.argmax())]
            return f"{joint} is {away.max():.2f} rad from the pose of {name}; at most {self._entry.near:g}"
        last = self._last
        self.choose(name)
        self._from = self._last = last
        return None

    def step(self, reading: Reading, offset: np.ndarray, offset_vel: np.ndarray, command: np.ndarray) -> np.ndarray:
        """One control period of the policy that drives, which does not see what was added to its targets.

        Args:
            reading: The newest sample.
            offset: What was added when the joints were last driven [rad]. Shape (J,).
            offset_vel: How fast it changed [rad/s]. Shape (J,).
            command: What the policy is told. Shape (C,).

        Returns:
            Joint targets [rad]. Shape (J,).

        Raises:
            ContractError: See ``Controller.step``.
        """
        target = self.controller.step(
            reading.gyro, reading.gravity, reading.joint_pos - offset, reading.joint_vel - offset_vel, command
        )
        self.driven += 1
        self.faded = 1.0
        if self._from is not None and self._fade_s > 0:
            self.faded = smooth(self.driven * self._period_s / self._fade_s)
            target = self._from + self.faded * (target - self._from)
        self._last = target
        return target

    def _unrest(self, reading: Reading, command: np.ndarray) -> str | None:
        """Why this is no moment to change, or None."""
        tilt = math.acos(float(np.clip(-self._up @ reading.gravity, -1.0, 1.0)))
        if tilt > self._entry.tilt:
            return f"the base leans by {tilt:.2f} rad; at most {self._entry.tilt:g}"
        turn = float(np.linalg.norm(self._gyro))
        if turn > self._entry.gyro:
            return f"the base turns at {turn:.2f} rad/s; at most {self._entry.gyro:g}"
        speed = float(np.linalg.norm(command[: len(self.part.velocities)]))
        if speed > self._entry.command:
            return f"{self.name} is told to move, {speed:.2f}; at most {self._entry.command:g}"
        return None
