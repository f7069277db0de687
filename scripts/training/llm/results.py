"""What the look-up tools answer, in several shapes, and what the assistant says then."""

from __future__ import annotations

from typing import Any

from scripts.training.llm import clock
from scripts.training.llm.call import Call
from scripts.training.llm.grammar import sentence
from scripts.training.llm.lexicon import STREETS, Service, day_words

Answer = tuple[str, tuple[str, ...]]
"""A spoken answer and the values that must be in it."""
Result = tuple[dict[str, Any], Answer]
"""What a tool gives, and what the assistant makes of it."""


def hours_result(call: Call, day: str) -> Result:
    """Opening hours of a day in one of several shapes, and what the assistant says."""
    words = day_words(day, call.language)
    if call.chance(0.18):
        shut: list[dict[str, Any]] = [
            {"open": None},
            {"closed": True},
            {"day": day, "closed": True},
            {"status": "closed"},
        ]
        text = call.by_language(f"{words} we are closed.", f"{words} haben wir geschlossen.")
        return call.rng.choice(shut), (sentence(text), (words, "closed" if call.language == "en" else "geschlossen"))
    start = f"{call.rng.randint(7, 11):02d}:{call.rng.choice(['00', '00', '30'])}"
    end = f"{call.rng.randint(14, 22)}:{call.rng.choice(['00', '00', '30'])}"
    content = call.rng.choice(
        [{"open": start, "close": end}, {"day": day, "open": start, "close": end}, {"hours": f"{start}-{end}"}]
    )
    values = words, clock.spoken(start, call.language), clock.spoken(end, call.language)
    text = call.by_language(
        f"{values[0]} we are open from {values[1]} to {values[2]}.",
        f"{values[0]} haben wir von {values[1]} bis {values[2]} geöffnet.",
    )
    return content, (sentence(text), values)


def price_result(call: Call, service: Service) -> Result:
    """A price in one of several shapes, and what the assistant says: "A haircut costs 25 euros 50."."""
    if call.chance(0.08):
        text = call.by_language("I am sorry, we do not offer that.", "Es tut mir leid, das bieten wir nicht an.")
        unknown: list[dict[str, Any]] = [{"error": "unknown service"}, {"price": None}]
        return call.rng.choice(unknown), (text, ())
    euros = call.rng.randint(8, 180)
    half = call.chance(0.25)
    price: float = euros + 0.5 if half else euros
    shapes: list[dict[str, Any]] = [
        {"price": price, "currency": "EUR"},
        {"price_eur": price},
        {"service": service.key, "price": f"{price} EUR"},
    ]
    subject = service.subject(call.language)
    cost = f"{euros} {'Euro' if call.language == 'de' else 'euros'}" + (" 50" if half else "")
    text = call.by_language(f"{subject} costs {cost}.", f"{subject} kostet {cost}.")
    return call.rng.choice(shapes), (sentence(text), (subject, cost))


_WEATHER = {
    "sunny": "sonnig",
    "cloudy": "bewölkt",
    "partly cloudy": "teils bewölkt",
    "rainy": "regnerisch",
    "snowy": "verschneit",
    "stormy": "stürmisch",
    "windy": "windig",
    "foggy": "neblig",
}


def weather_result(call: Call, city: str, day: str | None) -> Result:
    """A forecast in one of several shapes, and what the assistant says."""
    condition = call.rng.choice(list(_WEATHER))
    degrees = call.rng.randint(-5, 35)
    when: dict[str, Any] = {"day": day} if day else {}
    content = call.rng.choice(
        [
            {"location": city} | when | {"temp_c": degrees, "condition": condition},
            {"condition": condition, "temperature": degrees},
            {"forecast": condition, "temp": degrees},
        ]
    )
    said = condition if call.language == "en" else _WEATHER[condition]
    count = f"{degrees}" if degrees >= 0 else f"minus {-degrees}"
    words = day_words(day, call.language) if day else ""
    text = call.by_language(
        f"{words} it will be {said} with {count} degrees.",
        f"{words} wird es {said} bei {count} Grad." if words else f"Es wird {said} bei {count} Grad.",
    )
    return content, (sentence(text), tuple(value for value in (words, said, count) if value))


_PARKING = {
    "behind the building": ("You can park behind the building.", "Sie können hinter dem Haus parken."),
    "in the garage": ("You can park in the garage.", "Sie können in der Garage parken."),
    "on the street": ("You can park on the street.", "Sie können an der Straße parken."),
    "none": ("There is no parking.", "Parkplätze gibt es nicht."),
}


def directions_result(call: Call) -> Result:
    """Address and parking in one of several shapes, and what the assistant says."""
    address = f"{call.rng.choice(STREETS)} {call.rng.randint(1, 120)}"
    content: dict[str, Any] = {call.rng.choice(["address", "location"]): address}
    text = call.by_language(f"Our address is {address}.", f"Unsere Adresse ist {address}.")
    if call.chance(0.7):
        parking = call.rng.choice(list(_PARKING))
        content["parking"] = parking
        text += " " + call.by_language(*_PARKING[parking])
    return content, (text, (address,))
