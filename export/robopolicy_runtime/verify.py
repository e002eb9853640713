"""Proof that a file is the policy that was trained: ``python -m robopolicy_runtime.verify FILE [--json]``.

The file is run in plain MuJoCo (``mj_step``) with onnxruntime, in a process that has neither torch nor the
trainer, and compared with what the training environment recorded on its nominal plant (no randomisation,
noise, delay or push). E short episodes of S control steps, each from a reset:

    qpos0 (E, nq), qvel0 (E, nv)             state at the start
    command (E, S, C)                        command at each step
    obs (E, S, A)                            the policy's input at each step, float32
    action (E, S, J)                         its output before clipping, float32
    qpos (E, S, nq)                          state after each step

and at least 16 long ones (E2), each under one command:

    eval_qpos0 (E2, nq), eval_qvel0 (E2, nv) state at the start
    eval_command (E2, C)                     command
    eval_seconds ()                          length [s]
    reward_return (E2,)                      score in the training environment, see ``contract.Score``
    eval_survived (E2,)                      whether it ended without a fall

Walking with contacts is chaotic: a difference in the last bit grows until two runs of one policy part, so
numbers are compared step by step only where that has not happened yet (the replay, and the first steps of
the closed loop). Scores of long episodes are compared as paired samples, see ``check_scores``.
"""

import argparse
import json
import math
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import mujoco
import numpy as np

from robopolicy_runtime.contract import Contract
from robopolicy_runtime.errors import ContractError
from robopolicy_runtime.policy import Controller, PolicyFile

ACTION_TOLERANCE = 1e-5
STATE_TOLERANCE = 1e-4
MODEL_TOLERANCE = 1e-6
CLOSED_LOOP_STEPS = 25
SCORE_TOLERANCE = 0.02
FORBIDDEN = ("torch", "robopolicy", "stable_baselines3")


@dataclass(frozen=True)
class Check:
    """One row of the table: what was measured, against which tolerance, where it is worst."""

    name: str
    measured: float
    tolerance: float
    ok: bool
    detail: str


