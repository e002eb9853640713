"""What a servo robot is made of, as a TOML file tells it: the port, the servo at each joint, the IMU."""

import math
import tomllib
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from robopolicy_runtime.driver import DriverError

PROTOCOLS = ("sts3215", "xl330")
MAX_ID = 252


@dataclass(frozen=True)
class Servo:
    """The servo of one joint: ``joint angle = sign * (servo angle - zero)``.

    Attributes:
        id: Its number on the bus.
        sign: 1, or -1 where the servo turns the other way than the joint.
        zero: The servo's angle where the joint's is 0; the servo's own is 0 in the middle of its turn [rad].
    """

    id: int
    sign: int
    zero: float


@dataclass(frozen=True)
class ServoBus:
    """Servos of one kind on one port::

        port = "/dev/ttyACM0"
        baud = 1000000
        protocol = "sts3215"            # or "xl330"
        rate_hz = 100                   # how often the servos and the IMU are read
        timeout_ms = 10                 # how long a servo may take to answer
        imu = "my_imu:connect"          # a function that returns an Imu, in my_imu.py beside this file or installed

        [joints]
        l_hip = { id = 1, sign = 1, zero = 0.0 }
        l_knee = { id = 2, sign = -1, zero = 0.31 }

    Attributes:
        port, baud, protocol, rate_hz, timeout_ms, imu: See above; ``rate_hz`` in 1/s.
        joints: The servo of each joint by the joint's name.
        folder: Where the file lies.
    """

    port: str
    baud: int
    protocol: str
    rate_hz: float
    timeout_ms: float
    imu: str
    joints: dict[str, Servo]
    folder: Path = Path()

    def __post_init__(self):
        if self.protocol not in PROTOCOLS:
            raise DriverError(f"protocol {self.protocol!r} is unknown; known: {', '.join(PROTOCOLS)}")
        for name in ("baud", "rate_hz", "timeout_ms"):
            if not 0 < getattr(self, name) < math.inf:
                raise DriverError(f"{name} must be positive, not {getattr(self, name)}")
        if not self.joints:
            raise DriverError("joints: there are none")
        owners: dict[int, str] = {}
        for joint, servo in self.joints.items():
            if not 0 <= servo.id <= MAX_ID:
                raise DriverError(f"joints.{joint}: id {servo.id} is not in 0 to {MAX_ID}")
            if servo.id in owners:
                raise DriverError(f"joints.{joint}: id {servo.id} belongs to {owners[servo.id]!r} already")
            if servo.sign not in (1, -1):
                raise DriverError(f"joints.{joint}: sign must be 1 or -1, not {servo.sign}")
            if not abs(servo.zero) <= 2 * math.pi:
                raise DriverError(f"joints.{joint}: zero must be an angle in rad, not {servo.zero}")
            owners[servo.id] = joint

    @staticmethod
    def load(path: Path | str) -> "ServoBus":
        """Read a file.

        Raises:
            DriverError: It cannot be read, or a field is missing, unknown, or makes no sense; the message names both.
        """
        path = Path(path)
        try:
            data = tomllib.loads(path.read_text())
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise DriverError(f"{path}: {error}") from None
        try:
            joints = _typed(dict, data.get("joints", {}), "joints")
            servos = {joint: Servo(**_fields(Servo, servo, f"joints.{joint}")) for joint, servo in joints.items()}
            rest = _fields(ServoBus, data, "")
            return ServoBus(**{**rest, "joints": servos, "folder": path.parent.absolute()})
        except DriverError as error:
            raise DriverError(f"{path}: {error}") from None


def _fields(cls: type, data: Any, where: str) -> dict[str, Any]:
    """The values for ``cls``: all of them, each of its type."""
    known = {f.name: f.type for f in fields(cls) if f.default is MISSING}
    at = f"{where}." if where else ""
    for name in known:
        if name not in _typed(dict, data, where):
            raise DriverError(f"{at}{name} is missing")
    for name in data:
        if name not in known:
            raise DriverError(f"{at}{name} is unknown; known: {', '.join(known)}")
    return {name: _typed(known[name], value, at + name) for name, value in data.items()}


def _typed(hint: Any, value: Any, where: str) -> Any:
    kinds: dict[type, str] = {str: "a text", int: "a whole number", float: "a number", dict: "a table"}
    kind = dict if hint not in kinds else hint
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise DriverError(f"{where} must be {kinds[kind]}, not {value!r}")
    return value
