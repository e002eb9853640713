"""Foreign clip files, one module per layout.

A format is a module in this package with three things:

* ``LAYOUT``: one line that says what it reads;
* ``mismatch(path) -> str``: why the file's content is not of this layout, or ``""`` if it is; it must be cheap, and run
  nothing that a file holds;
* ``read(path, model, options) -> Clip``: the clip in the robot's contract order, as a UserError for anything unusable.
  What the file does not say is told by an :class:`~robopolicy.motion.importing.recording.ImportNote`;
  :func:`~robopolicy.motion.importing.recording.to_clip` does what all layouts have in common;
* where they are others than :data:`USUAL`, ``TAKES``: what may be said about such a file, by the names of
  :attr:`Options.given <robopolicy.motion.importing.recording.Options.given>`.
"""

from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Protocol, cast

from robopolicy.errors import UserError, unknown
from robopolicy.motion.importing.recording import AS_WRITTEN, Options

if TYPE_CHECKING:
    from robopolicy.motion.clip import Clip
    from robopolicy.robot import RobotModel


USUAL = ("fps", "quat", "angles")
"""What may be said about a file that has a robot's joint angles."""


class Format(Protocol):
    """What a module of this package offers."""

    LAYOUT: str

    def mismatch(self, path: Path) -> str:
        """Why the file is not of this layout; empty if it is."""
        ...

    def read(self, path: Path, model: "RobotModel", options: Options = ...) -> "Clip":
        """The file's motion on the robot."""
        ...


def formats() -> dict[str, Format]:
    """Every layout by its module's name."""
    names = sorted(m.name for m in iter_modules(__path__))
    return {name: cast(Format, import_module(f"{__name__}.{name}")) for name in names}


def recognise(path: str | Path) -> str:
    """The name of the one layout that the file's content has.

    Raises:
        UserError: It has none; the message gives each layout's reason. Or it has several.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"no file {path}")
    reasons = {name: layout.mismatch(path) for name, layout in formats().items()}
    fitting = [name for name, reason in reasons.items() if not reason]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise UserError(f"{path}: could be any of {', '.join(fitting)}: say which with --layout")
    told = "; ".join(f"not {name}: {reason}" for name, reason in reasons.items())
    raise UserError(f"{path}: in none of the known layouts ({told})")


def read(path: str | Path, model: "RobotModel", options: Options = AS_WRITTEN, layout: str = "") -> "Clip":
    """Read a motion file of any known layout as a clip of a robot.

    Args:
        path: The file; its content decides, not its name.
        model: The robot the motion is for.
        options: What the user says about the file.
        layout: Its layout; by default recognised.

    Warns:
        ImportNote: What the file does not say and was inferred, with the reason.

    Raises:
        UserError: The layout is unknown or has no use for an option, the content is broken, or the motion is for
            another robot.
    """
    known = formats()
    if layout:
        if layout not in known:
            raise unknown("layout", layout, list(known))
        if not Path(path).is_file():
            raise UserError(f"no file {path}")
        reason = known[layout].mismatch(Path(path))
        if reason:
            raise UserError(f"{path}: is not of layout {layout}: {reason}")
    layout = layout or recognise(path)
    taken = getattr(known[layout], "TAKES", USUAL)
    extra = [flag for name, flag in options.given.items() if name not in taken]
    if extra:
        raise UserError(f"{path}: leave out {', '.join(extra)}: layout {layout} has no use for that")
    return known[layout].read(Path(path), model, options)
