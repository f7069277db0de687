"""German numbers, times and prices in words, and with de.txt the sentences of the recogniser's training."""

from __future__ import annotations

from random import Random

from scripts.training.stt.grammar import Language, read_language

ONES = [
    "null",
    "eins",
    "zwei",
    "drei",
    "vier",
    "fünf",
    "sechs",
    "sieben",
    "acht",
    "neun",
    "zehn",
    "elf",
    "zwölf",
    "dreizehn",
    "vierzehn",
    "fünfzehn",
    "sechzehn",
]
ONES += ["siebzehn", "achtzehn", "neunzehn"]
TENS = ["", "", "zwanzig", "dreißig", "vierzig", "fünfzig", "sechzig", "siebzig", "achtzig", "neunzig"]


def number(value: int) -> str:
    """0..9999 in words."""
    if value < 20:
        return ONES[value]
    if value < 100:
        one = value % 10
        return ("ein" if one == 1 else ONES[one]) + "und" + TENS[value // 10] if one else TENS[value // 10]
    unit, word = (100, "hundert") if value < 1000 else (1000, "tausend")
    count = value // unit
    return ("ein" if count == 1 else ONES[count]) + word + (number(value % unit) if value % unit else "")


def _hour(value: int) -> str:
    return "ein" if value == 1 else number(value)


def _time(rng: Random) -> str:
    hour = rng.choice((rng.randint(1, 12), rng.randint(8, 20)))
    kind = rng.random()
    if kind < 0.6:
        return f"{_hour(hour)} Uhr"
    if kind < 0.7:
        return f"halb {number(rng.randint(1, 12))}"
    if kind < 0.76:
        return f"Viertel {rng.choice(('vor', 'nach'))} {number(rng.randint(1, 12))}"
    return f"{_hour(hour)} Uhr {number(rng.choice((5, 10, 15, 15, 20, 25, 30, 30, 30, 35, 40, 45, 45, 50, 55)))}"


def _digits(rng: Random) -> str:
    return " ".join(ONES[rng.randint(0, 9)] for _ in range(rng.randint(3, 9)))


def _price(rng: Random) -> str:
    euros = f"{_hour(rng.choice((rng.randint(5, 99), rng.randint(5, 400))))} Euro"
    return f"{euros} {rng.choice(('fünfzig', number(rng.randint(10, 99))))}" if rng.random() < 0.2 else euros


def _any_number(rng: Random) -> str:
    return number(rng.choice((rng.randint(0, 20), rng.randint(0, 99), rng.randint(0, 999), rng.randint(0, 9999))))


GERMAN: Language = read_language(
    "de",
    {
        "time": _time,
        "clock": _time,
        "digits": _digits,
        "price": _price,
        "number": _any_number,
    },
)
