"""A robot on the ground in the physics engine Bullet, with MuJoCo's coordinates on the outside."""

import tempfile
import weakref
from pathlib import Path

import mujoco
import numpy as np

from robopolicy_runtime.transfer import bullet_engine
from robopolicy_runtime.transfer import bullet_urdf as urdf
from robopolicy_runtime.transfer.bullet_contacts import set_contacts

ITERATIONS = 50  # of the solver of contacts, joint friction and armature in a physics step


class BulletWorld:
    """The model's free robot and its static geoms in Bullet.

    H hinges, in MuJoCo's order. Their armature is that of wheels that stand in the world and are geared to them.
    Contacts are hard, and friction is one number per link: that of the link's geoms with what is static, the largest if
    they differ. Torsion and rolling count where MuJoCo's ``condim`` says so. Geoms collide with what is static, and
    with each other where MuJoCo's masks let them; not where they only collide with each other.

    Attributes:
        hinges: Their numbers in the model. Shape (H,).
    """

    def __init__(self, model: mujoco.MjModel, fixed: bool = False) -> None:
        """Build it at the model's default pose.

        Args:
            model: See ``bullet_urdf.check_model``.
            fixed: Whether the base hangs in the air and cannot move.

        Raises:
            ContractError: pybullet is not installed, or the model has what Bullet has not.
        """
        urdf.check_model(model)
        self._engine = bullet_engine.load()
        self._model = model
        self.hinges = np.arange(1, model.njnt)
        self._qpos_adr, self._dof_adr = model.jnt_qposadr[self.hinges], model.jnt_dofadr[self.hinges]
        self._angle0 = model.qpos0[self._qpos_adr]
        self._zero = [0.0] * len(self.hinges)
        with bullet_engine.quiet():
            self._client = self._engine.connect(self._engine.DIRECT)
            self._end = weakref.finalize(self, self._engine.disconnect, self._client)
            self._load(fixed)

    def reset(self, qpos: np.ndarray, qvel: np.ndarray) -> None:
        """Put the robot into a state in MuJoCo's coordinates. Shapes (nq,), (nv,)."""
        engine, robot, client = self._engine, self._robot, self._client
        rotation = _rotation(qpos[3:7])
        place = qpos[:3] + rotation @ self._com
        turn = np.zeros(4)
        mujoco.mju_mulQuat(turn, qpos[3:7] / np.linalg.norm(qpos[3:7]), self._com_quat)
        spin = rotation @ qvel[3:6]
        speed = qvel[:3] + np.cross(spin, rotation @ self._com)
        engine.resetBasePositionAndOrientation(robot, place.tolist(), turn[[1, 2, 3, 0]].tolist(), client)
        engine.resetBaseVelocity(robot, speed.tolist(), spin.tolist(), physicsClientId=client)
        angles = qpos[self._qpos_adr] - self._angle0
        for joint, link, angle, rate in zip(self.hinges.tolist(), self._links, angles, qvel[self._dof_adr]):
            engine.resetJointState(robot, link, float(angle), float(rate), physicsClientId=client)
            if joint in self._rotor:
                engine.resetJointState(self._rotors, self._rotor[joint], 0.0, float(rate), physicsClientId=client)

    def step(self, torque: np.ndarray, rubbing: np.ndarray, push: np.ndarray, timestep: float) -> None:
        """One physics step.

        Args:
            torque: On the hinges [N m]. Shape (H,).
            rubbing: Largest torque that friction can hold against the motion of each hinge [N m]. Shape (H,).
            push: Force on the base's centre of mass, world frame [N]. Shape (3,).
            timestep: [s].
        """
        engine, robot, client = self._engine, self._robot, self._client
        if timestep != self._timestep:
            self._timestep = timestep
            engine.setTimeStep(timestep, client)
        if self._links:
            # A motor that wants to rest is Bullet's own dry friction: solved with the contacts, so it never overshoots.
            engine.setJointMotorControlArray(
                robot, self._links, engine.VELOCITY_CONTROL,
                targetVelocities=self._zero, forces=rubbing.tolist(), physicsClientId=client,
            )  # fmt: skip
            engine.setJointMotorControlArray(
                robot, self._links, engine.TORQUE_CONTROL, forces=torque.tolist(), physicsClientId=client
            )
        if push.any():
            place = engine.getBasePositionAndOrientation(robot, client)[0]
            engine.applyExternalForce(robot, -1, push.tolist(), place, engine.WORLD_FRAME, client)
        engine.stepSimulation(client)

    def state(self) -> tuple[np.ndarray, np.ndarray]:
        """The state now, in MuJoCo's coordinates. Shapes (nq,), (nv,)."""
        engine, robot, client = self._engine, self._robot, self._client
        place, (x, y, z, w) = engine.getBasePositionAndOrientation(robot, client)
        speed, spin = engine.getBaseVelocity(robot, client)
        qpos, qvel = self._model.qpos0.copy(), np.zeros(self._model.nv)
        back = self._com_quat * [1, -1, -1, -1]
        mujoco.mju_mulQuat(qpos[3:7], np.array([w, x, y, z]), back)
        rotation = _rotation(qpos[3:7])
        offset = rotation @ self._com
        qpos[:3] = place - offset
        qvel[:3] = speed - np.cross(spin, offset)
        qvel[3:6] = rotation.T @ spin
        qpos[self._qpos_adr], qvel[self._dof_adr] = self.joints()
        return qpos, qvel

    def joints(self) -> tuple[np.ndarray, np.ndarray]:
        """The hinges' angles [rad] and velocities [rad/s], without the time that the whole state takes. Shapes (H,)."""
        if not self._links:
            return np.zeros(0), np.zeros(0)
        joints = self._engine.getJointStates(self._robot, self._links, physicsClientId=self._client)
        return self._angle0 + [joint[0] for joint in joints], np.array([joint[1] for joint in joints])

    def bodies(self) -> dict[int, tuple[np.ndarray, np.ndarray, float]]:
        """Every body's centre of mass [m], the place of its frame [m], both in the world, and its mass [kg]."""
        engine, robot, client = self._engine, self._robot, self._client
        qpos, _ = self.state()
        base = int(self._model.jnt_bodyid[0])
        found = {base: (qpos[:3] + _rotation(qpos[3:7]) @ self._com, qpos[:3], self._mass(-1))}
        for body, link in self._link_of.items():
            if link >= 0:
                state = engine.getLinkState(robot, link, computeForwardKinematics=1, physicsClientId=client)
                x, y, z, w = state[5]
                origin = state[4] - _rotation(np.array([w, x, y, z])) @ urdf.anchor(self._model, body)
                found[body] = (np.array(state[0]), origin, self._mass(link))
        return found

    def _mass(self, link: int) -> float:
        return self._engine.getDynamicsInfo(self._robot, link, self._client)[0]

    def _load(self, fixed: bool) -> None:
        engine, client, model = self._engine, self._client, self._model
        engine.setGravity(*model.opt.gravity.tolist(), physicsClientId=client)
        engine.setPhysicsEngineParameter(
            numSolverIterations=ITERATIONS,
            solverResidualThreshold=0,
            deterministicOverlappingPairs=1,
            physicsClientId=client,
        )
        self._timestep = 0.0
        flags = engine.URDF_USE_INERTIA_FROM_FILE | engine.URDF_USE_SELF_COLLISION | engine.URDF_MAINTAIN_LINK_ORDER
        flags |= engine.URDF_USE_IMPLICIT_CYLINDER
        with tempfile.TemporaryDirectory(prefix="bullet-") as name:
            folder = Path(name)
            bodies = []
            armed = [int(j) for j, d in zip(self.hinges, self._dof_adr) if model.dof_armature[d] > 0]
            texts = {
                "world": urdf.world_urdf(model, folder),
                "rotors": urdf.rotors_urdf(model, armed),
                "robot": urdf.robot_urdf(model, folder),
            }
            for file, text in texts.items():
                (folder / f"{file}.urdf").write_text(text)
                base = fixed or file != "robot"
                path = str(folder / f"{file}.urdf")
                bodies.append(engine.loadURDF(path, useFixedBase=base, flags=flags, physicsClientId=client))
        self._world, self._rotors, self._robot = bodies
        joints, links = self._names(self._robot, 1), self._names(self._robot, 12)
        self._links = [joints[f"j{j}"] for j in self.hinges]
        self._link_of = {int(name[1:]): link for name, link in links.items() if name[0] == "b"}
        self._link_of[int(model.jnt_bodyid[0])] = -1
        rotors = self._names(self._rotors, 1)
        self._take_losses_away(self._robot, [-1, *links.values()])
        self._take_losses_away(self._rotors, list(rotors.values()))
        # Again, as they are: from a file Bullet takes a thin rod's for an error.
        for body, link in self._link_of.items():
            moments = model.body_inertia[body].tolist()
            engine.changeDynamics(self._robot, link, localInertiaDiagonal=moments, physicsClientId=client)
        self._couple_rotors(rotors)
        set_contacts(engine, client, model, self._robot, self._world, self._link_of)
        _, _, _, place, (x, y, z, w), *_ = engine.getDynamicsInfo(self._robot, -1, client)
        self._com, self._com_quat = np.array(place), np.array([w, x, y, z])

    def _take_losses_away(self, body: int, links: list[int]) -> None:
        """Nothing of what Bullet slows motion with by default: damping, motors at rest, a limit on speeds."""
        engine, client = self._engine, self._client
        for link in links:
            engine.changeDynamics(
                body, link, linearDamping=0, angularDamping=0, jointDamping=0, maxJointVelocity=1e6, restitution=0,
                physicsClientId=client,
            )  # fmt: skip
            if link >= 0:
                engine.setJointMotorControl2(body, link, engine.VELOCITY_CONTROL, force=0, physicsClientId=client)

    def _couple_rotors(self, names: dict[str, int]) -> None:
        """A hinge and its wheel turn at one speed: a constraint that is solved with the contacts."""
        engine, client, none = self._engine, self._client, [0, 0, 0]
        links = dict(zip(self.hinges.tolist(), self._links))
        self._rotor = {int(name[1:]): rotor for name, rotor in names.items()}
        for joint, rotor in self._rotor.items():
            ends = self._robot, links[joint], self._rotors, rotor
            gear = engine.createConstraint(
                *ends, engine.JOINT_GEAR, [1, 0, 0], none, none, physicsClientId=client
            )  # fmt: skip
            engine.changeConstraint(gear, gearRatio=-1, maxForce=1e9, physicsClientId=client)

    def _names(self, body: int, field: int) -> dict[str, int]:
        """Links by the name of their joint (field 1) or their own (12)."""
        engine, client = self._engine, self._client
        found = [engine.getJointInfo(body, i, client) for i in range(engine.getNumJoints(body, client))]
        return {info[field].decode(): info[0] for info in found}


def _rotation(quat: np.ndarray) -> np.ndarray:
    flat = np.zeros(9)
    mujoco.mju_quat2Mat(flat, quat / np.linalg.norm(quat))
    return flat.reshape(3, 3)
