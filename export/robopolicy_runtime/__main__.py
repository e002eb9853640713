"""``robopolicy-runtime COMMAND ...``: what a robot's own computer is told."""

import importlib
import sys

COMMANDS = {
    "run": ("robopolicy_runtime.run", "drive a robot with a policy"),
    "verify": ("robopolicy_runtime.verify", "prove a policy file in plain MuJoCo (extra: verify)"),
    "transfer": (
        "robopolicy_runtime.transfer.__main__",
        "sim to hidden sim: drive it on plants it never saw (extra: verify)",
    ),
    "excite": ("robopolicy_runtime.excite", "move the joints of a robot on a stand, for `robopolicy sysid`"),
    "robot": ("robopolicy_runtime.drivers.sim_robot", "a simulated robot as a process of its own (extra: verify)"),
}


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; what it needs beyond numpy and onnxruntime is imported only then."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help"):
        print("robopolicy-runtime COMMAND ...; COMMAND --help has the details\n")
        print("\n".join(f"  {name:<10}{text}" for name, (_, text) in COMMANDS.items()))
        return 0
    if arguments[0] not in COMMANDS:
        print(f"robopolicy-runtime: no command {arguments[0]!r}; there are: {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    try:
        module = importlib.import_module(COMMANDS[arguments[0]][0])
    except ModuleNotFoundError as error:
        needs = f"{arguments[0]} needs {error.name}: pip install 'robopolicy-runtime[verify]'"
        print(f"robopolicy-runtime: {needs}", file=sys.stderr)
        return 2
    return module.main(arguments[1:])


if __name__ == "__main__":
    sys.exit(main())
