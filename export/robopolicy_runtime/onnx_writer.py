"""Writes a policy file. This is the trainer's side: it needs ``onnx``, which the robot does not."""

import base64
import io
import os
import tempfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from robopolicy_runtime.contract import Contract
from robopolicy_runtime.errors import ContractError
from robopolicy_runtime.policy import CONTRACT_KEY, MJCF_KEY, REFERENCE_KEY
from robopolicy_runtime.seal import seal

OPSET = 17
ACTIVATIONS = {"elu": "Elu", "relu": "Relu", "tanh": "Tanh"}


def write_policy(
    path: str | Path,
    *,
    mean: np.ndarray,
    std: np.ndarray,
    clip: float,
    layers: Sequence[tuple[np.ndarray, np.ndarray]],
    contract: Contract,
    reference: Mapping[str, np.ndarray],
    mjcf: str,
    activation: str = "elu",
) -> None:
    """Write a policy file, or leave the one that is there untouched.

    Args:
        path: Where to.
        mean, std: The observation normaliser, ``(obs - mean) / std``. Shape (A,).
        clip: Normalised observations are clamped to this magnitude.
        layers: Weight (out, in) and bias (out,) of each linear layer; the activation stands between them.
        contract: Everything else the robot must know.
        reference: What the training environment recorded, for ``verify``.
        mjcf: The robot and floor, as self-contained MJCF text at full precision.
        activation: ``elu``, ``relu`` or ``tanh``.

    Raises:
        ContractError: The contract contradicts itself or the layers, or the file cannot be written.
    """
    metadata = {CONTRACT_KEY: contract.to_json(), MJCF_KEY: mjcf, REFERENCE_KEY: pack_reference(reference)}
    model = build_model(mean=mean, std=std, clip=clip, layers=layers, activation=activation)
    sizes = (len(mean), len(layers[-1][1]))
    if sizes != (contract.observation_size, len(contract.joint_names)):
        raise ContractError(
            f"the network maps {sizes[0]} observations to {sizes[1]} actions, the contract says "
            f"{contract.observation_size} to {len(contract.joint_names)}"
        )
    write_atomically(path, finish(model, metadata))


def build_model(
    *,
    mean: np.ndarray,
    std: np.ndarray,
    clip: float,
    layers: Sequence[tuple[np.ndarray, np.ndarray]],
    activation: str = "elu",
):
    """The network as an ``onnx.ModelProto``: ``obs`` (batch, A) float32 to ``action`` (batch, J)."""
    from onnx import TensorProto, helper, numpy_helper

    if activation not in ACTIVATIONS:
        raise ContractError(f"unknown activation {activation!r}; known: {', '.join(ACTIVATIONS)}")
    constants = {
        "mean": np.asarray(mean, np.float32),
        "std": np.asarray(std, np.float32),
        "clip_low": np.float32(-clip),
        "clip_high": np.float32(clip),
    }
    nodes = [
        helper.make_node("Sub", ["obs", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "std"], ["standardised"]),
        helper.make_node("Clip", ["standardised", "clip_low", "clip_high"], ["layer0"]),
    ]
    for i, (weight, bias) in enumerate(layers):
        constants[f"weight{i}"] = np.asarray(weight, np.float32)
        constants[f"bias{i}"] = np.asarray(bias, np.float32)
        last = i == len(layers) - 1
        out = "action" if last else f"linear{i}"
        nodes.append(helper.make_node("Gemm", [f"layer{i}", f"weight{i}", f"bias{i}"], [out], transB=1))
        if not last:
            nodes.append(helper.make_node(ACTIVATIONS[activation], [out], [f"layer{i + 1}"]))
    for name, value in constants.items():
        if not np.isfinite(value).all():
            raise ContractError(f"the network's {name} is not finite")
    graph = helper.make_graph(
        nodes,
        "policy",
        [helper.make_tensor_value_info("obs", TensorProto.FLOAT, ["batch", len(mean)])],
        [helper.make_tensor_value_info("action", TensorProto.FLOAT, ["batch", len(layers[-1][1])])],
        [numpy_helper.from_array(np.ascontiguousarray(v), name) for name, v in constants.items()],
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8, producer_name="robopolicy"
    )


def finish(model, metadata: Mapping[str, str]) -> bytes:
    """The file's bytes: the model with its metadata, checked by onnx and sealed."""
    import onnx

    onnx.helper.set_model_props(model, dict(metadata))
    onnx.checker.check_model(model)
    return seal(model.SerializeToString(deterministic=True))


def pack_reference(reference: Mapping[str, np.ndarray]) -> str:
    """Arrays as text, for the file's metadata."""
    buffer = io.BytesIO()
    arrays: dict = dict(reference)
    np.savez(buffer, **arrays)
    return base64.b64encode(zlib.compress(buffer.getvalue(), 9)).decode()


def write_atomically(path: str | Path, data: bytes) -> None:
    """Write beside the target, then rename over it: a full disk leaves what was there.

    Raises:
        ContractError: The file cannot be written.
    """
    path = Path(path)
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = file.name
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise ContractError(f"{path}: cannot be written: {error.strerror}") from None
