"""Unitree's IDL as its maker's compiler writes it for CycloneDDS, with CycloneDDS' own encoder. No driver code."""

from dataclasses import dataclass
from typing import Any

import cyclonedds.idl as idl
import unitree_wire
from cyclonedds.idl.types import array, byte, float32, int16, int32, uint16, uint32

# The robots' IDL says octet where 8 bits are meant, which CycloneDDS calls byte.


@dataclass
class GoMotorCmd(idl.IdlStruct, typename="unitree_go.msg.dds_.MotorCmd_"):
    mode: byte
    q: float32
    dq: float32
    tau: float32
    kp: float32
    kd: float32
    reserve: array[uint32, 3]


@dataclass
class GoBmsCmd(idl.IdlStruct, typename="unitree_go.msg.dds_.BmsCmd_"):
    off: byte
    reserve: array[byte, 3]


@dataclass
class GoLowCmd(idl.IdlStruct, typename="unitree_go.msg.dds_.LowCmd_"):
    head: array[byte, 2]
    level_flag: byte
    frame_reserve: byte
    sn: array[uint32, 2]
    version: array[uint32, 2]
    bandwidth: uint16
    motor_cmd: array[GoMotorCmd, 20]
    bms_cmd: GoBmsCmd
    wireless_remote: array[byte, 40]
    led: array[byte, 12]
    fan: array[byte, 2]
    gpio: byte
    reserve: uint32
    crc: uint32


@dataclass
class GoImuState(idl.IdlStruct, typename="unitree_go.msg.dds_.IMUState_"):
    quaternion: array[float32, 4]
    gyroscope: array[float32, 3]
    accelerometer: array[float32, 3]
    rpy: array[float32, 3]
    temperature: byte


@dataclass
class GoMotorState(idl.IdlStruct, typename="unitree_go.msg.dds_.MotorState_"):
    mode: byte
    q: float32
    dq: float32
    ddq: float32
    tau_est: float32
    q_raw: float32
    dq_raw: float32
    ddq_raw: float32
    temperature: byte
    lost: uint32
    reserve: array[uint32, 2]


@dataclass
class GoBmsState(idl.IdlStruct, typename="unitree_go.msg.dds_.BmsState_"):
    version_high: byte
    version_low: byte
    status: byte
    soc: byte
    current: int32
    cycle: uint16
    bq_ntc: array[byte, 2]
    mcu_ntc: array[byte, 2]
    cell_vol: array[uint16, 15]


@dataclass
class GoLowState(idl.IdlStruct, typename="unitree_go.msg.dds_.LowState_"):
    head: array[byte, 2]
    level_flag: byte
    frame_reserve: byte
    sn: array[uint32, 2]
    version: array[uint32, 2]
    bandwidth: uint16
    imu_state: GoImuState
    motor_state: array[GoMotorState, 20]
    bms_state: GoBmsState
    foot_force: array[int16, 4]
    foot_force_est: array[int16, 4]
    tick: uint32
    wireless_remote: array[byte, 40]
    bit_flag: byte
    adc_reel: float32
    temperature_ntc1: byte
    temperature_ntc2: byte
    power_v: float32
    power_a: float32
    fan_frequency: array[uint16, 4]
    reserve: uint32
    crc: uint32


@dataclass
class HgMotorCmd(idl.IdlStruct, typename="unitree_hg.msg.dds_.MotorCmd_"):
    mode: byte
    q: float32
    dq: float32
    tau: float32
    kp: float32
    kd: float32
    reserve: uint32


@dataclass
class HgLowCmd(idl.IdlStruct, typename="unitree_hg.msg.dds_.LowCmd_"):
    mode_pr: byte
    mode_machine: byte
    motor_cmd: array[HgMotorCmd, 35]
    reserve: array[uint32, 4]
    crc: uint32


@dataclass
class HgImuState(idl.IdlStruct, typename="unitree_hg.msg.dds_.IMUState_"):
    quaternion: array[float32, 4]
    gyroscope: array[float32, 3]
    accelerometer: array[float32, 3]
    rpy: array[float32, 3]
    temperature: int16


@dataclass
class HgMotorState(idl.IdlStruct, typename="unitree_hg.msg.dds_.MotorState_"):
    mode: byte
    q: float32
    dq: float32
    ddq: float32
    tau_est: float32
    temperature: array[int16, 2]
    vol: float32
    sensor: array[uint32, 2]
    motorstate: uint32
    reserve: array[uint32, 4]


@dataclass
class HgLowState(idl.IdlStruct, typename="unitree_hg.msg.dds_.LowState_"):
    version: array[uint32, 2]
    mode_pr: byte
    mode_machine: byte
    tick: uint32
    imu_state: HgImuState
    motor_state: array[HgMotorState, 35]
    wireless_remote: array[byte, 40]
    reserve: array[uint32, 4]
    crc: uint32


TYPES: dict[str, Any] = {kind.__idl_typename__: kind for kind in (GoLowCmd, GoLowState, HgLowCmd, HgLowState)}
PARTS: dict[tuple[type, str], type] = {
    (GoLowCmd, "motor_cmd"): GoMotorCmd,
    (GoLowCmd, "bms_cmd"): GoBmsCmd,
    (GoLowState, "imu_state"): GoImuState,
    (GoLowState, "motor_state"): GoMotorState,
    (GoLowState, "bms_state"): GoBmsState,
    (HgLowCmd, "motor_cmd"): HgMotorCmd,
    (HgLowState, "imu_state"): HgImuState,
    (HgLowState, "motor_state"): HgMotorState,
}


def sample(module: str, name: str, wire: unitree_wire.Wire, values: list) -> Any:
    """A sample with these values, in the order of the wire's paths."""
    kind = TYPES[f"{module}.msg.dds_.{name}"]
    tree: dict = {}
    for path, value in zip(wire.paths, values, strict=True):
        place = tree
        for step in path[:-1]:
            place = place.setdefault(step, {})
        place[path[-1]] = value
    return _build(kind, tree)


def flat(message: Any, wire: unitree_wire.Wire) -> list:
    """A sample's values in the order of the wire's paths."""
    values = []
    for path in wire.paths:
        place = message
        for step in path:
            place = getattr(place, step) if isinstance(step, str) else place[step]
        values.append(place)
    return values


def _build(kind: type, tree: dict) -> Any:
    fields = {}
    for name, part in tree.items():
        inner = PARTS.get((kind, name))
        if isinstance(part, dict) and 0 in part:
            fields[name] = [_build(inner, item) if inner else item for item in part.values()]
        else:
            fields[name] = _build(inner, part) if inner else part
    return kind(**fields)
