"""``robopolicy clip check``: what the command line calls."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robopolicy.errors import UserError
from robopolicy.motion.check import Defect, check
from robopolicy.motion.check.verdict import verdict
from robopolicy.motion.clip import Clip, find_clips

if TYPE_CHECKING:
    from collections.abc import Sequence

    from robopolicy.robot import RobotModel


def check_clips(files: "Sequence[str | Path]", robot: str, fix: str | Path | None = None, as_json: bool = False) -> int:
    """Name every defect of clips on standard output, and a verdict; repair them if asked to.

    Args:
        files: Paths of clips or keyframe files (.toml), folders of clips, or names of the robot's own clips.
        robot: Name or path of the robot.
        fix: Where to write what could be repaired: a file, or a folder if there are several clips. Nothing is written
            for a clip that is clean, or that nothing could be done for. The input is overwritten only if this names it,
            never by way of its folder.
        as_json: Print one JSON object instead.

    Returns:
        Exit status: 0 if every clip is clean (after ``fix``, if given), 1 if not.

    Raises:
        UserError: A file is unreadable, or for another robot; or two would be repaired into one, or one into itself by
            way of a folder.
    """
    from robopolicy.robot import load_robot

    model = load_robot(robot).compile()
    paths = [path for file in files for path in _paths(file, model)]
    output = None if fix is None else Path(fix)
    if output is not None and output.suffix == ".npz" and len(paths) > 1:
        raise UserError(f"--fix {output}: there are {len(paths)} clips; name a folder to write them into")
    if output is not None and output.suffix != ".npz":
        _one_each(output, paths)
    clips = [_load(path, model) for path in paths]
    results = []
    for path, clip in zip(paths, clips, strict=True):
        result: dict[str, Any] = {"file": str(path), **_judge(check(clip, model))}
        lines = [f"{path}: {text}" for text in (*result["told"], result["verdict"])]
        if output is not None and not result["clean"]:
            target = output if output.suffix == ".npz" else output / f"{path.stem}.npz"
            result["fix"] = _fix(clip, model, target)
            lines += [f"{path}: changed: {change}" for change in result["fix"]["changes"]]
            left = len(result["fix"]["defects"])
            lines += [f"{path}: not repaired: {text}" for text in result["fix"]["told"][:left]]
            wrote = result["fix"]["output"]
            done = f"wrote {wrote}" if wrote else f"{path}: nothing could be repaired"
            lines.append(f"{done}: {result['fix']['verdict']}")
        if not as_json:
            print("\n".join(lines))
        results.append(result)
    clean = [result.get("fix", result)["clean"] for result in results]
    if as_json:
        for result in results:
            result.pop("told")
            result.get("fix", {}).pop("told", None)
        print(json.dumps({"clean": all(clean), "clips": results}, allow_nan=False))
    elif len(paths) > 1:
        print(f"{len(paths)} clips, {sum(clean)} clean")
    return 0 if all(clean) else 1


def _judge(found: list[Defect], fixed: bool = False) -> dict[str, Any]:
    defects, notes = [d for d in found if not d.note], [d for d in found if d.note]
    many = f"{len(defects)} defects" if defects else "clean"
    return {
        "clean": not defects,
        "verdict": f"{many}: {verdict(found, fixed)}",
        "defects": [{"kind": d.kind, "frames": list(d.frames), "detail": d.detail} for d in defects],
        "notes": [{"kind": d.kind, "frames": list(d.frames), "detail": d.detail} for d in notes],
        "told": [*map(str, defects), *(d.told for d in notes)],
    }


def _fix(clip: Clip, model: "RobotModel", output: Path) -> dict[str, Any]:
    from robopolicy.motion.fix import fix

    repair = fix(clip, model)
    if repair.changes:
        repair.clip.save(output)
    return {
        "output": str(output) if repair.changes else None,
        "changes": repair.changes,
        **_judge(repair.left, fixed=True),
    }


def _load(path: Path, model: "RobotModel") -> Clip:
    """A clip, however broken, or a keyframe file as a clip."""
    if path.suffix == ".toml":
        from robopolicy.motion.keyframes import compile_keyframes

        return compile_keyframes(path, model)
    return Clip.load(path, strict=False).for_robot(model)


def _one_each(folder: Path, paths: list[Path]) -> None:
    """Refuse different clips of one name, which would overwrite each other, and a folder that the clips are in."""
    found: dict[str, Path] = {}
    for path in paths:
        if (folder / f"{path.stem}.npz").resolve() == path.resolve():
            raise UserError(f"--fix {folder}: {path} itself would be overwritten; name another folder, or that file")
        first = found.setdefault(path.stem, path)
        if first.resolve() != path.resolve():
            raise UserError(
                f"--fix {folder}: {first} and {path} would both be written to {folder / path.stem}.npz; repair them "
                "one by one"
            )


def _paths(file: str | Path, model: "RobotModel") -> list[Path]:
    path = Path(file)
    if path.is_file():
        return [path]
    return find_clips(model.robot.name, f"{path}/" if path.is_dir() else str(file))
