"""The policies of a show, and when one may take over from another."""

import re
from dataclasses import asdict, dataclass
from pathlib import Path

from robopolicy_runtime.machine import REQUESTS
from robopolicy_runtime.policy import PolicyFile
from robopolicy_runtime.show.same_robot import check_same_robot
from robopolicy_runtime.show.table import Table


@dataclass(frozen=True)
class Part:
    """A policy of the show.

    Attributes:
        name: Its name there.
        policy: The policy.
        joints: Which joints may be moved on top of it; a channel of the same name keeps its default then.
        seconds: It drives for so long [s] and gives way to ``then``; None if it drives until another is asked for.
        then: The policy after it.
    """

    name: str
    policy: PolicyFile
    joints: tuple[str, ...]
    seconds: float | None
    then: str

    @property
    def channels(self) -> tuple[str, ...]:
        """The command channels of its policy."""
        return self.policy.contract.command.names

    @property
    def velocities(self) -> tuple[str, ...]:
        """See ``Contract.velocities``."""
        return self.policy.contract.velocities


@dataclass(frozen=True)
class Entry:
    """When another policy may take over.

    Attributes:
        tilt: The base leans by at most so much [rad].
        gyro: It turns at most so fast, averaged over a tenth of a second [rad/s].
        near: Every joint is this near to the new policy's default pose [rad].
        command: The norm of the velocities that the policy before is told, at most [m/s, rad/s].
        still: For so long [s] tilt, gyro and command have been as above.
    """

    tilt: float = 0.2
    gyro: float = 1.0
    near: float = 0.4
    command: float = 0.02
    still: float = 0.5


def read_parts(table: Table, folder: Path) -> dict[str, Part]:
    """The policies that a table names, all of one robot; their files are looked for in ``folder``.

    Raises:
        ContractError: One does not read, or is of another robot.
    """
    if not table.names:
        table.refuse('names no policy, such as walk = "walk.onnx"')
    found: dict[str, Part] = {}
    for name in table.names:
        if name in REQUESTS or not re.fullmatch(r"[\w:.-]+", name):
            table.refuse(f"a policy cannot be called {name!r}: it is a request, or has other than letters and _:.-")
        value = table.value(name)
        one = Table({"file": value} if isinstance(value, str) else value, f"policies.{name}")
        policy = PolicyFile.open(folder / one.text("file"))
        joints, pattern = policy.contract.joint_names, one.text("joints", "")
        try:
            chosen = tuple(j for j in joints if re.fullmatch(pattern, j))
        except re.error as error:
            one.refuse(f"joints {pattern!r} is no pattern: {error}")
        if pattern and not chosen:
            one.refuse(f"no joint is called {pattern!r}; there are: {', '.join(joints)}")
        if ("seconds" in one) != ("then" in one):
            one.refuse("seconds and then go together: which policy drives after so long")
        brief = "seconds" in one
        seconds, then = (one.number("seconds", low=0.1), one.text("then", among=table.names)) if brief else (None, "")
        one.done()
        found[name] = Part(name, policy, chosen, seconds, then)
    first, *others = found.values()
    for other in others:
        check_same_robot(first.name, first.policy.contract, other.name, other.policy.contract)
    return found


def read_entry(table: Table) -> Entry:
    """What a table says of when a policy may take over.

    Raises:
        ContractError: It does not read.
    """
    usual = asdict(Entry())
    found = Entry(**{name: table.number(name, value, 0.0) for name, value in usual.items()})
    table.done()
    return found
