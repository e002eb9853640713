"""Logs of a robot on a stand, made by plain ``mj_step`` at a fine step; nothing of the code under test."""

import mujoco
import numpy as np

STEP_S = 0.0005


def wiggle(joints: int, seconds: float, seed: int, period: float = 0.02, size: float = 0.15) -> np.ndarray:
    """Targets about zero: sines, then steps, in turns of two seconds. Shape (T, J) [rad]."""
    random = np.random.default_rng(seed)
    time = np.arange(0.0, seconds, period)
    waves = sum(
        np.sin(2 * np.pi * random.uniform(low, high, joints) * time[:, None] + random.uniform(0, 6, joints))
        for low, high in ((0.2, 0.5), (0.5, 1.5), (1.5, 4.0))
    )
    steps = random.uniform(-1, 1, (int(seconds / 0.4) + 1, joints))[(time / 0.4).astype(int)]
    turn = (time // 2.0 % 2 == 0)[:, None]
    return size * np.where(turn, np.asarray(waves) / 1.5, steps)


def run(
    model: mujoco.MjModel,
    names: tuple[str, ...],
    targets: np.ndarray,
    plant: dict[str, np.ndarray],
    period: float = 0.02,
    latency: float = 0.0,
    start: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Readings at every order of a robot whose base is held where ``start`` (nq,) has it.

    The plant says kp, kd, armature, friction, torque and offset of every joint, each (J,).
    """
    ids = [model.joint(name).id for name in names]
    qpos, dof = model.jnt_qposadr[ids], model.jnt_dofadr[ids]
    model.opt.timestep = STEP_S
    model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_CONTACT | mujoco.mjtDisableBit.mjDSBL_ACTUATION
    model.dof_armature[dof], model.dof_frictionloss[dof] = plant["armature"], plant["friction"]
    model.dof_armature[:6] = 1e5  # the base cannot move
    data = mujoco.MjData(model)
    data.qpos[:] = model.qpos0 if start is None else start
    data.qpos[qpos] = targets[0] - plant["offset"]
    sub, late = round(period / STEP_S), round(latency / STEP_S)
    out = {"time": [], "position": [], "velocity": []}
    for step in range(len(targets) * sub):
        if step % sub == 0:
            out["time"].append(step * STEP_S)
            out["position"].append(data.qpos[qpos] + plant["offset"])
            out["velocity"].append(data.qvel[dof].copy())
        target = targets[max(step - late, 0) // sub]
        torque = plant["kp"] * (target - data.qpos[qpos] - plant["offset"]) - plant["kd"] * data.qvel[dof]
        data.qfrc_applied[dof] = np.clip(torque, -plant["torque"], plant["torque"])
        mujoco.mj_step(model, data)
    return {name: np.array(values) for name, values in out.items()} | {"target": targets}
