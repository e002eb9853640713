"""Numbers that were measured on a robot: the file that holds them, and a task that trains with them."""

import inspect
import math
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from robopolicy.errors import UserError, unknown
from robopolicy.robot import load_robot
from robopolicy.sysid.parameters import SERVO, kinds
from robopolicy.task import Randomizer, Task
from robopolicy.terms import randomizers
from robopolicy.terms.randomizers import Draft, Range, randomizes

TERM = "measured_servos"


@dataclass(frozen=True)
class Measured:
    """What ``robopolicy sysid`` wrote.

    Attributes:
        robot: Whose numbers they are.
        servos: Ranges of kp, kd, armature, friction, torque by the servo's pattern, as far as they are known.
        encoder_offset: Ranges by joint [rad].
        latency_s: From an order to its effect [s].
    """

    robot: str
    servos: dict[str, dict[str, Range]] = field(default_factory=dict)
    encoder_offset: dict[str, Range] = field(default_factory=dict)
    latency_s: Range | None = None


def read_measured(path: Path) -> Measured:
    """Read a file that ``robopolicy sysid`` wrote; of each entry the ``range`` counts.

    Raises:
        UserError: It is absent, broken, or holds something else.
    """
    try:
        with open(path, "rb") as file:
            data = tomllib.load(file)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no TOML: {error}") from None
    for name in data:
        if name not in ("robot", "log", "error_rad", "servos", "encoder_offset", "latency"):
            raise unknown("entry", name, ["robot", "servos", "encoder_offset", "latency"], str(path))
    if not isinstance(data.get("robot"), str):
        raise UserError(f"{path}: robot is missing")
    servos: dict[str, dict[str, Range]] = {}
    for pattern, values in data.get("servos", {}).items():
        for name in values:
            if name not in SERVO:
                raise unknown("number", name, SERVO, f"{path}, servo {pattern!r}")
        servos[pattern] = {name: _range(path, f"{pattern}.{name}", value) for name, value in values.items()}
    offsets = {
        name: _range(path, f"encoder_offset.{name}", v, -math.inf) for name, v in data.get("encoder_offset", {}).items()
    }
    latency = _range(path, "latency", data["latency"]) if "latency" in data else None
    return Measured(data["robot"], servos, offsets, latency)


def apply_measured(task: Task, path: Path) -> Task:
    """The task with a robot's measured numbers.

    Every robot of a training draws its motors from the measured ranges: what a drive does with the gains that it is
    told, its inertia, friction, strength and latency. The gains that a policy's file orders stay those of the robot's
    file. What was not measured is drawn as the task says; an encoder's offset as far as the largest one measured, in
    either direction.

    Raises:
        UserError: The file is broken, or of another robot.
    """
    found = read_measured(path)
    robot = load_robot(task.robot).compile(task.timestep)
    if found.robot != robot.robot.name:
        raise UserError(f"{path} is of robot {found.robot!r}; the task's is {robot.robot.name!r}")
    known = kinds(robot)
    for pattern in found.servos:
        if pattern not in known:
            raise unknown("servo", pattern, list(known), f"{path}")
    for joint in found.encoder_offset:
        if joint not in robot.joint_names:
            raise unknown("joint", joint, robot.joint_names, f"{path}")
    by_joint = {
        robot.joint_names[j]: ranges for pattern, ranges in found.servos.items() if ranges for j in known[pattern]
    }
    task = _with(task, by_joint) if by_joint else task
    terms = dict(task.randomizers)
    if found.latency_s is not None:
        low, high = (bound / task.timestep for bound in found.latency_s)
        steps = (math.floor(low), max(math.ceil(high), math.floor(low)))
        terms = _set(terms, randomizers.action_latency, {"steps": steps})
    if found.encoder_offset:
        most = max(abs(bound) for bounds in found.encoder_offset.values() for bound in bounds)
        terms = _set(terms, randomizers.encoder_offset, {"limit": most}, at_least=True)
    return replace(task, randomizers=terms)


