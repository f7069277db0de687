"""Numbers as words, by the spell-out rules of Unicode's CLDR (``unicode-rbnf``), in the languages that have a voice."""

from __future__ import annotations

from functools import lru_cache

from unicode_rbnf import RbnfEngine

_CARDINALS = {
    "": ("spellout-numbering",),
    "m": ("spellout-cardinal-masculine", "spellout-cardinal", "spellout-numbering"),
    "f": ("spellout-cardinal-feminine", "spellout-cardinal", "spellout-numbering"),
}
_ORDINALS = {
    "": ("spellout-ordinal", "spellout-ordinal-masculine"),
    "m": ("spellout-ordinal-masculine-adjective", "spellout-ordinal-masculine", "spellout-ordinal"),
    "f": ("spellout-ordinal-feminine", "spellout-ordinal"),
    "n": ("spellout-ordinal-n",),
}
_YEAR = ("spellout-numbering-year",)
_SOFT_HYPHEN = "\xad"

# CLDR has no Polish ordinals. Genitive, as in dates; the nominative feminine, as in clock times, ends in -a.
_ONES = (
    "pierwszego drugiego trzeciego czwartego piątego szóstego siódmego ósmego dziewiątego dziesiątego jedenastego"
    " dwunastego trzynastego czternastego piętnastego szesnastego siedemnastego osiemnastego dziewiętnastego"
)
_TENS = (
    "dwudziestego trzydziestego czterdziestego pięćdziesiątego sześćdziesiątego siedemdziesiątego"
    " osiemdziesiątego dziewięćdziesiątego"
)
_POLISH_ONES = ("", *_ONES.split())
_POLISH_TENS = ("", "", *_TENS.split())


@lru_cache(maxsize=16)
def _engine(language: str) -> RbnfEngine:
    return RbnfEngine.for_language(language)


@lru_cache(maxsize=4096)
def _spelt(number: int, language: str, rules: tuple[str, ...]) -> str:
    engine = _engine(language)
    rule = next(name for name in rules if name in engine.rulesets)
    return str(engine.format_number(number, ruleset_names=[rule]).text).replace(_SOFT_HYPHEN, "")


def cardinal(number: int, language: str, gender: str = "") -> str:
    """21 as "twenty-one". gender: m or f of what is counted, "" for a bare number."""
    return _spelt(number, language, _CARDINALS[gender])


def ordinal(number: int, language: str, form: str = "") -> str:
    """3 as "third". form: m or f; in German n for the form with -n. Not for Polish."""
    return _spelt(number, language, _ORDINALS[form])


def year(number: int, language: str) -> str:
    """1999 as "nineteen ninety-nine"."""
    return _spelt(number, language, _YEAR)


def digits(text: str, language: str) -> str:
    """Each digit for itself."""
    return " ".join(cardinal(int(digit), language) for digit in text)


def polish_ordinal(number: int) -> str:
    """1 to 99 in the genitive, as in "dwudziestego piątego maja"."""
    if number < 20:
        return _POLISH_ONES[number]
    return f"{_POLISH_TENS[number // 10]} {_POLISH_ONES[number % 10]}".strip()


def polish_year(number: int) -> str:
    """A year in the genitive, as behind a date, as far as its ordinals are known (2001 to 2099); else its number."""
    if 2000 < number < 2100:
        return f"dwa tysiące {polish_ordinal(number - 2000)} roku"
    return f"{year(number, 'pl')} roku"


def polish_hour(hour: int, *, nominative: bool) -> str:
    """The hour as a feminine ordinal: "czternasta", behind a preposition "czternastej". 0 is "zero"."""
    if not hour:
        return cardinal(0, "pl")
    end = "a" if nominative else "ej"
    words = (word.removesuffix("ego").removesuffix("i") for word in polish_ordinal(hour).split())
    return " ".join(("druga" if nominative else "drugiej") if word == "drug" else _soft(word, end) for word in words)


def _soft(stem: str, end: str) -> str:
    """trzecia, trzeciej: the stem of "third" keeps its i."""
    return f"{stem}i{end}" if stem == "trzec" else stem + end
