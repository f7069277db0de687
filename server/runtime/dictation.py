"""What callers dictate, as it is written: digits, letters, codes, e-mail addresses, in English and German.

"null drei null, doppel eins" is 03011, "A wie Anton, zwei N" is ANN, "anna dot may at example dot com" an address. Both
languages are read at once: people mix them, and their words do not collide. What is written already stays.

A tool asks for it with ``format`` in its schema (digits, letters, code, email), a script with ``take`` in a state.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Any

from server.runtime.dictated_words import (
    ALPHABET,
    AT,
    DIGITS,
    DOT,
    FILLERS,
    FOR_EXAMPLE,
    HUNDREDS,
    LETTERS,
    NUMBERS,
    SYMBOLS,
    TENS,
    TIMES,
    UMLAUT,
)

_TOKEN = re.compile(r"[^\s,;:!?\"()„“]+")
_WRITTEN_ADDRESS = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_GERMAN_PAIR = re.compile(r"(\w+)und(\w+)")
_ALONE = 1
_LABEL = 3
"""Words that make one name in a domain, at most: "g mail", "my own salon"."""


def digits(text: str) -> str:
    """The longest row of digits that is dictated, with a "+" that was said before it; "" for none. Among other words a
    single one ("one moment") is none."""
    least = 1 if len(_words(text)) <= _ALONE else 2
    rows = (run for run in _runs(text, _digit) if len(run) >= least)
    return max(rows, key=lambda run: sum(map(str.isdecimal, run)), default="")


def letters(text: str) -> str:
    """The longest row of letters that is spelled, in capitals; "" for none. One letter alone is none."""
    return max((run for run in _runs(text, _letter) if len(run) > 1), key=len, default="")


def code(text: str) -> str:
    """The longest row of letters and digits, in capitals; "" for none. One alone is none."""
    return max((run for run in _runs(text, _either) if len(run) > 1), key=len, default="")


def email(text: str) -> str:
    """The last address that is dictated, in small letters; "" for none."""
    written = _WRITTEN_ADDRESS.findall(text)
    if written:
        return str(written[-1]).rstrip(".").lower()
    words = _words(text)
    for at in range(len(words) - 2, 0, -1):
        if words[at] in AT and (domain := _domain(words[at + 1 :])) and (local := _local(words[:at])):
            return f"{local}@{domain}".lower()
    return ""


KINDS: Mapping[str, Callable[[str], str]] = {"digits": digits, "letters": letters, "code": code, "email": email}
"""By the name that schemas and scripts give them."""


def settled(schema: Mapping[str, Any], values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Arguments of a call, with those written out whose schema has one of the KINDS as its format. What cannot be read
    stays as it is."""
    properties = schema.get("properties")
    if not isinstance(properties, Mapping):
        return values
    changed = {}
    for name, value in values.items():
        wanted = properties.get(name)
        kind = KINDS.get(str(wanted.get("format"))) if isinstance(wanted, Mapping) else None
        if kind is not None and isinstance(value, str):
            changed[name] = kind(value) or value
    return {**values, **changed}


# ----------------------------------------------------------------------------------------- rows

_Step = Callable[[Sequence[str]], tuple[str, int]]
"""What the first words say, and how many of them; ("", 0) if they are none of it."""


def _words(text: str) -> list[str]:
    words = (token.strip(".'’`-").lower() for token in _TOKEN.findall(text))
    return [word for word in words if word]


def _runs(text: str, step: _Step) -> Iterator[str]:
    """Rows of what ``step`` reads; words that people put between break no row."""
    words, at, run = _words(text), 0, ""
    while at < len(words):
        said, taken = step(words[at:])
        if not taken and words[at] not in FILLERS:
            yield run
            run = ""
        run += said
        at += taken or 1
    yield run


def _digit(words: Sequence[str]) -> tuple[str, int]:
    first = words[0]
    if first in TIMES and len(words) > 1:
        said, taken = _digit(words[1:])
        return (said * TIMES[first], taken + 1) if len(said) == 1 else ("", 0)
    if first == "plus" and len(words) > 1 and _digit(words[1:])[1]:
        return "+", 1
    if re.fullmatch(r"\+?[\d/.()-]*\d[\d/.()-]*", first):
        return re.sub(r"[^\d+]", "", first), 1
    return _number(words)


