"""What a phone call is owed beside answers: a greeting, patience with silence, a warning before it ends."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Phrases:
    """What the door itself says, in one language. tag: the language, as carriers name it (BCP 47)."""

    tag: str
    greeting: str
    still_there: str
    goodbye: str
    one_minute: str
    time_is_up: str
    cut_off: str
    busy: str
    closing: str
    farewell: str
    transfer: str
    not_connected: str


_PHRASES = {
    "en": Phrases(
        tag="en-US",
        greeting="Hello, you are speaking with an automated assistant. How can I help you?",
        still_there="Are you still there?",
        goodbye="I can't hear anybody. Goodbye.",
        one_minute="We have one minute left.",
        time_is_up="Our time is up. Thank you for calling. Goodbye.",
        cut_off="We were cut off for a moment. Please say that again.",
        busy="All our lines are busy. Please call again later.",
        closing="We cannot take your call just now. Please call again in a few minutes.",
        farewell="Thank you for calling. Goodbye.",
        transfer="One moment, please. I am connecting you.",
        not_connected="I am sorry, I could not connect you. Is there anything else that I can do?",
    ),
    "de": Phrases(
        tag="de-DE",
        greeting="Guten Tag, Sie sprechen mit einem automatischen Assistenten. Wie kann ich Ihnen helfen?",
        still_there="Sind Sie noch da?",
        goodbye="Ich höre niemanden. Auf Wiederhören.",
        one_minute="Wir haben noch eine Minute.",
        time_is_up="Unsere Zeit ist um. Danke für Ihren Anruf. Auf Wiederhören.",
        cut_off="Wir waren kurz unterbrochen. Bitte sagen Sie das noch einmal.",
        busy="Alle Leitungen sind besetzt. Bitte rufen Sie später noch einmal an.",
        closing="Wir können Ihren Anruf gerade nicht annehmen. Bitte rufen Sie in ein paar Minuten noch einmal an.",
        farewell="Danke für Ihren Anruf. Auf Wiederhören.",
        transfer="Einen Moment bitte. Ich verbinde Sie.",
        not_connected="Es tut mir leid, ich konnte Sie nicht verbinden. Kann ich sonst noch etwas tun?",
    ),
}


def phrases(language: str | None) -> Phrases:
    """In this language; in English where there are none."""
    return _PHRASES.get(language or "en", _PHRASES["en"])


@dataclass(frozen=True, slots=True)
class Manners:
    """greeting: what is said first, "" for the language's own. silence_s: of a caller who says nothing, before being
    asked, twice, and then bidden goodbye. max_s: of a call. resume_s: how long a call waits for a new connection when
    it has lost its own. keys_s: after the last key without #, typed keys are complete."""

    greeting: str = ""
    silence_s: float = 10.0
    max_s: float = 3600.0
    resume_s: float = 20.0
    keys_s: float = 3.0


WARNING_S = 60.0
"""Before the end of the longest call, the caller is told."""
DOUBTFUL_ANSWERS = 3
"""Music on hold, in which words are heard, and a tape that speaks get no more answers in a row than these."""
PROMPTS = 2
"""A caller who says nothing is asked so often."""
