"""Which part of the teacher's sound belongs to which of Piper's symbols: an edit distance between two spellings.

Piper phonemises a text by itself; the teacher tells what it says, phoneme by phoneme. The two are mostly the same, and
differ in stress marks (which espeak-ng 1.51 leaves out of its events), blanks and pauses.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

HOP = 256
FRONT = 4
BACK = 10
"""Frames of silence put before and behind each sentence."""
MOST_MISMATCHES = 2

_MARKS = "ˈˌːˑ"
_OTHER_SOUND = 1.2
_OTHER_SORT = 3.0
_LEAVE_OUT = {"mark": 0.02, "blank": 0.3, "letter": 1.0}
_NO_PARTNER = {"pause": 0.5, "letter": 1.0}


@dataclass(frozen=True, slots=True)
class Aligned:
    """frames: [len(symbols) + 2] of begin mark, symbols and end mark. mismatches: sounds that differ or are missing."""

    frames: NDArray[np.int64]
    mismatches: int


def sort_of(symbol: str) -> str:
    """ "mark" for what has no time of its own, "blank" for spaces and punctuation, else "letter"."""
    if symbol in _MARKS or unicodedata.combining(symbol) or unicodedata.category(symbol) in ("Lm", "Sk"):
        return "mark"
    return "letter" if unicodedata.category(symbol).startswith("L") else "blank"


def align(symbols: Sequence[str], events: Sequence[tuple[int, str]], samples: int) -> Aligned:
    """symbols: of one sentence, single code points. events: (first sample, IPA). samples: length of the sound, to which
    FRONT and BACK frames of silence are added."""
    units = _units(events, samples)
    pairs, mismatches = _pairs(symbols, units)
    # What the sound of symbol i lasts is what ends with it; time without a partner belongs to the symbol before it.
    ends = np.zeros(len(symbols) + 2)
    ends[0] = units[0][1] if units else 0
    at = 0
    for index, (_, _, end) in enumerate(units):
        at = max(at, pairs.get(index, at))
        ends[at] = end
    ends = np.maximum.accumulate(ends)
    ends[-2] = max(ends[-2], samples)
    rounded = FRONT + np.rint(ends / HOP).astype(np.int64)
    rounded[-1] = frames_of(samples)
    return Aligned(np.diff(rounded, prepend=0), mismatches)


def frames_of(samples: int) -> int:
    """Frames of a sentence with its silences."""
    return FRONT + -(-samples // HOP) + BACK


def _units(events: Sequence[tuple[int, str]], samples: int) -> list[tuple[str, int, int]]:
    """(base letter, or nothing for a pause, first sample, end): the letters of an event share its time."""
    units: list[tuple[str, int, int]] = []
    ends = [start for start, _ in events[1:]] + [samples]
    for (start, name), end in zip(events, ends, strict=True):
        letters = [one for one in unicodedata.normalize("NFD", name) if sort_of(one) == "letter"] or [""]
        borders = np.linspace(start, max(start, end), len(letters) + 1).astype(int)
        units += [
            (letter, int(first), int(last))
            for letter, first, last in zip(letters, borders[:-1], borders[1:], strict=True)
        ]
    return units


def _pairs(symbols: Sequence[str], units: Sequence[tuple[str, int, int]]) -> tuple[dict[int, int], int]:
    """(place of the symbol among begin mark and symbols, by index of its unit; mismatches)."""
    rows, columns = len(symbols), len(units)
    cost = np.full((rows + 1, columns + 1), np.inf)
    step = np.zeros((rows + 1, columns + 1), np.int8)
    cost[0, 0] = 0
    sorts = [sort_of(symbol) for symbol in symbols]
    for row in range(rows + 1):
        for column in range(columns + 1):
            choices = []
            if row and column:
                together = _together(symbols[row - 1], sorts[row - 1], units[column - 1][0])
                choices.append((cost[row - 1, column - 1] + together, 0))
            if row:
                choices.append((cost[row - 1, column] + _LEAVE_OUT[sorts[row - 1]], 1))
            if column:
                alone = _NO_PARTNER["letter" if units[column - 1][0] else "pause"]
                choices.append((cost[row, column - 1] + alone, 2))
            if choices:
                cost[row, column], step[row, column] = min(choices)
    return _walk_back(symbols, sorts, units, step)


def _walk_back(
    symbols: Sequence[str], sorts: Sequence[str], units: Sequence[tuple[str, int, int]], step: NDArray[np.int8]
) -> tuple[dict[int, int], int]:
    pairs: dict[int, int] = {}
    row, column, mismatches = len(symbols), len(units), 0
    while row or column:
        if step[row, column] == 0:
            pairs[column - 1] = row
            mismatches += bool(units[column - 1][0]) and symbols[row - 1] != units[column - 1][0]
        elif step[row, column] == 1:
            mismatches += sorts[row - 1] == "letter"
        else:
            mismatches += bool(units[column - 1][0])
        row, column = row - (step[row, column] != 2), column - (step[row, column] != 1)
    return pairs, mismatches


def _together(symbol: str, sort: str, unit: str) -> float:
    if sort == "mark" or (sort == "blank") != (unit == ""):
        return _OTHER_SORT
    if sort == "blank":
        return 0.2 if symbol == " " else 0.1
    return 0.0 if symbol == unit else _OTHER_SOUND
