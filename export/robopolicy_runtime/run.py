"""Drive a robot with a policy or a show: ``robopolicy-runtime run policy.onnx --driver sim``."""

import argparse
import sys
import time

from robopolicy_runtime.commands import Script, Source, Udp
from robopolicy_runtime.contract import Contract
from robopolicy_runtime.devices import Gamepad, Keyboard
from robopolicy_runtime.errors import ContractError, say
from robopolicy_runtime.log import LogWriter
from robopolicy_runtime.machine import REQUESTS, Machine
from robopolicy_runtime.policy import Controller, PolicyFile
from robopolicy_runtime.session import Closable, add_flags, connect, drive, guarded
from robopolicy_runtime.show import Show, ShowFile


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
    parser.add_argument(
        "--commands", default="keyboard", help="keyboard, gamepad[:DEVICE], udp:PORT, or the path of a script"
    )
    parser.add_argument("--log", help="file for every control period; it must not exist yet")
    parser.add_argument("--seconds", type=float, help="stop after so long")
    parser.add_argument("--deadman", type=float, default=0.5, help="a command older than this counts as none (0.5 s)")
    add_flags(parser)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Returns 0 after an orderly end, 2 if the robot or the file is refused."""
    options = parse(arguments)
    return guarded(lambda held: _run(options, held))


def _run(options: argparse.Namespace, held: list[Closable]) -> None:
    show = Show(ShowFile.open(options.file)) if options.file.endswith(".toml") else None
    file = PolicyFile.open(options.file) if show is None else show.file.parts[show.file.start].policy
    contract = file.contract
    source = make_source(options.commands, contract, show)  # mistakes are found before the robot is
    held.append(source)
    log = LogWriter(options.log, contract, None if show is None else show.names) if options.log else None
    if log is not None:
        held.append(log)
    body, limits = (contract, None) if show is None else (show.body, show.limits)
    safety = connect(options, options.file, body, held, str(options.ramp + 1.0), limits)
    for part in [file] if show is None else [part.policy for part in show.file.parts.values()]:
        if going := part.contract.going:
            say(f"warning: {part.path} cannot be told to stand ({going}): a lost command stops the robot")
    machine = Machine(show or Controller(file), safety, options.ramp, options.deadman)
    drive(machine, source, contract.control_period_s, log, options.seconds)


if __name__ == "__main__":
    sys.exit(main())
