"""Unitree's low-level messages: their memory layout, their checksum, and their form on the wire.

Layouts are those of Unitree's ``unitree_go`` (Go2) and ``unitree_hg`` (G1) IDL. A message is a NumPy record in the
memory layout of the C struct, padding included, because the checksum is taken over that; on the wire travels CDR,
which has the same numbers with less padding.
"""

import math
import zlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

HEADER = bytes((0, 1, 0, 0))  # CDR, little endian
HEADER_XCDR2 = bytes((0, 7, 0, 0))  # the same bytes follow: no field is longer than 4 bytes
REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
STRUCTS = {
    "motor_cmd": "MotorCmd_",
    "motor_state": "MotorState_",
    "imu_state": "IMUState_",
    "bms_cmd": "BmsCmd_",
    "bms_state": "BmsState_",
}


class FrameError(Exception):
    """A message of wrong length, encoding or checksum; what it says must not be used."""


@dataclass(frozen=True)
class Message:
    """One kind of message.

    Attributes:
        module, name: Its name in the IDL.
        layout: The C struct, little endian. Its last field is ``crc``.
    """

    module: str
    name: str
    layout: np.dtype

    def blank(self) -> np.ndarray:
        """A message of zeros, a record without dimensions: ``record["motor_cmd"]["q"]`` has a number per motor."""
        return np.zeros((), self.layout)

    def encode(self, record: np.ndarray) -> bytes:
        """What goes on the wire; fills in ``record["crc"]``."""
        record["crc"] = crc(record)
        native, cdr = self._places
        payload = np.zeros(len(HEADER) + self.cdr_size, np.uint8)
        payload[: len(HEADER)] = np.frombuffer(HEADER, np.uint8)
        payload[cdr] = np.frombuffer(record.tobytes(), np.uint8)[native]
        return payload.tobytes()

    def decode(self, payload: bytes) -> np.ndarray:
        """The message that came over the wire.

        Raises:
            FrameError: It is of another length or encoding, or its checksum is wrong.
        """
        if payload[:4] not in (HEADER, HEADER_XCDR2):
            raise FrameError(f"{self.name}: encoding {payload[:4].hex() or 'missing'}, expected CDR, little endian")
        if len(payload) != len(HEADER) + self.cdr_size:
            raise FrameError(f"{self.name}: {len(payload) - len(HEADER)} bytes, expected {self.cdr_size}")
        native, cdr = self._places
        memory = np.zeros(self.layout.itemsize, np.uint8)
        memory[native] = np.frombuffer(payload, np.uint8)[cdr]
        record = memory.view(self.layout).reshape(())
        if record["crc"] != (expected := crc(record)):
            raise FrameError(f"{self.name}: checksum {int(record['crc']):08x}, expected {expected:08x}")
        return record

    @property
    def cdr_size(self) -> int:
        """Bytes on the wire, without the header."""
        return int(self._places[1][-1]) + 1 - len(HEADER)

    @cached_property
    def _places(self) -> tuple[np.ndarray, np.ndarray]:
        """Where each byte is in memory, and on the wire: CDR aligns numbers, but neither structs nor their ends."""
        native: list[int] = []
        cdr: list[int] = []
        position = 0
        for offset, size in _numbers(self.layout):
            position += -position % size
            native += range(offset, offset + size)
            cdr += range(len(HEADER) + position, len(HEADER) + position + size)
            position += size
        return np.array(native), np.array(cdr)

    def dds_type(self) -> Any:
        """The message as a type that CycloneDDS knows, whose samples hold the encoded ``payload`` as it is.

        CycloneDDS' own encoder walks the fields in Python, which takes milliseconds; two programs still compare the
        fields before they talk to each other.
        """
        frame: Any = _idl_struct(self.module, self.name, self.layout)

        def from_payload(cls: Any, data: bytes, *_: Any, **__: Any) -> Any:
            sample = cls()
            sample.payload = bytes(data)
            return sample

        frame.payload = b""
        frame.serialize = lambda self, *_, **__: self.payload
        frame.deserialize = frame.deserialize_key = classmethod(from_payload)
        return frame


def crc(record: np.ndarray) -> int:
    """Unitree's checksum of a record: CRC-32 with polynomial 0x04C11DB7 over all words of 32 bits but the last.

    The highest bit comes first, the start is 0xFFFFFFFF, and nothing is inverted at the end. zlib's CRC-32 is the same
    with the bits in the other order and an inversion at the end.
    """
    words = np.frombuffer(record.tobytes().translate(REVERSED), "<u4")[:-1]
    value = zlib.crc32(words.byteswap().tobytes()) ^ 0xFFFFFFFF
    return int(f"{value:032b}"[::-1], 2)


def _numbers(layout: np.dtype, start: int = 0) -> list[tuple[int, int]]:
    """Offset and size of every number in a layout, in order."""
    if layout.subdtype is not None:
        item, shape = layout.subdtype
        return [n for i in range(math.prod(shape)) for n in _numbers(item, start + i * item.itemsize)]
    if layout.fields is None:
        return [(start, layout.itemsize)]
    return [n for part, offset, *_ in layout.fields.values() for n in _numbers(part, start + offset)]


