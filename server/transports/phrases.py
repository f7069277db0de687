"""What the phone doors say by themselves: in phrases.toml beside this file, each of them an operator's to change."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from pathlib import Path

from server.errors import SettingsError

_FILE = Path(__file__).with_name("phrases.toml")
_FALLBACK = "en"


@dataclass(frozen=True, slots=True)
class Phrases:
    """What the door itself says, in one language. tag: the language, as carriers name it (BCP 47)."""

    tag: str
    greeting: str
    still_there: str
    goodbye: str
    one_minute: str
    moment: str
    time_is_up: str
    cut_off: str
    busy: str
    closing: str
    farewell: str
    transfer: str
    not_connected: str
    unreached: str


_NAMES = tuple(field.name for field in fields(Phrases))


@dataclass(frozen=True, slots=True)
class PhraseBook:
    """Phrases by language (ISO 639-1)."""

    languages: Mapping[str, Phrases]

    def of(self, language: str | None) -> Phrases:
        """In this language; in English where there are none."""
        return self.languages.get(language or _FALLBACK, self.languages[_FALLBACK])


@lru_cache(maxsize=1)
def house_book() -> PhraseBook:
    """The phrases that come with the server, in the languages that the voices speak."""
    tables = tomllib.loads(_FILE.read_text("utf-8"))
    return PhraseBook({language: Phrases(**table) for language, table in tables.items()})


def read_book(path: str) -> PhraseBook:
    """The house's phrases with those of an operator's file ("" for none) in their place. A language that the house does
    not have needs all of them. Raises SettingsError."""
    book = house_book()
    if not path:
        return book
    try:
        tables = tomllib.loads(Path(path).expanduser().read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"phone.phrases {path} cannot be read: {error}") from None
    return PhraseBook({**book.languages, **{name: _changed(book, path, name, table) for name, table in tables.items()}})


def _changed(book: PhraseBook, path: str, language: str, table: object) -> Phrases:
    if not isinstance(table, dict) or not all(isinstance(words, str) and words.strip() for words in table.values()):
        raise SettingsError(f"phone.phrases {path}: [{language}] is no table of texts")
    unknown = ", ".join(sorted(set(table) - set(_NAMES)))
    if unknown:
        raise SettingsError(f"phone.phrases {path}: [{language}] has {unknown}; allowed: {', '.join(_NAMES)}")
    known = asdict(book.languages[language]) if language in book.languages else {}
    missing = ", ".join(name for name in _NAMES if name not in {**known, **table})
    if missing:
        raise SettingsError(f"phone.phrases {path}: [{language}] is new here and lacks {missing}")
    return Phrases(**{**known, **table})
