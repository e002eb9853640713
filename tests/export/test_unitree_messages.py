"""Unitree's messages: every field, its place in memory and on the wire, and the checksum."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import unitree_wire
from robopolicy_runtime.drivers import unitree_messages
from robopolicy_runtime.drivers.unitree_messages import FrameError, Message

NAMES = ("GO_LOW_CMD", "GO_LOW_STATE", "HG_LOW_CMD", "HG_LOW_STATE")


@pytest.fixture(params=NAMES)
def pair(request) -> tuple[Message, unitree_wire.Wire]:
    return getattr(unitree_messages, request.param), getattr(unitree_wire, request.param)


def get(record: Any, path: unitree_wire.Path) -> Any:
    for step in path:
        record = record[step]
    return record


def put(record: np.ndarray, path: unitree_wire.Path, value: float) -> None:
    place = record
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value


def test_the_tests_own_layouts(pair):
    _, wire = pair
    assert len(wire.memory(wire.draw(0))) == wire.size
    assert len(wire.letters) == len(wire.paths)


def test_memory_has_the_known_size(pair):
    message, wire = pair
    assert message.layout.itemsize == wire.size


def test_every_field_is_written_where_it_belongs(pair):
    message, wire = pair
    for seed in range(3):
        values = wire.draw(seed)
        record = message.blank()
        for path, value in zip(wire.paths[:-1], values[:-1], strict=True):
            put(record, path, value)
        payload = message.encode(record)
        assert record.tobytes() == wire.memory(values)
        assert payload == wire.cdr(values)


def test_every_field_is_read_from_where_it_belongs(pair):
    message, wire = pair
    values = wire.draw(4)
    record = message.decode(wire.cdr(values))
    for path, value in zip(wire.paths, values, strict=True):
        assert get(record, path) == value, path
    assert record.tobytes() == wire.memory(values)


def test_no_field_shares_its_place_with_another(pair):
    message, wire = pair
    taken = np.zeros(message.layout.itemsize, bool)
    before = message.blank().tobytes()
    for path, letter in zip(wire.paths, wire.letters, strict=True):
        record = message.blank()
        put(record, path, 77.0 if letter == "f" else 77)
        place = np.frombuffer(record.tobytes(), np.uint8) != np.frombuffer(before, np.uint8)
        assert place.any(), path
        assert not (place & taken).any(), path
        taken |= place


def test_checksum_of_known_data():
    empty = np.zeros(4, np.uint8)
    assert unitree_messages.crc(empty) == 0xFFFFFFFF  # no word at all: the start value, not inverted
    one = np.zeros(8, np.uint8)
    assert unitree_messages.crc(one) == 0xC704DD7B  # CRC-32/MPEG-2 of four zero bytes


def test_wrong_checksum_is_refused(pair):
    message, wire = pair
    values = wire.draw(6)
    payload = wire.cdr(values)
    with pytest.raises(FrameError, match=r"checksum [0-9a-f]{8}, expected"):
        message.decode(wire.cdr([*values[:-1], values[-1] ^ 1]))
    for place in (4, len(payload) // 2, len(payload) - 5):
        damaged = bytearray(payload)
        damaged[place] ^= 0x10
        with pytest.raises(FrameError, match="checksum"):
            message.decode(bytes(damaged))


@pytest.mark.parametrize("length", [0, 3, 4, 5, -5, -4, -1])
def test_short_frames_are_refused(pair, length):
    message, wire = pair
    payload = wire.cdr(wire.draw(7))
    with pytest.raises(FrameError, match=r"expected"):
        message.decode(payload[:length])


def test_long_frames_and_other_encodings_are_refused(pair):
    message, wire = pair
    payload = wire.cdr(wire.draw(8))
    with pytest.raises(FrameError, match=f"{len(payload)} bytes, expected {len(payload) - 4}"):
        message.decode(payload + bytes(4))
    with pytest.raises(FrameError, match="encoding 00000000, expected CDR, little endian"):
        message.decode(bytes(4) + payload[4:])
    message.decode(bytes((0, 7, 0, 0)) + payload[4:])  # XCDR2 has the same bytes for these types


def test_cyclonedds_encodes_the_same(pair):
    pytest.importorskip("cyclonedds", reason="cyclonedds is not installed: pip install cyclonedds")
    import unitree_idl

    message, wire = pair
    values = wire.draw(9)
    sample = unitree_idl.sample(message.module, message.name, wire, values)
    assert sample.serialize(use_version_2=False) == wire.cdr(values)
    # What two programs compare before they talk: the type's fields.
    ours, theirs = message.dds_type(), type(sample)
    for kind in (ours, theirs):
        kind.__idl__.populate()
        kind.__idl__.fill_type_data()
    assert ours.__idl__._xt_bytedata == theirs.__idl__._xt_bytedata


def test_messages_need_no_cyclonedds():
    code = (
        "import sys; sys.modules['cyclonedds'] = None\n"
        "from robopolicy_runtime.drivers import unitree, unitree_messages as m\n"
        "m.GO_LOW_CMD.decode(m.GO_LOW_CMD.encode(m.GO_LOW_CMD.blank()))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