class Plant:
    """The robot as plain MuJoCo runs it: the contract's sensors and targets in front, mj_step behind."""

    def __init__(self, mjcf: str | Path, contract: Contract, free: int = 0):
        """Compile the MJCF, a text or a file.

        Args:
            mjcf: The robot.
            contract: Its joints, in the MJCF's order.
            free: The last so many of them are in any order in the MJCF, between the others too.

        Raises:
            ContractError: It does not compile, or it is not the contract's robot: other joints, no free
                base, no IMU.
        """
        try:
            compiled = mujoco.MjModel.from_xml_path if isinstance(mjcf, Path) else mujoco.MjModel.from_xml_string
            self.model = compiled(str(mjcf))
        except ValueError as error:
            raise ContractError(f"the MJCF does not compile: {str(error).splitlines()[0]}") from None
        self.contract = contract
        self.data = mujoco.MjData(self.model)
        m = self.model
        if m.njnt == 0 or m.jnt_type[0] != mujoco.mjtJoint.mjJNT_FREE:
            raise ContractError("the MJCF's first joint is not the base's free joint")
        on_joint = m.actuator_trntype == mujoco.mjtTrn.mjTRN_JOINT
        driven = {int(m.actuator_trnid[a, 0]): a for a in range(m.nu) if on_joint[a]}
        names = tuple(m.joint(j).name for j in sorted(driven))
        last = contract.joint_names[len(contract.joint_names) - free :]
        order = (*(name for name in names if name not in last), *(name for name in last if name in names))
        if order != contract.joint_names or len(driven) != m.nu:
            raise ContractError(
                f"wrong robot: the contract drives {contract.robot!r} with joints "
                f"{', '.join(contract.joint_names)}; the MJCF has actuators for {', '.join(names) or 'none'}"
            )
        self.joints = np.array([m.joint(name).id for name in order])
        self.actuators = np.array([driven[j] for j in self.joints])
        self.qpos_adr, self.dof_adr = m.jnt_qposadr[self.joints], m.jnt_dofadr[self.joints]
        self.imu_rotation = _matrix(np.array(contract.imu.quaternion))

    def reset(self, qpos: np.ndarray, qvel: np.ndarray) -> None:
        """Start from a state; nothing else is remembered."""
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[:], self.data.qvel[:] = qpos, qvel

    def step(self, targets: np.ndarray) -> None:
        """One control period with the given joint targets [rad]. Shape (J,)."""
        self.data.ctrl[self.actuators] = targets
        mujoco.mj_step(self.model, self.data, self.contract.physics.substeps)

    @property
    def rotation(self) -> np.ndarray:
        """Base orientation, from base to world. Shape (3, 3)."""
        return _matrix(self.data.qpos[3:7])

    def sensors(self) -> dict[str, np.ndarray]:
        """What the robot's own sensors would read now; MuJoCo's free joint turns in the base's frame."""
        down = self.rotation.T @ np.array([0.0, 0.0, -1.0])
        return {
            "gyro": self.imu_rotation.T @ self.data.qvel[3:6],
            "gravity": self.imu_rotation.T @ down,
            "joint_pos": self.data.qpos[self.qpos_adr],
            "joint_vel": self.data.qvel[self.dof_adr],
        }

    def fallen(self) -> bool:
        """Whether the base is below the contract's height or tilted beyond its angle."""
        tilt = math.acos(np.clip(self.rotation[2, 2], -1.0, 1.0))
        return bool(self.data.qpos[2] < self.contract.score.fall_height_m or tilt > self.contract.score.fall_tilt_rad)

    def score(self, command: np.ndarray) -> float:
        """This instant's part of the score, see ``contract.Score``."""
        if self.contract.score.kind == "upright":
            return 1.0
        rotation = self.rotation
        yaw = math.atan2(rotation[1, 0], rotation[0, 0])
        c, s = math.cos(yaw), math.sin(yaw)
        vx, vy = self.data.qvel[:2]
        error = np.array([c * vx + s * vy, c * vy - s * vx]) - command[:2]
        turn = rotation[2] @ self.data.qvel[3:6] - command[2]
        return float(np.exp(-4 * error @ error) + 0.5 * np.exp(-4 * turn**2))


def verify(path: str | Path, mjcf: str | None = None) -> list[Check]:
    """Run every check on the file itself; ``check_imports`` is about the process, and the command line adds
    it.

    Args:
        path: The policy file.
        mjcf: MJCF text of a robot to check the policy against, in place of the one in the file.

    Raises:
        ContractError: The file is refused before anything can be compared.
    """
    file = PolicyFile.open(path)
    contract = file.contract
    plant = Plant(file.mjcf if mjcf is None else mjcf, contract)
    reference = _reference(file, plant)
    checks = [
        Check(
            "file",
            0,
            0,
            True,
            f"digest, contract schema {contract.schema}, {len(contract.joint_names)} joints",
        )
    ]
    checks += check_model(plant)
    checks.append(check_network(file, reference))
    checks += check_replay(file, plant, reference)
    checks.append(check_closed_loop(file, plant, reference))
    return checks + check_scores(file, plant, reference)


