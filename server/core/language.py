"""Which language a call is in, and how the model is told.

A turn is heard in some language with some certainty. The call stays in its language until a turn is surely in another:
a "ja" or a cough that the transcriber takes for something else changes nothing.
"""

from __future__ import annotations

_FEW_WORDS = 2
_NAMES = {
    "de": "German",
    "en": "English",
    "es": "Spanish",
    "fr": "French",
    "it": "Italian",
    "nl": "Dutch",
    "pl": "Polish",
    "pt": "Portuguese",
}


def floor_for(floor: float, *, little: bool) -> float:
    """The certainty that another language needs. little: there is hardly anything to go by, so that only half the
    doubt is allowed."""
    return (1 + floor) / 2 if little else floor


def language_after(before: str | None, heard: str, probability: float, text: str, floor: float) -> str | None:
    """The call's language (ISO 639-1) after a turn that was heard as ``text``. before: None if it was not known."""
    if not text or not heard or heard == before:
        return before
    if before is None:
        return heard
    return heard if probability >= floor_for(floor, little=len(text.split()) <= _FEW_WORDS) else before


def with_language(instructions: str, language: str) -> str:
    """The instructions, and which language is to be spoken now. It stands behind them, so that a prompt cache goes on
    hitting what is before it."""
    name = _NAMES.get(language, f"the language '{language}' (ISO 639-1)")
    note = f"The caller now speaks {name}. Answer in {name}."
    return f"{instructions}\n\n{note}" if instructions else note
