"""From a policy file and sensor readings to joint targets: numpy and onnxruntime, nothing else."""

import base64
import hashlib
import io
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnxruntime

from robopolicy_runtime.contract import Contract, Observation
from robopolicy_runtime.errors import ContractError
from robopolicy_runtime.seal import DIGEST_KEY, check_seal, is_sealed

CONTRACT_KEY = "robopolicy.contract"
REFERENCE_KEY = "robopolicy.reference"
MJCF_KEY = "robopolicy.mjcf"


@dataclass(frozen=True)
class PolicyFile:
    """A policy file that has passed every check.

    Attributes:
        path: Where it was read from.
        contract: What it says about robot, observation and action.
        session: The network: input ``obs`` (batch, A), output ``action`` (batch, J), both float32.
        mjcf: The robot and floor it was trained on, as self-contained MJCF text.
    """

    path: Path
    contract: Contract
    session: onnxruntime.InferenceSession = field(repr=False)
    mjcf: str = field(repr=False)
    _reference: str = field(repr=False)

    @staticmethod
    def open(path: str | Path) -> "PolicyFile":
        """Read and check a policy file.

        Raises:
            ContractError: The file cannot be read, is not ONNX, is truncated or changed, has no contract or
                one of another schema, or its contract contradicts itself or the network.
        """
        path = Path(path)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ContractError(f"{path}: cannot be read: {error.strerror}") from None
        if is_sealed(data):
            check_seal(data, str(path))
        session = _session(data, path)
        metadata = session.get_modelmeta().custom_metadata_map
        if not is_sealed(data):
            if DIGEST_KEY in metadata:
                raise ContractError(f"{path}: changed after it was exported: its seal is not at the start of the file")
            raise ContractError(f"{path}: an ONNX file without a robopolicy contract; make one with robopolicy export")
        for key in (CONTRACT_KEY, MJCF_KEY, REFERENCE_KEY):
            if key not in metadata:
                raise ContractError(f"{path}: no {key!r} among its metadata: {', '.join(sorted(metadata)) or 'none'}")
        try:
            contract = Contract.from_json(metadata[CONTRACT_KEY])
        except ContractError as error:
            raise ContractError(f"{path}: {error}") from None
        _check_network(session, contract, path)
        if hashlib.sha256(metadata[MJCF_KEY].encode()).hexdigest() != contract.hashes.mjcf:
            raise ContractError(f"{path}: contract.hashes.mjcf is not the SHA-256 of the MJCF in the file")
        return PolicyFile(path, contract, session, metadata[MJCF_KEY], metadata[REFERENCE_KEY])

    def run(self, obs: np.ndarray) -> np.ndarray:
        """The network alone: observations (batch, A) to unclipped actions (batch, J), float32."""
        return np.asarray(self.session.run(["action"], {"obs": obs})[0])

    def reference(self) -> dict[str, np.ndarray]:
        """What the training environment recorded; the arrays are described in ``verify``.

        Raises:
            ContractError: It does not unpack.
        """
        try:
            packed = zlib.decompress(base64.b64decode(self._reference, validate=True))
            with np.load(io.BytesIO(packed), allow_pickle=False) as arrays:
                return {name: arrays[name] for name in arrays.files}
        except Exception as error:
            raise ContractError(f"{self.path}: {REFERENCE_KEY!r} does not unpack: {error}") from None


