"""English numbers, times and prices in words, and with en.txt the sentences of the recogniser's training."""

from __future__ import annotations

from random import Random

from scripts.training.stt.grammar import Language, read_language

ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
]
ONES += ["seventeen", "eighteen", "nineteen"]
TENS = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


def number(value: int) -> str:
    """0..9999 in words."""
    if value < 20:
        return ONES[value]
    if value < 100:
        return f"{TENS[value // 10]} {ONES[value % 10]}" if value % 10 else TENS[value // 10]
    unit, word = (100, "hundred") if value < 1000 else (1000, "thousand")
    rest = value % unit
    return f"{number(value // unit)} {word}" + (f" {'and ' if rest < 100 else ''}{number(rest)}" if rest else "")


def _time(rng: Random) -> str:
    hour, minute = number(rng.randint(1, 12)), number(rng.choice((5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55)))
    kind = rng.random()
    if kind < 0.4:
        return hour
    if kind < 0.55:
        return f"{hour} o'clock"
    if kind < 0.65:
        return f"half past {hour}"
    if kind < 0.72:
        return f"quarter {rng.choice(('to', 'past'))} {hour}"
    if kind < 0.86:
        return f"{hour} {rng.choice(('am', 'pm'))}"
    return f"{hour} {minute}" + rng.choice(("", " am", " pm", " pm"))


def _digits(rng: Random) -> str:
    return " ".join(ONES[rng.randint(0, 9)] if rng.random() < 0.95 else "double five" for _ in range(rng.randint(3, 9)))


def _price(rng: Random) -> str:
    euros = number(rng.choice((rng.randint(5, 99), rng.randint(5, 400))))
    return f"{euros} {rng.choice(('fifty', number(rng.randint(10, 99))))}" if rng.random() < 0.2 else f"{euros} euros"


def _any_number(rng: Random) -> str:
    return number(rng.choice((rng.randint(0, 20), rng.randint(0, 99), rng.randint(0, 999), rng.randint(0, 9999))))


ENGLISH: Language = read_language(
    "en",
    {
        "time": _time,
        "clock": _time,
        "digits": _digits,
        "price": _price,
        "number": _any_number,
    },
)
