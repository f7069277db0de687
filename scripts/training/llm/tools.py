"""The ten tools that the assistant may be shown, their wordings, and the texts of the system turn."""

from __future__ import annotations

import copy
import random
from typing import Any

from scripts.training.llm.call import Facts
from scripts.training.llm.grammar import pick
from scripts.training.llm.lexicon import ASSISTANTS, BUSINESSES, CITIES

_DAY_TIME = "day in lower-case English, time as HH:MM."
# name: (usual description, another one, properties, required ones)
_TOOLS: dict[str, tuple[str, str, tuple[str, ...], tuple[str, ...]]] = {
    "get_opening_hours": ("Opening hours for a day.", "Get the opening hours of the business.", ("day",), ("day",)),
    "check_availability": (
        f"Check free appointments. {_DAY_TIME}",
        f"List free slots. {_DAY_TIME}",
        ("service", "day", "time"),
        ("day",),
    ),
    "book_appointment": (
        f"Book an appointment. {_DAY_TIME}",
        f"Create a booking. {_DAY_TIME}",
        ("service", "day", "time", "name"),
        ("service", "day", "time", "name"),
    ),
    "cancel_appointment": ("Cancel an appointment.", "Cancel a booking.", ("name", "day"), ("day",)),
    "move_appointment": (
        "Move an appointment to another day.",
        "Reschedule a booking.",
        ("from_day", "to_day"),
        ("from_day", "to_day"),
    ),
    "get_price": ("Price of a service.", "Get the price of a service.", ("service",), ("service",)),
    "get_directions": ("Address and parking of the business.", "Address and way to the business.", (), ()),
    "transfer_to_human": (
        "Transfer the call to a human colleague.",
        "Hand the call over to a person.",
        ("reason",),
        ("reason",),
    ),
    "get_weather": (
        "Weather forecast for a place.",
        "Get the weather for a city.",
        ("location", "day"),
        ("location",),
    ),
    "end_call": ("End the phone call.", "Hang up after saying goodbye.", (), ()),
}
_PROPERTIES = {
    "day": "Day of the week",
    "from_day": "Old day",
    "to_day": "New day",
    "service": "Service in English",
    "time": "Time as HH:MM",
    "name": "Name of the caller",
    "reason": "Why the caller asked",
    "location": "City",
}
NAMES = tuple(_TOOLS)


def schema(name: str, *, other: bool = False, described: bool = False) -> dict[str, Any]:
    """other: the second wording. described: with a description of every property."""
    usual, second, properties, required = _TOOLS[name]
    shown = {key: {"type": "string"} | ({"description": _PROPERTIES[key]} if described else {}) for key in properties}
    parameters = {"type": "object", "properties": shown, "required": list(required)}
    description = second if other else usual
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


def standard() -> list[dict[str, Any]]:
    """The ten tools as they stand in tools.json."""
    return [copy.deepcopy(schema(name)) for name in NAMES]


def choose(rng: random.Random, wanted: frozenset[str]) -> list[dict[str, Any]]:
    """The tools of one call: all ten in a fifth of the calls, else those that are wanted and up to three more."""
    names = list(NAMES)
    if rng.random() >= 0.2:
        more = rng.sample(NAMES, rng.choice([0, 1, 1, 2, 3]))
        names = [name for name in NAMES if name in wanted or name in more]
    if rng.random() < 0.5:
        rng.shuffle(names)
    described = rng.random() < 0.12
    plain = rng.random() < 0.6
    return [schema(name, other=not plain and rng.random() < 0.5, described=described) for name in names]


def facts(rng: random.Random, *, short: bool = False) -> Facts:
    """short: only the business's and the assistant's names, if at all."""
    if short:
        return Facts(business=rng.choice(BUSINESSES), assistant=rng.choice([None, *ASSISTANTS]))
    return Facts(
        business=rng.choice(BUSINESSES),
        assistant=rng.choice(ASSISTANTS) if rng.random() < 0.45 else None,
        city=rng.choice(CITIES) if rng.random() < 0.55 else None,
        card=rng.choice([True, False]) if rng.random() < 0.15 else None,
        insurance=rng.choice([True, False]) if rng.random() < 0.15 else None,
    )


def plain_text(language: str, rng: random.Random) -> str:
    """A system turn that tells nothing about the business."""
    if language == "de":
        roles = "Du bist (eine freundliche Telefonassistenz|ein Telefonassistent|ein hilfreicher Assistent)."
        text, styles = pick(f"({roles}|{roles}|Fasse dich kurz.)", rng), _STYLE_DE
    else:
        roles = "You are a (friendly phone assistant|phone assistant|helpful assistant|friendly receptionist)."
        text, styles = pick(f"({roles}|{roles}|Be brief.)", rng), _STYLE_EN
    return " ".join([text, *rng.sample(styles, rng.choice([0, 0, 1, 2]))])


def system_text(known: Facts, language: str, rng: random.Random) -> str:
    """The system turn that tells the facts; "" when there are none."""
    if known.business is None:
        return ""
    german = language == "de"
    named = f" {known.assistant}," if known.assistant else ""
    place = f" in {known.city}" if known.city else ""
    if german:
        role = "(die (|freundliche )Telefonassistenz|der Telefonassistent|ein freundlicher Telefonassistent)"
        text = pick(f"Du bist{named} {role} von {known.business}{place}.", rng)
    else:
        role = "the (phone assistant|friendly phone assistant|phone agent|receptionist|friendly receptionist)"
        text = pick(f"You are{named} {role} of {known.business}{place}.", rng)
    for told, english, deutsch in (
        (known.card, "Card payment", "Kartenzahlung"),
        (known.insurance, "Insurance accepted", "Versicherungen"),
    ):
        if told is not None:
            answer = ("ja" if told else "nein") if german else ("yes" if told else "no")
            text += f" {deutsch if german else english}: {answer}."
    styles = _STYLE_DE if german else _STYLE_EN
    return " ".join([text, *rng.sample(styles, rng.choice([0, 0, 1, 1, 2, 3]))])


_STYLE_EN = (
    "Answer in short sentences.",
    "Answer in one or two short sentences.",
    "Be polite and brief.",
    "Do not use lists or markdown.",
    "Always answer in the language of the caller.",
    "Keep your answers short.",
    "Ask for missing details one at a time.",
    "Read bookings back before you confirm them.",
)
_STYLE_DE = (
    "Antworte in kurzen Sätzen.",
    "Antworte in ein bis zwei kurzen gesprochenen Sätzen.",
    "Sei höflich und knapp.",
    "Keine Listen, kein Markdown.",
    "Antworte immer in der Sprache des Anrufers.",
    "Antworte kurz.",
    "Frage fehlende Angaben einzeln ab.",
    "Wiederhole Buchungen, bevor du sie bestätigst.",
)
