"""A robot: an MJCF, its servos, its feet. Names are resolved to indices once, here."""

import dataclasses
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import mujoco
import numpy as np

from robopolicy.errors import UserError, unknown
from robopolicy.mjcf import (
    add_clearance_sensor,
    add_floor,
    carry_meshes,
    drop_visual_meshes,
    guess_feet,
    install_servos,
    one_line,
    read_mjcf,
)
from robopolicy.paths import robots_dir
from robopolicy.servo import Servo


@dataclass(frozen=True)
class Robot:
    """What a person says about a robot.

    Attributes:
        name: Short name; clips and checkpoints refer to it.
        mjcf: The model: a path (relative to the file that says it), or ``menagerie:NAME``.
        servos: Motors; every hinge joint must match exactly one. Empty: taken from the MJCF's position actuators.
        feet: Names of the sites at the soles' centres (or the centres of ball feet).
        imu: Name of the site of the inertial unit.
        home: Standing pose, by joint name [rad], instead of the MJCF's keyframe called ``home``; joints that it leaves
            out are at 0.
        home_height: Height of the base in that pose, or in the keyframe's [m].
        base_site: If true, an ``imu`` site is added at the base's origin where the MJCF has none.
        foot_sites: Site name to (body name, position in it [m]), added where the MJCF has none.
    """

    name: str
    mjcf: str
    servos: tuple[Servo, ...] = ()
    feet: tuple[str, ...] = ()
    imu: str = "imu"
    home: dict[str, float] = field(default_factory=dict)
    home_height: float | None = None
    base_site: bool = False
    foot_sites: dict[str, tuple[str, tuple[float, float, float]]] = field(default_factory=dict)

    def compile(
        self,
        timestep: float = 0.005,
        ground: bool = True,
        visual: bool = True,
        max_delay: int = 0,
        lay: Callable[[mujoco.MjSpec], None] | None = None,
    ) -> "RobotModel":
        """Compile the MJCF with our servos, sensors and a floor.

        Args:
            timestep: Physics time step [s].
            ground: Add a floor where the MJCF has none.
            visual: Keep meshes that collide with nothing; training leaves them out.
            max_delay: Physics steps by which a servo's target may be late; ``actuator_delay`` [s] says how much it is.
            lay: Gives the floor another shape than a plane, from which no sensor tells the feet's distance.

        Raises:
            UserError: The MJCF is absent or broken, or a joint, servo, site or keyframe is missing.
        """
        spec = read_mjcf(self.name, self.mjcf)
        spec.option.timestep = timestep
        joints = [j for j in spec.joints if j.type == mujoco.mjtJoint.mjJNT_HINGE]
        if not spec.joints or spec.joints[0].type != mujoco.mjtJoint.mjJNT_FREE:
            raise UserError(f"{self.mjcf}: the first joint must be the base's free joint; it has {_names(spec.joints)}")
        for joint in spec.joints[1:]:
            if joint.type != mujoco.mjtJoint.mjJNT_HINGE:
                raise UserError(
                    f"{self.mjcf}: joint {joint.name!r} is no hinge; besides the base only hinges are supported"
                )
        base = spec.joints[0].parent
        if self.base_site and not _has(spec.sites, self.imu):
            base.add_site(name=self.imu)
        for site, (body, position) in self.foot_sites.items():
            if not _has(spec.sites, site):
                if not _has(spec.bodies, body):
                    raise unknown("body", body, _names(spec.bodies), self.mjcf)
                spec.body(body).add_site(name=site, pos=position)
        for site in (self.imu, *self.feet):
            if not _has(spec.sites, site):
                raise UserError(
                    f"{self.mjcf}: needs a site {site!r} (robot {self.name!r}); it has: {_names(spec.sites)}"
                )
        if spec.site(self.imu).parent.name != base.name:
            raise UserError(f"{self.mjcf}: the site {self.imu!r} must lie on the base, body {base.name!r}")
        if not self.feet:
            raise UserError(f"robot {self.name!r} names no feet; {self.mjcf} has the sites {_names(spec.sites)}")
        servos = [self._servo(joint.name) for joint in joints] if self.servos else _servos_of(spec, joints, self)
        for servo in self.servos:
            if not any(re.fullmatch(servo.joints, joint.name) for joint in joints):
                raise UserError(
                    f"servo {servo.joints!r} of robot {self.name!r} fits no joint; they are: {_names(joints)}"
                )
        install_servos(spec, joints, servos, max_delay)
        if not visual:
            drop_visual_meshes(spec)
            carry_meshes(spec)
        if ground:
            add_floor(spec)
            for site in self.feet if lay is None else ():
                add_clearance_sensor(spec, site)
            if lay is not None:
                lay(spec)
        try:
            mj = spec.compile()
        except ValueError as error:
            raise UserError(f"robot {self.name!r}: {self.mjcf} does not compile: {one_line(error)}") from error
        return _resolve(self, spec, mj, joints, servos)

    def _servo(self, joint: str) -> Servo:
        found = [s for s in self.servos if re.fullmatch(s.joints, joint)]
        if len(found) != 1:
            patterns = ", ".join(repr(s.joints) for s in self.servos)
            raise UserError(
                f"joint {joint!r} of {self.mjcf} matches {len(found)} servos of robot {self.name!r}: {patterns}"
            )
        return found[0]


