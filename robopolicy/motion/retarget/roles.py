"""Which joint of a skeleton, or body of a robot, is the knee, the head, the left hand: by usual names, or as told."""

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from robopolicy.errors import UserError, unknown

if TYPE_CHECKING:
    from robopolicy.robot import RobotModel

SIDES = {"l": ("left", "l"), "r": ("right", "r")}
PARTS = {
    "hip": ("upleg", "upperleg", "thigh", "hip", "hipjoint"),
    "knee": ("leg", "lowleg", "lowerleg", "knee", "shin", "calf"),
    "ankle": ("ankle", "foot"),
    "toe": ("toebase", "toe", "toes", "foot", "footend", "ankleend"),
    "shoulder": ("arm", "uparm", "upperarm", "shoulder"),
    "elbow": ("forearm", "lowarm", "lowerarm", "elbow"),
    "hand": ("hand", "wrist"),
}
"""Usual names of what there is on both sides, without the side; the first that exists is taken."""
MIDDLE = {
    "pelvis": ("hips", "pelvis", "hip", "root"),
    "spine": ("spine", "lowerback", "spine1", "chest", "abdomen", "torso"),
    "chest": ("spine3", "upperchest", "chest4", "chest3", "chest2", "spine2", "chest", "spine1", "torso"),
    "neck": ("neck", "neck1", "chestend", "head"),
    "head": ("head",),
}
"""Usual names of what there is once."""
ROLES = (*(f"{side}_{part}" for side in SIDES for part in PARTS), *MIDDLE)
NEEDED = ("pelvis", "spine", "neck", *(f"{s}_{p}" for s in SIDES for p in ("hip", "knee", "ankle", "toe")))
"""What a human skeleton must have."""
ROBOT_PARTS = ("head", "chest", *(f"{s}_{p}" for s in SIDES for p in ("shoulder", "elbow", "hand")))
"""Bodies that a robot may have; its legs are found by its feet."""


@dataclass(frozen=True)
class Mapping:
    """What a person says about names; what is not said is found by usual names.

    Attributes:
        joints: Role to the name of the source's joint. Roles: :data:`ROLES`.
        bodies: Role to the name of the robot's body, or an empty name if it has none. Roles: :data:`ROBOT_PARTS`.
        source: The file that says it, for messages; empty if none does.
    """

    joints: dict[str, str] = field(default_factory=dict)
    bodies: dict[str, str] = field(default_factory=dict)
    source: str = ""

    @classmethod
    def load(cls, path: Path) -> "Mapping":
        """Read a TOML with the tables ``[joints]`` and ``[bodies]``, both optional.

        Raises:
            UserError: The file is broken, or names an unknown role.
        """
        try:
            data = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise UserError(f"{path}: cannot be read ({error})") from error
        for table, roles in data.items():
            known = {"joints": ROLES, "bodies": ROBOT_PARTS}
            if table not in known:
                raise unknown("table", table, list(known), str(path))
            for role, name in roles.items():
                if role not in known[table]:
                    raise unknown("role", role, list(known[table]), f"[{table}] of {path}")
                if not isinstance(name, str):
                    raise UserError(f"{path}: [{table}] {role} is {name!r}; it must be a name in quotes")
        return cls(data.get("joints", {}), data.get("bodies", {}), str(path))

    @classmethod
    def of_robot(cls, model: "RobotModel") -> "Mapping":
        """From ``retarget.toml`` beside the robot's MJCF; empty if there is none."""
        path = Path(model.robot.mjcf).parent / "retarget.toml"
        return cls.load(path) if path.is_file() else cls()


def find_joints(names: tuple[str, ...], told: dict[str, str], where: str) -> dict[str, int]:
    """Index of the joint in each role.

    Raises:
        UserError: A name does not exist, or a role that is needed has no joint.
    """
    plain = [_plain(name) for name in names]
    found: dict[str, int] = {}
    for role in ROLES:
        if role in told:
            if told[role] not in names:
                raise unknown("joint", told[role], names, where)
            found[role] = names.index(told[role])
            continue
        side, _, part = role.rpartition("_")
        usual = (
            [f"{s}{p}" for p in PARTS[part] for s in SIDES[side]]
            + [f"{p}{s}" for p in PARTS[part] for s in SIDES[side]]
            if side
            else MIDDLE[part]
        )
        taken = {found[f"{side}_ankle"]} if part == "toe" and f"{side}_ankle" in found else set()
        index = next((plain.index(u) for u in usual if u in plain and plain.index(u) not in taken), None)
        if index is not None:
            found[role] = index
    missing = [role for role in NEEDED if role not in found]
    if missing:
        raise UserError(
            f"{where}: no joint found for {', '.join(missing)}; its joints: {', '.join(names)}; "
            'name them in a file for --mapping: [joints] with lines such as l_ankle = "LFoot"'
        )
    return found


def find_bodies(model: "RobotModel", told: dict[str, str]) -> dict[str, int]:
    """Index of the robot's body in each role of :data:`ROBOT_PARTS` that it has.

    Raises:
        UserError: A name does not exist.
    """
    mj = model.mj
    names = [mj.body(i).name for i in range(mj.nbody)]
    found: dict[str, int] = {}
    for role in ROBOT_PARTS:
        if role in told:
            if told[role] and told[role] not in names:
                raise unknown("body", told[role], names, f"robot {model.robot.name!r}")
            if told[role]:
                found[role] = names.index(told[role])
            continue
        side, _, part = role.rpartition("_")
        words = {"hand": "hand|wrist", "chest": "torso|chest"}.get(part, part)
        begin = f"({'|'.join(SIDES[side])})_" if side else "(.*_)?"
        fitting = [
            i for i, name in enumerate(names) if re.match(rf"{begin}.*({words})|{begin}?({words})", name.lower())
        ]
        if fitting:
            found[role] = fitting[-1]  # the last of a chain of links carries the whole
    return found


def _plain(name: str) -> str:
    """A joint's name without what differs between exporters: prefix, case, separators."""
    return re.sub(r"[^a-z0-9]", "", re.sub(r"^.*:", "", name).lower().removeprefix("mixamorig"))
