"""Servos on a pseudo-terminal, for the tests: ``fake_servos.py sts3215|xl330 ID...`` in its own process.

Written from the makers' protocol descriptions, not from the library that the driver uses: packets, checksums and the
encoding of signed numbers are this file's own. The first line of output is the terminal to open. Each further line of
input is one request as JSON, ``[name, *arguments]`` for a method of ``Servos``; its answer comes as one line of JSON.
"""

import contextlib
import json
import os
import select
import sys
import tty
from typing import ClassVar

PING, READ, WRITE, SYNC_READ, SYNC_WRITE = 0x01, 0x02, 0x03, 0x82, 0x83
BROADCAST = 0xFE


class Sts:
    """Feetech STS: ``FF FF id length instruction parameters checksum``; signed numbers are sign and magnitude."""

    registers: ClassVar = {"mode": (33, 1), "torque": (40, 1), "goal": (42, 2), "position": (56, 2), "speed": (58, 2)}
    position_mode = 0
    header = b"\xff\xff"

    def encode(self, value, size):
        return (abs(value) | (1 << (8 * size - 1) if value < 0 else 0)).to_bytes(size, "little")

    def decode(self, data):
        raw = int.from_bytes(data, "little")
        sign = 1 << (8 * len(data) - 1)
        return -(raw - sign) if raw & sign else raw

    def checksum(self, packet):
        return bytes([~sum(packet[2:]) & 0xFF])

    def answer(self, servo, error, data):
        packet = self.header + bytes([servo, len(data) + 2, error]) + data
        return packet + self.checksum(packet)

    def take(self, buffer):
        """The first whole packet as (id, instruction, parameters), and what is left; None while there is none."""
        if len(buffer) < 4 or len(buffer) < 4 + buffer[3]:
            return None, buffer
        packet, rest = buffer[: 4 + buffer[3]], buffer[4 + buffer[3] :]
        assert packet[:2] == self.header, packet
        assert packet[-1:] == self.checksum(packet[:-1]), packet
        return (packet[2], packet[4], packet[5:-1]), rest

    def address(self, parameters, numbers):
        """Address and, for ``numbers`` 2, length, which lead the parameters; and what is left of them."""
        return *parameters[:numbers], parameters[numbers:]


class Xl330:
    """Dynamixel protocol 2: ``FF FF FD 00 id length(2) instruction parameters crc(2)``; two's complement."""

    registers: ClassVar = {
        "mode": (11, 1),
        "torque": (64, 1),
        "goal": (116, 4),
        "speed": (128, 4),
        "position": (132, 4),
    }
    position_mode = 3
    header = b"\xff\xff\xfd\x00"

    def encode(self, value, size):
        return value.to_bytes(size, "little", signed=True)

    def decode(self, data):
        return int.from_bytes(data, "little", signed=True)

    def checksum(self, packet):
        crc = 0
        for byte in packet:
            crc ^= byte << 8
            for _ in range(8):
                crc = (crc << 1 ^ (0x8005 if crc & 0x8000 else 0)) & 0xFFFF
        return crc.to_bytes(2, "little")

    def answer(self, servo, error, data):
        # What looks like a header inside a packet gets one more FD.
        body = bytes([0x55, error]) + data.replace(b"\xff\xff\xfd", b"\xff\xff\xfd\xfd")
        packet = self.header + bytes([servo]) + (len(body) + 2).to_bytes(2, "little") + body
        return packet + self.checksum(packet)

    def take(self, buffer):
        """See ``Sts``."""
        length = 7 + int.from_bytes(buffer[5:7], "little")
        if len(buffer) < 7 or len(buffer) < length:
            return None, buffer
        packet, rest = buffer[:length], buffer[length:]
        assert packet[:4] == self.header, packet
        assert packet[-2:] == self.checksum(packet[:-2]), packet
        return (packet[4], packet[7], packet[8:-2].replace(b"\xff\xff\xfd\xfd", b"\xff\xff\xfd")), rest

    def address(self, parameters, numbers):
        """See ``Sts``."""
        found = [int.from_bytes(parameters[2 * i : 2 * i + 2], "little") for i in range(numbers)]
        return *found, parameters[2 * numbers :]


