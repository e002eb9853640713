"""A compiled MuJoCo model as URDF text: the same bodies, joints and colliding geoms, without its forces.

Written from the compiled model, because an MJCF leaves masses, inertias and frames to the compiler. A link's frame is
its body's, moved to the joint's anchor, where URDF wants it. What URDF has no word for (armature, friction of joints
and contacts) is left to ``bullet_world`` and ``bullet_contacts``; for the armature there are wheels.
"""

from collections.abc import Iterator
from pathlib import Path

import mujoco
import numpy as np

from robopolicy_runtime.errors import ContractError

ELLIPSOID_POINTS = 256


def check_model(model: mujoco.MjModel) -> None:
    """Refuse what cannot be carried over.

    Raises:
        ContractError: A joint is neither the base's free joint nor a hinge, there is a second tree, or the model has
            equality constraints or tendons.
    """
    base = int(model.jnt_bodyid[0])
    for j in range(1, model.njnt):
        if model.jnt_type[j] != mujoco.mjtJoint.mjJNT_HINGE:
            kind = mujoco.mjtJoint(model.jnt_type[j]).name.removeprefix("mjJNT_").lower()
            raise ContractError(
                f"bullet: joint {model.joint(j).name!r} is a {kind} joint; only hinges are carried over"
            )
        if model.body_rootid[model.jnt_bodyid[j]] != base:
            raise ContractError(f"bullet: joint {model.joint(j).name!r} is not on the robot's tree")
    for count, what in ((model.neq, "equality constraints"), (model.ntendon, "tendons")):
        if count:
            raise ContractError(f"bullet: the MJCF has {count} {what}, which are not carried over")


def robot_urdf(model: mujoco.MjModel, folder: Path) -> str:
    """The tree of the free base; links are named ``b<body>``, joints ``j<joint>`` by MuJoCo's numbers.

    Angles are those of MuJoCo less ``qpos0``.

    Args:
        model: See ``check_model``.
        folder: Where the hulls of meshes are written.
    """
    base, parts = int(model.jnt_bodyid[0]), []
    for body in range(1, model.nbody):
        if model.body_rootid[body] != base:
            continue
        joints = joints_of(model, body)
        for joint in joints[:-1]:  # several hinges on one body: links of no mass between them
            parts.append(f'<link name="a{joint}">{_inertial(0.0, np.zeros(3), np.eye(3))}</link>')
        mass, place = float(model.body_mass[body]), model.body_ipos[body] - anchor(model, body)
        inside = _inertial(mass, place, _matrix(model.body_iquat[body]), model.body_inertia[body])
        inside += "".join(_collision(model, g, anchor(model, body), folder) for g in floor_geoms(model, body))
        parts.append(f'<link name="b{body}">{inside}</link>')
        if body != base:
            parts.extend(_joints(model, body, joints))
    return f'<robot name="robot">{"".join(parts)}</robot>'


def world_urdf(model: mujoco.MjModel, folder: Path) -> str:
    """Everything that cannot move and collides, as one link."""
    shapes = "".join(_collision(model, g, np.zeros(3), folder) for g in static_geoms(model))
    return f'<robot name="world"><link name="world">{_inertial(0.0, np.zeros(3), np.eye(3))}{shapes}</link></robot>'


def rotors_urdf(model: mujoco.MjModel, joints: list[int]) -> str:
    """Wheels that stand in the world and turn about its x axis, ``j<joint>``, each with a hinge's armature [kg m^2].

    Coupled to the hinges they resist their acceleration, and nothing else: MuJoCo's armature.
    """
    parts = [f'<link name="stand">{_inertial(0.0, np.zeros(3), np.eye(3))}</link>']
    for joint in joints:
        moment = float(model.dof_armature[model.jnt_dofadr[joint]])
        ends, origin = _ends("stand", f"r{joint}"), _origin(np.zeros(3), np.eye(3))
        parts.append(f'<link name="r{joint}">{_inertial(1.0, np.zeros(3), np.eye(3), (moment,) * 3)}</link>')
        parts.append(f'<joint name="j{joint}" type="continuous">{ends}{origin}<axis xyz="1 0 0"/></joint>')
    return f'<robot name="rotors">{"".join(parts)}</robot>'


