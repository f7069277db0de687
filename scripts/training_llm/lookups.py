"""Questions that a tool answers at once: opening hours, prices, the weather, the way; alone or two together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scripts.training_llm import clock
from scripts.training_llm.call import Call, ToolCall
from scripts.training_llm.grammar import sentence
from scripts.training_llm.lexicon import CITIES, SERVICES, STREETS, Service, day_words
from scripts.training_llm.turns import LOOK, a_day, ask, day_answer, fault, said_day

Answer = tuple[str, tuple[str, ...]]
"""A spoken answer and the values that must be in it."""


def hours_result(call: Call, day: str) -> tuple[dict[str, Any], Answer]:
    """Opening hours of a day in one of several shapes, and what the assistant says."""
    words = day_words(day, call.language)
    if call.chance(0.18):
        content = call.rng.choice(
            [{"open": None}, {"closed": True}, {"day": day, "closed": True}, {"status": "closed"}]
        )
        text = call.by_language(f"{words} we are closed.", f"{words} haben wir geschlossen.")
        return content, (sentence(text), (words, "closed" if call.language == "en" else "geschlossen"))
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


def price_result(call: Call, service: Service) -> tuple[dict[str, Any], Answer]:
    """A price in one of several shapes, and what the assistant says: "A haircut costs 25 euros 50."."""
    if call.chance(0.08):
        text = call.by_language("I am sorry, we do not offer that.", "Es tut mir leid, das bieten wir nicht an.")
        return call.rng.choice([{"error": "unknown service"}, {"price": None}]), (text, ())
    euros = call.rng.randint(8, 180)
    half = call.chance(0.25)
    price: float = euros + 0.5 if half else euros
    content = call.rng.choice(
        [{"price": price, "currency": "EUR"}, {"price_eur": price}, {"service": service.key, "price": f"{price} EUR"}]
    )
    subject = service.subject(call.language)
    cost = f"{euros} {'Euro' if call.language == 'de' else 'euros'}" + (" 50" if half else "")
    text = call.by_language(f"{subject} costs {cost}.", f"{subject} kostet {cost}.")
    return content, (sentence(text), (subject, cost))


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


def weather_result(call: Call, city: str, day: str | None) -> tuple[dict[str, Any], Answer]:
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


def directions_result(call: Call) -> tuple[dict[str, Any], Answer]:
    """Address and parking in one of several shapes, and what the assistant says."""
    address = f"{call.rng.choice(STREETS)} {call.rng.randint(1, 120)}"
    content: dict[str, Any] = {call.rng.choice(["address", "location"]): address}
    text = call.by_language(f"Our address is {address}.", f"Unsere Adresse ist {address}.")
    if call.chance(0.7):
        parking = call.rng.choice(list(_PARKING))
        content["parking"] = parking
        text += " " + call.by_language(*_PARKING[parking])
    return content, (text, (address,))


def _hours_question(call: Call) -> tuple[tuple[str, str], str | None]:
    day = a_day(call) if call.chance(0.85) else None
    words = said_day(call, day) if day else ""
    return (
        f"(what time do you open|when do you open|when are you open|are you open|what are your opening hours|"
        f"how long are "
        f"you open|when do you close|do you open) {words}",
        f"(wann öffnen Sie|wann haben Sie {words} geöffnet|haben Sie {words} geöffnet|wie sind Ihre "
        f"Öffnungszeiten {words}|"
        f"haben Sie {words} offen|wie lange haben Sie {words} offen|bis wann haben Sie {words} auf|wann machen "
        f"Sie {words} auf)".replace("öffnen Sie|", f"öffnen Sie {words}|"),
    ), day


def _price_question(call: Call) -> tuple[tuple[str, str], Service | None]:
    service = call.rng.choice(SERVICES[:-1]) if call.chance(0.9) else None
    english = service.english if service else "(it|that)"
    german = service.nominative if service else "das"
    accusative = service.accusative if service else "das"
    return (
        f"(how much is {english}|what does {english} cost|how much does {english} cost|what is the price of "
        f"{english}|how "
        f"much do you charge for {english}|what do you charge for {english})",
        f"(was kostet {german}|wie viel kostet {german}|wie teuer ist {german}|was ist der Preis für "
        f"{accusative}|was nehmen "
        f"Sie für {accusative}|was kostet denn {german})",
    ), service


def lookup(
    call: Call, kind: str
) -> tuple[tuple[str, str], Callable[[], ToolCall], Callable[[ToolCall], tuple[dict[str, Any], Answer]]]:
    """One look-up: (the caller's question in both languages; what asks for missing values and gives the tool call; what
    gives its result and the answer). kind: "hours", "price", "weather" or "directions"."""
    if kind == "hours":
        question, day = _hours_question(call)
        return (
            question,
            lambda: ("get_opening_hours", {"day": day or day_answer(call)}),
            lambda use: hours_result(call, use[1]["day"]),
        )
    if kind == "price":
        asked, service = _price_question(call)
        return (
            asked,
            lambda: ("get_price", {"service": (service or _ask_service(call)).key}),
            lambda use: price_result(call, next(item for item in SERVICES if item.key == use[1]["service"])),
        )
    if kind == "weather":
        return _weather_lookup(call)
    return (
        (
            "(where are you|what is your address|how do I get to you|where can I park|where can I find you|can "
            "you tell me "
            "the way|where is your place)",
            "(wo sind Sie|wie ist Ihre Adresse|wie komme ich zu Ihnen|wo kann ich parken|wo finde ich Sie|wo "
            "befinden Sie "
            "sich|können Sie mir den Weg sagen)",
        ),
        lambda: ("get_directions", {}),
        lambda use: directions_result(call),
    )


def _weather_lookup(call: Call) -> Any:
    day = a_day(call) if call.chance(0.6) else None
    city = call.rng.choice(CITIES) if call.chance(0.35) or (not call.facts.city and call.chance(0.5)) else None
    words = day_words(day, call.language) if day else ""
    place = f"in {city}" if city else ""

    def use() -> ToolCall:
        where = city or call.facts.city
        if where is None:
            where = call.rng.choice(CITIES)
            call.say(call.by_language("For which city?", "Für welche Stadt?"), "ask")
            call.hear(
                call.by_language("({w}.|In {w}.|For {w} please.|{w})", "({w}.|In {w}.|Für {w} bitte.|{w})", w=where),
                where,
            )
        return "get_weather", {"location": where} | ({"day": day} if day else {})

    return (
        (
            f"(what's the weather {place} {words}|how is the weather {place} {words}|what will the weather be "
            f"like {place} "
            f"{words}|will it rain {place} {words}|is it going to be sunny {place} {words}|what is the weather "
            f"like {words} {place})",
            f"(wie wird das Wetter {words} {place}|wie ist das Wetter {words} {place}|regnet es {words} {place}|"
            f"scheint {words} "
            f"{place} die Sonne|was macht das Wetter {words} {place})",
        ),
        use,
        lambda called: weather_result(call, called[1]["location"], called[1].get("day")),
    )


def _ask_service(call: Call) -> Service:
    call.say(call.by_language("For which service?", "Für welche Leistung?"), "ask")
    service = call.rng.choice(SERVICES[:-1])
    words = service.object(call.language)
    call.hear(sentence(call.by_language("({w}.|For {w}.|{w} please.)", "({w}.|Für {w}.|{w} bitte.)", w=words)), words)
    return service


TOOL_OF = {"hours": "get_opening_hours", "price": "get_price", "weather": "get_weather", "directions": "get_directions"}


def look_up(call: Call, kind: str) -> None:
    """One question that a tool answers at once."""
    question, use, outcome = lookup(call, kind)
    ask(call, f"{question[0]}(?|? )", f"{question[1]}(?|? )")
    called = use()
    call.use(call.by_language(*LOOK), called)
    if fault(call):
        return
    content, (text, values) = outcome(called)
    call.result(content)
    call.say(text, "answer", values)
    if kind == "hours" and call.chance(0.3):
        _and_that_day(call)


def _and_that_day(call: Call) -> None:
    day = a_day(call)
    words = said_day(call, day)
    call.hear(
        sentence(
            call.by_language(
                "(And {w}?|What about {w}?|And how about {w}?)",
                "(Und {w}?|Und wie ist es {w}?|Wie sieht es {w} aus?)",
                w=words,
            )
        ),
        words,
    )
    call.use(call.by_language(*LOOK), ("get_opening_hours", {"day": day}))
    content, (text, values) = hours_result(call, day)
    call.result(content)
    call.say(text, "answer", values)


def two_at_once(call: Call) -> None:
    """Two questions in one turn: two calls, two results, one answer."""
    kinds = [kind for kind in TOOL_OF if call.has(TOOL_OF[kind])]
    first, second = (_complete(call, kind) for kind in call.rng.sample(kinds, 2))
    ask(call, f"{first[0][0]} and {second[0][0]}?", f"{first[0][1]} und {second[0][1]}?")
    calls = [found[1]() for found in (first, second)]
    call.use(call.by_language(*LOOK), calls[0], calls[1])
    answers = []
    for found, called in zip((first, second), calls, strict=True):
        content, answer = found[2](called)
        call.result(content)
        answers.append(answer)
    call.say(" ".join(text for text, _ in answers), "answer", [value for _, values in answers for value in values])


def _complete(call: Call, kind: str) -> Any:
    """A look-up in which the caller leaves nothing out."""
    while True:
        found = lookup(call, kind)
        before = len(call.turns)
        state = call.rng.getstate()
        found[1]()
        complete = len(call.turns) == before
        del call.turns[before:]
        call.rng.setstate(state)
        if complete:
            return found
        call.rng.random()
