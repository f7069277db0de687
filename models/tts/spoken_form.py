"""How pieces of a text are to be read where espeak's own reading goes wrong.

espeak takes a full stop before a capital or a digit for the end of a sentence ("Dr. Müller", "am 25. Mai": two
sentences with a pause between), reads clock times digit by digit ("ten zero zero") and telephone numbers in millions.
Each piece of text keeps a spoken form of its own, so that offsets in the text stay known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

_ENGLISH: Mapping[str, str] = {
    "dr.": "Dr",
    "mr.": "Mr",
    "mrs.": "Mrs",
    "ms.": "Ms",
    "prof.": "Professor",
    "st.": "St",
    "no.": "number",
    "ext.": "extension",
    "tel.": "telephone",
    "approx.": "approximately",
    "vs.": "versus",
    "e.g.": "for example",
    "i.e.": "that is",
}
_GERMAN: Mapping[str, str] = {
    "dr.": "Doktor",
    "prof.": "Professor",
    "hr.": "Herr",
    "hrn.": "Herrn",
    "nr.": "Nummer",
    "st.": "Sankt",
    "tel.": "Telefon",
    "ca.": "zirka",
    "bzw.": "beziehungsweise",
    "evtl.": "eventuell",
    "z.b.": "zum Beispiel",
    "d.h.": "das heißt",
}
# These are also words or ends of sentences: what follows must show that they are short for something.
_BEFORE_DIGIT = ("no.", "nr.", "ext.", "tel.")
_BEFORE_CAPITAL = ("st.",)
_OPENING = "\"'([\u00ab\u00bb\u2018\u2019\u201a\u201c\u201d\u201e"

_MONTH = re.compile(r"(Januar|Jänner|Februar|März|April|Mai|Juni|Juli|August|September|Oktober|November|Dezember)\b")
_DAY = re.compile(r"([12]?\d|3[01])\.")
_LONG_NUMBER = re.compile(r"(\W*)(\d{7,}(?<!000))(\W*)")
_TIME = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)(\W*)")
_ONES = ["", "ein", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun", "zehn", "elf", "zwölf"]
_IRREGULAR_DAYS = {1: "erste", 3: "dritte", 7: "siebte", 8: "achte", 16: "sechzehnte", 17: "siebzehnte"}


def spoken_forms(tokens: Sequence[str], language: str) -> list[str]:
    """The spoken form of each token (text between blanks); mostly the token itself. language: ISO 639-1."""
    rules = {"en": _read_english, "de": _read_german}.get(language)
    forms = [_digit_by_digit(token) for token in tokens]
    if rules is None:
        return forms
    for index in range(len(tokens)):
        rules(forms, tokens, index)
    return forms


def _digit_by_digit(token: str) -> str:
    number = _LONG_NUMBER.fullmatch(token)
    return token if number is None else f"{number[1]}{' '.join(number[2])}{number[3]}"


def _read_english(forms: list[str], tokens: Sequence[str], index: int) -> None:
    following = _at(tokens, index + 1)
    if time := _TIME.fullmatch(tokens[index]):
        hour, minute, tail = int(time[1]), int(time[2]), time[3]
        if minute:
            forms[index] = f"{hour} oh {minute}{tail}" if minute < 10 else tokens[index]
        elif following[:1].lower() in ("a", "p") and following[1:2].lower() in ("m", "."):
            forms[index] = f"{hour}{tail}"
        else:
            unit = "o'clock" if 1 <= hour <= 12 else "hundred"
            forms[index] = f"{hour} {unit}{tail}"
    else:
        _abbreviation(forms, tokens, index, _ENGLISH)


def _read_german(forms: list[str], tokens: Sequence[str], index: int) -> None:
    following = _at(tokens, index + 1)
    if time := _TIME.fullmatch(tokens[index]):
        minute = int(time[2])
        if following.startswith("Uhr"):
            forms[index] = f"{int(time[1])} Uhr" if minute else f"{int(time[1])}"
            forms[index + 1] = f"{minute}{following[3:]}" if minute else following
        else:
            forms[index] = f"{int(time[1])} Uhr {minute or ''}".rstrip() + time[3]
    elif (day := _DAY.fullmatch(tokens[index])) and _MONTH.match(following):
        nominative = _at(tokens, index - 1).lower() in ("der", "die", "das")
        forms[index] = _german_day(int(day[1])) + ("" if nominative else "n")
    else:
        _abbreviation(forms, tokens, index, _GERMAN)


def _german_day(day: int) -> str:
    if day in _IRREGULAR_DAYS:
        return _IRREGULAR_DAYS[day]
    if day < 20:
        return (_ONES[day] if day < 13 else _ONES[day - 10] + "zehn") + "te"
    ones = _ONES[day % 10] + "und" if day % 10 else ""
    return ones + ("zwanzigste" if day < 30 else "dreißigste")


def _abbreviation(forms: list[str], tokens: Sequence[str], index: int, table: Mapping[str, str]) -> None:
    bare = tokens[index].lstrip(_OPENING)
    short = bare.lower()
    following = _at(tokens, index + 1).lstrip(_OPENING)[:1]
    if short not in table or not following:
        return
    if short in _BEFORE_DIGIT and not following.isdigit():
        return
    if short in _BEFORE_CAPITAL and not following.isupper():
        return
    forms[index] = tokens[index].removesuffix(bare) + table[short]


def _at(tokens: Sequence[str], index: int) -> str:
    return tokens[index] if 0 <= index < len(tokens) else ""