def joints_of(model: mujoco.MjModel, body: int) -> list[int]:
    """Hinges of a body, in the order in which they turn it."""
    first = int(model.body_jntadr[body])
    joints = range(first, first + int(model.body_jntnum[body]))
    return [j for j in joints if model.jnt_type[j] == mujoco.mjtJoint.mjJNT_HINGE]


def anchor(model: mujoco.MjModel, body: int) -> np.ndarray:
    """Origin of the body's link in the body's frame [m]. Shape (3,)."""
    joints = joints_of(model, body)
    return model.jnt_pos[joints[-1]] if joints else np.zeros(3)


def static_geoms(model: mujoco.MjModel) -> list[int]:
    """Geoms that collide and are on no moving body."""
    solid = (model.geom_contype != 0) | (model.geom_conaffinity != 0)
    return [int(g) for g in np.flatnonzero(solid & (model.body_weldid[model.geom_bodyid] == 0))]


def floor_geoms(model: mujoco.MjModel, body: int) -> list[int]:
    """Geoms of a body that collide with something static."""
    first, count = int(model.body_geomadr[body]), int(model.body_geomnum[body])
    static = static_geoms(model)
    return [g for g in range(first, first + count) if any(collide(model, g, s) for s in static)]


def collide(model: mujoco.MjModel, one: int, other: int) -> bool:
    """Whether the masks of two geoms let them collide."""
    kind, like = model.geom_contype, model.geom_conaffinity
    return bool(kind[one] & like[other] or kind[other] & like[one])


def _joints(model: mujoco.MjModel, body: int, joints: list[int]) -> Iterator[str]:
    parent = int(model.body_parentid[body])
    link, turn = f"b{parent}", _matrix(model.body_quat[body])
    place = model.body_pos[body] - anchor(model, parent)
    if not joints:
        yield f'<joint name="w{body}" type="fixed">{_ends(link, f"b{body}")}{_origin(place, turn)}</joint>'
    for joint in joints:
        child = f"b{body}" if joint == joints[-1] else f"a{joint}"
        origin = _origin(place + turn @ model.jnt_pos[joint], turn)
        kind, limit = "continuous", ""
        if model.jnt_limited[joint]:
            low, high = model.jnt_range[joint] - model.qpos0[model.jnt_qposadr[joint]]
            kind, limit = (
                "revolute",
                f'<limit lower="{float(low)!r}" upper="{float(high)!r}" effort="1e9" velocity="1e9"/>',
            )
        axis = f'<axis xyz="{_text(model.jnt_axis[joint])}"/>'
        yield f'<joint name="j{joint}" type="{kind}">{_ends(link, child)}{origin}{axis}{limit}</joint>'
        link, place, turn = child, -model.jnt_pos[joint], np.eye(3)


def _ends(parent: str, child: str) -> str:
    return f'<parent link="{parent}"/><child link="{child}"/>'


def _inertial(
    mass: float, place: np.ndarray, axes: np.ndarray, moments: np.ndarray | tuple[float, ...] = (0.0, 0.0, 0.0)
) -> str:
    x, y, z = (float(moment) for moment in moments)
    inertia = f'<inertia ixx="{x!r}" iyy="{y!r}" izz="{z!r}" ixy="0" ixz="0" iyz="0"/>'
    return f'<inertial>{_origin(place, axes)}<mass value="{mass!r}"/>{inertia}</inertial>'


