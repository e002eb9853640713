"""A Unitree robot that is a process: sends states over DDS on loopback, hears orders, and says them on its output.

    python unitree_robot.py go|hg DOMAIN

Each line on the input changes what it sends: "good", "bad checksum", "frozen" (one tick over and over), "dead imu"
(zeros for an orientation), "short" (states of the same name with fewer fields), "orders" (somebody gives orders beside
it). Each line on the output is JSON: "ready", or an order that was heard. Knows nothing of the driver.
"""

import json
import math
import os
import sys
import threading
import time
from typing import Any

import unitree_wire

URI = (
    '<CycloneDDS><Domain Id="any"><General><Interfaces><NetworkInterface name="lo"/></Interfaces>'
    "<AllowMulticast>false</AllowMulticast></General><Discovery><ParticipantIndex>auto</ParticipantIndex>"
    '<Peers><Peer Address="127.0.0.1"/></Peers></Discovery></Domain></CycloneDDS>'
)
PERIOD_S = 0.04
MODE_MACHINE = 5
GYRO = (0.1, -0.2, 0.3)
ROLL = 0.4  # [rad]


def motor_pos(motor: int) -> float:
    return 0.1 + 0.01 * motor


def motor_vel(motor: int) -> float:
    return -1.0 - 0.5 * motor


def state(family: str, tick: int, quaternion: tuple[float, ...], motors: dict[tuple, int] | None = None) -> list:
    """The numbers of a state, in the order of the wire; those of ``motors`` by motor and field, ``(3, "mode")``."""
    wire = getattr(unitree_wire, f"{family.upper()}_LOW_STATE")
    values: list = [0.0 if letter == "f" else 0 for letter in wire.letters]
    known: dict = {("tick",): tick, ("mode_machine",): MODE_MACHINE}
    known |= {("imu_state", "quaternion", i): value for i, value in enumerate(quaternion)}
    known |= {("imu_state", "gyroscope", i): value for i, value in enumerate(GYRO)}
    for motor in range(20 if family == "go" else 35):
        known |= {("motor_state", motor, "q"): motor_pos(motor), ("motor_state", motor, "dq"): motor_vel(motor)}
    known |= {("motor_state", *path): value for path, value in (motors or {}).items()}
    return wire.sealed([known.get(path, value) for path, value in zip(wire.paths, values, strict=True)])


def run(family: str, domain: int) -> None:
    module = f"unitree_{family}"
    state_wire = getattr(unitree_wire, f"{family.upper()}_LOW_STATE")
    command_wire = getattr(unitree_wire, f"{family.upper()}_LOW_CMD")
    participant = DomainParticipant(domain)
    states = Topic(participant, "rt/lowstate", unitree_idl.TYPES[f"{module}.msg.dds_.LowState_"])
    commands = Topic(participant, "rt/lowcmd", unitree_idl.TYPES[f"{module}.msg.dds_.LowCmd_"])
    writer = DataWriter(participant, states)
    short_state: Any = make_idl_struct("LowState_", f"{module}.msg.dds_.LowState_", {"crc": uint32})
    short_writer = None
    reliable = Policy.Reliability.Reliable(0)
    reader = DataReader(
        participant, commands, Qos(reliable, Policy.History.KeepLast(20), Policy.IgnoreLocal.Participant)
    )
    # As on robots: the motion service's writer stays while it is off.
    rival = DataWriter(participant, commands)

    mode = "good"

    def listen() -> None:
        nonlocal mode
        for line in sys.stdin:
            mode = line.strip()
        os._exit(0)  # the test is gone

    threading.Thread(target=listen, daemon=True).start()
    print(json.dumps("ready"), flush=True)
    level = (math.cos(ROLL / 2), math.sin(ROLL / 2), 0.0, 0.0)
    tick = 1000
    while True:
        tick += mode != "frozen"
        values = state(family, tick, (0.0,) * 4 if mode == "dead imu" else level)
        if mode == "bad checksum":
            values[-1] ^= 1
        sample = unitree_idl.sample(module, "LowState_", state_wire, values)
        if mode == "short":
            short_writer = short_writer or DataWriter(participant, Topic(participant, "rt/lowstate", short_state))
            short_writer.write(short_state(tick))
        else:
            writer.write(sample)
        if mode == "orders":
            zeros = [0.0 if letter == "f" else 0 for letter in command_wire.letters]
            rival.write(unitree_idl.sample(module, "LowCmd_", command_wire, command_wire.sealed(zeros)))
        for order in reader.take(20):
            if order.sample_info.valid_data:
                heard = unitree_idl.flat(order, command_wire)
                fields = {" ".join(map(str, path)): v for path, v in zip(command_wire.paths, heard, strict=True)}
                intact = command_wire.sealed(heard) == heard
                print(json.dumps({"intact": intact, "fields": fields}), flush=True)
        time.sleep(PERIOD_S)


if __name__ == "__main__":
    os.environ["CYCLONEDDS_URI"] = URI
    import unitree_idl
    from cyclonedds.domain import DomainParticipant
    from cyclonedds.idl import make_idl_struct
    from cyclonedds.idl.types import uint32
    from cyclonedds.pub import DataWriter
    from cyclonedds.qos import Policy, Qos
    from cyclonedds.sub import DataReader
    from cyclonedds.topic import Topic

    run(sys.argv[1], int(sys.argv[2]))
