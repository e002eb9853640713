"""The command line of the transfer test: ``python -m robopolicy_runtime.transfer FILE [--against OTHER]``."""

import argparse
import json
import os
import sys
from pathlib import Path

from robopolicy_runtime.errors import ContractError
from robopolicy_runtime.policy import PolicyFile
from robopolicy_runtime.transfer import report
from robopolicy_runtime.transfer.draw import PERTURBATIONS
from robopolicy_runtime.transfer.measure import PLANTS
from robopolicy_runtime.transfer.study import run_study
from robopolicy_runtime.verify import check_imports

SEEDS, SECONDS = 16, 10.0


def main(arguments: list[str] | None = None) -> int:
    """Run the test. Returns 0 when it is done, 1 if training code was loaded, 2 if a file or an option is refused."""
    options = _parser().parse_args(arguments)
    try:
        _check_output(options.output)
        files = [PolicyFile.open(path) for path in (options.file, options.against) if path is not None]
        study = run_study(
            files,
            options.seeds,
            options.seconds,
            options.perturbations,
            progress=None if options.json else _progress,
            jobs=_cores() if options.jobs is None else options.jobs,
            engines=options.engines,
        )
        if options.output is not None:
            _write(options.output, report.page(study))
    except ContractError as error:
        print(f"refused: {error}", file=sys.stderr)
        return 2
    alone = check_imports()
    if options.json:
        print(json.dumps(report.values(study) | {"no_training_code": alone.ok}, allow_nan=False))
    else:
        print(report.text(study))
        if options.output is not None:
            print(f"\nwrote {options.output}")
    if not alone.ok:
        print(f"this process had training code in it; {alone.detail}", file=sys.stderr)
    return 0 if alone.ok else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="transfer", description="Sim to hidden sim: a policy file on plants that it never saw."
    )
    parser.add_argument("file", help="policy.onnx")
    parser.add_argument("--against", metavar="FILE", help="a second policy of the same robot, on the same plants")
    parser.add_argument("--seeds", type=int, default=SEEDS, metavar="N", help=f"episodes per point (default {SEEDS})")
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"length of an episode (default {SECONDS:g})")
    parser.add_argument(
        "--perturbations", nargs="*", metavar="NAME", help=f"curves to draw (default all): {', '.join(PERTURBATIONS)}"
    )
    parser.add_argument(
        "--engines",
        nargs="+",
        metavar="NAME",
        help=f"physics engines (default all that are there): {', '.join(PLANTS)}",
    )
    parser.add_argument("--jobs", type=int, metavar="N", help="processes (default: one per core)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the report as one HTML page")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    return parser


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _check_output(path: Path | None) -> None:
    """Minutes of episodes must not end in a folder that is not there."""
    if path is not None and not path.parent.is_dir():
        raise ContractError(f"{path}: no folder {path.parent}")


def _write(path: Path, page: str) -> None:
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise ContractError(f"{path}: cannot be written: {error.strerror}") from None


def _progress(done: int, total: int, seconds: float) -> None:
    shown = sys.stderr.isatty()
    if done % max(1, total // (50 if shown else 5)) and done != total:
        return
    left = seconds / done * (total - done)
    end = "\r" if shown and done != total else "\n"
    print(f"{done} of {total} episodes, {left / 60:.1f} minutes left  ", end=end, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
