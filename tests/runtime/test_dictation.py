"""What callers dictate is written out, in English and German."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import models
from models.stt.faster_whisper import FasterWhisper
from server.runtime.dictated_words import ALPHABET, DIGITS, FILLERS, LETTERS, NUMBERS, TENS
from server.runtime.dictation import KINDS, code, digits, email, letters, settled
from tests.models.speech import speak, with_silence


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("My number is zero three zero, double one, five.", "030115"),
        ("null drei null, doppel eins", "03011"),
        ("I am 42 and my number is zero three zero 11 45", "0301145"),
        ("fünfunddreißig, zwei und zwanzig", "3522"),
        ("thirty five, twenty-six, four hundred", "3526400"),
        ("zwanzig, drei, zweihundert", "203200"),
        ("plus four nine, one seven zero", "+49170"),
        ("Oh one seven zero, triple five!", "0170555"),
        ("+49 (170) 123-45", "+4917012345"),
        ("Meine Nummer ist null eins siebzig, zwo und dann äh acht", "017028"),
        ("double oh seven", "007"),
        ("einhundert eleven zwölf", "1001112"),
        ("twenty twenty-six", "2026"),
        ("4711", "4711"),
        ("four", "4"),
        ("one moment, the third one", ""),
        ("no digits here", ""),
        ("", ""),
    ],
)
def test_digits(said: str, written: str) -> None:
    assert digits(said) == written


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("A for apple, N as in Nora, N, A", "ANNA"),
        ("A wie Anton, N wie Nordpol, doppel L", "ANLL"),
        ("Anton Nordpol Nordpol Anton", "ANNA"),
        ("alfa November november Alfa", "ANNA"),
        ("Aachen, Nürnberg, Nürnberg, Aachen", "ANNA"),
        ("My name is M-E-Y-E-R.", "MEYER"),
        ("my name is M, E, Y, E, R", "MEYER"),
        ("em u Umlaut L L E R", "ÜLLER"),
        ("Ludwig Ärger Schule", "LÄSCH"),
        ("G R O Eszett", "GROß"),
        ("it's double u, i, double l", "WILL"),
        ("Ypsilon, vau, jot, zett", "YVJZ"),
        ("I am here", ""),
        ("Schmidt", ""),
    ],
)
def test_letters(said: str, written: str) -> None:
    assert letters(said) == written


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("A B one two C D", "AB12CD"),
        ("the booking code is AB12CD, please", "AB12CD"),
        ("Alfa Bravo eins zwei", "AB12"),
        ("X, seven, K nine nine two", "X7K992"),
        ("K M dash 47 11", "KM4711"),
        ("K wie Konrad, vier, doppel sieben", "K477"),
        ("I do not know", ""),
    ],
)
def test_codes(said: str, written: str) -> None:
    assert code(said) == written


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("anna dot meyer at example dot com", "anna.meyer@example.com"),
        ("you can reach me at a n n a dot m e y e r at example dot com please", "anna.meyer@example.com"),
        ("It is Anna.Meyer@example.com.", "anna.meyer@example.com"),
        ("Anna Unterstrich Weber ät gmx Punkt de", "anna_weber@gmx.de"),
        ("anna at example Punkt de", "anna@example.de"),
        ("it's info at my dash salon dot co dot uk", "info@my-salon.co.uk"),
        ("max one two at g mail dot com", "max12@gmail.com"),
        ("meine Adresse ist m punkt weber at web punkt d e", "m.weber@web.de"),
        ("anna underscore 1 at example.com", "anna_1@example.com"),
        ("A wie Anton, N, N, A at example dot c o dot u k", "anna@example.co.uk"),
        ("anna plus test klammeraffe example punkt org", "anna+test@example.org"),
        ("I am at home", ""),
        ("let us meet at nine", ""),
        ("at example dot com", ""),
    ],
)
def test_addresses(said: str, written: str) -> None:
    assert email(said) == written


@pytest.mark.parametrize(
    ("said", "voice", "written"),
    [
        ("zero three zero one one five", "en-us", "030115"),
        ("Meine Nummer ist null drei null eins eins fünf.", "de", "030115"),
        ("vier sieben eins eins", "de", "4711"),
    ],
)
async def test_digits_that_are_spoken_are_written(said: str, voice: str, written: str) -> None:
    engine = FasterWhisper.load(Path(models.__file__).parent / "bundled" / "stt" / "tiny", name="tiny")
    try:
        utterance = engine.open()
        utterance.push(with_silence(speak(said, voice=voice)))
        assert digits((await utterance.final()).text) == written
    finally:
        await engine.close()


def test_arguments_are_written_out_where_the_schema_asks_for_it() -> None:
    schema = {
        "type": "object",
        "properties": {
            "phone": {"type": "string", "format": "digits"},
            "mail": {"type": "string", "format": "email"},
            "name": {"type": "string"},
            "people": {"type": "integer", "format": "digits"},
        },
    }
    values = {"phone": "null drei", "mail": "at home", "name": "one two", "people": 3, "more": "four"}
    assert settled(schema, values) == {**values, "phone": "03"}
    assert settled({"properties": "none"}, values) == values


@given(number=st.text(alphabet="0123456789", min_size=1, max_size=12), german=st.booleans(), commas=st.booleans())
def test_any_digits_that_are_said_one_by_one_come_back(number: str, german: bool, commas: bool) -> None:
    names = {digit: word for word, digit in DIGITS.items() if (word in _GERMAN) == german}
    assert digits((", " if commas else " ").join(names[digit] for digit in number)) == number


@given(word=st.text(alphabet="ABCDEFGHIKLMNOPQRSTUVWXYZ", min_size=2, max_size=12))
def test_any_name_that_is_spelled_comes_back(word: str) -> None:
    assert letters(" ".join(word)) == word
    assert letters("-".join(word)) == word


WORDS = sorted({*DIGITS, *NUMBERS, *TENS, *LETTERS, *ALPHABET, *FILLERS, "at", "dot", "umlaut", "for", "wie", "anna"})
_GERMAN = frozenset(("null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun"))


@given(said=st.one_of(st.text(max_size=60), st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join)))
def test_any_words_can_be_read(said: str) -> None:
    assert set(digits(said)) <= set("+0123456789")
    for kind in KINDS.values():
        assert isinstance(kind(said), str)
