"""Unitree's messages a second time, number by number with ``struct``, to hold the driver's against. No driver code."""

import re
import struct
from dataclasses import dataclass

import numpy as np

_IMU = ("quaternion 4", "gyroscope 3", "accelerometer 3", "rpy 3", "temperature")
_GO_HEAD = ("head 2", "level_flag", "frame_reserve", "sn 2", "version 2", "bandwidth")
_GO_COMMAND = ("mode", "q", "dq", "tau", "kp", "kd", "reserve 3")
_GO_STATE = ("mode", "q", "dq", "ddq", "tau_est", "q_raw", "dq_raw", "ddq_raw", "temperature", "lost", "reserve 2")
_GO_BATTERY = (
    "version_high",
    "version_low",
    "status",
    "soc",
    "current",
    "cycle",
    "bq_ntc 2",
    "mcu_ntc 2",
    "cell_vol 15",
)
_HG_COMMAND = ("mode", "q", "dq", "tau", "kp", "kd", "reserve")
_HG_STATE = ("mode", "q", "dq", "ddq", "tau_est", "temperature 2", "vol", "sensor 2", "motorstate", "reserve 4")

Path = tuple[str | int, ...]


def _paths(*fields: str, prefix: Path = ()) -> list[Path]:
    paths: list[Path] = []
    for field in fields:
        name, _, count = field.partition(" ")
        paths += [(*prefix, name, i) for i in range(int(count))] if count else [(*prefix, name)]
    return paths


def _motors(field: str, count: int, fields: tuple[str, ...]) -> list[Path]:
    return [path for i in range(count) for path in _paths(*fields, prefix=(field, i))]


@dataclass(frozen=True)
class Wire:
    """A message: the C struct as a ``struct`` layout, and where each of its numbers belongs."""

    size: int
    layout: str
    paths: list[Path]

    @property
    def letters(self) -> str:
        """One letter of ``struct`` for each number."""
        return "".join(
            letter * int(n or 1) for n, letter in re.findall(r"(\d*)([a-zA-Z])", self.layout) if letter != "x"
        )

    def draw(self, seed: int) -> list:
        """A random value for every number that is there to be drawn; the checksum is right."""
        rng = np.random.default_rng(seed)
        values: list = []
        for letter in self.letters:
            if letter == "f":
                values.append(float(np.float32(rng.normal())))
            else:
                low, high = (0, 256 ** struct.calcsize(letter)) if letter.isupper() else (-100, 100)
                values.append(int(rng.integers(low, high)))
        return self.sealed(values)

    def memory(self, values: list) -> bytes:
        """The C struct."""
        return struct.pack("<" + self.layout, *values)

    def sealed(self, values: list) -> list:
        """The same values with the right checksum, which is the last of them."""
        return [*values[:-1], crc(self.memory(values))]

    def cdr(self, values: list) -> bytes:
        """What goes over the wire: each number at a multiple of its own size, nothing else between them."""
        body = b""
        for letter, value in zip(self.letters, values, strict=True):
            size = struct.calcsize("<" + letter)
            body += bytes(-len(body) % size) + struct.pack("<" + letter, value)
        return bytes((0, 1, 0, 0)) + body


def crc(memory: bytes) -> int:
    """CRC-32 of all words but the last, bit by bit, highest first."""
    value = 0xFFFFFFFF
    for (word,) in struct.iter_unpack("<I", memory[:-4]):
        value ^= word
        for _ in range(32):
            value = ((value << 1) ^ 0x04C11DB7 if value & 0x80000000 else value << 1) & 0xFFFFFFFF
    return value


GO_LOW_CMD = Wire(
    812,
    "4B4IH2x" + "B3x5f3I" * 20 + "4B" + "55Bx2I",
    _paths(*_GO_HEAD)
    + _motors("motor_cmd", 20, _GO_COMMAND)
    + _paths("off", "reserve 3", prefix=("bms_cmd",))
    + _paths("wireless_remote 40", "led 12", "fan 2", "gpio", "reserve", "crc"),
)
GO_LOW_STATE = Wire(
    1180,
    "4B4IH2x" + "13fB3x" + "B3x7fB3x3I" * 20 + "4BiH4B15H" + "8hI41B3xf2B2x2f4H2I",
    _paths(*_GO_HEAD)
    + _paths(*_IMU, prefix=("imu_state",))
    + _motors("motor_state", 20, _GO_STATE)
    + _paths(*_GO_BATTERY, prefix=("bms_state",))
    + _paths("foot_force 4", "foot_force_est 4", "tick", "wireless_remote 40", "bit_flag", "adc_reel")
    + _paths("temperature_ntc1", "temperature_ntc2", "power_v", "power_a", "fan_frequency 4", "reserve", "crc"),
)
HG_LOW_CMD = Wire(
    1004,
    "2B2x" + "B3x5fI" * 35 + "5I",
    _paths("mode_pr", "mode_machine") + _motors("motor_cmd", 35, _HG_COMMAND) + _paths("reserve 4", "crc"),
)
HG_LOW_STATE = Wire(
    2092,
    "2I2B2xI" + "13fh2x" + "B3x4f2hf7I" * 35 + "40B5I",
    _paths("version 2", "mode_pr", "mode_machine", "tick")
    + _paths(*_IMU, prefix=("imu_state",))
    + _motors("motor_state", 35, _HG_STATE)
    + _paths("wireless_remote 40", "reserve 4", "crc"),
)
