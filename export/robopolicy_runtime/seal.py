"""The seal: a file's length and SHA-256, so that a truncated or changed one is refused before it is parsed.

An ONNX file is a protobuf message, whose fields may stand in any order. The seal is two metadata entries
placed first: ``robopolicy.digest`` (the SHA-256 of the whole file with its own 64 characters read as zeros)
and ``robopolicy.bytes`` (the file's length). Both are at fixed offsets, so hashlib checks them without a
protobuf library; onnxruntime sees two ordinary entries. The seal shows accidents and careless edits; it is
no signature.
"""

import hashlib

from robopolicy_runtime.errors import ContractError

DIGEST_KEY, BYTES_KEY = "robopolicy.digest", "robopolicy.bytes"
_DIGEST_CHARS, _BYTES_CHARS = 64, 12


def _entry(key: str, value: str) -> bytes:
    """One protobuf ``ModelProto.metadata_props`` entry (field 14; key is field 1, value is field 2)."""
    body = b"\x0a" + bytes([len(key)]) + key.encode() + b"\x12" + bytes([len(value)]) + value.encode()
    return b"\x72" + bytes([len(body)]) + body


_EMPTY = _entry(DIGEST_KEY, "0" * _DIGEST_CHARS) + _entry(BYTES_KEY, "0" * _BYTES_CHARS)
_DIGEST_AT = _EMPTY.index(b"0" * _DIGEST_CHARS)
_BYTES_AT = len(_EMPTY) - _BYTES_CHARS


def seal(model: bytes) -> bytes:
    """A serialised ONNX model with its seal in front."""
    length = str(len(_EMPTY) + len(model)).zfill(_BYTES_CHARS).encode()
    data = _EMPTY[:_BYTES_AT] + length + model
    return data[:_DIGEST_AT] + _digest(data).encode() + data[_DIGEST_AT + _DIGEST_CHARS :]


def is_sealed(data: bytes) -> bool:
    """Whether the file starts as a sealed policy does, be it whole or cut short."""
    start = data[:_DIGEST_AT]
    return bool(start) and _EMPTY.startswith(start)


def check_seal(data: bytes, name: str) -> None:
    """Check the length, then the digest.

    Args:
        data: The whole file, ``is_sealed``.
        name: What to call it in the message.

    Raises:
        ContractError: The file is truncated, has bytes added, or was changed.
    """
    if len(data) < len(_EMPTY):
        raise ContractError(f"{name}: truncated: only {len(data)} bytes are left")
    length = data[_BYTES_AT : len(_EMPTY)]
    if length.isdigit() and len(data) != int(length):
        kind = "truncated" if len(data) < int(length) else "bytes were added"
        raise ContractError(f"{name}: {kind}: it has {len(data)} of {int(length)} bytes")
    stated = data[_DIGEST_AT : _DIGEST_AT + _DIGEST_CHARS].decode(errors="replace")
    actual = _digest(data)
    if actual != stated:
        raise ContractError(
            f"{name}: changed after it was exported: its SHA-256 is {actual[:12]}..., not {stated[:12]}..."
        )


def _digest(data: bytes) -> str:
    digest = hashlib.sha256(data[:_DIGEST_AT])
    digest.update(b"0" * _DIGEST_CHARS)
    digest.update(memoryview(data)[_DIGEST_AT + _DIGEST_CHARS :])
    return digest.hexdigest()
