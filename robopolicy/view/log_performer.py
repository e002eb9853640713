"""A log of the runtime, replayed."""

from pathlib import Path
from typing import Any

import numpy as np

from robopolicy.errors import UserError
from robopolicy.motion.odometry import dead_reckoning
from robopolicy.view.stage import stage
from robopolicy.view.tour import Channel


class LogPerformer:
    """What a robot did, as its own sensors saw it."""

    channels: tuple[Channel, ...] = ()

    def __init__(self, path: Path, robot: str | None = None):
        """Read the log.

        Args:
            path: Written by ``robopolicy-runtime run --log``.
            robot: Name or path; by default what the log names.

        Raises:
            UserError: It is no log, has no readings, or is of another robot.
        """
        from robopolicy_runtime.errors import ContractError
        from robopolicy_runtime.log import read_log
        from scipy.spatial.transform import Rotation

        from robopolicy.robot import load_robot

        try:
            rows, contract = read_log(path)
        except ContractError as error:
            raise UserError(str(error)) from None
        model = load_robot(robot or contract["robot"]).compile()
        if list(model.joint_names) != contract["joint_names"]:
            there = ", ".join(contract["joint_names"])
            raise UserError(f"{path} is of a robot with joints {there}; {model.robot.name!r} has others: give --robot")
        good = np.isfinite(_readings(rows)).all(axis=1)
        if not good.any():
            raise UserError(f"{path} holds no reading: {len(rows['time'])} control periods without one")
        rows = {name: values[good] for name, values in rows.items()}
        w, *xyz = contract["imu"]["quaternion"]
        imu = Rotation.from_quat([*xyz, w]).as_matrix()
        self.title, self.dt = str(path), contract["control_period_s"]
        self._gyro = rows["gyro"] @ imu.T
        self._qpos = dead_reckoning(rows["gravity"] @ imu.T, self._gyro, rows["joint_pos"], self.dt, model)
        self._joint_vel = rows["joint_vel"]
        self.joints, self.standing = model.joint_names, float(model.home_qpos[2])
        self.seconds = len(self._qpos) * self.dt
        self.robot, self.spec = model.robot.name, model.spec
        self.model = stage(self.spec)

    def start(self) -> tuple[np.ndarray, np.ndarray]:
        self._step = 0
        return self._state()

    def step(self, command: np.ndarray) -> tuple[np.ndarray, np.ndarray, bool]:
        self._step = min(self._step + 1, len(self._qpos) - 1)
        return *self._state(), False

    def _state(self) -> tuple[np.ndarray, np.ndarray]:
        k = self._step
        before = self._qpos[max(k - 1, 0)]
        qvel = np.concatenate(((self._qpos[k, :3] - before[:3]) / self.dt, self._gyro[k], self._joint_vel[k]))
        return self._qpos[k], qvel


def _readings(rows: dict[str, Any]) -> np.ndarray:
    return np.concatenate([rows[name] for name in ("gravity", "gyro", "joint_pos", "joint_vel")], axis=1)
