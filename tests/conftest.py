"""What every test may use."""

import os
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)  # small tensors: more threads only get in each other's way

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Recordings that are not ours to ship: ``ROBOPOLICY_TEST_DATA``, or ``../shared/data``."""
    return _folder("ROBOPOLICY_TEST_DATA", ROOT.parent / "shared" / "data")


@pytest.fixture(scope="session")
def menagerie_dir() -> Path:
    """A MuJoCo Menagerie checkout: ``MENAGERIE_ROOT``, or ``../shared/menagerie``."""
    return _folder("MENAGERIE_ROOT", ROOT.parent / "shared" / "menagerie")


def _folder(variable: str, default: Path) -> Path:
    path = Path(os.environ.get(variable, default))
    if not path.is_dir():
        pytest.skip(f"no folder {path}; set {variable}")
    return path
