"""The robot as a process of its own: ``python -m robopolicy_runtime.drivers.sim_robot policy.onnx``.

MuJoCo in real time at 1 kHz, with its own PD at that rate. It knows nothing of the policy; of its file it takes the
MJCF, the joints, and where the IMU sits. Of a show it takes the joints that no policy drives, too; since the MJCF of a
policy file does not have them, another one is named. As robots do, it lets the joints give way by itself when orders
stop coming. Until it is driven it hangs on a crane in its home pose; some seconds after that the crane lets go.

Faults are asked for by datagrams of JSON, ``{"fault": "nan", "seconds": 0.5}``, see ``FAULTS``; they are answered
with ``{}``, or with ``{"refused": why}``.
"""

import argparse
import json
import math
import random
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from robopolicy_runtime.contract import Contract
from robopolicy_runtime.drivers.sim import PORT
from robopolicy_runtime.drivers.sim_wire import ORDER, SAMPLE, pack, unpack
from robopolicy_runtime.errors import ContractError
from robopolicy_runtime.policy import PolicyFile
from robopolicy_runtime.show.file import ShowFile
from robopolicy_runtime.ticker import ask_for_realtime
from robopolicy_runtime.verify import Plant

STEP_S = 0.001
SAMPLE_EVERY = 4  # steps: 250 samples a second
WATCHDOG_S = 0.08
LEASE_S = 0.5
_HELD = 1e5  # kg, kg m^2: nothing that a joint does moves this
_LIFTED = 1.0  # m: on a stand the feet are off the ground
FAULTS = {
    "nan": "a joint's reading is not a number",
    "upside_down": "the IMU is mounted the wrong way up",
    "freeze": "the robot's computer stops, and its motors go on with the latest order",
    "unplug": "nothing goes through the cable in either direction",
    "loss": "three of ten datagrams are lost, in both directions",
}


