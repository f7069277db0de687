"""Dates and clock times as they are spoken, by language."""

from __future__ import annotations

import re
from dataclasses import dataclass

from models.tts.number_words import cardinal, ordinal, polish_hour, polish_ordinal, polish_year, year
from models.tts.spoken_words import Words

_ISO = re.compile(r"(\d{4})-(\d{2})-(\d{2})")
_NUMERIC = re.compile(r"(\d{1,2})[./-](\d{1,2})[./-](\d{4})")
_DAY = re.compile(r"(0?[1-9]|[12]\d|3[01])(\.|er|º|°|st|nd|rd|th)?(\W*)")
_TIME = re.compile(r"([01]?\d|2[0-4])[:h]([0-5]\d)?([ap]m)?")
_DOTTED_TIME = re.compile(r"([01]?\d|2[0-4])\.([0-5]\d)")
_AMERICAN = re.compile(r"(1[0-2]|0?[1-9])([ap]m)")
_ARTICLES = frozenset(("der", "die", "das"))
_FEMININE_HOURS = frozenset(("fr", "es", "it", "pt"))
_HOUR_WORDS = {"de": "Uhr", "nl": "uur", "fr": "heures", "it": "ore", "pt": "horas", "es": "horas"}


@dataclass(frozen=True, slots=True)
class Clock:
    """A time in words. follows: what the word behind it becomes, when it belongs to the time."""

    words: str
    follows: str | None = None


def full_date(text: str, before: str, language: str, words: Words) -> str | None:
    """A date in digits ("25.05.2026", "2026-05-25"; in English the month first where that can be), None for any other
    text. before: the word before it."""
    if iso := _ISO.fullmatch(text):
        number, month, day = (int(group) for group in iso.groups())
    elif numeric := _NUMERIC.fullmatch(text):
        day, month, number = (int(group) for group in numeric.groups())
        if language == "en" and day <= 12:
            day, month = month, day
    else:
        return None
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return None
    name = words.months[month - 1]
    if language == "en":
        return f"{name} {ordinal(day, language)}, {year(number, language)}"
    if language == "pl":
        return f"{polish_ordinal(day)} {name} {polish_year(number)}"
    of = f"{words.of} " if words.of else ""
    said = _german_day(day, before) if language == "de" else _day(day, language, words)
    return f"{said} {of}{name} {of}{year(number, language)}"


def day_of_month(text: str, before: str, language: str, words: Words) -> str | None:
    """The day beside the name of its month, with what hangs on it; None when it is none. before: the word before it."""
    found = _DAY.fullmatch(text)
    if found is None or (language == "de" and found[2] != "."):
        return None
    day, mark, behind = int(found[1]), found[2], found[3]
    if language == "de":
        return _german_day(day, before) + behind
    if language == "en":
        return ordinal(day, language) + behind
    if language == "pl":
        return polish_ordinal(day) + behind
    return _day(day, language, words) + (mark if mark == "." else "") + behind


def _german_day(day: int, before: str) -> str:
    """der dritte, am dritten, dritter: as the word before it wants it."""
    if before.lower() in _ARTICLES:
        return ordinal(day, "de")
    alone = not before or before.endswith((".", "!", "?", ":"))
    return ordinal(day, "de") + "r" if alone else ordinal(day, "de", "n")


def _day(day: int, language: str, words: Words) -> str:
    return words.first if day == 1 and words.first else cardinal(day, language)


def clock(text: str, following: str, before: str, language: str, words: Words) -> Clock | None:
    """A clock time ("14:30", "14h30", "2:30pm", "14.30" before "Uhr"); None for any other text. following, before: the
    words around it."""
    own_word = _HOUR_WORDS.get(language, "")
    named = bool(own_word) and following.rstrip(".,;!?") == own_word
    if language == "en" and (american := _AMERICAN.fullmatch(text)):
        return Clock(f"{cardinal(int(american[1]), language)} {' '.join(american[2].upper())}")
    found = _TIME.fullmatch(text) or (_DOTTED_TIME.fullmatch(text) if named else None)
    if found is None or (language != "fr" and "h" in text and not found[2]):
        return None
    hour, minute = int(found[1]), int(found[2] or 0)
    half = found[3] if len(found.groups()) > 2 else None
    if language == "en":
        return Clock(_english(hour, minute, half, following))
    if language == "pl":
        said = polish_hour(hour, nominative=before.lower() not in ("o", "od", "do", "po", "przed", "około"))
        return Clock(f"{said} {_minutes(minute, language)}".strip())
    said = _hour(hour, language)
    oclock = "heure" if language == "fr" and hour < 2 else words.oclock
    if language == "pt" and hour == 1:
        oclock = "hora"
    if not minute:
        return Clock(said, oclock or own_word) if named else Clock(f"{said} {oclock}".rstrip())
    between = oclock if words.between == words.oclock else words.between
    if named and between == oclock:
        return Clock(f"{said} {between}", _minutes(minute, language))
    full = " ".join(filter(None, (said, between, _minutes(minute, language))))
    return Clock(full, own_word) if named else Clock(full)


def _hour(hour: int, language: str) -> str:
    if language == "de":
        return cardinal(hour, language, "m")
    return cardinal(hour, language, "f" if language in _FEMININE_HOURS else "")


def _minutes(minute: int, language: str) -> str:
    if not minute:
        return ""
    leading = f"{cardinal(0, language)} " if language == "pl" and minute < 10 else ""
    return leading + cardinal(minute, language)


def _english(hour: int, minute: int, half: str | None, following: str) -> str:
    twelve = half or re.match(r"[ap]\.?m", following, re.IGNORECASE)
    letters = f" {' '.join(half.upper())}" if half else ""
    said = cardinal(hour, "en")
    if minute:
        return f"{said} {'oh ' if minute < 10 else ''}{cardinal(minute, 'en')}{letters}"
    if twelve:
        return said + letters
    return f"{said} o'clock" if 1 <= hour <= 12 else f"{said} hundred"