class Servos:
    """The servos, and what a test can ask of them.

    Attributes:
        tables: The register bytes of each servo by id.
        silent: Ids that do not answer.
        spoil: Id and kind of damage to each of its answers: ``checksum``, ``short``, ``id``, ``length``.
        errors: Error byte in the answers of an id.
        written: Name of the register, id and value of everything that was written to one that is named.
        reads: Instructions that asked for registers.
    """

    def __init__(self, protocol, ids):
        self.protocol = protocol
        self.reset(*ids)

    def reset(self, *ids):
        self.tables = {i: bytearray(256) for i in ids}
        self.silent = set()
        self.spoil = {}
        self.errors = {}
        self.written = []
        self.reads = 0
        for i in ids:
            self.set(i, "mode", self.protocol.position_mode)
            self.set(i, "position", 2048)

    def set(self, servo, name, value):
        start, size = self.protocol.registers[name]
        self.tables[servo][start : start + size] = self.protocol.encode(value, size)

    def get(self, servo, name):
        start, size = self.protocol.registers[name]
        return self.protocol.decode(self.tables[servo][start : start + size])

    def silence(self, *servos):
        self.silent = set(servos)

    def damage(self, servo, kind):
        self.spoil = {servo: kind} if kind else {}

    def error(self, servo, value):
        self.errors[servo] = value

    def log(self):
        return self.written

    def count(self):
        return self.reads

    def write(self, servo, start, data):
        self.tables[servo][start : start + len(data)] = data
        for name, (at, _) in self.protocol.registers.items():
            if start <= at < start + len(data):
                self.written.append([name, servo, self.get(servo, name)])
        if self.get(servo, "torque"):
            self.set(servo, "position", self.get(servo, "goal"))

    def data(self, servo, start, size):
        return bytes(self.tables.get(servo, b"")[start : start + size])

    def answer(self, servo, data=b""):
        if servo in self.silent or servo not in self.tables:
            return b""
        packet = self.protocol.answer(servo, self.errors.get(servo, 0), data)
        match self.spoil.get(servo):
            case "checksum":
                return packet[:-1] + bytes([packet[-1] ^ 0x10])
            case "short":
                return packet[:-3]
            case "id":
                return self.protocol.answer(servo + 100, 0, data)
            case "length":
                return self.protocol.answer(servo, 0, data[:-1])
        return packet

    def serve(self, servo, instruction, parameters):
        """The bytes that go back for one instruction."""
        if instruction == PING:
            return self.answer(servo, b"" if isinstance(self.protocol, Sts) else b"\xb0\x04\x32")
        if instruction == READ:
            start, size, _ = self.protocol.address(parameters, 2)
            self.reads += 1
            return self.answer(servo, self.data(servo, start, size))
        if instruction == WRITE:
            start, data = self.protocol.address(parameters, 1)
            if servo in self.tables:
                self.write(servo, start, data)
            return self.answer(servo)
        assert servo == BROADCAST, f"id {servo}, instruction {instruction}"
        start, size, rest = self.protocol.address(parameters, 2)
        if instruction == SYNC_READ:
            self.reads += 1
            return b"".join(self.answer(i, self.data(i, start, size)) for i in rest)
        assert instruction == SYNC_WRITE, f"instruction {instruction}"
        for at in range(0, len(rest), size + 1):
            if rest[at] in self.tables and rest[at] not in self.silent:
                self.write(rest[at], start, rest[at + 1 : at + 1 + size])
        return b""


def main(kind, *ids):
    servos = Servos({"sts3215": Sts, "xl330": Xl330}[kind](), [int(i) for i in ids])
    master, slave = os.openpty()
    tty.setraw(slave)
    os.set_blocking(master, False)  # what nobody takes in is lost, as on a wire; waiting for it would stop everything
    print(os.ttyname(slave), flush=True)
    requests = sys.stdin.fileno()  # unbuffered, or select would miss lines
    lines, packets = b"", b""
    while True:
        ready, _, _ = select.select([master, requests], [], [])
        if master in ready:
            packets += os.read(master, 4096)
            packet, packets = servos.protocol.take(packets)
            while packet:
                with contextlib.suppress(BlockingIOError):
                    os.write(master, servos.serve(*packet))
                packet, packets = servos.protocol.take(packets)
        if requests in ready:
            data = os.read(requests, 4096)
            if not data:
                return
            *whole, lines = (lines + data).split(b"\n")
            for line in whole:
                name, *arguments = json.loads(line)
                print(json.dumps(getattr(servos, name)(*arguments)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