def check_model(plant: Plant) -> list[Check]:
    """The compiled robot against the contract: ranges, gains, limits, time step, IMU."""
    m, c, joints, actuators = plant.model, plant.contract, plant.joints, plant.actuators
    limited = m.jnt_limited[joints].astype(bool)
    site = mujoco.mj_name2id(m, mujoco.mjtObj.mjOBJ_SITE, c.imu.site)
    on_base = site >= 0 and m.site_bodyid[site] == m.jnt_bodyid[0]
    rows: list[tuple[str, np.ndarray, tuple]] = [
        ("position_lower", np.where(limited, m.jnt_range[joints, 0], -np.pi), c.position_lower),
        ("position_upper", np.where(limited, m.jnt_range[joints, 1], np.pi), c.position_upper),
        ("kp", m.actuator_gainprm[actuators, 0], c.kp),
        ("kp (bias)", -m.actuator_biasprm[actuators, 1], c.kp),
        ("kd", -m.actuator_biasprm[actuators, 2], c.kd),
        ("torque_limit", m.actuator_forcerange[actuators, 1], c.torque_limit),
        ("torque_limit (low)", -m.actuator_forcerange[actuators, 0], c.torque_limit),
    ]
    checks = [_compare(f"model {name}", found, np.array(want), c.joint_names) for name, found, want in rows]
    checks.append(
        _compare("model timestep", np.array([m.opt.timestep]), np.array([c.physics.timestep_s]), ("timestep_s",))
    )
    if not on_base:
        sites = ", ".join(m.site(i).name for i in range(m.nsite))
        checks.append(
            Check(
                "model imu",
                math.inf,
                MODEL_TOLERANCE,
                False,
                f"no site {c.imu.site!r} on the base; sites: {sites}",
            )
        )
    else:
        found = np.concatenate((_matrix(m.site_quat[site]).ravel(), m.site_pos[site]))
        want = np.concatenate((plant.imu_rotation.ravel(), c.imu.position))
        names = (*(f"rotation[{i // 3},{i % 3}]" for i in range(9)), "x", "y", "z")
        checks.append(_compare("model imu", found, want, names))
    return checks


def check_network(file: PolicyFile, reference: dict[str, np.ndarray]) -> Check:
    """The network on the recorded observations against the recorded actions."""
    obs, action = reference["obs"], reference["action"]
    found = file.run(obs.reshape(-1, obs.shape[-1])).reshape(action.shape)
    return _worst("network action", found, action, ACTION_TOLERANCE, file.contract.joint_names)


def check_replay(file: PolicyFile, plant: Plant, reference: dict[str, np.ndarray]) -> list[Check]:
    """Replay the recorded actions: the states, and the observations that the runtime builds from them."""
    obs, qpos = np.zeros_like(reference["obs"]), np.zeros_like(reference["qpos"])
    controller = Controller(file, plant.contract.joint_names)
    for e in range(len(obs)):
        controller.reset()
        plant.reset(reference["qpos0"][e], reference["qvel0"][e])
        for s in range(obs.shape[1]):
            obs[e, s] = controller.observe(**plant.sensors(), command=reference["command"][e, s])
            plant.step(controller.apply(reference["action"][e, s]))
            qpos[e, s] = plant.data.qpos
    names = ("x", "y", "z", "qw", "qx", "qy", "qz")
    joint_of = {int(adr): name for adr, name in zip(plant.qpos_adr, plant.contract.joint_names, strict=True)}
    names += tuple(joint_of.get(i, f"qpos[{i}]") for i in range(7, plant.model.nq))
    checks = [_worst("replay qpos", qpos, reference["qpos"], STATE_TOLERANCE, names)]
    start = 0
    for o in plant.contract.observations:
        part = slice(start, start + o.size * o.history)
        start = part.stop
        entries = tuple(f"{o.name}[{i}]" for i in range(o.size * o.history))
        checks.append(
            _worst(f"observation {o.name}", obs[..., part], reference["obs"][..., part], STATE_TOLERANCE, entries)
        )
    return checks


def check_closed_loop(file: PolicyFile, plant: Plant, reference: dict[str, np.ndarray]) -> Check:
    """The policy drives; its first actions against the recorded ones, before chaos sets in."""
    steps = min(CLOSED_LOOP_STEPS, reference["action"].shape[1])
    action = np.zeros_like(reference["action"][:, :steps])
    controller = Controller(file, plant.contract.joint_names)
    for e in range(len(action)):
        controller.reset()
        plant.reset(reference["qpos0"][e], reference["qvel0"][e])
        for s in range(steps):
            plant.step(controller.step(**plant.sensors(), command=reference["command"][e, s]))
            action[e, s] = controller.action
    name = f"closed loop action, {steps} steps"
    return _worst(name, action, reference["action"][:, :steps], STATE_TOLERANCE, file.contract.joint_names)


