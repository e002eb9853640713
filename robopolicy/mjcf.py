"""Reading an MJCF and making it ours: servos, a floor, a sensor under every foot."""

import os
from collections.abc import Sequence
from pathlib import Path

import mujoco
import numpy as np

from robopolicy.errors import UserError
from robopolicy.servo import Servo

FLOOR = "floor"


def read_mjcf(name: str, mjcf: str) -> mujoco.MjSpec:
    """Parse the MJCF of the robot ``name``: a path or ``menagerie:NAME``.

    Raises:
        UserError: It is absent or broken.
    """
    path = _menagerie_path(mjcf) if mjcf.startswith("menagerie:") else Path(mjcf)
    if not path.is_file():
        raise UserError(f"robot {name!r}: no MJCF at {path}")
    try:
        return mujoco.MjSpec.from_file(str(path))
    except ValueError as error:
        raise UserError(f"robot {name!r}: {path} does not parse: {one_line(error)}") from error


def _menagerie_path(name: str) -> Path:
    try:
        import mujoco_menagerie
    except ImportError:
        raise UserError(f"{name} needs the MuJoCo Menagerie: pip install 'robopolicy[menagerie]'") from None
    try:
        entry = mujoco_menagerie.get(name.removeprefix("menagerie:"))
        return Path(entry.xml(entry.default_model))
    except mujoco_menagerie.MenagerieError as error:
        root = os.environ.get("MENAGERIE_ROOT")
        raise UserError(f"{name}: {error}" + (f" (MENAGERIE_ROOT={root})" if root else "")) from None


def guess_feet(spec: mujoco.MjSpec) -> dict[str, tuple[str, tuple[float, float, float]]]:
    """Feet of an MJCF that names none: the last links of limbs whose lowest colliding geom reaches the lowest of all.

    Returns:
        New site's name to the link it lies on and its place there: the middle of the link's geoms that reach down.
    """
    try:
        mj = spec.compile()
    except ValueError as error:
        raise UserError(f"the MJCF does not compile: {one_line(error)}") from error
    data = mujoco.MjData(mj)
    keys = [k for k in range(mj.nkey) if mj.key(k).name == "home"]
    mujoco.mj_resetDataKeyframe(mj, data, keys[0]) if keys else mujoco.mj_resetData(mj, data)
    mujoco.mj_kinematics(mj, data)
    leaves = set(range(1, mj.nbody)) - set(mj.body_parentid)
    geoms = [
        g for g in range(mj.ngeom) if mj.geom_bodyid[g] in leaves and (mj.geom_contype[g] or mj.geom_conaffinity[g])
    ]
    low = {}
    for g in geoms:  # from the corners of its box: its own shape would be exact, and no better here
        rotation = data.geom_xmat[g].reshape(3, 3)
        centre = data.geom_xpos[g] + rotation @ mj.geom_aabb[g, :3]
        low[g] = centre[2] - np.abs(rotation[2]) @ mj.geom_aabb[g, 3:]
    down = [g for g in geoms if low[g] < min(low.values()) + 0.02]
    feet = {}
    for body in sorted({int(mj.geom_bodyid[g]) for g in down}):
        middle = np.mean([data.geom_xpos[g] for g in down if mj.geom_bodyid[g] == body], axis=0)
        local = data.xmat[body].reshape(3, 3).T @ (middle - data.xpos[body])
        feet[f"{mj.body(body).name}_sole"] = (mj.body(body).name, (float(local[0]), float(local[1]), float(local[2])))
    return feet


