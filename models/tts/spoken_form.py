"""How pieces of a text are read out: numbers, dates, times, prices, measures, telephone numbers and short forms.
What is spelled (codes, addresses, names letter by letter) is in spelling.py.

espeak's own reading goes wrong there: it takes a full stop before a capital or a digit for the end of a sentence ("Dr.
Müller", "am 25. Mai"), reads clock times digit by digit and telephone numbers in millions.
Each piece of text keeps a spoken form of its own, so that offsets in the text stay known. A language without words here
keeps its digits: espeak reads them as well as it can.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache

from models.tts import number_words
from models.tts.number_words import cardinal, digits
from models.tts.spelling import grouped_digits, spelling
from models.tts.spoken_dates import clock, day_of_month, full_date
from models.tts.spoken_words import CURRENCIES, UNITS, Words, currency_name, has_cents, unit_name, words_of

_OPENING = "\"'([\u00ab\u00bb\u2018\u2019\u201a\u201c\u201d\u201e\u00bf\u00a1"
_CLOSING = "\"').,;:!?]\u00ab\u00bb\u2018\u2019\u201c\u201d\u2026"
# These are also words or ends of sentences: what follows must show that they are short for something.
_BEFORE_DIGIT = frozenset(("no.", "nr.", "ext.", "tel.", "n.", "nr", "n°", "ok.", "al."))
_BEFORE_CAPITAL = frozenset(("st.", "st", "m.", "d.", "fr.", "av.", "ud."))
_SIGNED = re.compile(r"([-\u2212]?)([\d.,\u202f]*\d)")
_PRICE = re.compile(r"(R\$|[€$£])([\d.,]*\d)|([\d.,]*\d)(R\$|[€$£]|zł)")
_MEASURE = re.compile(r"([-\u2212]?[\d.,]*\d)(%|[^\W\d]+[²³]?(?:/h)?|°C)")
_ORDINAL = {
    "en": re.compile(r"(\d+)(?:st|nd|rd|th)"),
    "fr": re.compile(r"(\d+)(?:er|(re|ère)|e|ème|nd|(nde))"),
    "es": re.compile(r"(\d+)\.?(?:º|o|(ª|a))"),
    "it": re.compile(r"(\d+)\.?(?:º|°|(ª))"),
    "nl": re.compile(r"(\d+)(?:e|de|ste)"),
    "pt": re.compile(r"(\d+)\.?(?:º|o|(ª|a))"),
}
_PHONE = re.compile(r"(?:\+\d|\(?0\d|\d{2,4}[-/]\d{2,4}[-/]\d)[\d()/-]{4,}|\d{3}-\d{4}|\(0\d+\)|\+\d{1,3}|0\d+")
_PHONE_GOES_ON = re.compile(r"[\d()/-]*\d[\d()/-]*")
_RANGE = re.compile(r"(\d[\d:.,]*)[-\u2013](\d[\d:.,]*)")
_LONG = 7
_LONGEST = 15
"""A number of more digits has no name that anybody knows, and is read digit by digit."""
_SPELLED = 10
"""Tokens of one spelled thing, at most: an IBAN in groups of four has nine."""
_LEAST_PHONE, _GROUPED_PHONE = 6, 9
_TELEPHONE = frozenset(
    ("tel", "tél", "phone", "telephone", "telefon", "telefono", "teléfono", "téléphone", "telefone", "telefoon")
)


def spoken_forms(tokens: Sequence[str], language: str) -> list[str]:
    """The spoken form of each token (text between blanks), the token itself where there is nothing to say about it.
    language: ISO 639-1."""
    words = words_of(language)
    if words is None:
        return list(tokens)
    return _Reader(tokens, language, words).read()


class _Reader:
    """Goes over the tokens once; a rule that takes several of them says so."""

    def __init__(self, tokens: Sequence[str], language: str, words: Words) -> None:
        self._tokens, self._language, self._words = tokens, language, words
        self._forms = list(tokens)

    def read(self) -> list[str]:
        rules: tuple[Callable[[int], int], ...] = (
            self._short,
            self._spell,
            self._date,
            self._time,
            self._phone,
            self._amount,
        )
        index = 0
        while index < len(self._tokens):
            index += next((taken for rule in rules if (taken := rule(index))), 1)
        return self._forms

    def _at(self, index: int) -> str:
        return self._tokens[index] if 0 <= index < len(self._tokens) else ""

    def _parts(self, index: int) -> tuple[str, str, str]:
        """The punctuation before a token, what it says, and the punctuation behind it."""
        token = self._at(index)
        bare = token.lstrip(_OPENING)
        core = bare.rstrip(_CLOSING)
        return token[: len(token) - len(bare)], core, bare[len(core) :]

    def _say(self, index: int, form: str) -> None:
        before, _, behind = self._parts(index)
        self._forms[index] = f"{before}{form}{behind}"

    def _short(self, index: int) -> int:
        """Short forms: "Dr. Smith"."""
        bare = self._tokens[index].lstrip(_OPENING)
        short = bare.lower()
        following = self._at(index + 1).lstrip(_OPENING)[:1]
        if short not in self._words.short or not following:
            return 0
        if short in _BEFORE_DIGIT and not following.isdigit():
            return 0
        if short in _BEFORE_CAPITAL and not (following.isupper() and bare[:1].isupper()):
            return 0
        self._forms[index] = self._tokens[index].removesuffix(bare) + self._words.short[short]
        return 1

    def _spell(self, index: int) -> int:
        """What is said letter by letter or digit by digit."""
        ahead = range(index, min(index + _SPELLED, len(self._tokens)))
        parts = [self._parts(at) for at in ahead]
        if not parts[0][1] or (len(parts) > 1 and parts[1][1] in (*CURRENCIES, "Euro", "euros")):
            return 0
        before = self._tokens[max(0, index - _SPELLED) : index]
        forms = spelling([core for _, core, _ in parts], before, [bool(end) for *_, end in parts], self._language)
        for at, form in enumerate(forms, index):
            self._say(at, form)
        return len(forms)

    def _date(self, index: int) -> int:
        """Dates in digits, a day before or behind its month, a year behind a month or "in"."""
        before, core, behind = self._parts(index)
        if date := full_date(core, self._at(index - 1), self._language, self._words):
            self._say(index, date)
            return 1
        if self._is_year(index, core):
            self._say(index, self._year(index, int(core)))
            return 1
        following = self._at(index + 1 + (bool(self._words.of) and self._at(index + 1) == self._words.of))
        months = self._words.months
        ahead = following.rstrip(_CLOSING) in months
        beside = ahead or (self._language == "en" and self._parts(index - 1)[1] in months)
        form = day_of_month(core + behind, self._at(index - 1), self._language, self._words) if beside else None
        if form is None:
            return 0
        self._forms[index] = before + form + (" of" if ahead and self._language == "en" else "")
        return 1

    def _is_year(self, index: int, core: str) -> bool:
        if not re.fullmatch(r"1[1-9]\d\d|20\d\d", core):
            return False
        earlier = self._parts(index - 1)[1]
        month = earlier in self._words.months or self._parts(index - 2)[1] in self._words.months
        return month or earlier.lower() in self._words.year_behind or self._polish_year(index)

    def _polish_year(self, index: int) -> bool:
        return self._language == "pl" and self._parts(index + 1)[1] in ("r", "roku")

    def _year(self, index: int, number: int) -> str:
        if self._polish_year(index):
            before, _, behind = self._parts(index + 1)
            self._forms[index + 1] = f"{before}roku{behind.removeprefix('.')}"
            return number_words.polish_year(number).removesuffix(" roku")
        if self._language == "pl" and self._parts(index - 1)[1] in self._words.months:
            return number_words.polish_year(number)
        return number_words.year(number, self._language)

    def _time(self, index: int) -> int:
        """Clock times, also from one to another; words that they bring along ("Uhr", "heures") are theirs."""
        _, core, behind = self._parts(index)
        span = _RANGE.fullmatch(core)
        sides = (span[1], span[2]) if span else (core,)
        following = "" if behind else self._at(index + 1)
        forms = [clock(side, following, self._at(index - 1), self._language, self._words) for side in sides]
        if None in forms:
            return 0
        self._say(index, f" {self._words.to} ".join(form.words for form in forms if form))
        last = forms[-1]
        if last is not None and last.follows is not None and following:
            self._say(index + 1, last.follows)
            return 2
        return 1

    def _phone(self, index: int) -> int:
        """Telephone numbers, in one piece or several."""
        start, end = self._parts(index)[1], index + 1
        if not _PHONE_GOES_ON.fullmatch(start.removeprefix("+")):
            return 0
        while self._parts(end - 1)[2] in ("", ")") and _PHONE_GOES_ON.fullmatch(self._parts(end)[1]):
            end += 1
        pieces = [self._parts(at)[1] for at in range(index, end)]
        count = sum(char.isdigit() for piece in pieces for char in piece)
        named = self._parts(index - 1)[1].lower() in _TELEPHONE
        grouped = len(pieces) > 2 and count >= _GROUPED_PHONE and min(map(len, pieces)) > 1
        if count < _LEAST_PHONE or not (named or grouped or _PHONE.fullmatch(start)):
            return 0
        for at, piece in enumerate(pieces, index):
            plus = f"{self._words.plus} " if piece.startswith("+") else ""
            self._say(at, plus + grouped_digits(piece, self._language))
            if at < end - 1:
                self._forms[at] += ","
        return end - index

    def _amount(self, index: int) -> int:
        """Prices, percentages, measures, ordinals, plain numbers."""
        _, core, behind = self._parts(index)
        _, following, _ = self._parts(index + 1)
        following = "" if behind else following
        if core in CURRENCIES and _SIGNED.fullmatch(following):
            return self._pair(index, self._price(following, CURRENCIES[core]))
        if price := _PRICE.fullmatch(core):
            return self._tell(index, self._price(price[2] or price[3], CURRENCIES[price[1] or price[4]]))
        if not _SIGNED.fullmatch(core):
            return self._with_suffix(index, core)
        if following in CURRENCIES:
            return self._pair(index, self._price(core, CURRENCIES[following]))
        if following == "%" or following in UNITS:
            return self._pair(index, self._measure(core, following))
        round_ = core.endswith("000") and len(core) <= _LONGEST
        no_amount = core.startswith("0") or (len(core) >= _LONG and not round_)
        if core.isdecimal() and len(core) > 2 and no_amount:
            return self._tell(index, grouped_digits(core, self._language))
        return self._tell(index, self._number(core))

    def _with_suffix(self, index: int, core: str) -> int:
        if span := _RANGE.fullmatch(core):
            sides = [self._number(side) for side in span.groups()]
            return self._tell(index, None if None in sides else f" {self._words.to} ".join(map(str, sides)))
        ordinal = _ORDINAL.get(self._language)
        if ordinal is not None and (found := ordinal.fullmatch(core)) and len(found[1]) <= _LONGEST:
            form = "f" if any(found.groups()[1:]) else "m"
            return self._tell(index, number_words.ordinal(int(found[1]), self._language, form))
        if (measure := _MEASURE.fullmatch(core)) and (measure[2] == "%" or measure[2] in UNITS):
            return self._tell(index, self._measure(measure[1], measure[2]))
        return 0

    def _tell(self, index: int, form: str | None) -> int:
        if form is None:
            return 0
        self._say(index, form)
        return 1

    def _pair(self, index: int, form: str | None) -> int:
        """A form that says two tokens: the first word belongs to the first of them, so that both are heard."""
        if form is None:
            return 0
        first, _, rest = form.rpartition(" ")
        self._say(index, first)
        self._say(index + 1, rest)
        return 2

    def _value(self, text: str) -> tuple[str, int, str] | None:
        """Sign, whole and decimals of a number as the language writes it; None for any other."""
        pattern = _number_pattern(self._words.decimal, self._words.group)
        found = pattern.fullmatch(text)
        if found is None:
            return None
        whole = re.sub(r"\D", "", found[2])
        if len(whole) > _LONGEST or (len(whole) > 1 and whole.startswith("0")):
            return None
        return found[1], int(whole), found[3] or ""

    def _number(self, text: str, gender: str = "") -> str | None:
        value = self._value(text)
        if value is None:
            return None
        sign, whole, decimals = value
        said = cardinal(whole, self._language, "" if decimals else gender)
        if decimals:
            said += f" {self._words.point} {digits(decimals, self._language)}"
        return f"{self._words.minus} {said}" if sign else said

    def _gender(self, what: str) -> str:
        return "f" if what in self._words.feminine else "m"

    def _price(self, text: str, currency: str) -> str | None:
        value = self._value(text)
        if value is None:
            return None
        _, whole, decimals = value
        if len(decimals) != 2 or not (whole or has_cents(currency)):
            number = self._number(text, self._gender(currency))
            return number and f"{number} {currency_name(currency, 2 if decimals else whole, self._language)}"
        cents = cardinal(int(decimals), self._language) if int(decimals) else ""
        if not whole and cents:
            return f"{cents} {self._words.cents}"
        parts = [
            cardinal(whole, self._language, self._gender(currency)),
            currency_name(currency, whole, self._language),
        ]
        return " ".join([*parts, *filter(None, [self._words.cents_joined if cents else "", cents])])

    def _measure(self, text: str, unit: str) -> str | None:
        value = self._value(text)
        if value is None:
            return None
        if unit == "%":
            return f"{self._number(text)} {self._words.percent}"
        count = float(f"{value[1]}.{value[2] or 0}")
        number = self._number(text, self._gender(UNITS[unit]))
        return f"{number} {unit_name(UNITS[unit], int(count) if count.is_integer() else count, self._language)}"


@lru_cache(maxsize=16)
def _number_pattern(decimal: str, group: str) -> re.Pattern[str]:
    whole = rf"\d{{1,3}}(?:{re.escape(group)}\d{{3}})+|\d+"
    return re.compile(rf"([-\u2212]?)({whole})(?:{re.escape(decimal)}(\d+))?")
