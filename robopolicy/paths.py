"""Where the tasks and assets lie: in the checkout, or in the installed wheel."""

from functools import cache
from pathlib import Path


@cache
def data_root() -> Path:
    """The folder that holds ``tasks/`` and ``assets/``: the checkout if there is one, else the wheel's data."""
    package = Path(__file__).resolve().parent
    for root in (package.parent, package / "_data"):
        if (root / "tasks").is_dir() and (root / "assets").is_dir():
            return root
    raise FileNotFoundError(f"no tasks/ and assets/ beside or inside {package}: the installation is incomplete")


def robots_dir() -> Path:
    """The folder with one sub-folder per robot."""
    return data_root() / "assets" / "robots"


def clips_dir() -> Path:
    """The folder with one sub-folder of clips per robot."""
    return data_root() / "assets" / "clips"


def tasks_dir() -> Path:
    """The folder with one Python file per task."""
    return data_root() / "tasks"