@dataclass(frozen=True)
class RobotModel:
    """A compiled robot with every name resolved. J joints in contract order, which is the MJCF's.

    Attributes:
        robot: What it was compiled from.
        spec: The editable MuJoCo model, with floor, servos and sensors.
        mj: The compiled MuJoCo model. Its actuator i drives joint i by a position target [rad].
        joint_names: Actuated joints. Length J.
        qpos_adr: Index of each joint in qpos. Shape (J,).
        dof_adr: Index of each joint in qvel. Shape (J,).
        base_body: Body that the free joint moves.
        foot_sites: Shape (F,).
        foot_bodies: Shape (F,).
        clearance_adr: Index in sensordata of each foot's distance to the floor [m]. Shape (F,); empty where that is no
            plane.
        imu_site: Site of the inertial unit.
        home_qpos: Standing state. Shape (nq,).
        default_pose: Joint angles of it [rad]. Shape (J,).
        lower, upper: Joint range [rad]. Shape (J,).
        kp, kd, torque_limit, velocity_limit, action_scale: Of each joint's servo. Shape (J,).
    """

    robot: Robot
    spec: mujoco.MjSpec
    mj: mujoco.MjModel
    joint_names: tuple[str, ...]
    qpos_adr: np.ndarray
    dof_adr: np.ndarray
    base_body: int
    foot_sites: np.ndarray
    foot_bodies: np.ndarray
    clearance_adr: np.ndarray
    imu_site: int
    home_qpos: np.ndarray
    default_pose: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    kp: np.ndarray
    kd: np.ndarray
    torque_limit: np.ndarray
    velocity_limit: np.ndarray
    action_scale: np.ndarray

    @cached_property
    def sides(self) -> tuple[float, ...]:
        """1 for joints that lie left of the base's middle in the default pose, -1 right of it, 0 in it. Length J."""
        data = mujoco.MjData(self.mj)
        data.qpos[:] = self.home_qpos
        mujoco.mj_kinematics(self.mj, data)
        away = data.xanchor[self.mj.dof_jntid[self.dof_adr]] - data.xpos[self.base_body]
        left = away @ data.xmat[self.base_body].reshape(3, 3)[:, 1]
        return tuple(float(np.sign(round(y, 3))) for y in left)


def list_robots() -> list[str]:
    """Names of the robots that come with the project."""
    return sorted(p.parent.name for p in robots_dir().glob("*/robot.py"))


