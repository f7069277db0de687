"""What the phone doors say by themselves is there in every language of the voices, and an operator's to change."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from models.tts.spoken_words import LANGUAGES
from server.errors import SettingsError
from server.transports.phrases import house_book, read_book


def test_every_language_of_the_voices_has_phrases_of_its_own() -> None:
    book = house_book()
    assert set(book.languages) == LANGUAGES
    for name in asdict(book.of("en")):
        assert len({asdict(book.of(language))[name] for language in LANGUAGES}) == len(LANGUAGES), name
    assert all(phrases.tag.startswith(language) for language, phrases in book.languages.items())


def test_a_language_without_phrases_is_spoken_to_in_english() -> None:
    assert house_book().of("sv") is house_book().of(None) is house_book().of("en")


def test_an_operator_changes_single_phrases(tmp_path: Path) -> None:
    file = tmp_path / "phrases.toml"
    file.write_text('[de]\nfarewell = "Tschüss!"\n')
    book = read_book(str(file))
    assert book.of("de").farewell == "Tschüss!"
    assert book.of("de").busy == house_book().of("de").busy
    assert book.of("fr") == house_book().of("fr")


def test_an_operator_adds_a_language(tmp_path: Path) -> None:
    words = {**asdict(house_book().of("en")), "tag": "sv-SE", "farewell": "Hej då."}
    file = tmp_path / "phrases.toml"
    file.write_text("[sv]\n" + "".join(f'{name} = "{text}"\n' for name, text in words.items()))
    assert read_book(str(file)).of("sv").farewell == "Hej då."


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[de]\nfarewel = "x"', "farewel; allowed: tag, greeting"),
        ("[de]\nfarewell = 3", "is no table of texts"),
        ('[de]\nfarewell = " "', "is no table of texts"),
        ('de = "x"', "is no table of texts"),
        ('[sv]\nfarewell = "Hej då."', "is new here and lacks tag, greeting"),
        ("[de", "cannot be read"),
    ],
)
def test_what_is_wrong_with_a_file_is_told(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "phrases.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=told):
        read_book(str(file))


def test_a_file_that_is_not_there_is_told() -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        read_book("no/such/file.toml")
