"""The contract: everything a robot must know to run a policy, checked field by field.

A contract travels as JSON inside the ONNX file. Python writes a float as the shortest text that reads back
to the same bits, so nothing is lost on the way. A field that is missing, unknown, of the wrong type or
length, or in contradiction to another field is refused by name; nothing has a default.
"""

import dataclasses
import json
import math
import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, Union, get_args, get_origin, get_type_hints

from robopolicy_runtime.errors import ContractError

SCHEMA = 2

JOINT_TERMS = ("joint_position", "joint_velocity", "last_action")
TERMS = ("angular_velocity", "projected_gravity", "command", *JOINT_TERMS, "gait_phase")
TERM_PARAMS = {"gait_phase": {"period_s", "standing_speed"}}
SCORES = ("velocity", "upright")


@dataclass(frozen=True)
class Action:
    """From the network's output to targets: ``target = default_pose + scale * clamp(output, -clip, clip)``.

    Attributes:
        scale: Joint target per unit of action [rad]. Length J.
        clip: Largest magnitude of an action.
    """

    scale: tuple[float, ...]
    clip: float


@dataclass(frozen=True)
class Physics:
    """The plant of the training: ``substeps`` physics steps of ``timestep_s`` [s] per control period."""

    timestep_s: float
    substeps: int


@dataclass(frozen=True)
class Imu:
    """Where the inertial unit sits.

    Attributes:
        site: Name of its site in the MJCF.
        quaternion: Orientation of the IMU frame in the base body's frame, wxyz, unit norm.
        position: Its origin in the base body's frame [m]. Length 3.
    """

    site: str
    quaternion: tuple[float, ...]
    position: tuple[float, ...]


@dataclass(frozen=True)
class Observation:
    """One block of the policy's input.

    Attributes:
        name: Its name in the task.
        term: What is measured, one of ``TERMS``:
            ``angular_velocity`` (3): gyro, IMU frame [rad/s];
            ``projected_gravity`` (3): direction of gravity, unit vector, IMU frame;
            ``command`` (C): what the policy is told;
            ``joint_position`` (J): measured angle minus default pose [rad];
            ``joint_velocity`` (J): [rad/s];
            ``last_action`` (J): the one before, clipped; at the start the one that holds the measured pose;
            ``gait_phase`` (2): sine and cosine of a clock of period ``period_s`` that starts at 0 and never
            stops; both 0 while the norm of the first three commands is at most ``standing_speed``.
        size: Numbers in one sample.
        scale: Factor on each number.
        history: Samples kept, oldest first, all the first one at the start; ``size * history`` numbers.
        params: ``period_s`` [s] and ``standing_speed`` for ``gait_phase``; none for the others.
    """

    name: str
    term: str
    size: int
    scale: float
    history: int
    params: dict[str, float]