def check_scores(file: PolicyFile, plant: Plant, reference: dict[str, np.ndarray]) -> list[Check]:
    """Whole episodes from the same starts under the same commands.

    The rule: ``|mean difference| <= max(0.02, 2 standard errors)``, the differences paired by episode.
    Pairing takes away what differs between commands; what is left is the spread of one policy's run from one
    start under rounding. Two standard errors accept 95 of 100 files that are right; 0.02 (of at most 1.5)
    keeps a policy that repeats itself exactly, and so has no spread, from failing over rounding. The same for
    survival, in episodes: the numbers of survivors may differ by one, or by twice the root of the number of
    episodes that ended differently.
    """
    commands, seconds = reference["eval_command"], float(reference["eval_seconds"])
    steps = round(seconds / plant.contract.control_period_s)
    scores, survived = np.zeros(len(commands)), np.zeros(len(commands), bool)
    controller = Controller(file, plant.contract.joint_names)
    for e, command in enumerate(commands):
        controller.reset()
        plant.reset(reference["eval_qpos0"][e], reference["eval_qvel0"][e])
        total = 0.0
        for _ in range(steps):
            plant.step(controller.step(**plant.sensors(), command=command))
            if plant.fallen():
                break
            total += plant.score(command)
        else:
            survived[e] = True
        scores[e] = total / steps
    trained, trained_survived = reference["reward_return"], reference["eval_survived"].astype(bool)
    difference = scores - trained
    tolerance = max(SCORE_TOLERANCE, 2 * float(difference.std(ddof=1)) / math.sqrt(len(difference)))
    gap = abs(float(difference.mean()))
    detail = f"{scores.mean():.4f} here, {trained.mean():.4f} in training, {len(scores)} episodes of {seconds:g} s"
    alive, alive_trained = int(survived.sum()), int(trained_survived.sum())
    allowed = max(1.0, 2 * math.sqrt(np.count_nonzero(survived != trained_survived)))
    return [
        Check("episode score", gap, tolerance, gap <= tolerance, detail),
        Check(
            "episodes survived",
            abs(alive - alive_trained),
            allowed,
            abs(alive - alive_trained) <= allowed,
            f"{alive} here, {alive_trained} in training, of {len(scores)}",
        ),
    ]


def check_imports() -> Check:
    """This process must not have loaded the trainer or its libraries."""
    loaded = [name for name in FORBIDDEN if name in sys.modules]
    detail = f"loaded: {', '.join(loaded)}" if loaded else f"not loaded: {', '.join(FORBIDDEN)}"
    return Check("no training code", len(loaded), 0, not loaded, detail)


def _reference(file: PolicyFile, plant: Plant) -> dict[str, np.ndarray]:
    """The recorded arrays, with their shapes checked against the contract and the plant."""
    reference, c, m = file.reference(), file.contract, plant.model
    sizes = {
        "A": c.observation_size,
        "J": len(c.joint_names),
        "C": len(c.command.names),
        "nq": m.nq,
        "nv": m.nv,
    }
    shapes = {
        "qpos0": ("E", "nq"),
        "qvel0": ("E", "nv"),
        "command": ("E", "S", "C"),
        "obs": ("E", "S", "A"),
        "action": ("E", "S", "J"),
        "qpos": ("E", "S", "nq"),
        "eval_qpos0": ("E2", "nq"),
        "eval_qvel0": ("E2", "nv"),
        "eval_command": ("E2", "C"),
        "eval_seconds": (),
        "reward_return": ("E2",),
        "eval_survived": ("E2",),
    }
    for name, letters in shapes.items():
        if name not in reference:
            raise ContractError(f"{file.path}: the recorded reference has no {name!r}")
        array = reference[name]
        expected = tuple(sizes.setdefault(x, n) for x, n in zip(letters, array.shape, strict=False))
        if array.shape != expected or len(letters) != array.ndim or not array.size:
            meaning = ", ".join(f"{x}={sizes.get(x, '?')}" for x in letters)
            raise ContractError(f"{file.path}: the recorded {name!r} has shape {array.shape}, expected ({meaning})")
        if not np.isfinite(array).all():
            raise ContractError(f"{file.path}: the recorded {name!r} is not finite")
    if sizes["E2"] < 16:
        raise ContractError(f"{file.path}: the recorded 'reward_return' has {sizes['E2']} episodes, fewer than 16")
    return reference


