"""A table of a TOML file that is read field by field; what is missing, unknown or of the wrong kind is named."""

import math
from typing import Any, NoReturn

from robopolicy_runtime.errors import ContractError


class Table:
    """One table.

    Args:
        data: What the file has there.
        where: What to call it in messages.

    Raises:
        ContractError: It is no table. The methods raise it for a field that does not read.
    """

    def __init__(self, data: Any, where: str) -> None:
        self.where = where
        if not isinstance(data, dict):
            self.refuse(f"must be a table, not {data!r}")
        self._data: dict[str, Any] = data
        self._asked: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._data

    @property
    def names(self) -> tuple[str, ...]:
        """The fields that are there."""
        return tuple(self._data)

    def value(self, name: str) -> Any:
        """A field as it is, None if it is missing."""
        self._asked.add(name)
        return self._data.get(name)

    def number(self, name: str, default: float | None = None, low: float = -math.inf) -> float:
        """A finite number of at least ``low``."""
        value = self._value(name, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            self.refuse(f"{name} must be a finite number, not {value!r}")
        if value < low:
            self.refuse(f"{name} must be at least {low:g}, not {value:g}")
        return float(value)

    def text(self, name: str, default: str | None = None, among: tuple[str, ...] = ()) -> str:
        """A text, one of ``among`` if that is given."""
        value = self._value(name, default)
        if not isinstance(value, str):
            self.refuse(f"{name} must be a text, not {value!r}")
        if among and value not in among:
            self.refuse(f"{name} is {value!r}; there are: {', '.join(among)}")
        return value

    def flag(self, name: str, default: bool) -> bool:
        """True or false."""
        value = self._value(name, default)
        if not isinstance(value, bool):
            self.refuse(f"{name} must be true or false, not {value!r}")
        return value

    def pair(self, name: str) -> tuple[float, float]:
        """Two numbers, the lower one first."""
        value = self._value(name, None)
        if not isinstance(value, list) or len(value) != 2:
            self.refuse(f"{name} must be [low, high], not {value!r}")
        low, high = (
            Table({"low": value[0], "high": value[1]}, f"{self.where}.{name}").number(n) for n in ("low", "high")
        )
        if low > high:
            self.refuse(f"{name}: {low:g} is above {high:g}")
        return low, high

    def table(self, name: str) -> "Table":
        """A table inside this one; an empty one if it is missing."""
        self._asked.add(name)
        return Table(self._data.get(name, {}), f"{self.where}.{name}" if self.where else name)

    def done(self) -> None:
        """Refuse what nobody asked for."""
        for name in self._data:
            if name not in self._asked:
                self.refuse(f"nothing is called {name!r}; there are: {', '.join(sorted(self._asked))}")

    def refuse(self, what: str) -> NoReturn:
        """Raise with this table's name in front."""
        raise ContractError(f"{self.where}: {what}" if self.where else what)

    def _value(self, name: str, default: Any) -> Any:
        self._asked.add(name)
        if name not in self._data and default is None:
            self.refuse(f"{name} is missing")
        return self._data.get(name, default)
