"""What a report says, before it is written in any format: both formats show the same strings."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field, replace

_LONGEST = 400


@dataclass(frozen=True, slots=True)
class Table:
    """rows: as many cells as ``head`` has; the first cell names the row. numeric: the other cells are numbers."""

    head: list[str]
    rows: list[list[str]]
    title: str = ""
    note: str = ""
    numeric: bool = True


@dataclass(frozen=True, slots=True)
class Chart:
    """svg: a whole inline element, already escaped. title: says in words what it shows. key: its series, as (class of
    the colour, name). Its numbers are in a table beside it, for Markdown leaves it out."""

    title: str
    svg: str
    key: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True, slots=True)
class Items:
    """A list of sentences."""

    items: list[str]


@dataclass(frozen=True, slots=True)
class Code:
    """A command, to be typed as it stands."""

    text: str


Block = Table | Chart | Text | Items | Code


@dataclass(frozen=True, slots=True)
class Section:
    title: str
    blocks: list[Block]


@dataclass(frozen=True, slots=True)
class Document:
    title: str
    sections: list[Section]


def clean(text: object, longest: int | None = _LONGEST) -> str:
    """One line of visible characters: what a server sends may hold anything, also signs that turn the direction of the
    text round. longest: characters; the rest is left out, and said to be."""
    shown = "".join(
        " "
        if character.isspace()
        else character
        if unicodedata.category(character)[0] != "C"
        else "\N{REPLACEMENT CHARACTER}"
        for character in str(text)
    )
    shown = " ".join(shown.split())
    if longest is None or len(shown) <= longest:
        return shown
    return f"{shown[:longest]} … ({len(shown) - longest} more)"


def told(table: Table) -> Table:
    """Without the columns that nobody has filled."""
    kept = [place for place in range(len(table.head)) if not place or any(row[place] != "–" for row in table.rows)]
    rows = [[row[place] for place in kept] for row in table.rows]
    return replace(table, head=[table.head[place] for place in kept], rows=rows)


def milliseconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f}"


def share(part: float, of: float) -> str:
    """With the counts, for a share of few says little."""
    return f"{100 * part / of:.1f} % ({part:g} of {of:g})" if of else "–"


def number(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
