"""What the simulated robot and its driver say to each other, in datagrams on this machine.

Talk is JSON and begins with ``{``. Numbers are little endian, a head and then float64s, with a CRC-32 at the end:

    order    b"RO", session u64, count u16, then target, kp, kd (count each)
    sample   b"RS", sequence u64, count u16, then gyro 3, gravity 3, joint_pos, joint_vel (count each)
"""

import struct
import zlib

import numpy as np

_HEAD = struct.Struct("<2sQH")
ORDER, SAMPLE = b"RO", b"RS"


def pack(kind: bytes, number: int, joints: int, values: np.ndarray) -> bytes:
    """A datagram of numbers; ``number`` is the session or the sequence."""
    body = _HEAD.pack(kind, number, joints) + np.asarray(values, "<f8").tobytes()
    return body + struct.pack("<I", zlib.crc32(body))


def unpack(data: bytes, kind: bytes) -> tuple[int, int, np.ndarray] | None:
    """Number, joints and values of a datagram; None if it is cut off, damaged, or of another kind."""
    if len(data) < _HEAD.size + 4 or data[:2] != kind or zlib.crc32(data[:-4]) != struct.unpack("<I", data[-4:])[0]:
        return None
    _, number, joints = _HEAD.unpack_from(data)
    values = np.frombuffer(data[_HEAD.size : -4], "<f8")
    expected = 3 * joints if kind == ORDER else 6 + 2 * joints
    return (number, joints, values) if len(values) == expected else None
