"""Drive a robot with a policy or a show: ``robopolicy-runtime run policy.onnx --driver sim``."""

import argparse
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from robopolicy_runtime.commands import Gamepad, Keyboard, Script, Source, Udp
from robopolicy_runtime.contract import Contract
from robopolicy_runtime.driver import Driver, DriverError
from robopolicy_runtime.errors import ContractError
from robopolicy_runtime.log import LogWriter
from robopolicy_runtime.machine import REQUESTS, Machine, State, Wish
from robopolicy_runtime.policy import Controller, PolicyFile
from robopolicy_runtime.safety import Safety
from robopolicy_runtime.show import Show, ShowFile
from robopolicy_runtime.ticker import Ticker, ask_for_realtime

_LEAVE_S = 1.0  # how long the joints give way slowly before the runtime ends


def loop(
    machine: Machine,
    source: Source,
    ticker: Ticker,
    log: LogWriter | None = None,
    seconds: float | None = None,
    stopped: Callable[[], bool] = lambda: False,
    report: Callable[[str], None] = print,
) -> None:
    """Tick until the time is up or somebody stops it; then let the joints give way, and end.

    Args:
        machine: The robot and its policy.
        source: Says what is wanted.
        ticker: One control period.
        log: Gets every period.
        seconds: How long [s]; by default until stopped.
        stopped: Whether to end.
        report: Gets lines for people.
    """
    end = None if seconds is None else time.monotonic() + seconds
    leaving: float | None = None
    said = False
    while True:
        late = ticker.wait()
        now = time.monotonic()
        wish = source.poll()
        if leaving is None and (stopped() or getattr(source, "quit", False) or (end is not None and now >= end)):
            leaving = now + (_LEAVE_S if machine.state in (State.READY, State.RUN) else 0.0)
            if machine.state in (State.READY, State.RUN):
                wish = Wish(wish.command, "stop")
        elif leaving is not None:
            wish = Wish(wish.command)
        tick = machine.tick(wish)
        if log is not None:
            log.add(now, late, ticker.missed, tick)
            if log.trouble and not said:
                said = True
                report(log.trouble)
        if leaving is not None and now >= leaving:
            return


def summary(ticker: Ticker) -> str:
    """Lateness of the wake-ups and missed periods, in a line."""
    late = 1e3 * ticker.lateness if ticker.count else np.zeros(1)
    p50, p99 = np.percentile(late, [50, 99])
    return (
        f"{ticker.count} periods of {1e3 * ticker.period_s:g} ms, late by {p50:.2f} ms (median), "
        f"{p99:.2f} ms (99%), {late.max():.2f} ms (most); {ticker.missed} missed"
    )


def make_driver(name: str, options: argparse.Namespace) -> Driver:
    """The driver of that name; its module is imported only now."""
    if name == "sim":
        from robopolicy_runtime.drivers.sim import SimDriver

        return SimDriver(options.port)
    if name == "unitree":
        from robopolicy_runtime.drivers.unitree import UnitreeDriver

        return UnitreeDriver(options.robot, options.interface)
    from robopolicy_runtime.drivers.servo import ServoBus, ServoDriver

    return ServoDriver(ServoBus.load(options.config))


def make_source(name: str, contract: Contract, show: Show | None = None) -> Source:
    """The source of commands of that name: ``keyboard``, ``gamepad``, ``udp:PORT``, or a script's path."""
    command = contract.command if show is None else show.command
    requests = REQUESTS if show is None else show.requests
    if name == "keyboard":
        return Keyboard(command, keys=None if show is None else show.file.keys)
    if name.split(":")[0] == "gamepad":
        device = name.partition(":")[2] or "/dev/input/js0"
        if show is None:
            return Gamepad(command, device)
        return Gamepad(command, device, axes=show.file.sticks, buttons=show.file.buttons)
    if name.startswith("udp:"):
        if not name[4:].isdigit():
            raise ContractError(f"--commands {name}: udp:PORT wants a number, e.g. udp:7450")
        return Udp(int(name[4:]), command, requests=requests)
    return Script.load(name, command, time.monotonic if show is None else show.clock, requests)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="robopolicy-runtime run", description="Drive a robot with a policy.")
    parser.add_argument("file", help="policy.onnx, or show.toml, which names several")
    parser.add_argument("--driver", choices=("sim", "unitree", "servo"), default="sim", help="which kind of robot")
    parser.add_argument(
        "--commands", default="keyboard", help="keyboard, gamepad[:DEVICE], udp:PORT, or the path of a script"
    )
    parser.add_argument("--log", help="file for every control period; it must not exist yet")
    parser.add_argument("--seconds", type=float, help="stop after so long")
    parser.add_argument("--ramp", type=float, default=2.0, help="seconds to the default pose (2)")
    parser.add_argument("--deadman", type=float, default=0.5, help="a command older than this counts as none (0.5 s)")
    parser.add_argument("--port", type=int, default=7451, help="sim: port of a robot that runs already")
    parser.add_argument("--no-robot", action="store_true", help="sim: do not start the robot, one runs already")
    parser.add_argument("--robot", choices=("go2", "g1"), default="go2", help="unitree: which one")
    parser.add_argument("--interface", default="eth0", help="unitree: network interface of the robot")
    parser.add_argument("--config", default="servos.toml", help="servo: the file that describes the bus")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Returns 0 after an orderly end, 2 if the robot or the file is refused."""
    options = parse(arguments)
    asked: list[int] = []
    held: list[Any] = []  # to be closed, the last first
    robot = None
    try:
        show = Show(ShowFile.open(options.file)) if options.file.endswith(".toml") else None
        file = PolicyFile.open(options.file) if show is None else show.file.parts[show.file.start].policy
        contract = file.contract
        source = make_source(options.commands, contract, show)  # mistakes are found before the robot is
        held.append(source)
        log = LogWriter(options.log, contract, None if show is None else show.names) if options.log else None
        if log is not None:
            held.append(log)
        if options.driver == "sim" and not options.no_robot:
            from robopolicy_runtime.drivers.sim import start_robot

            robot = start_robot(file.path, options.port, "--crane", str(options.ramp + 1.0))
        safety = Safety(make_driver(options.driver, options), contract, None if show is None else show.limits)
        held.append(safety)
        safety.connect()
        if show is None:
            machine = Machine(Controller(file), safety, options.ramp, options.deadman)
        else:
            machine = Machine(show, safety, options.ramp, options.deadman, clock=show.clock)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda got, _: asked.append(got))
        why = ask_for_realtime()
        print("real-time scheduling: " + ("granted" if why is None else why))
        ticker = Ticker(contract.control_period_s)
        loop(machine, source, ticker, log, options.seconds, lambda: bool(asked))
        print(summary(ticker))
        return 0
    except (ContractError, DriverError) as error:
        print(f"refused: {error}", file=sys.stderr)
        return 2
    finally:
        for thing in reversed(held):
            thing.close()
        if robot is not None:
            robot.terminate()
            robot.wait()


if __name__ == "__main__":
    sys.exit(main())
