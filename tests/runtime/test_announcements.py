"""Whether an answer has said itself that the call ends or is handed on."""

from __future__ import annotations

import pytest

from server.runtime.announcements import says_connecting, says_goodbye
from server.transports.phrases import house_book

BOOK = house_book().languages


@pytest.mark.parametrize("language", BOOK)
def test_the_houses_own_sentences_are_known_in_each_language(language: str) -> None:
    book = BOOK[language]
    assert says_goodbye(book.farewell, language)
    assert says_connecting(book.transfer, language)
    for words in (book.greeting, book.still_there, book.one_minute, book.cut_off, book.busy, book.transfer):
        assert not says_goodbye(words, language), words
    for words in (book.greeting, book.still_there, book.one_minute, book.cut_off, book.not_connected, book.farewell):
        assert not says_connecting(words, language), words


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", "Thanks for calling. Good-bye!"),
        ("en", "Have a lovely evening."),
        (None, "Bye bye."),
        ("de", "Gern geschehen. Schönen Tag noch!"),
        ("de", "Tschüs, bis bald."),
    ],
)
def test_a_goodbye(language: str | None, words: str) -> None:
    assert says_goodbye(words, language)


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", ""),
        ("en", "You can come by on Friday."),
        ("en", "Shall I say goodbye?"),
        ("en", "If you say goodbye, the call ends."),
        ("de", "Wir haben bis Samstag offen."),
        ("de", "Goodbye."),
        ("ja", "Goodbye."),
    ],
)
def test_what_is_not_surely_a_goodbye(language: str, words: str) -> None:
    assert not says_goodbye(words, language)


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", "I am sorry, I cannot help. I’m transferring you to a colleague."),
        ("en", "You are being put through now."),
        ("de", "Dabei kann ich nicht helfen. Ich verbinde Sie mit einer Kollegin."),
        ("de", "Sie werden jetzt verbunden."),
        ("de", "Ich leite Sie weiter."),
    ],
)
def test_an_announcement_of_a_transfer(language: str, words: str) -> None:
    assert says_connecting(words, language)


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", "One moment, please."),
        ("en", "I cannot connect you."),
        ("en", "I can put you through if you like."),
        ("de", "Ich kann Sie gerne mit einem Kollegen verbinden."),
        ("de", "Soll ich Sie verbinden?"),
        ("de", "Leider verbinde ich Sie heute mit niemandem."),
    ],
)
def test_what_does_not_surely_announce_a_transfer(language: str, words: str) -> None:
    assert not says_connecting(words, language)
