"""A robot that is a process: MuJoCo in real time, see ``sim_robot``; spoken to as a real one would be."""

import json
import secrets
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from robopolicy_runtime.driver import DriverError, Order, Reading
from robopolicy_runtime.drivers.sim_wire import ORDER, SAMPLE, pack, unpack

PORT = 7451
_ANSWER_S = 5.0


class SimDriver:
    """Talks to a simulated robot on this machine.

    Args:
        port: Its UDP port on 127.0.0.1.
    """

    def __init__(self, port: int = PORT) -> None:
        self.port = port
        self._session = secrets.randbits(63)
        self._socket: socket.socket | None = None
        self._reading: Reading | None = None
        self._joints = 0
        self._gone: OSError | None = None

    def connect(self, joint_names: tuple[str, ...]) -> None:
        self._joints = len(joint_names)
        link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        link.connect(("127.0.0.1", self.port))
        hello = json.dumps({"hello": self._session}).encode()
        end = time.monotonic() + _ANSWER_S
        link.settimeout(0.2)
        answer = None
        while answer is None:
            if time.monotonic() > end:
                raise DriverError(
                    f"no simulated robot answers at 127.0.0.1:{self.port}; start one: "
                    "python -m robopolicy_runtime.drivers.sim_robot policy.onnx"
                )
            try:
                link.send(hello)
                data = link.recv(65536)
                answer = json.loads(data) if data.startswith(b"{") else None
            except (TimeoutError, OSError):
                time.sleep(0.05)
        if "refused" in answer:
            link.close()
            raise DriverError(f"the robot at 127.0.0.1:{self.port} refuses: {answer['refused']}")
        there = tuple(answer["joints"])
        if there != joint_names:
            link.close()
            same = " in another order" if sorted(there) == sorted(joint_names) else ""
            raise DriverError(
                f"wrong robot: {answer['robot']!r} has joints {', '.join(there)}; the policy's are{same} "
                f"{', '.join(joint_names)}"
            )
        link.setblocking(False)
        self._socket = link

    def expect(self, lower: np.ndarray, upper: np.ndarray, period_s: float) -> None:
        pass  # it bears any angle, and has a watchdog of its own

    def read(self) -> Reading | None:
        if self._socket is None:
            return self._reading
        for _ in range(1000):  # what has come in since; the newest counts
            try:
                found = unpack(self._socket.recv(65536), SAMPLE)
            except BlockingIOError:
                break
            except OSError as error:  # nobody listens there any more; the next order says so
                self._gone = error
                break
            if found is None or found[1] != self._joints:
                continue
            sequence, joints, v = found
            self._reading = Reading(time.monotonic(), sequence, v[:3], v[3:6], v[6 : 6 + joints], v[6 + joints :])
        return self._reading

    def send(self, order: Order) -> None:
        if self._socket is None:
            raise DriverError("not connected")
        gone, self._gone = self._gone, None
        values = np.concatenate((order.target, order.kp, order.kd))
        try:
            self._socket.send(pack(ORDER, self._session, self._joints, values))
        except BlockingIOError:
            pass  # the line is full: the robot's own watchdog acts if that lasts
        except OSError as error:
            gone = error
        if gone is not None:
            raise DriverError(f"the robot at 127.0.0.1:{self.port} is gone: {gone.strerror}")

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def start_robot(file: str | Path, port: int = PORT, *options: str) -> "subprocess.Popen[bytes]":
    """Start a simulated robot for a policy file or a show as a process of its own.

    Raises:
        DriverError: It ended at once; the message has what it said.
    """
    command = [sys.executable, "-m", "robopolicy_runtime.drivers.sim_robot", str(file), "--port", str(port), *options]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    if not process.stdout.readline():
        said = process.stderr.read().decode(errors="replace").strip().splitlines()
        raise DriverError(f"the simulated robot did not start: {said[-1] if said else 'it said nothing'}")
    return process