def _idl_struct(module: str, name: str, layout: np.dtype) -> Any:
    from cyclonedds.idl import make_idl_struct, types

    # Robots run CycloneDDS 0.10, which calls 8 bits an octet. Since 11 an uint8 is another type: a 0.10 participant
    # does not match it, and was seen to crash on hearing of it.
    octet = getattr(types, "byte", types.uint8)
    numbers = {"u1": octet, "i2": types.int16, "u2": types.uint16, "i4": types.int32, "u4": types.uint32}
    numbers["f4"] = types.float32
    fields = {}
    for field, (part, *_) in (layout.fields or {}).items():
        item = part.base
        kind = numbers[item.str[1:]] if item.fields is None else _idl_struct(module, STRUCTS[field], item)
        fields[field] = types.array[kind, part.shape[0]] if part.shape else kind
    return make_idl_struct(name, f"{module}.msg.dds_.{name}", fields, dataclassify=False)


def _struct(*fields: tuple) -> np.dtype:
    return np.dtype(list(fields), align=True)


def _imu_state(temperature: str) -> np.dtype:
    return _struct(
        ("quaternion", "<f4", (4,)),  # wxyz
        ("gyroscope", "<f4", (3,)),
        ("accelerometer", "<f4", (3,)),
        ("rpy", "<f4", (3,)),
        ("temperature", temperature),
    )


_GO_HEAD = (
    ("head", "<u1", (2,)),
    ("level_flag", "<u1"),
    ("frame_reserve", "<u1"),
    ("sn", "<u4", (2,)),
    ("version", "<u4", (2,)),
    ("bandwidth", "<u2"),
)

_GO_MOTOR_CMD = _struct(
    ("mode", "<u1"),
    ("q", "<f4"),
    ("dq", "<f4"),
    ("tau", "<f4"),
    ("kp", "<f4"),
    ("kd", "<f4"),
    ("reserve", "<u4", (3,)),
)

_GO_MOTOR_STATE = _struct(
    ("mode", "<u1"),
    ("q", "<f4"),
    ("dq", "<f4"),
    ("ddq", "<f4"),
    ("tau_est", "<f4"),
    ("q_raw", "<f4"),
    ("dq_raw", "<f4"),
    ("ddq_raw", "<f4"),
    ("temperature", "<u1"),
    ("lost", "<u4"),
    ("reserve", "<u4", (2,)),
)

_GO_BMS_STATE = _struct(
    ("version_high", "<u1"),
    ("version_low", "<u1"),
    ("status", "<u1"),
    ("soc", "<u1"),
    ("current", "<i4"),
    ("cycle", "<u2"),
    ("bq_ntc", "<u1", (2,)),
    ("mcu_ntc", "<u1", (2,)),
    ("cell_vol", "<u2", (15,)),
)

GO_LOW_CMD = Message(
    "unitree_go",
    "LowCmd_",
    _struct(
        *_GO_HEAD,
        ("motor_cmd", _GO_MOTOR_CMD, (20,)),
        ("bms_cmd", _struct(("off", "<u1"), ("reserve", "<u1", (3,)))),
        ("wireless_remote", "<u1", (40,)),
        ("led", "<u1", (12,)),
        ("fan", "<u1", (2,)),
        ("gpio", "<u1"),
        ("reserve", "<u4"),
        ("crc", "<u4"),
    ),
)

GO_LOW_STATE = Message(
    "unitree_go",
    "LowState_",
    _struct(
        *_GO_HEAD,
        ("imu_state", _imu_state("<u1")),
        ("motor_state", _GO_MOTOR_STATE, (20,)),
        ("bms_state", _GO_BMS_STATE),
        ("foot_force", "<i2", (4,)),
        ("foot_force_est", "<i2", (4,)),
        ("tick", "<u4"),
        ("wireless_remote", "<u1", (40,)),
        ("bit_flag", "<u1"),
        ("adc_reel", "<f4"),
        ("temperature_ntc1", "<u1"),
        ("temperature_ntc2", "<u1"),
        ("power_v", "<f4"),
        ("power_a", "<f4"),
        ("fan_frequency", "<u2", (4,)),
        ("reserve", "<u4"),
        ("crc", "<u4"),
    ),
)

_HG_MOTOR_CMD = _struct(
    ("mode", "<u1"),
    ("q", "<f4"),
    ("dq", "<f4"),
    ("tau", "<f4"),
    ("kp", "<f4"),
    ("kd", "<f4"),
    ("reserve", "<u4"),
)

_HG_MOTOR_STATE = _struct(
    ("mode", "<u1"),
    ("q", "<f4"),
    ("dq", "<f4"),
    ("ddq", "<f4"),
    ("tau_est", "<f4"),
    ("temperature", "<i2", (2,)),
    ("vol", "<f4"),
    ("sensor", "<u4", (2,)),
    ("motorstate", "<u4"),
    ("reserve", "<u4", (4,)),
)

HG_LOW_CMD = Message(
    "unitree_hg",
    "LowCmd_",
    _struct(
        ("mode_pr", "<u1"),
        ("mode_machine", "<u1"),
        ("motor_cmd", _HG_MOTOR_CMD, (35,)),
        ("reserve", "<u4", (4,)),
        ("crc", "<u4"),
    ),
)

HG_LOW_STATE = Message(
    "unitree_hg",
    "LowState_",
    _struct(
        ("version", "<u4", (2,)),
        ("mode_pr", "<u1"),
        ("mode_machine", "<u1"),
        ("tick", "<u4"),
        ("imu_state", _imu_state("<i2")),
        ("motor_state", _HG_MOTOR_STATE, (35,)),
        ("wireless_remote", "<u1", (40,)),
        ("reserve", "<u4", (4,)),
        ("crc", "<u4"),
    ),
)
