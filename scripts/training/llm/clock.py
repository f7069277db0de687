"""Times of day: how callers say them, what they mean, and how the assistant says them.

The rule: an hour from 1 to 7 without further words is in the afternoon, 8 to 12 is as said; for tables 1 to 11 is in
the evening. "am", "pm", "in the morning" and 24-hour forms are as said. The rule looks at the hour that is spoken:
"quarter to eight" and "halb acht" follow eight.
"""

from __future__ import annotations

import random

EN, DE = (
    tuple(words.split())
    for words in (
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen",
        "null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn "
        "siebzehn achtzehn neunzehn",
    )
)
_EN_TENS = {20: "twenty", 30: "thirty", 40: "forty", 50: "fifty"}
_DE_TENS = {20: "zwanzig", 30: "dreißig", 40: "vierzig", 50: "fünfzig"}
_DE_ONES = ["", "ein", *DE[2:10]]


def number_en(value: int) -> str:
    """0 to 59 in English words."""
    if value < 20:
        return EN[value]
    tens, ones = value - value % 10, value % 10
    return _EN_TENS[tens] + (f" {EN[ones]}" if ones else "")


def number_de(value: int) -> str:
    """0 to 59 in German words."""
    if value < 20:
        return DE[value]
    tens, ones = value - value % 10, value % 10
    return (f"{_DE_ONES[ones]}und" if ones else "") + _DE_TENS[tens]


def meant(hour: int, *, table: bool) -> int:
    """The hour, 0 to 23, that a caller means who says ``hour`` (1 to 12) and nothing else."""
    if table:
        return hour + 12 if hour <= 11 else hour
    return hour + 12 if hour <= 7 else hour


def spoken(time: str, language: str) -> str:
    """How the assistant says HH:MM: "two thirty pm", "vierzehn Uhr dreißig"."""
    hour, minute = (int(part) for part in time.split(":"))
    if language == "de":
        word = "ein" if hour == 1 else number_de(hour)
        return f"{word} Uhr" + (f" {number_de(minute)}" if minute else "")
    half = "am" if hour < 12 else "pm"
    return f"{number_en((hour - 1) % 12 + 1)}{f' {number_en(minute)}' if minute else ''} {half}"


def said(rng: random.Random, language: str, *, table: bool = False) -> tuple[str, str]:
    """(how a caller says a time, without "at" or "um"; HH:MM that it means)."""
    return _said_de(rng, table) if language == "de" else _said_en(rng, table)


def _minute(rng: random.Random) -> int:
    return rng.choices([0, 30, 15, 45, rng.choice([10, 20, 40, 50])], [45, 28, 11, 11, 5])[0]


def _hhmm(hour: int, minute: int) -> str:
    return f"{hour:02d}:{minute:02d}"


def _said_en(rng: random.Random, table: bool) -> tuple[str, str]:
    hour = rng.randint(1, 12)
    minute = _minute(rng)
    form = rng.choices(["plain", "half", "digits", "pm", "24"], [34, 26, 14, 20, 6])[0]
    whole = meant(hour, table=table)
    if form == "24":
        hour = rng.randint(13, 21)
        return f"{hour}:{minute:02d}", _hhmm(hour, minute)
    if form == "half" and minute in (15, 30, 45):
        if minute == 45:
            return f"{rng.choice(['', 'a '])}quarter to {EN[hour]}", _hhmm(whole - 1, 45)
        words = {30: "half past", 15: rng.choice(["quarter past", "a quarter past"])}[minute]
        return f"{words} {EN[hour]}", _hhmm(whole, minute)
    if form == "digits":
        return (f"{hour}:{minute:02d}" if minute or rng.random() < 0.6 else f"{hour}"), _hhmm(whole, minute)
    if form == "pm":
        morning = 8 <= hour <= 11 and rng.random() < 0.6
        whole = hour if morning or hour == 12 else hour + 12
        if hour == 12:
            endings = ["pm"]
        elif morning:
            endings = ["am", "in the morning"]
        else:
            endings = ["pm", "in the afternoon" if hour < 6 else "in the evening"]
        digits = rng.random() < 0.4
        clock = f"{hour}:{minute:02d}" if digits and minute else str(hour) if digits else EN[hour]
        if not digits and minute:
            clock += f" {number_en(minute)}"
        return f"{clock} {rng.choice(endings)}", _hhmm(whole, minute)
    clock = EN[hour] + (f" {number_en(minute)}" if minute else rng.choice(["", "", " o'clock"]))
    return clock, _hhmm(whole, minute)


def _said_de(rng: random.Random, table: bool) -> tuple[str, str]:
    hour = rng.randint(1, 12)
    minute = _minute(rng)
    form = rng.choices(["plain", "half", "digits", "day", "24"], [28, 26, 12, 14, 20])[0]
    whole = meant(hour, table=table)
    name = "ein" if hour == 1 else DE[hour]
    if form == "24":
        hour = rng.randint(13, 21)
        if rng.random() < 0.6:
            return f"{DE[hour] if hour < 20 else number_de(hour)} Uhr" + (
                f" {number_de(minute)}" if minute else ""
            ), _hhmm(hour, minute)
        return (f"{hour}:{minute:02d}" + rng.choice(["", " Uhr"]) if minute else f"{hour} Uhr"), _hhmm(hour, minute)
    if form == "half" and minute in (15, 30, 45):
        if minute == 15:
            return f"Viertel nach {DE[hour]}", _hhmm(whole, 15)
        return f"{'halb' if minute == 30 else 'Viertel vor'} {DE[hour]}", _hhmm(whole - 1, minute)
    if form == "digits":
        return (f"{hour}:{minute:02d}" if minute else f"{hour} Uhr"), _hhmm(whole, minute)
    if form == "day":
        morning = 8 <= hour <= 11 and rng.random() < 0.6
        if hour == 12:
            return f"zwölf Uhr{f' {number_de(minute)}' if minute else ''} mittags", _hhmm(12, minute)
        ending = rng.choice(["morgens", "vormittags"]) if morning else "nachmittags" if hour < 6 else "abends"
        clock = f"{name} Uhr" + (f" {number_de(minute)}" if minute else "")
        return f"{clock} {ending}", _hhmm(hour if morning else hour + 12, minute)
    if not minute and rng.random() < 0.5:
        return DE[hour], _hhmm(whole, 0)
    return f"{name} Uhr" + (f" {number_de(minute)}" if minute else ""), _hhmm(whole, minute)