def _collision(model: mujoco.MjModel, geom: int, anchor: np.ndarray, folder: Path) -> str:
    kind, size = mujoco.mjtGeom(model.geom_type[geom]), model.geom_size[geom]
    match kind:
        case mujoco.mjtGeom.mjGEOM_PLANE:
            shape = '<plane normal="0 0 1"/>'
        case mujoco.mjtGeom.mjGEOM_SPHERE:
            shape = f'<sphere radius="{float(size[0])!r}"/>'
        case mujoco.mjtGeom.mjGEOM_BOX:
            shape = f'<box size="{_text(2 * size)}"/>'
        case mujoco.mjtGeom.mjGEOM_CAPSULE | mujoco.mjtGeom.mjGEOM_CYLINDER:
            name = "capsule" if kind == mujoco.mjtGeom.mjGEOM_CAPSULE else "cylinder"
            shape = f'<{name} radius="{float(size[0])!r}" length="{float(2 * size[1])!r}"/>'
        case mujoco.mjtGeom.mjGEOM_MESH | mujoco.mjtGeom.mjGEOM_ELLIPSOID:
            path = folder / f"g{geom}.obj"
            points = _hull(model, geom)
            # Bullet takes the hull of the points that faces name.
            faces = [f"f {k} {k + 1} {k + 2}" for k in range(1, len(points) - 1)]
            path.write_text("\n".join([*(f"v {_text(v)}" for v in points), *faces]) + "\n")
            shape = f'<mesh filename="{path}"/>'
        case _:
            name = model.geom(geom).name or f"number {geom}"
            what = kind.name.removeprefix("mjGEOM_").lower()
            raise ContractError(f"bullet: geom {name!r} is of type {what}, which is not carried over")
    # Shapes of links that move lie in the frame of their link, MuJoCo's static ones in that of their body.
    place, turn = model.geom_pos[geom], _matrix(model.geom_quat[geom])
    body = int(model.geom_bodyid[geom])
    while model.body_weldid[body] == 0 and body:
        around = _matrix(model.body_quat[body])
        place, turn, body = model.body_pos[body] + around @ place, around @ turn, int(model.body_parentid[body])
    return f"<collision>{_origin(place - anchor, turn)}<geometry>{shape}</geometry></collision>"


def _hull(model: mujoco.MjModel, geom: int) -> np.ndarray:
    """Points of which a geom is the convex hull, in its frame [m]. Shape (P, 3)."""
    if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_MESH:
        mesh = int(model.geom_dataid[geom])
        first, count = int(model.mesh_vertadr[mesh]), int(model.mesh_vertnum[mesh])
        return model.mesh_vert[first : first + count]
    k = np.arange(ELLIPSOID_POINTS)  # a spiral of equal areas on the sphere
    z, turn = 1 - (2 * k + 1) / ELLIPSOID_POINTS, np.pi * (1 + 5**0.5) * k
    ring = np.sqrt(1 - z * z)
    return np.column_stack((ring * np.cos(turn), ring * np.sin(turn), z)) * model.geom_size[geom]


def _origin(place: np.ndarray, r: np.ndarray) -> str:
    """Place [m] and rotation as roll, pitch and yaw [rad]."""
    level = np.hypot(r[0, 0], r[1, 0])
    pitch = np.arctan2(-r[2, 0], level)
    if level > 1e-9:
        roll, yaw = np.arctan2(r[2, 1], r[2, 2]), np.arctan2(r[1, 0], r[0, 0])
    else:
        roll, yaw = np.arctan2(-r[1, 2], r[1, 1]), 0.0
    return f'<origin xyz="{_text(place)}" rpy="{_text((roll, pitch, yaw))}"/>'


def _matrix(quat: np.ndarray) -> np.ndarray:
    flat = np.zeros(9)
    mujoco.mju_quat2Mat(flat, quat)
    return flat.reshape(3, 3)


def _text(values: np.ndarray | tuple[float, ...]) -> str:
    return " ".join(repr(float(v)) for v in values)
