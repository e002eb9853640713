"""From the command line to a robot that is driven: what `run` and `excite` have in common."""

import argparse
import contextlib
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np

from robopolicy_runtime.commands import GIVE_WAY, Source
from robopolicy_runtime.contract import Contract
from robopolicy_runtime.driver import Driver, DriverError
from robopolicy_runtime.errors import ContractError, say
from robopolicy_runtime.log import LogWriter
from robopolicy_runtime.machine import Machine, State, Wish
from robopolicy_runtime.safety import Limits, Safety, assumed_speeds
from robopolicy_runtime.ticker import Ticker, ask_for_realtime

_LEAVE_S = 1.0  # how long the joints give way slowly before the runtime ends
_FAREWELLS = 5  # orders to give way where there is no time for that; any of them can be lost


class Closable(Protocol):
    """What has to be let go of at the end."""

    def close(self) -> None:
        """Let go."""
        ...


def add_flags(parser: argparse.ArgumentParser) -> None:
    """What a command that drives a robot is told about the robot."""
    parser.add_argument("--driver", choices=("sim", "unitree", "servo"), default="sim", help="which kind of robot")
    parser.add_argument("--ramp", type=float, default=2.0, help="seconds to the default pose (2)")
    parser.add_argument("--port", type=int, default=7451, help="sim: port of a robot that runs already")
    parser.add_argument("--no-robot", action="store_true", help="sim: do not start the robot, one runs already")
    parser.add_argument("--mjcf", help="sim: file of the robot to simulate, in place of the one in the policy file")
    parser.add_argument("--robot", choices=("go2", "g1"), default="go2", help="unitree: which one")
    parser.add_argument("--interface", default="eth0", help="unitree: network interface of the robot")
    parser.add_argument("--config", default="servos.toml", help="servo: the file that describes the bus")


def guarded(session: Callable[[list[Closable]], None]) -> int:
    """Run a session, which notes what has to be closed. Returns 0 after an orderly end, 2 if something is refused."""
    held: list[Closable] = []
    try:
        session(held)
        return 0
    except (ContractError, DriverError) as error:
        print(f"refused: {error}", file=sys.stderr)
        return 2
    finally:
        with contextlib.ExitStack() as closing:  # the last first, and all of them
            for thing in held:
                closing.callback(thing.close)


def connect(
    options: argparse.Namespace,
    file: str | Path,
    contract: Contract,
    held: list[Closable],
    crane: str,
    limits: Limits | None = None,
) -> Safety:
    """The safety layer with the robot that the flags name; a simulated one is started first.

    Asks for real-time scheduling, and says whether it was granted.

    Args:
        options: The flags of ``add_flags``.
        file: Policy or show from which a simulated robot takes its joints and, without ``--mjcf``, its model.
        contract: What the robot has to be.
        held: Gets what has to be closed.
        crane: How long a simulated robot hangs on its crane [s], or ``inf``.
        limits: See ``Safety``.

    Raises:
        DriverError: The robot is not there, or another one.
    """
    starts = options.driver == "sim" and not options.no_robot
    if options.mjcf and not starts:
        raise DriverError(f"--mjcf {options.mjcf}: only for a simulated robot that is started here (--driver sim)")
    if starts:
        from robopolicy_runtime.drivers.sim import start_robot

        model = ("--mjcf", options.mjcf) if options.mjcf else ()
        held.append(_Process(start_robot(file, options.port, "--crane", crane, *model)))
    # After a simulated robot has begun, which asks for itself, and before the threads of a driver, which inherit it.
    why = ask_for_realtime()
    say("real-time scheduling: " + ("granted" if why is None else why))
    safety = Safety(make_driver(options.driver, options), contract, limits)
    held.append(safety)
    safety.connect()
    if guess := assumed_speeds(contract):
        say(guess)
    return safety


def drive(machine: Machine, source: Source, period_s: float, log: LogWriter | None, seconds: float | None) -> None:
    """Period after period until the time is up or a signal comes."""
    asked: list[int] = []
    # Ctrl-C, kill, a terminal that is gone, the keys that abort and pause: whoever wants that wants no robot driven.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP):
        if signal.getsignal(number) != signal.SIG_IGN or number != signal.SIGHUP:  # unless it shall go on (nohup)
            signal.signal(number, lambda got, _: asked.append(got))
    ticker = Ticker(period_s)
    try:
        loop(machine, source, ticker, log, seconds, lambda: bool(asked))
    except BaseException as error:  # whatever it is: a robot must not be left as it happened to be
        for _ in range(_FAREWELLS):
            machine.give_up(f"the runtime ends: {type(error).__name__}: {error}")
            time.sleep(period_s)
        raise
    say(summary(ticker))


class _Process:
    """A process that ends with us."""

    def __init__(self, process) -> None:
        self._process = process

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()


def loop(
    machine: Machine,
    source: Source,
    ticker: Ticker,
    log: LogWriter | None = None,
    seconds: float | None = None,
    stopped: Callable[[], bool] = lambda: False,
    report: Callable[[str], None] = say,
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
    said = None
    while True:
        late = ticker.wait()
        now = time.monotonic()
        wish = source.poll()
        if leaving is None and (stopped() or getattr(source, "quit", False) or (end is not None and now >= end)):
            driven = machine.state in (State.READY, State.RUN)
            leaving = now + (_LEAVE_S if driven else 0.0)
            wish = _leave(wish, "stop" if driven else None)
        elif leaving is not None:
            wish = _leave(wish, None)
        tick = machine.tick(wish)
        if tick.state != State.RUN or machine.command_lost:  # no old velocity drives off with the robot later
            source.forget()
        if log is not None:
            log.add(now, late, ticker.missed, tick)
            if log.trouble not in (None, said):
                said = log.trouble
                report(said)
        if leaving is not None and now >= leaving:
            return


def _leave(wish: Wish, request: str | None) -> Wish:
    """A wish at the end: nothing that would drive, but limp and off are still obeyed."""
    return replace(wish, request=wish.request if wish.request in GIVE_WAY else request)


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