class Controller:
    """Drives a robot: builds the observation as the trainer did, and turns actions into joint targets.

    Attributes:
        contract: The policy's contract.
        observation: The network's last input. Shape (A,), float32.
        action: The network's last output before clipping. Shape (J,), float32.
    """

    def __init__(self, policy_file: PolicyFile, joint_names: Sequence[str] | None = None) -> None:
        """Prepare a policy for a robot.

        Args:
            policy_file: The policy.
            joint_names: The robot's joints in the order of its readings. Give it wherever it is known.

        Raises:
            ContractError: The policy is for other joints, or for another order of them.
        """
        contract = policy_file.contract
        if joint_names is not None and tuple(joint_names) != contract.joint_names:
            raise ContractError(
                f"wrong robot: {policy_file.path} drives {contract.robot!r} with joints "
                f"{', '.join(contract.joint_names)}; this robot has {', '.join(joint_names)}"
            )
        self.contract = contract
        self._run = policy_file.run
        self._default = np.array(contract.default_pose, np.float32)
        self._scale = np.array(contract.action.scale, np.float32)
        self._clip = np.float32(contract.action.clip)
        self._lower = np.array(contract.position_lower)
        self._upper = np.array(contract.position_upper)
        self._sizes = {
            "gyro": 3,
            "gravity": 3,
            "joint_pos": len(self._default),
            "joint_vel": len(self._default),
        }
        self._sizes["command"] = len(contract.command.names)
        self.reset()

    def reset(self) -> None:
        """Forget the past. Call it whenever the policy takes over the robot."""
        joints = len(self._default)
        self.observation = np.zeros(self.contract.observation_size, np.float32)
        self.action = np.zeros(joints, np.float32)
        self._last_action: np.ndarray | None = None
        self._steps = 0
        self._history: list[np.ndarray | None] = [None] * len(self.contract.observations)

    def step(
        self,
        gyro: np.ndarray,
        gravity: np.ndarray,
        joint_pos: np.ndarray,
        joint_vel: np.ndarray,
        command: np.ndarray | Mapping[str, float],
    ) -> np.ndarray:
        """One control period: readings in, joint targets out.

        Args:
            gyro: Angular velocity, IMU frame [rad/s]. Shape (3,).
            gravity: Direction of gravity, unit vector, IMU frame. Shape (3,).
            joint_pos: Joint angles in contract order [rad]. Shape (J,).
            joint_vel: Joint velocities in contract order [rad/s]. Shape (J,).
            command: What to do, see ``contract.command``; its ranges are the caller's to respect. Shape (C,), or some
                channels by name: ``{"vx": 0.3, "style": 0.5}``; the others are at their default.

        Returns:
            Joint position targets, inside the position limits [rad]. Shape (J,), float64.

        Raises:
            ContractError: A reading has the wrong shape or is not finite, the command names an unknown channel, or
                the network's output is not finite.
        """
        obs = self.observe(gyro, gravity, joint_pos, joint_vel, command)
        return self.apply(self._run(obs[None])[0])

    def observe(
        self,
        gyro: np.ndarray,
        gravity: np.ndarray,
        joint_pos: np.ndarray,
        joint_vel: np.ndarray,
        command: np.ndarray | Mapping[str, float],
    ) -> np.ndarray:
        """The first half of ``step``: the network's input. Shape (A,), float32."""
        readings = {
            "gyro": gyro,
            "gravity": gravity,
            "joint_pos": joint_pos,
            "joint_vel": joint_vel,
            "command": self.contract.command.fill(command) if isinstance(command, Mapping) else command,
        }
        r = {name: self._reading(name, value) for name, value in readings.items()}
        if self._last_action is None:
            # No action yet: the one that would hold the measured pose, as at the start of a training episode.
            hold = (r["joint_pos"] - self._default) / self._scale
            self._last_action = np.clip(hold, -self._clip, self._clip)
        blocks = []
        for i, o in enumerate(self.contract.observations):
            value = self._term(o, r, self._last_action) * np.float32(o.scale)
            past = self._history[i]
            block = np.tile(value, o.history) if past is None else np.concatenate((past[o.size :], value))
            self._history[i] = block
            blocks.append(block)
        self.observation = np.concatenate(blocks)
        return self.observation

    def apply(self, action: np.ndarray) -> np.ndarray:
        """The second half of ``step``: the network's output to joint targets [rad]. Shape (J,), float64."""
        self.action = self._finite("action", np.asarray(action, np.float32))
        clipped = np.clip(self.action, -self._clip, self._clip)
        self._last_action = clipped
        self._steps += 1
        # Computed in float32 as the trainer does; the limits are float64: rounding cannot step over one.
        target = self._default + self._scale * clipped
        return np.clip(target.astype(np.float64), self._lower, self._upper)

    def _term(self, o: Observation, r: dict[str, np.ndarray], last_action: np.ndarray) -> np.ndarray:
        match o.term:
            case "angular_velocity":
                return r["gyro"]
            case "projected_gravity":
                return r["gravity"]
            case "command":
                return r["command"]
            case "joint_position":
                return r["joint_pos"] - self._default
            case "joint_velocity":
                return r["joint_vel"]
            case "last_action":
                return last_action
            case "gait_phase":
                return self._gait_phase(o.params["period_s"], o.params["standing_speed"], r["command"])
        raise ContractError(f"observation {o.name!r}: this runtime has no term {o.term!r}")

    def _gait_phase(self, period_s: float, standing_speed: float, command: np.ndarray) -> np.ndarray:
        """A clock that runs from reset on; silent while the command is to stand."""
        angle = 2 * math.pi * math.fmod(self._steps * self.contract.control_period_s / period_s, 1.0)
        moving = float(np.linalg.norm(command[:3])) > standing_speed
        return np.array([math.sin(angle), math.cos(angle)], np.float32) * np.float32(moving)

    def _reading(self, name: str, value: np.ndarray) -> np.ndarray:
        reading = np.asarray(value, np.float32)
        if reading.shape != (self._sizes[name],):
            raise ContractError(f"sensor {name}: shape {reading.shape}, expected ({self._sizes[name]},)")
        return self._finite(f"sensor {name}", reading)

    def _finite(self, name: str, values: np.ndarray) -> np.ndarray:
        if not np.isfinite(values).all():
            i = int(np.flatnonzero(~np.isfinite(values))[0])
            joint = f" (joint {self.contract.joint_names[i]!r})" if len(values) == len(self._default) else ""
            raise ContractError(f"{name}[{i}]{joint}: not finite: {values[i]}")
        return values


def _session(data: bytes, path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        what = "the file is empty" if not data else reason
        raise ContractError(f"{path}: not an ONNX file that onnxruntime can load: {what}") from None


def _check_network(session: onnxruntime.InferenceSession, contract: Contract, path: Path) -> None:
    inputs, outputs = session.get_inputs(), session.get_outputs()
    for kind, nodes, name, size, source in (
        ("input", inputs, "obs", contract.observation_size, "contract.observations add up to"),
        ("output", outputs, "action", len(contract.joint_names), "contract.joint_names has"),
    ):
        if [node.name for node in nodes] != [name]:
            raise ContractError(f"{path}: the network's {kind}s are {[n.name for n in nodes]}, expected [{name!r}]")
        if nodes[0].type != "tensor(float)":
            raise ContractError(f"{path}: the network's {kind} {name!r} is {nodes[0].type}, expected float32")
        if len(nodes[0].shape) != 2 or nodes[0].shape[1] != size:
            raise ContractError(
                f"{path}: the network's {kind} {name!r} has shape {nodes[0].shape}, but {source} {size}"
            )
