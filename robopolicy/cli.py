"""The command line: one function per command; heavy imports wait until a command needs them."""

import argparse
import json
import math
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

from robopolicy import eval_cli
from robopolicy.clip_cli import add_actions
from robopolicy.errors import NonFiniteError, UserError, out_of_memory
from robopolicy.report import command as report

_TRAIN_HELP = """train a task: robopolicy train TASK [flags]

TASK is a name (see `robopolicy list`) or the path of a task file; `robopolicy train TASK --help` shows every
setting.
    robopolicy train droid_walk --seconds 600 --run runs/walk
    robopolicy train droid_walk --measured measured.toml    with the motors that sysid measured
    robopolicy train --resume runs/walk --seconds 1200     go on with a run
    robopolicy train --config runs/walk/config.json        the same run again"""


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit status: 0 done, 1 found defects or disagreement, 2 a mistake."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        if argv[:1] == ["train"]:
            return _train(argv[1:])
        arguments = _parser().parse_args(argv)
        return arguments.run_command(arguments)
    except UserError as error:
        print(f"robopolicy: {error}", file=sys.stderr)
        return 2
    except NonFiniteError as error:
        print(f"robopolicy: training stopped: {error}; the last checkpoint is kept", file=sys.stderr)
        return 1
    except RuntimeError as error:
        line = out_of_memory(error)
        if line is None:
            raise
        print(f"robopolicy: {line}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("robopolicy: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it ends
        return 0


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see {self.prog} --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="robopolicy", description="Train robot controllers in the style of motion clips.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, run: Any, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(run_command=run)
        return command

    commands.add_parser("train", help="train a task; `robopolicy train TASK --help` shows every setting")
    play = add("play", _play, "watch a run, an ONNX file or a clip: in a window, or as a video")
    play.add_argument(
        "target", type=Path, help="run folder, policy.onnx, clip.npz or robot.log; with --robot a clip's name"
    )
    play.add_argument(
        "--video",
        type=Path,
        metavar="FILE",
        help="write an mp4, and a sheet of pictures, instead of opening a window",
    )
    play.add_argument("--seconds", type=float, default=12.0, help="length of the video [s]")
    play.add_argument(
        "--command", type=float, nargs="+", metavar="X", help="hold this command; by default a tour of them"
    )
    play.add_argument("--robot", help="robot of a clip")
    play.add_argument("--web", action="store_true", help="a web page instead of a window; so it is without a screen")
    play.add_argument("--host", help="where the page listens (default 127.0.0.1; 0.0.0.0: everywhere, with a token)")
    play.add_argument("--port", type=int, help="first port that the page tries (default 8080)")
    play.add_argument("--robots", type=int, metavar="N", help="robots of a run on the page, with bodies as in training")
    eval_cli.add_flags(add("eval", _eval, "judge a policy over fresh episodes"))
    report.add_flags(add("report", _report, "one HTML page about a run, or about several beside each other"))
    style = add("style", _style, "show whether the clips shaped the motion: tests, pictures, a film, one report")
    style.add_argument(
        "runs", type=Path, nargs="+", metavar="RUN", help="run folders of one robot; several are compared"
    )
    style.add_argument("--output", type=Path, metavar="DIR", help="folder of the report (default RUN/style)")
    style.add_argument("--episodes", type=int, default=64, help="per policy and set of clips (default 64)")
    style.add_argument("--seed", type=int, default=12345, help="seed of the episodes")
    style.add_argument("--json", action="store_true", help="print one JSON object")
    distill = add("distill", _distill, "teach the policy of a teacher's run to one that sees what hardware has")
    distill.add_argument("target", type=Path, metavar="RUN", help="run folder of a task trained with --teacher")
    distill.add_argument("--run", metavar="DIR", help="folder of the student's run (default RUN-student)")
    distill.add_argument("--seconds", type=float, help="how long (default 120 s)")
    distill.add_argument("--steps", type=int, help="stop after this many steps of all robots together")
    distill.add_argument("--seed", type=int, default=0, help="seed of everything random")
    distill.add_argument("--device", default="auto", help="auto, cpu, cuda or warp-cpu")
    export = add("export", _export, "write the policy of a run as one ONNX file with its whole contract")
    export.add_argument("target", type=Path, metavar="RUN", help="run folder")
    export.add_argument("--output", type=Path, required=True, metavar="FILE", help="file to write")
    verify = add("verify", _verify, "prove an exported policy in plain MuJoCo, without the trainer")
    verify.add_argument("target", type=Path, metavar="FILE", help="policy.onnx")
    verify.add_argument("--json", action="store_true", help="print one JSON object")
    verify.add_argument("--transfer", action="store_true", help="sim to hidden sim: drive plants that it never saw")
    verify.add_argument("--against", type=Path, metavar="FILE", help="with --transfer: a second policy beside it")
    verify.add_argument("--seeds", type=int, metavar="N", help="with --transfer: episodes per point (default 16)")
    verify.add_argument("--output", type=Path, metavar="FILE", help="with --transfer: write the report, one HTML page")
    verify.add_argument(
        "--perturbations",
        nargs="*",
        metavar="NAME",
        help="with --transfer: the curves to draw; none: whole plants alone",
    )
    verify.add_argument("--engines", nargs="+", metavar="NAME", help="with --transfer: mujoco, bullet (default: both)")
    identify = add(
        "sysid", _sysid, "measure a robot's servos: fit them to a log of its joints, with the base on a stand"
    )
    identify.add_argument("log", type=Path, metavar="LOG", help="the runtime's log, or a table: .csv or .npz")
    identify.add_argument("--robot", help="robot; by default the log's own")
    identify.add_argument("--output", type=Path, metavar="FILE", help="write measured.toml, for train --measured")
    identify.add_argument("--margin", type=float, default=0.05, help="least half width of a range, as a part (0.05)")
    identify.add_argument("--json", action="store_true", help="print one JSON object")
    listing = add("list", _list, "show the tasks, robots and clips that exist")
    listing.add_argument("--json", action="store_true", help="print one JSON object")
    bench = add("bench", _bench, "measure speed: the bare engine, collecting, and the whole training loop")
    bench.add_argument("task", nargs="?", help="task name or path; not with --compare")
    bench.add_argument("--num-envs", type=int, nargs="+", default=[None], help="robots at once, or several to compare")
    bench.add_argument("--compare", action="store_true", help="train a Go1 in turns with mjlab instead: ours / theirs")
    bench.add_argument("--peer-python", metavar="FILE", help="interpreter of another environment, which has mjlab")
    bench.add_argument(
        "--seconds", type=float, default=30.0, help="how long to measure; three times that to train first [s]"
    )
    bench.add_argument("--device", default="auto", help="auto, cpu, cuda or warp-cpu")
    bench.add_argument("--json", action="store_true", help="print one JSON object")
    completion = add("completion", _completion, "print a script with which a shell completes commands and names")
    completion.add_argument("shell", choices=("bash", "zsh", "fish"))
    clip = commands.add_parser("clip", help="import, make, check or show a motion clip")
    actions = clip.add_subparsers(metavar="ACTION", required=True)
    add_actions(actions)
    return parser


def _train(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help"):
        print(_TRAIN_HELP)
        return 0
    from robopolicy.train_cli import run

    return run(argv)


def _play(arguments: argparse.Namespace) -> int:
    from robopolicy.view.play import Web, play

    given = {n: getattr(arguments, n) for n in ("host", "port", "robots") if getattr(arguments, n) is not None}
    web = Web(**given) if arguments.web or given else None
    play(arguments.target, arguments.video, arguments.seconds, arguments.command, arguments.robot, web)
    return 0


def _eval(arguments: argparse.Namespace) -> int:
    _one_torch_thread()
    return eval_cli.run(arguments)


def _report(arguments: argparse.Namespace) -> int:
    _one_torch_thread()
    return report.run(arguments)


def _style(arguments: argparse.Namespace) -> int:
    from robopolicy.style.command import style

    style(arguments.runs, arguments.output, arguments.json, arguments.episodes, arguments.seed)
    return 0


def _distill(arguments: argparse.Namespace) -> int:
    from robopolicy.train import Options, distill

    a = arguments
    distill(a.target, Options(run=a.run, seed=a.seed, seconds=a.seconds, steps=a.steps, device=a.device))
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from robopolicy.export import export

    _one_torch_thread()
    export(arguments.target, arguments.output)
    print(f"wrote {arguments.output}; prove it with: robopolicy verify {arguments.output}")
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    import subprocess

    # A process of its own, so that nothing of the trainer can help the file to agree.
    options = {"--against": arguments.against, "--seeds": arguments.seeds, "--output": arguments.output}
    given = [word for name, value in options.items() if value is not None for word in (name, str(value))]
    given += ["--engines", *arguments.engines] if arguments.engines else []
    given += [] if arguments.perturbations is None else ["--perturbations", *arguments.perturbations]
    if given and not arguments.transfer:
        raise UserError(f"verify {given[0]} belongs to --transfer; see robopolicy verify --help")
    module = "robopolicy_runtime.transfer" if arguments.transfer else "robopolicy_runtime.verify"
    command = [sys.executable, "-m", module, str(arguments.target), *given]
    return subprocess.run(command + ["--json"] * arguments.json).returncode


def _sysid(arguments: argparse.Namespace) -> int:
    from robopolicy.sysid.command import sysid

    sysid(arguments.log, arguments.robot, arguments.output, arguments.margin, arguments.json)
    return 0


def _list(arguments: argparse.Namespace) -> int:
    from robopolicy.listing import list_all

    found = list_all()
    if arguments.json:
        print(json.dumps(found))
        return 0
    for kind, names in found.items():
        print(kind)
        for name, text in names.items():
            print(f"  {name:<16} {text}")
    return 0


def _completion(arguments: argparse.Namespace) -> int:
    from robopolicy.completion import script

    print(script(arguments.shell, _parser()))
    return 0


def _bench(arguments: argparse.Namespace) -> int:
    if arguments.compare:
        return _compare(arguments)
    if arguments.task is None or arguments.peer_python is not None:
        raise UserError("bench takes a task, or --compare with --peer-python FILE; see robopolicy bench --help")
    from robopolicy.bench import bench

    found = [bench(arguments.task, n, arguments.seconds, arguments.device, arguments.json) for n in arguments.num_envs]
    if arguments.json and len(found) > 1:
        _print({"scan": found}, True)
        return 0
    for values in found:
        _print(values, arguments.json)
    return 0


def _compare(arguments: argparse.Namespace) -> int:
    if arguments.task is not None:
        raise UserError(
            f"bench --compare has its own task, a Go1 that follows a velocity: leave out {arguments.task!r}"
        )
    from robopolicy.compare import compare, table

    python, seconds, device, quiet = arguments.peer_python, arguments.seconds, arguments.device, arguments.json
    found = [compare(python, n, seconds, device, quiet) for n in arguments.num_envs]
    if arguments.json:
        _print(found[0] if len(found) == 1 else {"scan": found}, True)
        return 0
    print("\n\n".join(table(values) for values in found))
    return 0


def _one_torch_thread() -> None:
    """The nets are small: more threads would only wait for each other, and for the simulator's."""
    import torch

    torch.set_num_threads(1)


def _print(values: dict[str, Any], as_json: bool) -> None:
    if as_json:
        known = {n: None if isinstance(v, float) and not math.isfinite(v) else v for n, v in values.items()}
        print(json.dumps(known, allow_nan=False))
        return
    for name, value in values.items():
        print(f"{name:<22} {value:.4g}" if isinstance(value, float) else f"{name:<22} {value}")


if __name__ == "__main__":
    sys.exit(main())
