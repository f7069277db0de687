"""What callers ask for the accuracy of tool calls, and the calls that are due; none of it was trained on.

Two kinds, in English and German:

- "known sentence": of a pattern that the recogniser was trained on, with a day, time, service or city that its training
  left out (it keeps one sentence in forty, by hash). The chat model's training has such sentences, too, and draws
  without end, so it may have met one by chance.
- "new sentence": no pattern of the recogniser's training gives it, and for most no pattern of the chat model's either.

Answers to the assistant's own questions (a name, a day, "yes") are as anybody gives them; the names are pairs that the
chat model's training left out. Each question is asked by a voice of espeak-ng that the recogniser was trained on
("known"), and by one that it was not ("new"), two of whose speeds are outside what was trained (124 to 190 words a
minute). tests/benchmarks/test_accuracy.py holds all this against the trainings.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.tool_scoring import ANYTHING, ToolCall

VOICES = {
    "known": {
        "en": ("en-us", "en-gb+f2", "en-us+m3", "en-gb-scotland"),
        "de": ("de", "de+f2", "de+m3", "de+f4"),
    },
    "new": {
        "en": ("en-gb-x-rp", "en-us-nyc", "en-us+Andy", "en-gb+Annie"),
        "de": ("de+Andy", "de+Annie", "de+Alex", "de+Alicia"),
    },
}
SPEEDS = {"known": (155, 140, 170, 185), "new": (155, 120, 195, 170)}
"""Words a minute, by voice."""
KINDS = ("known sentence", "new sentence")


@dataclass(frozen=True, slots=True)
class Task:
    """turns: what the caller says, one after the other. calls: those that are due by the end of the last."""

    language: str
    kind: str
    turns: tuple[str, ...]
    calls: tuple[ToolCall, ...]


Asked = tuple[tuple[str, ...], tuple[ToolCall, ...]]


def _hours(day: str) -> ToolCall:
    return ToolCall("get_opening_hours", {"day": day})


def _price(service: str) -> ToolCall:
    return ToolCall("get_price", {"service": service})


def _free(day: str, **more: str) -> ToolCall:
    return ToolCall("check_availability", {"day": day, **more})


def _move(old: str, new: str) -> ToolCall:
    return ToolCall("move_appointment", {"from_day": old, "to_day": new})


def _cancel(day: str) -> ToolCall:
    return ToolCall("cancel_appointment", {"day": day})


def _weather(location: str, **more: str) -> ToolCall:
    return ToolCall("get_weather", {"location": location, **more})


def _booking(text: str, then: str, name: str, yes: str, **slots: str) -> Asked:
    """The question, the name that is asked for, and yes to what is read back."""
    return (text, f"{then} {name}.", yes), (ToolCall("book_appointment", {**slots, "name": name}),)


_TRANSFER = ToolCall("transfer_to_human", {"reason": ANYTHING})
_WAY = ToolCall("get_directions")
_MY_NAME, _MEIN_NAME = "My name is", "Mein Name ist"

_KNOWN: dict[str, tuple[Asked, ...]] = {
    "en": (
        (("What time do you open on Friday?",), (_hours("friday"),)),
        (("What are your opening hours this Tuesday?",), (_hours("tuesday"),)),
        (("What time do you close next Wednesday?",), (_hours("wednesday"),)),
        (("What time do you open this Thursday?",), (_hours("thursday"),)),
        (("Is there anything free on Thursday?",), (_free("thursday"),)),
        (("Do you have anything free on Saturday at eleven?",), (_free("saturday", time="11:00"),)),
        (("Do you have anything free on Monday at half past nine?",), (_free("monday", time="09:30"),)),
        (("Do you have anything free on Friday at half past eleven?",), (_free("friday", time="11:30"),)),
        (("What is the price of a vaccination?",), (_price("vaccination"),)),
        (("How is the weather in Berlin?",), (_weather("Berlin"),)),
        (("What will the weather be like on Tuesday in Berlin?",), (_weather("Berlin", day="tuesday"),)),
        (("What will the weather be like on Wednesday in Dresden?",), (_weather("Dresden", day="wednesday"),)),
        (("Can you cancel my booking on Monday?", "Yes."), (_cancel("monday"),)),
        (("Can you cancel my booking on Sunday?", "Yes, please."), (_cancel("sunday"),)),
        _booking(
            *("Can I book a haircut for Tuesday at ten?", _MY_NAME, "Anna Meyer", "Yes."),
            **{"service": "haircut", "day": "tuesday", "time": "10:00"},
        ),
        _booking(
            *("I would like to book a beard trim on Monday at eleven.", _MY_NAME, "Robert Brown", "Yes, please."),
            **{"service": "beard trim", "day": "monday", "time": "11:00"},
        ),
        _booking(
            *("I need a pedicure on Saturday at nine.", _MY_NAME, "Maria Schmidt", "Yes."),
            **{"service": "pedicure", "day": "saturday", "time": "09:00"},
        ),
        _booking(
            *("I would like to book a massage on Friday at two.", _MY_NAME, "Peter Fischer", "Yes."),
            **{"service": "massage", "day": "friday", "time": "14:00"},
        ),
    ),
    "de": (
        (("Ist am Montag um halb drei noch etwas frei?",), (_free("monday", time="14:30"),)),
        (("Haben Sie am Dienstag um sechzehn Uhr noch etwas frei?",), (_free("tuesday", time="16:00"),)),
        (("Haben Sie am Donnerstag um zwölf Uhr noch etwas frei?",), (_free("thursday", time="12:00"),)),
        (("Haben Sie am Freitag um zwei Uhr noch etwas frei?",), (_free("friday", time="14:00"),)),
        (("Haben Sie am Samstag um halb zwei noch etwas frei?",), (_free("saturday", time="13:30"),)),
        (("Wann haben Sie diesen Montag offen?",), (_hours("monday"),)),
        (("Wann haben Sie nächsten Dienstag auf?",), (_hours("tuesday"),)),
        (("Wie sind Ihre Öffnungszeiten nächsten Donnerstag?",), (_hours("thursday"),)),
        (("Wie wird das Wetter am Dienstag in Madrid?",), (_weather("Madrid", day="tuesday"),)),
        (("Wie wird das Wetter am Samstag in Bremen?",), (_weather("Bremen", day="saturday"),)),
        (("Wie wird das Wetter am Mittwoch in Rom?",), (_weather("Rome", day="wednesday"),)),
        (("Bitte sagen Sie meinen Termin nächsten Mittwoch ab.", "Ja."), (_cancel("wednesday"),)),
        (("Ich muss meinen Termin heute absagen.", "Ja, bitte."), (_cancel("today"),)),
        (("Ich möchte meinen Termin am Samstag verschieben.", "Am Montag."), (_move("saturday", "monday"),)),
        _booking(
            *("Ich möchte einen Haarschnitt am Freitag um zwei Uhr buchen.", _MEIN_NAME, "Anna Meyer", "Ja."),
            **{"service": "haircut", "day": "friday", "time": "14:00"},
        ),
        _booking(
            *("Ich möchte eine Massage am Samstag um zwei Uhr buchen.", _MEIN_NAME, "Hugo Weber", "Ja, bitte."),
            **{"service": "massage", "day": "saturday", "time": "14:00"},
        ),
        _booking(
            *("Ich hätte gern eine Maniküre am Dienstag um siebzehn Uhr.", _MEIN_NAME, "Maria Schmidt", "Ja."),
            **{"service": "manicure", "day": "tuesday", "time": "17:00"},
        ),
        _booking(
            *("Ich hätte gern einen Haarschnitt am Mittwoch um halb drei.", _MEIN_NAME, "Peter Fischer", "Ja."),
            **{"service": "haircut", "day": "wednesday", "time": "14:30"},
        ),
    ),
}
_NEW: dict[str, tuple[Asked, ...]] = {
    "en": (
        (("Do you have anything free on Tuesday for a massage?",), (_free("tuesday", service="massage"),)),
        (("I would like to move my appointment from Thursday to Tuesday.",), (_move("thursday", "tuesday"),)),
        (
            ("How much is a haircut and what time do you open on Wednesday?",),
            (_price("haircut"), _hours("wednesday")),
        ),
        (("Could you tell me when you open on Saturday?",), (_hours("saturday"),)),
        (("Until what time are you there on Monday?",), (_hours("monday"),)),
        (("Could you tell me the price of a massage?",), (_price("massage"),)),
        (("What would a haircut cost me?",), (_price("haircut"),)),
        (("Have you got a free slot on Tuesday at three?",), (_free("tuesday", time="15:00"),)),
        (
            ("Would Friday at ten be possible for a manicure?",),
            (_free("friday", time="10:00", service="manicure"),),
        ),
        (("Could we put my appointment from Monday to Wednesday?",), (_move("monday", "wednesday"),)),
        (("Do I need an umbrella in Paris on Friday?",), (_weather("Paris", day="friday"),)),
        (("Could you describe how I get to your salon?",), (_WAY,)),
        (("Let me talk to one of your colleagues, please.",), (_TRANSFER,)),
    ),
    "de": (
        (("Haben Sie am Dienstag etwas frei für eine Massage?",), (_free("tuesday", service="massage"),)),
        (("Ich möchte meinen Termin von Samstag auf Donnerstag verschieben.",), (_move("saturday", "thursday"),)),
        (
            ("Was kostet eine Maniküre und wann haben Sie am Mittwoch geöffnet?",),
            (_price("manicure"), _hours("wednesday")),
        ),
        (("Könnten Sie mir sagen, wann Sie am Samstag öffnen?",), (_hours("saturday"),)),
        (("Ab wann sind Sie am Montag da?",), (_hours("monday"),)),
        (("Sagen Sie mir bitte den Preis für eine Massage.",), (_price("massage"),)),
        (("Was würde mich ein Haarschnitt kosten?",), (_price("haircut"),)),
        (("Hätten Sie am Dienstag um drei Uhr noch Zeit?",), (_free("tuesday", time="15:00"),)),
        (
            ("Ginge eine Maniküre am Freitag um zehn Uhr?",),
            (_free("friday", time="10:00", service="manicure"),),
        ),
        (("Legen Sie meinen Termin bitte von Montag auf Mittwoch.",), (_move("monday", "wednesday"),)),
        (("Brauche ich am Freitag in Paris einen Regenschirm?",), (_weather("Paris", day="friday"),)),
        (("Können Sie mir beschreiben, wie ich zu Ihnen komme?",), (_WAY,)),
        (("Geben Sie mir bitte jemanden aus Ihrem Team.",), (_TRANSFER,)),
    ),
}
TASKS = tuple(
    Task(language, kind, turns, calls)
    for language in ("en", "de")
    for kind, asked in zip(KINDS, (_KNOWN, _NEW), strict=True)
    for turns, calls in asked[language]
)
