"""Where in a TOML text a field is written: the parser of the standard library tells only where it is broken."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import takewhile

_HEADER = re.compile(r"\s*(\[\[?)\s*([^\]]+?)\s*\]")
_KEY = re.compile(r"\s*((?:[\w-]+|\"[^\"]*\")(?:\s*\.\s*(?:[\w-]+|\"[^\"]*\"))*)\s*=")


def line_of(text: str, place: Sequence[str | int]) -> int:
    """The line (from 1) of a TOML text on which the field at this place is written, else that of the nearest table
    around it. Fields inside an inline table or array have the line of its key."""
    best, line_found = 0, 1
    counts: dict[tuple[str | int, ...], int] = {}
    table: tuple[str | int, ...] = ()
    fence = ""
    for number, line in enumerate(text.splitlines(), 1):
        if fence:
            fence = "" if fence in line else fence
            continue
        path: tuple[str | int, ...] = ()
        if header := _HEADER.match(line):
            table = path = _enter(_keys(header[2]), header[1] == "[[", counts)
        elif key := _KEY.match(line):
            path = table + _keys(key[1])
        fence = next((mark for mark in ('"""', "'''") if line.count(mark) == 1), "")
        shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(path, place, strict=False)))
        if shared > best:
            best, line_found = shared, number
    return line_found


def _keys(dotted: str) -> tuple[str | int, ...]:
    return tuple(part.strip().strip('"') for part in re.findall(r'"[^"]*"|[^.]+', dotted))


def _enter(keys: tuple[str | int, ...], array: bool, counts: dict[tuple[str | int, ...], int]) -> tuple[str | int, ...]:
    """The path of a table's header, with the positions in arrays of tables."""
    path: tuple[str | int, ...] = ()
    for at, key in enumerate(keys):
        path += (key,)
        if array and at == len(keys) - 1:
            counts[path] = counts.get(path, -1) + 1
        if path in counts:
            path += (counts[path],)
    return path
