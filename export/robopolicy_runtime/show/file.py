"""The show file: TOML that names policies, clips, limits, sticks and buttons. docs/show.md describes it."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from robopolicy_runtime.contract import Contract
from robopolicy_runtime.devices import BUTTONS, KEPT_KEYS, is_key
from robopolicy_runtime.errors import ContractError
from robopolicy_runtime.machine import REQUESTS
from robopolicy_runtime.show.clip import Clip, read_clip
from robopolicy_runtime.show.free import Free, read_free, whole_body
from robopolicy_runtime.show.parts import Entry, Part, read_entry, read_parts
from robopolicy_runtime.show.table import Table


@dataclass(frozen=True)
class Limit:
    """What a name is kept to: its range, and how fast it changes at most, in its unit per second."""

    low: float
    high: float
    rate: float


@dataclass(frozen=True)
class ShowFile:
    """A show that has passed every check.

    Attributes:
        path: Where it was read from.
        parts: Its policies by name.
        start: The one that drives first.
        fade_s: How long targets take to go over from one policy to the next [s].
        background: The clip that plays always, or None.
        clips: By name.
        entry: When a policy may take over.
        free: The joints that no policy drives, by name.
        limits: Of every channel and every joint that may be moved, by name.
        sticks: Gamepad axis to what it drives, and the direction.
        buttons, keys: Gamepad button and keyboard key to a request.
    """

    path: Path
    parts: Mapping[str, Part]
    start: str
    fade_s: float
    background: str | None
    clips: Mapping[str, Clip]
    entry: Entry
    free: Mapping[str, Free]
    limits: Mapping[str, Limit]
    sticks: Mapping[int, tuple[tuple[str, int], ...]]
    buttons: Mapping[int, str]
    keys: Mapping[str, str]

    @property
    def contract(self) -> Contract:
        """The contract of the policy that drives first; joints, gains and rates are those of all of them."""
        return self.parts[self.start].policy.contract

    @property
    def body(self) -> Contract:
        """The same with the free joints, see ``whole_body``."""
        return whole_body(self.contract, self.free)

    @property
    def requests(self) -> tuple[str, ...]:
        """Everything that may be asked for."""
        return _requests(tuple(self.parts), tuple(self.clips))

    @staticmethod
    def open(path: str | Path) -> "ShowFile":
        """Read and check a show file and all that it names.

        Raises:
            ContractError: Something does not read, is missing, or does not go together; the message names it.
        """
        path = Path(path)
        try:
            data = tomllib.loads(path.read_text())
        except (OSError, UnicodeDecodeError) as error:
            raise ContractError(f"{path}: cannot be read: {getattr(error, 'strerror', error)}") from None
        except tomllib.TOMLDecodeError as error:
            raise ContractError(f"{path}: no TOML: {error}") from None
        try:
            return _show(path, Table(data, ""))
        except ContractError as error:
            raise ContractError(f"{path}: {error}") from None


def _show(path: Path, table: Table) -> ShowFile:
    parts = read_parts(table.table("policies"), path.parent)
    start = table.text("start", next(iter(parts)), tuple(parts))
    contract = parts[start].policy.contract
    taken = {*contract.joint_names, *(name for part in parts.values() for name in part.channels), "time", "ease"}
    free = read_free(table.table("free"), taken)
    limits = _limits(table.table("limits"), parts, contract)
    limits |= {name: Limit(j.low - j.default, j.high - j.default, j.rate) for name, j in free.items()}
    body = whole_body(contract, free)
    movable, pose = frozenset(limits), dict(zip(body.joint_names, body.default_pose, strict=True))
    shelf = table.table("clips")
    clips = {name: read_clip(name, shelf.table(name), path.parent, pose, movable) for name in shelf.names}
    background = table.text("background", among=tuple(clips) or ("no clips",)) if "background" in table else None
    if background is not None:
        _check_background(clips[background], parts)
    requests = _requests(tuple(parts), tuple(clips))
    show = ShowFile(
        path,
        parts,
        start,
        table.number("fade", 0.3, 0.0),
        background,
        clips,
        read_entry(table.table("enter")),
        free,
        limits,
        _sticks(table.table("sticks"), movable),
        _buttons(table.table("buttons"), requests),
        _keys(table.table("keys"), requests),
    )
    table.value("background")
    table.done()
    return show


def _limits(table: Table, parts: Mapping[str, Part], contract: Contract) -> dict[str, Limit]:
    """Range and rate of every name; what the file does not say is what the policies and the joints allow."""
    ranges: dict[str, tuple[float, float, float]] = {}  # low, high, at rest
    for part in parts.values():
        c = part.policy.contract.command
        for name, low, high, rest in zip(c.names, c.lower, c.upper, c.default, strict=True):
            before = ranges.get(name, (low, high, rest))
            ranges[name] = (min(low, before[0]), max(high, before[1]), before[2])
    joints = zip(
        contract.joint_names, contract.position_lower, contract.position_upper, contract.default_pose, strict=True
    )
    for name, low, high, pose in joints:
        if name not in ranges and any(name in part.joints for part in parts.values()):
            ranges[name] = (low - pose, high - pose, 0.0)
    found: dict[str, Limit] = {}
    for name, (low, high, rest) in ranges.items():
        one = table.table(name)
        asked = one.pair("range") if "range" in one else (low, high)
        low, high = max(low, asked[0]), min(high, asked[1])
        if not low <= rest <= high:
            one.refuse(f"range {list(asked)} must hold {rest:g}, where it is at rest")
        found[name] = Limit(low, high, one.number("rate", max(2 * (high - low), 1e-9), 1e-9))
        one.value("range")
        one.done()
    table.done()
    return found


def _sticks(table: Table, movable: frozenset[str]) -> dict[int, tuple[tuple[str, int], ...]]:
    found: dict[int, tuple[tuple[str, int], ...]] = {}
    for name in table.names:
        if name not in movable:
            table.refuse(f"nothing that can be moved is called {name!r}; there are: {', '.join(sorted(movable))}")
        one = table.table(name)
        axis = int(one.number("axis", low=0.0))
        found[axis] = (*found.get(axis, ()), (name, -1 if one.flag("invert", False) else 1))
        one.done()
    return found


def _buttons(table: Table, requests: tuple[str, ...]) -> dict[int, str]:
    found = {_whole(table, name): table.text(name, among=requests) for name in table.names}
    if "stop" not in (BUTTONS | found).values():
        table.refuse("no button means stop any more; give it another one")
    return found


def _keys(table: Table, requests: tuple[str, ...]) -> dict[str, str]:
    for key in table.names:
        if key in KEPT_KEYS:
            table.refuse(f"{key!r} is {KEPT_KEYS[key]}, whatever is played")
        if not is_key(key):
            table.refuse(f"{key!r} is not one key")
    return {key: table.text(key, among=requests) for key in table.names}


def _check_background(clip: Clip, parts: Mapping[str, Part]) -> None:
    if not clip.loop:
        raise ContractError(f"background: {clip.name!r} does not loop; say loop = true")
    for part in parts.values():
        for name in clip.tracks:
            if name in part.velocities:  # it plays also when commands are lost, and nobody could stand
                raise ContractError(f"background: {clip.name!r} moves {name!r}, a velocity of policy {part.name!r}")


def _requests(policies: tuple[str, ...], clips: tuple[str, ...]) -> tuple[str, ...]:
    switches = (*policies, *(f"policy {name}" for name in policies))
    return (*REQUESTS, *switches, *(f"{word} {name}" for name in clips for word in ("play", "end")))


def _whole(table: Table, name: str) -> int:
    if not name.isdigit():
        table.refuse(f"{name!r} is no number of a button")
    return int(name)
