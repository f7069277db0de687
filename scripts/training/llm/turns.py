"""Turns that several requests share: asking, days, faults of a tool."""

from __future__ import annotations

from scripts.training.llm.call import Call
from scripts.training.llm.grammar import sentence
from scripts.training.llm.lexicon import DAYS, WEEKDAYS, day_words

HELP = ("How can I help you?", "Wie kann ich Ihnen helfen?")
MORE = ("Can I do anything else for you?", "Kann ich sonst noch etwas für Sie tun?")


SYSTEM_FAULT = (
    "I am sorry, our system does not answer at the moment. Please try again later.",
    "Es tut mir leid, unser System antwortet gerade nicht. Bitte versuchen Sie es später noch einmal.",
)


FAULTS = ({"error": "timeout"}, {"error": "backend offline"}, {"error": "internal error"}, {"status": "error"})


LOOK = ("One moment, let me check that for you.", "Einen Moment, ich sehe kurz nach.")


_FOR_WHICH_DAY = ("For which day?", "Für welchen Tag?")


_POLITE = "(|||Hello, |Hi, |Okay, |And |Also, |Excuse me, )"


_POLITE_DE = "(|||Hallo, |Guten Tag, |Okay, |Und |Noch etwas, |Entschuldigung, )"


def ask(call: Call, english: str, german: str, keep: str = "", **slots: str) -> None:
    """The caller asks; the patterns' first letters become upper case."""
    text = call.by_language(_POLITE + english, _POLITE_DE + german, **slots)
    call.hear(sentence(text), " ".join([keep, *slots.values()]))


def a_day(call: Call) -> str:
    """A weekday mostly; else today or tomorrow."""
    return call.rng.choice(DAYS) if call.chance(0.85) else call.rng.choice(["today", "tomorrow"])


def said_day(call: Call, day: str) -> str:
    """How the caller says a day: "on Friday", "next Friday", "am kommenden Freitag"."""
    words = day_words(day, call.language)
    if day in DAYS and call.chance(0.12):
        name = WEEKDAYS[call.language][day]
        words = call.by_language(f"(next|this) {name}", f"(nächsten|am kommenden|diesen) {name}")
    return words


def day_answer(call: Call, question: tuple[str, str] = _FOR_WHICH_DAY, near: bool = True) -> str:
    """The assistant asks for a day, the caller says one; gives the argument."""
    call.say(call.by_language(*question), "ask")
    day = a_day(call) if near else call.rng.choice(("monday", "tuesday", "wednesday", "thursday", "friday", "saturday"))
    words = said_day(call, day)
    call.hear(
        sentence(call.by_language("({w}.|{w} please.|{w}|It is {w}.)", "({w}.|{w} bitte.|{w}|Das ist {w}.)", w=words)),
        words,
    )
    return day


def fault(call: Call) -> bool:
    """Now and then the tool fails; the assistant says so."""
    if not call.chance(0.05):
        return False
    call.result(call.rng.choice(FAULTS))
    call.say(call.by_language(*SYSTEM_FAULT), "answer")
    return True
