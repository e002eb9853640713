"""The contract: exact round trip, and one named refusal per kind of defect."""

import json

import pytest
import synthetic
from robopolicy_runtime.contract import Contract
from robopolicy_runtime.errors import ContractError


def as_json() -> dict:
    return json.loads(synthetic.contract().to_json())


def test_round_trip_is_exact():
    contract = synthetic.contract()
    again = Contract.from_json(contract.to_json())
    assert again == contract
    assert again.default_pose[1] == -0.123456789012345678
    assert again.to_json() == contract.to_json()


def put(*path_and_value):
    """A change to the JSON: the path to a place, then its new value."""
    *path, last, value = path_and_value

    def change(data: dict) -> None:
        for key in path:
            data = data[key]
        data[last] = value

    return change


def drop(*path):
    *path, last = path

    def change(data: dict) -> None:
        for key in path:
            data = data[key]
        del data[last]

    return change


REFUSALS = {
    "missing": (drop("kp"), "contract: missing field 'kp'"),
    "missing inside": (drop("action", "clip"), "contract.action: missing field 'clip'"),
    "unknown": (put("kpp", 1), "contract: unknown field 'kpp'"),
    "unknown inside": (put("imu", "colour", 1), "contract.imu: unknown field 'colour'"),
    "wrong type": (put("task", 3), "contract.task: must be a text"),
    "bool for number": (put("kp", [True, 1.0]), r"contract.kp\[0\]: must be a number"),
    "text for number": (put("control_period_s", "0.02"), "contract.control_period_s: must be a number"),
    "float for int": (put("physics", "substeps", 4.0), "contract.physics.substeps: must be a whole number"),
    "text for list": (put("joint_names", "hip"), "contract.joint_names: must be a list"),
    "list for object": (put("imu", []), "contract.imu: must be an object"),
    "wrong length": (put("kd", [1.0]), "contract.kd: has 1 entries for 2 joints"),
    "pair": (put("delays", "action_delay_s", [0.0]), "contract.delays.action_delay_s: must have 2 entries"),
    "nan": (put("kp", [float("nan"), 1.0]), r"contract.kp\[0\]: must be finite, not nan"),
    "infinite": (
        put("velocity_limit", [float("inf"), None]),
        r"contract.velocity_limit\[0\]: must be finite",
    ),
    "huge": (put("action", "clip", 10**400), "contract.action.clip: must be finite"),
    "lower above upper": (
        put("position_lower", [0.9, -0.7]),
        "contract.position: 'left_hip': lower 0.9 is above",
    ),
    "command range": (
        put("command", "lower", [9.0, 0.0, 0.0]),
        "contract.command: 'vx': lower 9.0 is above upper",
    ),
    "command length": (put("command", "units", ["m/s"]), "contract.command.units: has 1 entries for 3 names"),
    "pose outside": (
        put("default_pose", [0.9, 0.0]),
        "contract.default_pose: joint 'left_hip': 0.9 is outside",
    ),
    "duplicate joint": (put("joint_names", ["a", "a"]), "contract.joint_names: duplicate 'a'"),
    "duplicate command": (put("command", "names", ["v", "v", "w"]), "contract.command.names: duplicate 'v'"),
    "duplicate observation": (
        put("observations", 1, "name", "gyro"),
        "contract.observations: duplicate 'gyro'",
    ),
    "no joints": (put("joint_names", []), "contract.joint_names: is empty"),
    "no observations": (put("observations", []), "contract.observations: is empty"),
    "negative gain": (put("kp", [-1.0, 1.0]), "contract.kp: joint 'left_hip': must be positive"),
    "negative damping": (put("kd", [1.0, -1.0]), "contract.kd: joint 'right_hip': -1.0 is negative"),
    "substeps": (put("physics", "substeps", 5), "contract.control_period_s: 0.02 is not timestep_s"),
    "no delay": (put("delays", {}), "contract.delays: missing field 'action_delay_s'"),
    "delay order": (put("delays", "action_delay_s", [0.1, 0.0]), "contract.delays.action_delay_s"),
    "quaternion": (put("imu", "quaternion", [1.0, 1.0, 0.0, 0.0]), "contract.imu.quaternion"),
    "score": (
        put("score", "kind", "beauty"),
        "contract.score.kind: unknown 'beauty'; known: velocity, upright",
    ),
    "term": (
        put("observations", 0, "term", "base_velocity"),
        r"observations\[0\] \('gyro'\): unknown term 'base_velo",
    ),
    "joint size": (
        put("observations", 3, "size", 3),
        r"observations\[3\] \('joint_position'\): size 3 contradicts",
    ),
    "history": (put("observations", 0, "history", 0), "history 0 must be at least 1"),
    "missing param": (
        put("observations", 6, "params", {"period_s": 1.0}),
        r"params \['period_s'\] of gait_phase",
    ),
    "unknown param": (
        put("observations", 0, "params", {"x": 1.0}),
        r"params \['x'\] of angular_velocity must be \[\]",
    ),
    "period": (put("observations", 6, "params", "period_s", 0.0), "period_s must be positive"),
    "older": (put("schema", 0), "contract.schema: 0 is older than this runtime's 2: export the policy again"),
    "newer": (
        put("schema", 3),
        "contract.schema: 3 is newer than this runtime's 2: update robopolicy-runtime",
    ),
    "schema text": (put("schema", "2"), "contract.schema: must be a whole number"),
    "no schema": (drop("schema"), "missing field 'schema'"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusal_names_the_field(name):
    change, message = REFUSALS[name]
    data = as_json()
    change(data)
    with pytest.raises(ContractError, match=message) as caught:
        Contract.from_json(json.dumps(data))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("field", list(as_json()))
def test_every_field_is_required(field):
    data = as_json()
    del data[field]
    with pytest.raises(ContractError, match=f"missing field '{field}'"):
        Contract.from_json(json.dumps(data))


def test_duplicate_json_field_is_refused():
    text = synthetic.contract().to_json().replace('"task":', '"task": "other", "task":', 1)
    with pytest.raises(ContractError, match="duplicate field 'task'"):
        Contract.from_json(text)


@pytest.mark.parametrize("text", ["", "{", "nonsense"])
def test_not_json(text):
    with pytest.raises(ContractError, match="not JSON"):
        Contract.from_json(text)


@pytest.mark.parametrize("text", ["[]", "3", "null"])
def test_not_an_object(text):
    with pytest.raises(ContractError, match="missing field 'schema'"):
        Contract.from_json(text)
