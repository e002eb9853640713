"""Joints that no policy drives: ears, a jaw, a gripper. Only the show moves them."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from robopolicy_runtime.contract import Contract
from robopolicy_runtime.show.table import Table


@dataclass(frozen=True)
class Free:
    """What a policy's contract says of its own joints, of one that is not among them.

    Attributes:
        low, high: Range of its targets [rad].
        rate: How fast they move at most [rad/s].
        default: Where it is at rest [rad].
        kp, kd: Gains [N m/rad, N m s/rad].
        torque: The most that a target may ask for, as in ``safety.Limits`` [N m]; infinite if nobody says.
    """

    low: float
    high: float
    rate: float
    default: float
    kp: float
    kd: float
    torque: float


def read_free(table: Table, taken: Collection[str]) -> dict[str, Free]:
    """The joints that a table names.

    Args:
        table: Of tables with ``range``, ``rate``, ``default``, ``kp``, ``kd``, ``torque``.
        taken: Names that something else has.

    Raises:
        ContractError: It does not read, or a name is taken.
    """
    found: dict[str, Free] = {}
    for name in table.names:
        if name in taken:
            table.refuse(f"{name!r} is a joint or a channel of a policy, or a word of a clip's keys")
        one = table.table(name)
        low, high = one.pair("range")
        default = one.number("default", 0.0)
        if not low <= default <= high:
            one.refuse(f"default {default:g} is outside [{low:g}, {high:g}]")
        rate, kp, kd = one.number("rate", low=1e-9), one.number("kp", low=1e-9), one.number("kd", low=0.0)
        torque = one.number("torque", low=1e-9) if "torque" in one else math.inf
        one.done()
        found[name] = Free(low, high, rate, default, kp, kd, torque)
    return found


def whole_body(contract: Contract, free: Mapping[str, Free]) -> Contract:
    """The contract with the free joints after its own: what the safety layer and the driver are told.

    It says which joints there are and what they bear; of the policy it is not the contract.
    """
    fields = {
        "default_pose": "default",
        "position_lower": "low",
        "position_upper": "high",
        "kp": "kp",
        "kd": "kd",
        "torque_limit": "torque",
        "velocity_limit": "rate",
    }
    theirs = {
        field: (*getattr(contract, field), *(getattr(joint, ours) for joint in free.values()))
        for field, ours in fields.items()
    }
    return replace(contract, joint_names=(*contract.joint_names, *free), **theirs)