def restore_measured(task: Task, settings: dict[str, Any]) -> Task:
    """The task with the terms that ``apply_measured`` added to the one whose ``settings`` were written down."""
    terms = settings.get("randomizers", {})
    added = {
        function.__name__: Randomizer(function)
        for function in (randomizers.action_latency, randomizers.encoder_offset)
        if function.__name__ in terms and function.__name__ not in task.randomizers
    }
    if TERM in terms:
        added[TERM] = Randomizer(measured_servos, {"joints": terms[TERM]["params"]["joints"]})
    found = task.randomizers | added
    # In the same order they draw the same numbers.
    order = [*(name for name in terms if name in found), *(name for name in found if name not in terms)]
    return replace(task, randomizers={name: found[name] for name in order}) if added else task


@randomizes("actuator_gainprm", "actuator_biasprm", "actuator_forcerange", "dof_armature", "dof_frictionloss")
def measured_servos(draft: Draft, joints: dict[str, dict[str, Range]]) -> None:
    """Motors as they were measured, in place of what other randomizers drew: uniform in each range, joint by joint.

    Args:
        draft: What is drawn.
        joints: By name, the ranges of kp, kd, armature, friction and torque, as far as they are known.
    """
    fields, device = draft.fields, draft.generator.device
    at: dict[str, list[tuple[int, int, float, float]]] = {name: [] for name in SERVO}
    for j, joint in enumerate(draft.robot.joint_names):
        for name, bounds in joints.get(joint, {}).items():
            at[name].append((j, int(draft.robot.dof_adr[j]), *bounds))
    for name, rows in at.items():
        if not rows:
            continue
        joint, dof, low, high = zip(*rows)
        joint, dof = list(joint), list(dof)
        bottom, top = torch.tensor(low, device=device), torch.tensor(high, device=device)
        value = bottom + (top - bottom) * draft.uniform(0.0, 1.0, len(rows))
        value = value.to(fields["actuator_gainprm"].dtype)
        if name == "kp":
            fields["actuator_gainprm"][:, joint, 0] = value
            fields["actuator_biasprm"][:, joint, 1] = -value
        elif name == "kd":
            fields["actuator_biasprm"][:, joint, 2] = -value
        elif name == "torque":
            fields["actuator_forcerange"][:, joint] = torch.stack((-value, value), dim=-1)
        else:
            fields["dof_armature" if name == "armature" else "dof_frictionloss"][:, dof] = value


def _with(task: Task, joints: dict[str, dict[str, Range]]) -> Task:
    # The last one has the last word.
    others = {name: term for name, term in task.randomizers.items() if name != TERM}
    return replace(task, randomizers=others | {TERM: Randomizer(measured_servos, {"joints": joints})})


def _set(
    terms: dict[str, Randomizer], function: Any, params: dict[str, Any], at_least: bool = False
) -> dict[str, Randomizer]:
    """The terms with other arguments of the one that is ``function``, or with it."""
    found = [name for name, term in terms.items() if term.function is function]
    if not found:
        return {function.__name__: Randomizer(function, params)} | terms
    old = terms[found[0]]
    if at_least:
        usual = {name: p.default for name, p in inspect.signature(function).parameters.items()}
        params = {name: max(value, old.params.get(name, usual[name])) for name, value in params.items()}
    return terms | {found[0]: replace(old, params=old.params | params)}


def _range(path: Path, where: str, entry: Any, least: float = 0.0) -> Range:
    bounds = entry.get("range") if isinstance(entry, dict) else None
    bounds = bounds if isinstance(bounds, list) and all(isinstance(b, (int, float)) for b in bounds) else []
    if len(bounds) != 2 or not least <= bounds[0] <= bounds[1] < math.inf:
        raise UserError(f"{path}: {where} needs a range = [LOW, HIGH], low first; it has {entry!r}")
    return float(bounds[0]), float(bounds[1])
