"""Tool calls that were expected beside those that came; words that were said beside those that were heard."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any, Final

ANYTHING: Final = object()
"""As the value of an expected argument: it must be there, whatever it is."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """arguments: by name; ``ANYTHING`` where the value does not matter."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, name: str, arguments: str) -> ToolCall:
        """As it comes over the wire. Arguments that are no JSON object are one argument that nobody expects."""
        try:
            given = json.loads(arguments or "{}")
        except ValueError:
            given = None
        return cls(name, given if isinstance(given, dict) else {"": arguments})


@dataclass(frozen=True, slots=True)
class CallScore:
    """One turn. names: the called tools are the expected ones, each as often. arguments, of_arguments: how many of the
    expected ones came with the right tool and value. whole: the names, every argument, and no argument besides."""

    names: bool
    arguments: int
    of_arguments: int
    whole: bool


def score(expected: Sequence[ToolCall], got: Sequence[ToolCall]) -> CallScore:
    """The calls of one turn, in any order. Text is the same whatever its case and outer blanks, and 9 is 9.0."""
    names = sorted(call.name for call in expected) == sorted(call.name for call in got)
    right = max(sum(_right(*pair) for pair in pairs) for pairs in _pairings(expected, got))
    of_arguments = sum(len(call.arguments) for call in expected)
    more = sum(len(call.arguments) for call in got) > of_arguments
    return CallScore(names, right, of_arguments, names and right == of_arguments and not more)


def _pairings(expected: Sequence[ToolCall], got: Sequence[ToolCall]) -> Iterable[list[tuple[ToolCall, ToolCall]]]:
    """Each way to set one against the other; a turn has few calls."""
    few, many = sorted((expected, got), key=len)
    for chosen in permutations(many, len(few)):
        pairs = zip(few, chosen, strict=True)
        yield [(one, other) if few is expected else (other, one) for one, other in pairs]


def _right(expected: ToolCall, got: ToolCall) -> int:
    if expected.name != got.name:
        return 0
    return sum(key in got.arguments and _same(value, got.arguments[key]) for key, value in expected.arguments.items())


def _same(wanted: Any, found: Any) -> bool:
    if isinstance(wanted, str) and isinstance(found, str):
        return wanted.strip().casefold() == found.strip().casefold()
    return wanted is ANYTHING or bool(wanted == found)


def word_errors(said: str, heard: str) -> tuple[int, int]:
    """Words inserted, deleted or replaced (Levenshtein), and how many were said. Case and punctuation do not count."""
    wanted, found = (re.findall(r"[\w']+", text.lower()) for text in (said, heard))
    costs = list(range(len(found) + 1))
    for number, word in enumerate(wanted, 1):
        before, costs[0] = costs[0], number
        for place, other in enumerate(found, 1):
            replaced = before + (word != other)
            before = costs[place]
            costs[place] = min(replaced, costs[place] + 1, costs[place - 1] + 1)
    return costs[-1], len(wanted)