def _compare(name: str, found: np.ndarray, want: np.ndarray, names: tuple[str, ...]) -> Check:
    """Model numbers against the contract's, relative to their size (absolute below 1)."""
    error = np.abs(found - want) / np.maximum(1.0, np.abs(want))
    i = int(np.argmax(error))
    worst = float(error[i])
    ok = worst <= MODEL_TOLERANCE
    detail = "" if ok else f"{names[i]}: {found[i]:.9g} in the model, {want[i]:.9g} in the contract"
    return Check(name, worst, MODEL_TOLERANCE, ok, detail)


def _worst(name: str, found: np.ndarray, want: np.ndarray, tolerance: float, names: tuple[str, ...]) -> Check:
    """Largest difference over episodes, steps and entries, and where it is."""
    error = np.abs(found.astype(np.float64) - want)
    error[~np.isfinite(error)] = math.inf
    e, s, i = np.unravel_index(int(np.argmax(error)), error.shape)
    worst = float(error[e, s, i])
    return Check(name, worst, tolerance, worst <= tolerance, f"worst: {names[int(i)]}, episode {e}, step {s}")


def _matrix(quaternion: np.ndarray) -> np.ndarray:
    """Rotation matrix of a quaternion wxyz. Shape (3, 3)."""
    w, x, y, z = quaternion / np.linalg.norm(quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def table(checks: list[Check]) -> str:
    """The checks as aligned text."""
    rows = [("check", "measured", "tolerance", "", "")]
    rows += [(c.name, f"{c.measured:.2g}", f"{c.tolerance:.2g}", "ok" if c.ok else "FAIL", c.detail) for c in checks]
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = [
        f"{a:<{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}  {d:<{widths[3]}}  {e}".rstrip()
        for a, b, c, d, e in rows
    ]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns 0 if the file agrees, 1 if not, 2 if it is refused."""
    parser = argparse.ArgumentParser(prog="verify", description="Compare a policy file with the training that made it.")
    parser.add_argument("file", help="policy.onnx")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument("--mjcf", help="check against this robot in place of the one in the file")
    options = parser.parse_args(arguments)
    try:
        try:
            mjcf = Path(options.mjcf).read_text() if options.mjcf else None
        except (OSError, UnicodeDecodeError) as error:
            raise ContractError(f"{options.mjcf}: cannot be read: {getattr(error, 'strerror', error)}") from None
        checks, status = [*verify(options.file, mjcf), check_imports()], 0
    except ContractError as error:
        checks, status = [Check("file", math.inf, 0, False, str(error))], 2
    agrees = all(check.ok for check in checks)
    if not agrees and status == 0:
        status = 1
    if options.json:
        rows = [asdict(c) | {"measured": c.measured if math.isfinite(c.measured) else None} for c in checks]
        print(json.dumps({"file": str(options.file), "agrees": agrees, "checks": rows}, allow_nan=False))
    elif status == 2:
        print(f"refused: {checks[0].detail}", file=sys.stderr)
    else:
        print(table(checks))
        print("agrees" if agrees else f"disagrees: {', '.join(c.name for c in checks if not c.ok)}")
    return status


if __name__ == "__main__":
    sys.exit(main())
