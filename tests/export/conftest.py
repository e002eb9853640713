"""The toy policy file that the export tests share."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import synthetic
from robopolicy_runtime.onnx_writer import write_policy


@pytest.fixture(scope="session")
def policy() -> synthetic.Weights:
    return synthetic.weights()


@pytest.fixture(scope="session")
def recorded(policy) -> dict:
    return synthetic.reference(policy)


@pytest.fixture(scope="session")
def write(policy, recorded):
    """Writes a policy file; keyword arguments replace the good ones."""

    def write(path: Path, **changes) -> Path:
        arguments = {
            "mean": policy.mean,
            "std": policy.std,
            "clip": synthetic.NORMALISER_CLIP,
            "layers": policy.layers,
            "contract": synthetic.contract(),
            "reference": recorded,
            "mjcf": synthetic.MJCF,
        }
        write_policy(path, **(arguments | changes))
        return path

    return write


@pytest.fixture(scope="session")
def policy_path(write, tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("policy") / "policy.onnx")