@dataclass(frozen=True)
class Command:
    """What the policy is told to do: C numbers with names, units and the ranges it was trained on.

    ``default`` is what it is told where nobody says anything. A channel ``style`` says how much of its style the policy
    shall have, from 0 to 1, and of the channels ``style_NAME`` the wanted style's is 1 and the others are 0.
    """

    names: tuple[str, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    units: tuple[str, ...]
    default: tuple[float, ...]

    def fill(self, values: Mapping[str, float]) -> tuple[float, ...]:
        """A whole command from some of its channels by name; the others keep their default.

        Whoever names a style wants no other: the other ``style_NAME`` are 0 then.

        Raises:
            ContractError: There is no such channel.
        """
        for name in values:
            if name not in self.names:
                raise ContractError(f"no command channel {name!r}; this policy has: {', '.join(self.names)}")
        chosen = any(name.startswith("style_") for name in values)
        rest = [0.0 if chosen and n.startswith("style_") else d for n, d in zip(self.names, self.default, strict=True)]
        return tuple(float(values.get(name, value)) for name, value in zip(self.names, rest, strict=True))


@dataclass(frozen=True)
class Score:
    """How an episode is graded when the file is verified.

    Attributes:
        kind: ``velocity``: time mean of ``exp(-4 |v - v*|^2) + 0.5 exp(-4 (w - w*)^2)``, v the base's planar
            velocity in its heading frame [m/s], w its rate about the vertical [rad/s], commands
            ``v* = command[:2]``, ``w* = command[2]``. ``upright``: fraction of time without a fall. After a
            fall the score is 0.
        fall_height_m: The base below this height has fallen [m].
        fall_tilt_rad: The base tilted by more than this has fallen [rad].
    """

    kind: str
    fall_height_m: float
    fall_tilt_rad: float


@dataclass(frozen=True)
class Hashes:
    """What went in: SHA-256 of config, clips (by name) and MJCF text; the trainer's code version."""

    config: str
    clips: dict[str, str]
    mjcf: str
    code_version: str


@dataclass(frozen=True)
class Trained:
    """The run: its seed, control steps over all environments, and wall time [s]."""

    seed: int
    steps: int
    seconds: float


@dataclass(frozen=True)
class Contract:
    """Everything a robot must know to run the policy. J joints, in the order of ``joint_names``, everywhere.

    Attributes:
        schema: Version of this layout.
        task, robot: What was trained, on what.
        joint_names: Actuated joints. Length J.
        default_pose: Joint angles at action zero [rad]. Length J.
        action: From network output to joint targets.
        position_lower, position_upper: Range of the targets [rad]. Length J.
        kp, kd: Joint PD gains [N m/rad, N m s/rad]. Length J.
        torque_limit: [N m]. Length J.
        velocity_limit: [rad/s]; null where the robot's maker states none. Length J.
        control_period_s: Time from one action to the next [s].
        physics: The plant's time step.
        delays: Ranges the policy was trained with, low and high [s]; ``action_delay_s`` at least.
        imu: Where the inertial unit sits.
        observations: The policy's input, block by block, in order.
        command: What the policy is told.
        score: How an episode is graded.
        hashes, versions, trained: Where the policy comes from.
    """

    schema: int
    task: str
    robot: str
    joint_names: tuple[str, ...]
    default_pose: tuple[float, ...]
    action: Action
    position_lower: tuple[float, ...]
    position_upper: tuple[float, ...]
    kp: tuple[float, ...]
    kd: tuple[float, ...]
    torque_limit: tuple[float, ...]
    velocity_limit: tuple[float | None, ...]
    control_period_s: float
    physics: Physics
    delays: dict[str, tuple[float, float]]
    imu: Imu
    observations: tuple[Observation, ...]
    command: Command
    score: Score
    hashes: Hashes
    versions: dict[str, str]
    trained: Trained

    @property
    def observation_size(self) -> int:
        """Numbers in the policy's input."""
        return sum(o.size * o.history for o in self.observations)

    @property
    def velocities(self) -> tuple[str, ...]:
        """The channels that move the robot over the ground: the first three of a policy that follows a velocity."""
        return self.command.names[:3] if self.score.kind == "velocity" else ()

    @property
    def going(self) -> str:
        """Those of ``velocities`` that are not 0 where nobody says anything, such as ``vx=0.2``: no order to stand."""
        rest = dict(zip(self.command.names, self.command.default, strict=True))
        return ", ".join(f"{name}={rest[name]:g}" for name in self.velocities if rest[name])

    def to_json(self) -> str:
        """The contract as JSON text at full precision.

        Raises:
            ContractError: The contract contradicts itself, or holds something that JSON cannot say.
        """
        try:
            text = json.dumps(dataclasses.asdict(self), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ContractError(f"contract cannot be written: {error}") from None
        Contract.from_json(text)
        return text

    @staticmethod
    def from_json(text: str) -> "Contract":
        """Read a contract and check every field.

        Raises:
            ContractError: A field is missing, unknown, of wrong type or length, or contradicts another.
        """
        try:
            data = json.loads(text, object_pairs_hook=_no_duplicates)
        except json.JSONDecodeError as error:
            raise ContractError(f"contract is not JSON: {error}") from None
        _check_schema(data)
        contract = _convert(Contract, data, "contract")
        _check(contract)
        return contract


def _refuse(where: str, what: str) -> NoReturn:
    raise ContractError(f"{where}: {what}")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) != len(pairs):
        names = [name for name, _ in pairs]
        _refuse("contract", f"duplicate field {next(n for n in names if names.count(n) > 1)!r}")
    return data


def _check_schema(data: Any) -> None:
    if not isinstance(data, dict) or "schema" not in data:
        _refuse("contract", "missing field 'schema'")
    schema = data["schema"]
    if isinstance(schema, bool) or not isinstance(schema, int):
        _refuse("contract.schema", f"must be a whole number, not {schema!r}")
    if schema < SCHEMA:
        _refuse("contract.schema", f"{schema} is older than this runtime's {SCHEMA}: export the policy again")
    if schema > SCHEMA:
        _refuse("contract.schema", f"{schema} is newer than this runtime's {SCHEMA}: update robopolicy-runtime")


def _convert(hint: Any, value: Any, where: str) -> Any:
    """``value`` from JSON as the type that the field asks for, or a refusal that names the field."""
    origin, args = get_origin(hint), get_args(hint)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return _convert_dataclass(hint, value, where)
    if origin in (Union, types.UnionType):
        return None if value is None else _convert(args[0], value, where)
    if origin is tuple:
        if not isinstance(value, list):
            _refuse(where, f"must be a list, not {value!r}")
        if args[-1] is not Ellipsis and len(value) != len(args):
            _refuse(where, f"must have {len(args)} entries, not {len(value)}")
        return tuple(_convert(args[0], v, f"{where}[{i}]") for i, v in enumerate(value))
    if origin is dict:
        if not isinstance(value, dict):
            _refuse(where, f"must be an object, not {value!r}")
        return {name: _convert(args[1], v, f"{where}.{name}") for name, v in value.items()}
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        if not abs(value) < 1e300:
            _refuse(where, f"must be finite, not {value}")
        return float(value)
    if type(value) is not hint:
        kinds = {float: "a number", int: "a whole number", str: "a text"}
        _refuse(where, f"must be {kinds[hint]}, not {value!r}")
    return value


def _convert_dataclass(cls: type, data: Any, where: str) -> Any:
    hints = get_type_hints(cls)
    if not isinstance(data, dict):
        _refuse(where, f"must be an object, not {data!r}")
    for name in hints:
        if name not in data:
            _refuse(where, f"missing field {name!r}")
    for name in data:
        if name not in hints:
            _refuse(where, f"unknown field {name!r}; known: {', '.join(hints)}")
    return cls(**{name: _convert(hint, data[name], f"{where}.{name}") for name, hint in hints.items()})


def _check(c: Contract) -> None:
    """What the fields say about each other."""
    joints = len(c.joint_names)
    if not joints:
        _refuse("contract.joint_names", "is empty")
    _check_unique("contract.joint_names", c.joint_names)
    _check_unique("contract.command.names", c.command.names)
    _check_unique("contract.observations", tuple(o.name for o in c.observations))

    per_joint: dict[str, tuple] = {
        "default_pose": c.default_pose,
        "action.scale": c.action.scale,
        "position_lower": c.position_lower,
        "position_upper": c.position_upper,
        "kp": c.kp,
        "kd": c.kd,
        "torque_limit": c.torque_limit,
        "velocity_limit": c.velocity_limit,
    }
    for field, values in per_joint.items():
        if len(values) != joints:
            _refuse(f"contract.{field}", f"has {len(values)} entries for {joints} joints")
    for field in ("kp", "torque_limit", "action.scale", "velocity_limit"):
        _check_positive(f"contract.{field}", per_joint[field], c.joint_names)
    for joint, kd in zip(c.joint_names, c.kd, strict=True):
        if kd < 0:
            _refuse("contract.kd", f"joint {joint!r}: {kd} is negative")
    _check_order("contract.position", c.joint_names, c.position_lower, c.position_upper)
    for joint, low, value, high in zip(c.joint_names, c.position_lower, c.default_pose, c.position_upper, strict=True):
        if not low <= value <= high:
            _refuse("contract.default_pose", f"joint {joint!r}: {value} is outside [{low}, {high}]")

    for field, value in (
        ("action.clip", c.action.clip),
        ("control_period_s", c.control_period_s),
        ("physics.timestep_s", c.physics.timestep_s),
        ("physics.substeps", c.physics.substeps),
        ("score.fall_tilt_rad", c.score.fall_tilt_rad),
    ):
        if value <= 0:
            _refuse(f"contract.{field}", f"must be positive, not {value}")
    period = c.physics.timestep_s * c.physics.substeps
    if abs(period - c.control_period_s) > 1e-9:
        _refuse("contract.control_period_s", f"{c.control_period_s} is not timestep_s * substeps = {period}")

    if "action_delay_s" not in c.delays:
        _refuse("contract.delays", "missing field 'action_delay_s'")
    for name, (low, high) in c.delays.items():
        if not 0 <= low <= high:
            _refuse(f"contract.delays.{name}", f"[{low}, {high}] is not a range of times")

    if len(c.imu.quaternion) != 4 or abs(math.hypot(*c.imu.quaternion) - 1) > 1e-6:
        _refuse("contract.imu.quaternion", f"{list(c.imu.quaternion)} is not a unit quaternion wxyz")
    if len(c.imu.position) != 3:
        _refuse("contract.imu.position", f"has {len(c.imu.position)} entries, not 3")

    commands = len(c.command.names)
    for field in ("lower", "upper", "units", "default"):
        values = getattr(c.command, field)
        if len(values) != commands:
            _refuse(f"contract.command.{field}", f"has {len(values)} entries for {commands} names")
    _check_order("contract.command", c.command.names, c.command.lower, c.command.upper)

    if c.score.kind not in SCORES:
        _refuse("contract.score.kind", f"unknown {c.score.kind!r}; known: {', '.join(SCORES)}")
    if c.score.kind == "velocity" and commands < 3:
        _refuse("contract.score.kind", f"'velocity' needs a command of 3 numbers, not {commands}")
    _check_observations(c)


def _check_observations(c: Contract) -> None:
    if not c.observations:
        _refuse("contract.observations", "is empty")
    sizes = {"angular_velocity": 3, "projected_gravity": 3, "command": len(c.command.names), "gait_phase": 2}
    sizes |= dict.fromkeys(JOINT_TERMS, len(c.joint_names))
    for i, o in enumerate(c.observations):
        where = f"contract.observations[{i}] ({o.name!r})"
        if o.term not in TERMS:
            _refuse(where, f"unknown term {o.term!r}; known: {', '.join(TERMS)}")
        if o.size != sizes[o.term]:
            _refuse(where, f"size {o.size} contradicts {o.term}, which has {sizes[o.term]} numbers on this robot")
        if o.history < 1:
            _refuse(where, f"history {o.history} must be at least 1")
        expected = TERM_PARAMS.get(o.term, set())
        if set(o.params) != expected:
            _refuse(where, f"params {sorted(o.params)} of {o.term} must be {sorted(expected)}")
        if o.params.get("period_s", 1.0) <= 0:
            _refuse(where, f"period_s must be positive, not {o.params['period_s']}")


def _check_unique(where: str, names: tuple[str, ...]) -> None:
    for name in names:
        if names.count(name) > 1:
            _refuse(where, f"duplicate {name!r}")


def _check_positive(where: str, values: tuple[float | None, ...], joints: tuple[str, ...]) -> None:
    for joint, value in zip(joints, values, strict=True):
        if value is not None and value <= 0:
            _refuse(where, f"joint {joint!r}: must be positive, not {value}")


def _check_order(where: str, names: tuple[str, ...], lower: tuple[float, ...], upper: tuple[float, ...]) -> None:
    for name, low, high in zip(names, lower, upper, strict=True):
        if low > high:
            _refuse(where, f"{name!r}: lower {low} is above upper {high}")
