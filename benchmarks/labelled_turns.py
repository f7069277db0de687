"""Turns for `benchmarks/endpointing.py`, labelled by hand: said without a pause, or with one to think in the middle.

Two halves that share no sentence. Rules and limits of the turn detector were looked for on ``TUNING``; what is said
about it is measured on ``HELD_OUT``, which nothing was fitted to. All of it is what callers of a reception say, as the
bundled recogniser knows nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Labelled:
    """finished: voice and words of a whole turn. unfinished: voice, words before a pause, and words behind it."""

    finished: tuple[tuple[str, str], ...]
    unfinished: tuple[tuple[str, str, str], ...]


TUNING = Labelled(
    finished=(
        ("en-us", "What time do you open on Friday?"),
        ("en-gb", "I would like to book a haircut on Tuesday."),
        ("en-us", "How much is a haircut?"),
        ("en-gb", "Can I speak to a human please?"),
        ("en-us", "My name is Martin Weber."),
        ("en-gb", "Do you have anything free on Monday?"),
        ("de", "Wann haben Sie am Freitag geöffnet?"),
        ("de", "Ich möchte einen Termin am Montag."),
        ("de", "Was kostet ein Haarschnitt?"),
        ("de", "Haben Sie am Dienstag etwas frei?"),
    ),
    unfinished=(
        ("en-us", "I would like to book a table for", "four people."),
        ("en-gb", "Do you have anything free on Monday or", "Tuesday?"),
        ("en-us", "I would like to book an appointment and", "I need a haircut."),
        ("en-gb", "Can I book a haircut on", "Thursday at ten?"),
        ("en-us", "I want to move my appointment from Monday to", "Friday."),
        ("en-gb", "What is the price of a", "haircut?"),
        ("de", "Ich möchte einen Termin am", "Freitag."),
        ("de", "Haben Sie am Montag oder", "am Dienstag etwas frei?"),
        ("de", "Was kostet ein", "Haarschnitt?"),
        ("de", "Ich möchte einen Tisch für", "vier Personen."),
    ),
)

HELD_OUT = Labelled(
    finished=(
        ("en-us", "When do you close on Saturday?"),
        ("en-gb", "I need to cancel my appointment on Wednesday."),
        ("en-us", "Do you take insurance?"),
        ("en-gb", "Where can I park?"),
        ("en-us", "Can I come on Thursday at ten?"),
        ("en-gb", "I would like a table for two tomorrow evening."),
        ("en-us", "What are your opening hours on Monday?"),
        ("en-gb", "Is nine still available?"),
        ("de", "Wann schließen Sie am Samstag?"),
        ("de", "Ich möchte meinen Termin am Mittwoch absagen."),
        ("de", "Kann ich am Donnerstag um zehn kommen?"),
        ("de", "Ich hätte gerne einen Tisch für zwei Personen."),
    ),
    unfinished=(
        ("en-us", "When do you close on", "Saturday?"),
        ("en-gb", "I need to cancel my appointment on", "Wednesday."),
        ("en-us", "I would like to come at", "ten o'clock."),
        ("en-gb", "I would like a table for two and", "a high chair."),
        ("en-us", "Are you open on Sunday or", "on Monday?"),
        ("en-gb", "My name is", "Anna Miller."),
        ("en-us", "I would like an appointment with", "a dentist."),
        ("en-gb", "Could you tell me the", "opening hours?"),
        ("de", "Wann schließen Sie am", "Samstag?"),
        ("de", "Ich möchte meinen Termin am Mittwoch und", "am Freitag absagen."),
        ("de", "Kann ich um", "zehn Uhr kommen?"),
        ("de", "Mein Name ist", "Anna Müller."),
    ),
)