class SimRobot:
    """The robot, its motors, and its end of the line.

    Args:
        file: Whose MJCF it is.
        port: UDP port on 127.0.0.1.
        crane_s: How long the crane holds it after it is first driven [s]; infinite: a stand, whose joints feel gravity.
        seed: Of which datagrams are lost.
        body: The file's contract with joints after its own that no policy drives; by default it has none.
        mjcf: Another MJCF than the file's.

    Attributes:
        largest_target: How far out of the joints' range any order's target was [rad]; for tests.
    """

    def __init__(
        self,
        file: PolicyFile,
        port: int = PORT,
        crane_s: float = 3.0,
        seed: int = 0,
        body: Contract | None = None,
        mjcf: Path | None = None,
    ) -> None:
        self.contract, self.crane_s = body or file.contract, crane_s
        free = self.contract.joint_names[len(file.contract.joint_names) :]
        if free and mjcf is None:
            what = f"the MJCF in a policy file has no joint that it does not drive: {', '.join(free)}"
            raise ContractError(f"{what}; --mjcf FILE names one that has")
        self.plant = Plant(mjcf or file.mjcf, self.contract, len(free))
        model = self.plant.model
        model.opt.timestep = STEP_S
        self._torque = np.array(self.contract.torque_limit)
        a = self.plant.actuators
        model.actuator_gaintype[a], model.actuator_biastype[a] = mujoco.mjtGain.mjGAIN_FIXED, mujoco.mjtBias.mjBIAS_NONE
        model.actuator_gainprm[a] = np.eye(1, model.actuator_gainprm.shape[1])
        model.actuator_biasprm[a] = 0
        model.actuator_ctrllimited[a] = False  # they take torques now, not angles
        if math.isinf(crane_s):  # a stand: on a crane that lets go, the joints feel a base that is free to fall
            model.dof_armature[:6] = _HELD
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", port))
        self._socket.setblocking(False)
        self.port: int = self._socket.getsockname()[1]
        self._random = random.Random(seed)
        self._faults: dict[str, float] = {}
        self.largest_target = 0.0
        self.reset()

    def reset(self) -> None:
        """Back on the crane, in the home pose, driven by nobody."""
        m, d = self.plant.model, self.plant.data
        mujoco.mj_resetData(m, d)
        if m.nkey:
            mujoco.mj_resetDataKeyframe(m, d, 0)
        d.qpos[self.plant.qpos_adr] = self.contract.default_pose
        if math.isinf(self.crane_s):
            d.qpos[2] += _LIFTED
        self._hung = d.qpos[:7].copy()
        self._held_since: float | None = None
        joints = len(self.contract.joint_names)
        self._order = np.zeros((3, joints))
        self._ordered: float | None = None
        self._session: int | None = None
        self._peer: Any = None
        self._heard = -np.inf
        self._sequence = 0
        self.watchdog = False

    def run(self, seconds: float | None = None) -> None:
        """Go on in real time, for so long or until ended."""
        start = time.monotonic()
        steps = 0
        while seconds is None or time.monotonic() - start < seconds:
            now = time.monotonic()
            self._listen(now)
            due = int((now - start) / STEP_S)
            if due - steps > 50:  # the machine was busy: time that was lost is not made up for
                start += (due - steps - 50) * STEP_S
                due = steps + 50
            while steps < due:
                self._step(now)
                steps += 1
                if steps % SAMPLE_EVERY == 0:
                    self._tell(now)
            time.sleep(max(0.0, start + (steps + 1) * STEP_S - time.monotonic()))

    def _step(self, now: float) -> None:
        if self._has("freeze", now):  # motors go on with what they were told
            pass
        elif self._ordered is not None and now - self._ordered > WATCHDOG_S:
            self.watchdog = True
            self._order = np.stack((self._order[0], 0 * self._order[1], np.array(self.contract.kd)))
        target, kp, kd = self._order
        d, p = self.plant.data, self.plant
        torque = kp * (target - d.qpos[p.qpos_adr]) - kd * d.qvel[p.dof_adr]
        d.ctrl[p.actuators] = np.clip(torque, -self._torque, self._torque)
        if kp.any() and self._held_since is None:
            self._held_since = now
        mujoco.mj_step(p.model, d)
        if self._held_since is None or now - self._held_since < self.crane_s:
            d.qpos[:7], d.qvel[:6] = self._hung, 0

    def _tell(self, now: float) -> None:
        self._sequence += not self._has("freeze", now)
        if self._peer is None or self._has("freeze", now) or self._lost(now):
            return
        s = {name: np.array(value, float) for name, value in self.plant.sensors().items()}
        if self._has("nan", now):
            s["joint_pos"][1] = np.nan
        if self._has("upside_down", now):
            s["gravity"] = -s["gravity"]
        values = np.concatenate((s["gyro"], s["gravity"], s["joint_pos"], s["joint_vel"]))
        self._send(pack(SAMPLE, self._sequence, len(s["joint_pos"]), values), self._peer)

    def _listen(self, now: float) -> None:
        while True:
            try:
                data, peer = self._socket.recvfrom(65536)
            except (BlockingIOError, ConnectionError):
                return
            if data.startswith(b"{"):
                try:
                    self._talk(json.loads(data), peer, now)
                except (ValueError, TypeError, OverflowError, RecursionError) as error:
                    self._send(json.dumps({"refused": f"{data[:60]!r}: {error}"}).encode(), peer)
            elif not self._has("freeze", now) and not self._lost(now):
                self._obey(data, peer, now)

    def _obey(self, data: bytes, peer: Any, now: float) -> None:
        found = unpack(data, ORDER)
        joints = len(self.contract.joint_names)
        if found is None or found[0] != self._session or found[1] != joints or not np.isfinite(found[2]).all():
            return
        self._order = found[2].reshape(3, joints)
        self._ordered, self._heard, self._peer, self.watchdog = now, now, peer, False
        out = np.maximum(self._order[0] - self.contract.position_upper, self.contract.position_lower - self._order[0])
        self.largest_target = max(self.largest_target, float(out.max()))

    def _talk(self, told: dict[str, Any], peer: Any, now: float) -> None:
        if "hello" in told:
            session = int(told["hello"])
            if self._session not in (None, session) and now - self._heard < LEASE_S:
                answer = {"refused": f"another runtime drives this robot (session {self._session % 10000:04d})"}
            else:
                self._session, self._peer, self._heard = session, peer, now
                answer = {"robot": self.contract.robot, "joints": list(self.contract.joint_names)}
            self._send(json.dumps(answer).encode(), peer)
        elif "fault" in told:
            if told["fault"] not in FAULTS:
                raise ValueError(f"no fault {told['fault']!r}; there are: {', '.join(FAULTS)}")
            self._faults[told["fault"]] = now + float(told.get("seconds", np.inf))
            self._send(b"{}", peer)
        elif "reset" in told:
            self._faults.clear()
            self.reset()
            self._send(b"{}", peer)
        elif "ask" in told:
            d, p = self.plant.data, self.plant
            answer = {
                "watchdog": self.watchdog,
                "kp": float(self._order[1].max()),
                "kd": float(self._order[2].max()),
                "out_of_range_rad": self.largest_target,
                "height_m": float(d.qpos[2]),
                "position_m": d.qpos[:2].tolist(),
                "fallen": p.fallen(),
            }
            self._send(json.dumps(answer).encode(), peer)

    def _has(self, fault: str, now: float) -> bool:
        return self._faults.get(fault, -np.inf) > now

    def _lost(self, now: float) -> bool:
        return self._has("unplug", now) or (self._has("loss", now) and self._random.random() < 0.3)

    def _send(self, data: bytes, peer: Any) -> None:
        with suppress(OSError):  # nobody listens: as with a cable that hangs loose
            self._socket.sendto(data, peer)


def main(arguments: list[str] | None = None) -> int:
    """Run the robot until it is ended."""
    parser = argparse.ArgumentParser(prog="sim_robot", description="A robot as a process: MuJoCo in real time.")
    parser.add_argument("file", help="policy.onnx or show.toml; its robot is taken")
    parser.add_argument("--mjcf", type=Path, help="file of the robot, in place of the one in the policy file")
    parser.add_argument("--save-mjcf", type=Path, metavar="FILE", help="write the policy file's MJCF there, and end")
    parser.add_argument("--port", type=int, default=PORT, help=f"UDP port on 127.0.0.1 (default {PORT})")
    parser.add_argument(
        "--crane", type=float, default=3.0, help="seconds until the crane lets go after it is driven; inf: a stand"
    )
    parser.add_argument("--fault", action="append", default=[], choices=sorted(FAULTS), help="from the start on")
    options = parser.parse_args(arguments)
    try:
        show = ShowFile.open(options.file) if options.file.endswith(".toml") else None
        file = PolicyFile.open(options.file) if show is None else show.parts[show.start].policy
        if options.save_mjcf:
            with options.save_mjcf.open("x") as saved:  # somebody may have put ears on it
                saved.write(file.mjcf)
            return 0
        body = None if show is None else show.body
        robot = SimRobot(file, options.port, options.crane, body=body, mjcf=options.mjcf)
    except (ContractError, OSError) as error:
        print(f"sim_robot: {error}", file=sys.stderr)
        return 2
    for fault in options.fault:
        robot._faults[fault] = np.inf
    print(f"robot {robot.contract.robot!r} on 127.0.0.1:{robot.port}", flush=True)
    ask_for_realtime(40)  # a robot's computer is its own; here it shares one
    with suppress(KeyboardInterrupt):
        robot.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