@lru_cache(maxsize=16)
def load_robot(name: str) -> Robot:
    """Find a robot.

    Args:
        name: A name under ``assets/robots``; a path to a ``robot.py`` that defines ``ROBOT``; or a path to an MJCF or
            ``menagerie:NAME``, of which servos are its position actuators, feet its sites with "foot" or "sole" in
            their names or else the lowest of its last links, the IMU its site with "imu" in the name or else at the
            base, and home its keyframe of that name.

    Raises:
        UserError: Nothing of that name exists.
    """
    if name.startswith("menagerie:") or name.endswith(".xml"):
        return _infer(name)
    path = Path(name) if name.endswith(".py") else robots_dir() / name / "robot.py"
    if not path.is_file():
        if name.endswith(".py"):
            raise UserError(f"no robot file {name!r}")
        raise UserError(
            f"unknown robot {name!r}; known: {', '.join(list_robots())}; or give a path to a robot.py or an MJCF, "
            "or menagerie:NAME"
        )
    module_name = f"robopolicy_robot_{path.resolve().parent.name}"
    spec = spec_from_file_location(module_name, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UserError(f"{path} raised {type(error).__name__}: {error}") from error
    robot = getattr(module, "ROBOT", None)
    if not isinstance(robot, Robot):
        raise UserError(f"{path} defines no ROBOT = Robot(...)")
    if robot.mjcf.startswith("menagerie:"):
        return robot
    return dataclasses.replace(robot, mjcf=str((path.parent / robot.mjcf).resolve()))


def _infer(name: str) -> Robot:
    """A robot from a bare MJCF: servos from its actuators; feet and IMU by the names of its sites, else guessed."""
    robot = Robot(name=name.removeprefix("menagerie:") if ":" in name else Path(name).stem, mjcf=name)
    spec = read_mjcf(robot.name, robot.mjcf)
    sites = _names(spec.sites)
    imu = next((s for s in sites if "imu" in s.lower()), "imu")
    robot = dataclasses.replace(robot, imu=imu, base_site=imu not in sites)
    feet = tuple(s for s in sites if "foot" in s.lower() or "sole" in s.lower())
    if feet:
        return dataclasses.replace(robot, feet=feet)
    guessed = guess_feet(spec)
    return dataclasses.replace(robot, feet=tuple(guessed), foot_sites=guessed)


def _names(items) -> list[str]:
    return [item.name for item in items]


def _has(items, name: str) -> bool:
    return any(item.name == name for item in items)


def _servos_of(spec: mujoco.MjSpec, joints: list, robot: Robot) -> list[Servo]:
    """Servos read from the MJCF's own position actuators."""
    by_joint = {a.target: a for a in spec.actuators if a.trntype == mujoco.mjtTrn.mjTRN_JOINT}
    servos = []
    for joint in joints:
        actuator = by_joint.get(joint.name)
        if actuator is None or actuator.biasprm[1] >= 0:
            raise UserError(
                f"{robot.mjcf}: joint {joint.name!r} has no position actuator to read gains from; "
                f"write a robot.py: Robot(name=..., mjcf={robot.mjcf!r}, servos=(Servo({joint.name!r}, kp=...), ...))"
            )
        limit = actuator.forcerange[1] if actuator.forcerange[1] > 0 else joint.actfrcrange[1]
        if limit <= 0:
            raise UserError(f"{robot.mjcf}: actuator {actuator.name!r} of joint {joint.name!r} has no force range")
        servos.append(
            Servo(
                re.escape(joint.name),
                kp=-float(actuator.biasprm[1]),
                kd=-float(actuator.biasprm[2]),
                torque=float(limit),
                velocity=float("inf"),
                armature=float(joint.armature),
                friction=float(joint.frictionloss),
            )
        )
    return servos


def _resolve(robot: Robot, spec: mujoco.MjSpec, mj: mujoco.MjModel, joints: list, servos: list[Servo]) -> RobotModel:
    names = tuple(j.name for j in joints)
    ids = [mj.joint(n).id for n in names]
    qpos_adr, dof_adr = mj.jnt_qposadr[ids].copy(), mj.jnt_dofadr[ids].copy()
    home = _home(robot, mj, names, qpos_adr)
    limited = mj.jnt_limited[ids].astype(bool)
    for name, angle, (low, high), bounded in zip(names, home[qpos_adr], mj.jnt_range[ids], limited, strict=True):
        if bounded and not low - 1e-6 <= angle <= high + 1e-6:
            raise UserError(
                f"robot {robot.name!r}: at home joint {name!r} is at {angle:.4g}, outside {low:.4g}..{high:.4g} rad"
            )
    feet = np.array([mj.site(s).id for s in robot.feet])
    sensors = {mj.sensor(i).name: mj.sensor(i).adr[0] for i in range(mj.nsensor)}
    clearance = [sensors[f"{s}_clearance"] for s in robot.feet if f"{s}_clearance" in sensors]
    return RobotModel(
        robot=robot,
        spec=spec,
        mj=mj,
        joint_names=names,
        qpos_adr=qpos_adr,
        dof_adr=dof_adr,
        base_body=int(mj.jnt_bodyid[0]),
        foot_sites=feet,
        foot_bodies=mj.site_bodyid[feet].copy(),
        clearance_adr=np.array(clearance, dtype=int),
        imu_site=mj.site(robot.imu).id,
        home_qpos=home,
        default_pose=home[qpos_adr],
        lower=np.where(limited, mj.jnt_range[ids, 0], -np.pi),
        upper=np.where(limited, mj.jnt_range[ids, 1], np.pi),
        kp=np.array([s.kp for s in servos]),
        kd=np.array([s.kd for s in servos]),
        torque_limit=np.array([s.torque for s in servos]),
        velocity_limit=np.array([s.velocity for s in servos]),
        action_scale=np.array([s.scale for s in servos]),
    )


def _home(robot: Robot, mj: mujoco.MjModel, names: tuple[str, ...], qpos_adr: np.ndarray) -> np.ndarray:
    keys = [mj.key(i).name for i in range(mj.nkey)]
    if robot.home or robot.home_height is not None:
        for joint in robot.home:
            if joint not in names:
                raise unknown("joint", joint, names, f"home of robot {robot.name!r}")
        qpos = mj.qpos0.copy()
        if robot.home or "home" not in keys:
            qpos[qpos_adr] = [robot.home.get(n, 0.0) for n in names]
        else:
            qpos = mj.key("home").qpos.copy()
        if robot.home_height is not None:
            qpos[2] = robot.home_height
        return qpos
    if "home" not in keys:
        raise UserError(
            f"{robot.mjcf}: no keyframe 'home' (it has: {', '.join(keys) or 'none'}); "
            "give Robot(home={joint: angle}, home_height=...)"
        )
    return mj.key("home").qpos.copy()
