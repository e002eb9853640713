"""Settings to plain values and back, so that a run can be written down and repeated."""

import dataclasses
from typing import Any

from robopolicy.errors import UserError, unknown


def to_values(settings: Any) -> Any:
    """Nested dataclasses as plain JSON values; functions are left out, they are named by the task's source."""
    if dataclasses.is_dataclass(settings) and not isinstance(settings, type):
        fields = {f.name: getattr(settings, f.name) for f in dataclasses.fields(settings)}
        return {name: to_values(value) for name, value in fields.items() if not callable(value)}
    if isinstance(settings, dict):
        return {name: to_values(value) for name, value in settings.items()}
    if isinstance(settings, (list, tuple)):
        return [to_values(value) for value in settings]
    return settings


def apply_values(settings: Any, values: Any, where: str = "") -> Any:
    """A copy of ``settings`` with ``values`` (as ``to_values`` gives them) in place of its own.

    Raises:
        UserError: A value has no counterpart, or is of another kind.
    """
    if dataclasses.is_dataclass(settings) and not isinstance(settings, type):
        known = {f.name: getattr(settings, f.name) for f in dataclasses.fields(settings)}
        known = {name: value for name, value in known.items() if not callable(value)}
        _require(isinstance(values, dict), where, "a group of settings", values)
        for name in values:
            if name not in known:
                raise unknown("setting", name, list(known), where)
        changed = {
            name: apply_values(known[name], value, f"{where}.{name}".strip(".")) for name, value in values.items()
        }
        return dataclasses.replace(settings, **changed)
    if isinstance(settings, dict):
        _require(isinstance(values, dict), where, "a group of settings", values)
        if settings and all(dataclasses.is_dataclass(v) for v in settings.values()):
            for name in values:
                if name not in settings:
                    raise unknown("term", name, list(settings), where)
            return {
                **settings,
                **{n: apply_values(settings[n], v, f"{where}.{n}") for n, v in values.items()},
            }
        return {**settings, **{name: _tuples(value) for name, value in values.items()}}
    if isinstance(settings, (list, tuple)):
        _require(isinstance(values, (list, tuple)), where, "a list", values)
        return _tuples(values)
    if isinstance(settings, (bool, str)):
        _require(isinstance(values, type(settings)), where, f"a {type(settings).__name__}", values)
    elif isinstance(settings, (int, float)):
        _require(isinstance(values, (int, float)) and not isinstance(values, bool), where, "a number", values)
        _require(isinstance(settings, float) or values == int(values), where, "a whole number", values)
        return type(settings)(values)
    return values


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, (list, tuple)) else value


def _require(ok: bool, where: str, wanted: str, given: Any) -> None:
    if not ok:
        raise UserError(f"setting {where or 'root'} must be {wanted}, got {given!r}")
