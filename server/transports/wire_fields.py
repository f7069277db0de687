"""Reading a peer's JSON object field by field, so that whatever is wrong in it is named by its path.

A field that is absent or null reads as None everywhere: the caller says what that means, or that it is ``needed``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, NoReturn, TypeVar

from server.errors import ClientError

Value = TypeVar("Value")

MAX_DEPTH = 64
"""How deep objects and arrays of a peer may be nested."""
_SHOWN = 48
"""How much of a wrong value an error message repeats, in characters."""


class Fields:
    """One JSON object. path: where it stands in the event, "" for the event itself.

    Each reader raises ClientError ``invalid_value`` for a value of the wrong type or outside what is allowed.
    """

    __slots__ = ("path", "values")

    def __init__(self, values: Mapping[str, Any], path: str = "") -> None:
        self.values = values
        self.path = path

    def at(self, name: str) -> str:
        """Dotted path of one of the object's fields."""
        return f"{self.path}.{name}" if self.path else name

    def needed(self, name: str, value: Value | None) -> Value:
        """``value``, as read from ``name``. Raises ClientError ``missing_required_parameter`` if it is None."""
        if value is None:
            param = self.at(name)
            raise ClientError("missing_required_parameter", f"Missing required parameter: '{param}'.", param)
        return value

    def reject(self, name: str, message: str) -> NoReturn:
        """Raise ClientError ``invalid_value`` about a field. The message goes on from "Invalid 'path': "."""
        param = self.at(name)
        raise ClientError("invalid_value", f"Invalid '{param}': {message}", param)

    def text(self, name: str, limit: int | None = None) -> str | None:
        """A string of at most ``limit`` characters."""
        value = self.values.get(name)
        if value is None:
            return None
        if not isinstance(value, str):
            self.reject(name, f"must be a string, not {shown(value)}.")
        if limit is not None and len(value) > limit:
            self.reject(name, f"must be at most {limit} characters long, not {len(value)}.")
        return value

    def choice(self, name: str, allowed: Collection[str]) -> str | None:
        """One of a few strings."""
        value = self.values.get(name)
        if value is None:
            return None
        if not isinstance(value, str) or value not in allowed:
            self.reject(name, f"must be one of {listed(allowed)}, not {shown(value)}.")
        return value

    def flag(self, name: str) -> bool | None:
        """A boolean."""
        value = self.values.get(name)
        if value is None or isinstance(value, bool):
            return value
        self.reject(name, f"must be true or false, not {shown(value)}.")

    def number(self, name: str, low: float, high: float) -> float | None:
        """A number from ``low`` to ``high``."""
        value = self.values.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            self.reject(name, f"must be a number from {low:g} to {high:g}, not {shown(value)}.")
        return float(value)

    def integer(self, name: str, low: int, high: int) -> int | None:
        """A whole number from ``low`` to ``high``; 12.0 is one, 12.5 is not."""
        value = self.values.get(name)
        if value is None:
            return None
        whole = isinstance(value, int | float) and not isinstance(value, bool) and value == value // 1
        if not whole or not low <= value <= high:
            self.reject(name, f"must be an integer from {low} to {high}, not {shown(value)}.")
        return int(value)

    def object(self, name: str) -> Fields | None:
        """An object inside this one."""
        value = self.values.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            self.reject(name, f"must be an object, not {shown(value)}.")
        return Fields(value, self.at(name))

    def array(self, name: str, limit: int | None = None) -> list[Any] | None:
        """An array of at most ``limit`` elements."""
        value = self.values.get(name)
        if value is None:
            return None
        if not isinstance(value, list):
            self.reject(name, f"must be an array, not {shown(value)}.")
        if limit is not None and len(value) > limit:
            self.reject(name, f"must have at most {limit} elements, not {len(value)}.")
        return value

    def objects(self, name: str, limit: int | None = None) -> Iterator[Fields] | None:
        """An array of objects."""
        values = self.array(name, limit)
        return None if values is None else (self._element(name, index, value) for index, value in enumerate(values))

    def _element(self, name: str, index: int, value: Any) -> Fields:
        place = f"{name}[{index}]"
        if not isinstance(value, dict):
            self.reject(place, f"must be an object, not {shown(value)}.")
        return Fields(value, self.at(place))


def shown(value: Any) -> str:
    """A wrong value, as an error message repeats it: short, and by its JSON name."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "an array"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = f"'{value}'" if isinstance(value, str) else str(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def listed(allowed: Collection[str]) -> str:
    """Names as an error message lists them."""
    return ", ".join(f"'{name}'" for name in allowed)


def too_deep(value: Any) -> bool:
    """What is taken in may have to be written again, and no JSON writer or chat template goes to any depth."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for parent in level
            if isinstance(parent, dict | list)
            for child in (parent.values() if isinstance(parent, dict) else parent)
        ]
        if not level:
            return False
    return True