def install_servos(spec: mujoco.MjSpec, joints: list, servos: Sequence[Servo], max_delay: int) -> None:
    """Replace the MJCF's actuators by one position actuator per joint, in the joints' order."""
    for actuator in list(spec.actuators):
        spec.delete(actuator)
    for joint, servo in zip(joints, servos, strict=True):
        joint.armature = servo.armature
        joint.frictionloss = servo.friction
        actuator = spec.add_actuator(name=joint.name, target=joint.name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        actuator.set_to_position(kp=servo.kp, kv=servo.kd)
        actuator.forcerange = [-servo.torque, servo.torque]
        actuator.forcelimited = mujoco.mjtLimited.mjLIMITED_TRUE
        actuator.ctrllimited = mujoco.mjtLimited.mjLIMITED_FALSE
        if max_delay:
            actuator.nsample = max_delay + 1


def drop_visual_meshes(spec: mujoco.MjSpec) -> None:
    """Delete mesh geoms that collide with nothing, where the body's inertia does not come from them."""
    for geom in list(spec.geoms):
        visual = geom.type == mujoco.mjtGeom.mjGEOM_MESH and not geom.contype and not geom.conaffinity
        if visual and geom.parent.explicitinertial:
            spec.delete(geom)
    used = {geom.meshname for geom in spec.geoms}
    for mesh in list(spec.meshes):
        if mesh.name not in used:
            spec.delete(mesh)


def carry_meshes(spec: mujoco.MjSpec) -> None:
    """Write the shapes of meshes that collide into the model, so that it needs no files beside it.

    What collides is a mesh's convex hull, so its corners are all that is kept. A mesh that gives its body its inertia
    stays as it is. Textures from files are forgotten.
    """
    lost = {texture.name for texture in spec.textures if texture.file or any(texture.cubefiles)}
    for material in spec.materials:
        material.textures = ["" if name in lost else name for name in material.textures]
    for texture in list(spec.textures):
        if texture.name in lost:
            spec.delete(texture)
    needed = {g.meshname for g in spec.geoms if g.meshname and not g.parent.explicitinertial}
    carried = [mesh for mesh in spec.meshes if mesh.file and mesh.name not in needed]
    if not carried:
        return
    try:
        mj = spec.copy().compile()  # a mesh that has been read from its file keeps its faces
    except ValueError:
        return  # the caller compiles again, and says what is wrong
    for mesh in carried:
        k = mj.mesh(mesh.name).id
        vertices = mj.mesh_vert[mj.mesh_vertadr[k] :][: mj.mesh_vertnum[k]]
        hull = mj.mesh_graph[mj.mesh_graphadr[k] :]
        corners = vertices[hull[2 + hull[0] :][: hull[0]]]
        rotation = np.empty(9)
        mujoco.mju_quat2Mat(rotation, mj.mesh_quat[k])
        mesh.uservert = (corners @ rotation.reshape(3, 3).T + mj.mesh_pos[k]).ravel().tolist()
        mesh.file, mesh.scale = "", [1, 1, 1]
        mesh.refpos, mesh.refquat = [0, 0, 0], [1, 0, 0, 0]


def add_floor(spec: mujoco.MjSpec) -> None:
    """Name the MJCF's plane the floor, or add one."""
    planes = [g for g in spec.worldbody.geoms if g.type == mujoco.mjtGeom.mjGEOM_PLANE]
    floor = planes[0] if planes else spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_PLANE, size=[0, 0, 0.05])
    floor.name = FLOOR
    # The floor's friction decides (not the larger of the two), so that a task can make it slippery; many models give
    # their feet a priority of their own.
    floor.priority = 1 + max((g.priority for g in spec.geoms if g.name != FLOOR), default=0)
    floor.condim = 3
    if not planes:
        floor.contype, floor.conaffinity = 1, 1
        floor.friction = [0.8, 0.005, 0.0001]
        floor.rgba = [0.42, 0.46, 0.5, 1.0]


def add_clearance_sensor(spec: mujoco.MjSpec, site: str) -> None:
    """Distance of the foot's body to the floor [m]: a position-stage sensor, so it is current after a step."""
    spec.add_sensor(
        name=f"{site}_clearance",
        type=mujoco.mjtSensor.mjSENS_GEOMDIST,
        objtype=mujoco.mjtObj.mjOBJ_BODY,
        objname=spec.site(site).parent.name,
        reftype=mujoco.mjtObj.mjOBJ_GEOM,
        refname=FLOOR,
        cutoff=0.1,
    )


def one_line(error: Exception) -> str:
    """The error's message without line breaks."""
    return " ".join(str(error).split())