def _number(words: Sequence[str]) -> tuple[str, int]:
    """Up to 999, as it is written: "three", "thirty five", "fünfunddreißig", "four hundred"."""
    first, *rest = words
    if first in HUNDREDS:
        return HUNDREDS[first], 1
    if rest and rest[0] in ("hundred", "hundert") and first in DIGITS:
        return DIGITS[first] + "00", 2
    if first in TENS:
        unit = DIGITS.get(rest[0], "0") if rest and first.endswith("ty") else "0"
        return (TENS[first][0] + unit, 1 + (unit != "0"))
    if len(rest) > 1 and first in DIGITS and rest[0] == "und" and rest[1] in TENS:
        return TENS[rest[1]][0] + DIGITS[first], 3
    pair = _GERMAN_PAIR.fullmatch(first)
    if pair and pair[1] in DIGITS and pair[2] in TENS:
        return TENS[pair[2]][0] + DIGITS[pair[1]], 1
    ten, dash, unit = first.partition("-")
    if dash and ten in TENS and unit in DIGITS:
        return TENS[ten][0] + DIGITS[unit], 1
    said = DIGITS.get(first) or NUMBERS.get(first, "")
    return said, len(said) and 1


def _letter(words: Sequence[str]) -> tuple[str, int]:
    first, *rest = words
    if first == "double" and rest[:1] == ["u"]:
        return "W", 2
    if first in TIMES and rest:
        said, taken = _letter(rest)
        return (said * TIMES[first], taken + 1) if len(said) == 1 else ("", 0)
    if re.fullmatch(r"[^\W\d_](?:-[^\W\d_])+", first):
        return first.replace("-", "").upper(), 1
    said = _spelt(first)
    if not said:
        return ALPHABET.get(first, ""), int(first in ALPHABET)
    if rest[:1] == ["umlaut"]:
        return UMLAUT.get(said, said), 2
    like = len(list(takewhile(FOR_EXAMPLE.__contains__, rest)))
    if like and len(rest) > like and (rest[like][0].upper() == said or said in ("Q", "X", "Y", "C")):
        return said, like + 2
    return said, 1


def _spelt(word: str) -> str:
    if word in LETTERS or word == "ß":
        return LETTERS.get(word, word)
    return word.upper() if len(word) == 1 and word.isalpha() else ""


def _either(words: Sequence[str]) -> tuple[str, int]:
    said, taken = _digit(words)
    if taken:
        return said.removeprefix("+"), taken
    said, taken = _letter(words)
    if taken:
        return said, taken
    written = words[0].replace("-", "")
    mixed = written.isalnum() and any(map(str.isdecimal, written))
    return (written.upper(), 1) if mixed else ("", 0)


# -------------------------------------------------------------------------------------- addresses


def _domain(words: Sequence[str]) -> str:
    """The domain that these words begin with; "" for none."""
    labels: list[str] = []
    at = 0
    while at < len(words):
        label, taken = _label(words[at:], last=bool(labels))
        labels.append(label)
        at += taken
        if not label or at >= len(words) or words[at] not in DOT:
            break
        at += 1
    name = ".".join(labels)
    return name if re.fullmatch(r"[\w-]+(?:\.[\w-]+)*\.[^\W\d_]{2,}", name) else ""


def _label(words: Sequence[str], *, last: bool) -> tuple[str, int]:
    """A name up to the next dot, and how many words it is. last: it may be the ending: one word, or spelled."""
    spelled = _row(words)
    behind = words[spelled[1]] if spelled[1] < len(words) else ""
    if spelled[1] > 1 and (last or behind in DOT):
        return spelled
    if last:
        return words[0], 1
    name = ""
    for taken, word in enumerate(words[: 2 * _LABEL]):
        if word in DOT:
            return name, taken
        name += SYMBOLS.get(word, word)
    return (words[0], 1) if "." in words[0] else ("", 0)


def _row(words: Sequence[str]) -> tuple[str, int]:
    """Letters and digits that are said one by one."""
    name, at = "", 0
    while at < len(words):
        said, taken = _either(words[at:])
        if not taken or words[at] in ALPHABET:
            break
        name += said
        at += taken
    return name.lower(), at


def _local(words: Sequence[str]) -> str:
    """The name before "at" that these words end with; "" for none."""
    parts: list[str] = []
    after = "symbol"
    for text, kind in reversed(_elements(words)):
        if "symbol" not in (kind, after) and (kind, after) != ("word", "digits"):
            break
        parts.append(text)
        after = kind
    return "".join(reversed(parts)).strip(".")


def _elements(words: Sequence[str]) -> list[tuple[str, str]]:
    """Words as parts of a name: (text, word, spelled, digits or symbol)."""
    found: list[tuple[str, str]] = []
    at = 0
    while at < len(words):
        word = words[at]
        if word in SYMBOLS or word in DOT:
            found.append((SYMBOLS.get(word, "."), "symbol"))
            at += 1
            continue
        name, taken = _row(words[at:])
        if taken:
            found.append((name, "digits" if name.isdecimal() else "spelled"))
        else:
            found.append((word, "word"))
        at += taken or 1
    return found
