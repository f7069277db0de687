"""What is read out letter by letter and digit by digit: addresses, codes, postcodes, account numbers, spelled names.

Groups of three or four have a comma, a short pause, between them. What a token is shows by its form ("AB12CD",
"anna@example.de", "A-N-N-A", an IBAN) or by a word before it ("code", "PIN", "Kundennummer").
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from models.tts.number_words import digits
from models.tts.spoken_words import CURRENCIES

_GROUP = 3
_SHORT = 4
"""Up to so many letters and digits are one group, whatever they are."""
_PLAIN_WORDS = (
    "info office service kontakt contact support mail hello hallo team praxis termin booking sales"
    " reservations bewerbung buchhaltung rezeption reception"
)
_PLAIN = frozenset(_PLAIN_WORDS.split())
"""Local parts of addresses that everybody can spell."""
_SAID_ENDINGS = frozenset(("com", "org", "net", "info", "shop", "online", "app", "berlin"))
_DOMAIN = r"[A-Za-z0-9äöüß-]+(?:\.[A-Za-z0-9äöüß-]+)*\.[A-Za-z]{2,12}"
_ADDRESS = re.compile(rf"([\w.+-]+)@({_DOMAIN})")
_SITE = re.compile(
    r"(?:https?://)?((?:[A-Za-z0-9äöüß-]{2,}\.)+(?:com|org|net|info|eu|de|at|ch|uk|io|fr|es|it|nl|pl|pt))/?"
)
_LETTERS = re.compile(r"[^\W_](?:-[^\W_]){2,}")
_CODE = re.compile(r"[A-Z0-9]+(?:[-/][A-Z0-9]+)*")
_IBAN = re.compile(r"[A-Z]{2}\d{2}(?:[A-Z0-9]{10,30})?")
_OUTWARD, _INWARD = re.compile(r"[A-Z]{1,2}\d[A-Z\d]?"), re.compile(r"\d[A-Z]{2}")
_HOUSE = re.compile(r"\d{1,4}[a-z]?,")
_STATE = re.compile(r"[A-Z]{2}")
_CUED = re.compile(r"[A-Za-z0-9]+(?:[-/][A-Za-z0-9]+)*")
# Behind these, whatever holds a digit is a code; behind the others it takes four digits ("number 25" is a number).
_SURE_WORDS = (
    "pin tan puk code codes password passwort kennwort iban bic zip postcode plz postleitzahl reference"
    " referenz vorgang aktenzeichen kundennummer buchungsnummer bestellnummer auftragsnummer"
    " rechnungsnummer kontonummer buchungscode zugangscode gutscheincode flug flight código codice kod cap"
)
_SURE = frozenset(_SURE_WORDS.split())
_LIKELY = re.compile(r"\w*nummer|numbers?|id|account|ticket|número|numéro|numero|numer")
_BETWEEN_WORDS = "is was are it's ist lautet war no nr the your die ihre der ihr es est to für for of von"
_BETWEEN = frozenset(_BETWEEN_WORDS.split())
_REACH = 4
_SHORTEST_CODE = 5
_SYMBOLS = {
    # at, dot, underscore, dash, plus, slash
    "en": ("at", "dot", "underscore", "dash", "plus", "slash"),
    "de": ("ät", "Punkt", "Unterstrich", "Bindestrich", "plus", "Schrägstrich"),
    "fr": ("arobase", "point", "tiret du bas", "tiret", "plus", "barre oblique"),
    "es": ("arroba", "punto", "guion bajo", "guion", "más", "barra"),
    "it": ("chiocciola", "punto", "trattino basso", "trattino", "più", "barra"),
    "nl": ("apenstaartje", "punt", "laag streepje", "streepje", "plus", "schuine streep"),
    "pl": ("małpa", "kropka", "podkreślnik", "myślnik", "plus", "ukośnik"),
    "pt": ("arroba", "ponto", "sublinhado", "hífen", "mais", "barra"),
}


def grouped_digits(text: str, language: str) -> str:
    """Each digit for itself, in the groups that are written, and those in groups of two to four."""
    return ", ".join(digits(group, language) for run in re.findall(r"\d+", text) for group in _groups(run))


def _grouped(text: str, language: str) -> str:
    """Letters by their names, digits by theirs, in groups; what stands apart in the text is a group of its own."""
    runs = re.findall(r"\d+|[^\W\d_]+", text)
    pause = " " if sum(map(len, runs)) <= _SHORT else ", "
    return pause.join(_isolated(group, language) for run in runs for group in _groups(run))


def spelling(cores: Sequence[str], before: Sequence[str], apart: Sequence[bool], language: str) -> list[str]:
    """The forms of a token, and of those behind it that belong to it; none where it is not spelled.

    cores: the token and what follows, without punctuation around them. before: what was before it, as written. apart:
    for each core, whether punctuation ends there.
    """
    core = cores[0]
    if address := _ADDRESS.fullmatch(core):
        return [_address(address[1], address[2], language)]
    if site := _SITE.fullmatch(core):
        return [_domain(site[1], language)]
    if _LETTERS.fullmatch(core):
        return [_grouped(core.replace("-", ""), language)]
    if len(core) > _SHORT and _IBAN.fullmatch(core):
        return [", ".join(_grouped(core[at : at + 4], language) for at in range(0, len(core), 4))]
    taken = _iban(cores, apart) or _postcode(cores, before, apart, language) or _letters(cores, apart)
    return _joined(cores[: taken or _cued(cores, before, apart) or _is_code(core)], language)


def _groups(run: str) -> list[str]:
    """Three by three, so that no last one stands alone."""
    cut = [run[at : at + _GROUP] for at in range(0, len(run), _GROUP)]
    if len(cut) > 1 and len(cut[-1]) == 1:
        cut[-2:] = [cut[-2] + cut[-1]]
    return cut


def _isolated(letters: str, language: str) -> str:
    """espeak takes some letters for words when they stand together: "a cat", Polish "w"."""
    if letters.isdecimal():
        return digits(letters, language)
    return (" " if language in ("en", "de") else ", ").join(_name(each, language) for each in letters)


def _name(letter: str, language: str) -> str:
    if language == "en" and letter in "aA":
        return "eh"
    return letter if letter == "ß" else letter.upper()


def _joined(cores: Sequence[str], language: str) -> list[str]:
    """A comma behind all but the last."""
    forms = [_grouped(core, language) for core in cores]
    return [f"{form}," for form in forms[:-1]] + forms[-1:]


def _address(local: str, domain: str, language: str) -> str:
    pause = "" if local.lower() in _PLAIN else ","
    return f"{_dotted(local, language)}{pause} {_symbols(language)[0]} {_domain(domain, language)}"


def _symbols(language: str) -> tuple[str, ...]:
    return _SYMBOLS.get(language, _SYMBOLS["en"])


def _dotted(local: str, language: str) -> str:
    _, dot, underscore, dash, plus, _ = _symbols(language)
    said = {".": dot, "_": underscore, "-": dash, "+": plus}
    parts = re.findall(r"[._+-]|[^._+-]+", local)
    return " ".join(said.get(part) or _label(part, language) for part in parts)


def _label(part: str, language: str) -> str:
    return part if part.lower() in _PLAIN else _grouped(part, language)


def _domain(domain: str, language: str) -> str:
    _, dot, _, dash, _, _ = _symbols(language)
    *names, ending = domain.split(".")
    parts = ["W W W" if name == "www" else _words(name, dash, language) for name in names]
    short = ending.lower() not in _SAID_ENDINGS
    return f" {dot} ".join([*parts, _isolated(ending, language) if short else ending])


def _words(name: str, dash: str, language: str) -> str:
    """A name in a domain is a word where it can be one."""
    pieces = [
        piece
        if re.search(r"[aeiouyäöü]", piece, re.IGNORECASE) and piece.isalpha() and len(piece) > 2
        else _grouped(piece, language)
        for piece in name.split("-")
        if piece
    ]
    return f" {dash} ".join(pieces)


def _iban(cores: Sequence[str], apart: Sequence[bool]) -> int:
    if not _IBAN.fullmatch(cores[0]):
        return 0
    end = 1
    while end < len(cores) and not apart[end - 1] and re.fullmatch(r"[A-Z0-9]{1,4}", cores[end]):
        end += 1
    return end if end >= 4 and any(char.isdecimal() for char in cores[1]) else 0


def _postcode(cores: Sequence[str], before: Sequence[str], apart: Sequence[bool], language: str) -> int:
    """British ones; German and American ones by what stands before them."""
    core, last = cores[0], before[-1] if before else ""
    if _OUTWARD.fullmatch(core) and len(cores) > 1 and not apart[0] and _INWARD.fullmatch(cores[1]):
        return 2
    if not re.fullmatch(r"\d{5}", core) or (len(cores) < 2 and language == "de"):
        return 0
    if language == "en":
        return int(bool(_STATE.fullmatch(last)))
    return int(bool(_HOUSE.fullmatch(last)) and cores[1][:1].isupper())


def _letters(cores: Sequence[str], apart: Sequence[bool]) -> int:
    """ "M A Y E R", three at least."""
    end = 0
    while end < len(cores) and re.fullmatch(r"[A-ZÄÖÜ]", cores[end]):
        end += 1
        if apart[end - 1]:
            break
    return end if end >= _GROUP else 0


def _cued(cores: Sequence[str], before: Sequence[str], apart: Sequence[bool]) -> int:
    sure = _cue(before)
    if sure is None:
        return 0
    end = count = 0
    while end < len(cores) and _CUED.fullmatch(cores[end]) and _spellable(cores[end]):
        count += sum(char.isdecimal() for char in cores[end])
        end += 1
        if apart[end - 1]:
            break
    return end if count >= (1 if sure else 4) and (end > 1 or len(cores[0]) > 1) else 0


def _spellable(core: str) -> bool:
    return any(char.isdecimal() for char in core) or (core.isupper() and len(core) <= 4)


def _cue(before: Sequence[str]) -> bool | None:
    """Whether a word before says that a code comes: True for surely, None for none."""
    cue = None
    for word in reversed(before[-_REACH:]):
        bare = word.strip("\"'([:,„“").lower()
        if word[-1:] in tuple(".!?;,"):
            break
        if bare in _SURE:
            return True
        if _LIKELY.fullmatch(bare):
            cue = False
        elif bare not in _BETWEEN:
            break
    return cue


def _is_code(core: str) -> bool:
    """Without any word before it: capitals and digits that change places twice, or enough of both."""
    if not _CODE.fullmatch(core) or len(core) < _SHORTEST_CODE:
        return False
    kinds = re.findall(r"\d+|[A-Z]+", core)
    figures = sum(len(kind) for kind in kinds if kind.isdecimal())
    capitals = [kind for kind in kinds if not kind.isdecimal()]
    letters = sum(map(len, capitals))
    if len(kinds) == 2 and (kinds[0].isdecimal() or kinds[0] in CURRENCIES):
        return False  # an amount
    enough = letters >= 2 and (len(kinds) >= 3 or figures >= 4)
    return figures >= 2 and 1 <= letters <= 4 and (enough or len(kinds) >= 4)
