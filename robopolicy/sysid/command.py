"""``robopolicy sysid``: what the command line calls."""

import json
import sys
from pathlib import Path

from robopolicy.errors import UserError
from robopolicy.robot import load_robot


def sysid(path: Path, robot: str | None, output: Path | None, margin: float, as_json: bool) -> None:
    """Fit a robot's servos to a log of it on a stand; print what was found, and write it for a training.

    Args:
        path: The runtime's log, or a table (``.csv``, ``.npz``).
        robot: The robot; by default the log's.
        output: The file for a training, if any.
        margin: Least half width of a range there, as a part of the value.
        as_json: Print one JSON object instead of tables.

    Raises:
        UserError: The log cannot be used, or the file not be written.
    """
    from robopolicy.sysid.fit import fit
    from robopolicy.sysid.joint_log import load_joint_log, robot_of
    from robopolicy.sysid.report import as_text, as_values, write_measured

    if not 0 <= margin < 1:
        raise UserError(f"--margin {margin:g}: a part of the value, from 0 to below 1")
    if not path.is_file():
        raise UserError(f"no log {path}")
    name = robot or robot_of(path)
    if name is None:
        raise UserError(f"{path} does not say of which robot it is: give --robot")
    model = load_robot(name).compile()
    found = fit(model, load_joint_log(path, model), lambda line: print(line, file=sys.stderr))
    if output is not None:
        write_measured(found, model.robot.name, path, margin, output)
    if as_json:
        print(json.dumps(as_values(found), allow_nan=False))
        return
    print(as_text(found))
    if output is not None:
        print(f"wrote {output}; train with it: robopolicy train TASK --measured {output}")
