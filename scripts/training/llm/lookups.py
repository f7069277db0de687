"""Questions that a tool answers at once: opening hours, prices, the weather, the way; alone or two together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from scripts.training.llm import results
from scripts.training.llm.call import Call, ToolCall
from scripts.training.llm.grammar import sentence
from scripts.training.llm.lexicon import CITIES, SERVICES, Service, day_words
from scripts.training.llm.turns import LOOK, a_day, ask, day_answer, fault, said_day

TOOL_OF = {"hours": "get_opening_hours", "price": "get_price", "weather": "get_weather", "directions": "get_directions"}


@dataclass(frozen=True)
class Lookup:
    """question: the caller's, in English and German. use: asks for what is missing and gives the tool call. result: of
    that call."""

    question: tuple[str, str]
    use: Callable[[], ToolCall]
    result: Callable[[ToolCall], results.Result]


def look_up(call: Call, kind: str) -> None:
    """One question that a tool answers at once. kind: of TOOL_OF."""
    found = _LOOKUPS[kind](call, False)
    ask(call, f"{found.question[0]}(?|?|)", f"{found.question[1]}(?|?|)")
    called = found.use()
    call.use(call.by_language(*LOOK), called)
    if fault(call):
        return
    content, (text, values) = found.result(called)
    call.result(content)
    call.say(text, "answer", values)
    if kind == "hours" and call.chance(0.3):
        _and_that_day(call)


def two_at_once(call: Call) -> None:
    """Two questions in one turn: two calls, two results, one answer."""
    kinds = [kind for kind in TOOL_OF if call.has(TOOL_OF[kind])]
    first, second = (_LOOKUPS[kind](call, True) for kind in call.rng.sample(kinds, 2))
    ask(call, f"{first.question[0]} and {second.question[0]}?", f"{first.question[1]} und {second.question[1]}?")
    called = first.use(), second.use()
    call.use(call.by_language(*LOOK), *called)
    answers = []
    for found, use in zip((first, second), called, strict=True):
        content, answer = found.result(use)
        call.result(content)
        answers.append(answer)
    call.say(" ".join(text for text, _ in answers), "answer", [value for _, values in answers for value in values])


def _hours(call: Call, complete: bool) -> Lookup:
    """complete, here and below: the caller leaves nothing out."""
    day = a_day(call) if complete or call.chance(0.85) else None
    words = said_day(call, day) if day else ""
    return Lookup(
        (
            "(what time do you open|when do you open|when are you open|are you open|what are your opening hours|how "
            f"long are you open|when do you close|do you open) {words}",
            f"(wann öffnen Sie {words}|wann haben Sie {words} geöffnet|haben Sie {words} geöffnet|wie sind Ihre "
            f"Öffnungszeiten {words}|haben Sie {words} offen|wie lange haben Sie {words} offen|bis wann haben Sie "
            f"{words} auf|wann machen Sie {words} auf)",
        ),
        lambda: ("get_opening_hours", {"day": day or day_answer(call)}),
        lambda use: results.hours_result(call, use[1]["day"]),
    )


def _and_that_day(call: Call) -> None:
    day = a_day(call)
    words = said_day(call, day)
    text = call.by_language(
        "(And {w}?|What about {w}?|And how about {w}?)", "(Und {w}?|Und wie ist es {w}?|Wie sieht es {w} aus?)", w=words
    )
    call.hear(sentence(text), words)
    call.use(call.by_language(*LOOK), ("get_opening_hours", {"day": day}))
    content, (text, values) = results.hours_result(call, day)
    call.result(content)
    call.say(text, "answer", values)


def _price(call: Call, complete: bool) -> Lookup:
    service = call.rng.choice(SERVICES[:-1]) if complete or call.chance(0.9) else None
    english = service.english if service else "(it|that)"
    german, accusative = (service.nominative, service.accusative) if service else ("das", "das")
    return Lookup(
        (
            f"(how much is {english}|what does {english} cost|how much does {english} cost|what is the price of "
            f"{english}|how much do you charge for {english}|what do you charge for {english})",
            f"(was kostet {german}|wie viel kostet {german}|wie teuer ist {german}|was ist der Preis für {accusative}|"
            f"was nehmen Sie für {accusative}|was kostet denn {german})",
        ),
        lambda: ("get_price", {"service": (service or _service_answer(call)).key}),
        lambda use: results.price_result(call, next(item for item in SERVICES if item.key == use[1]["service"])),
    )


def _service_answer(call: Call) -> Service:
    call.say(call.by_language("For which service?", "Für welche Leistung?"), "ask")
    service = call.rng.choice(SERVICES[:-1])
    words = service.object(call.language)
    text = call.by_language("({w}.|For {w}.|{w} please.)", "({w}.|Für {w}.|{w} bitte.)", w=words)
    call.hear(sentence(text), words)
    return service


def _weather(call: Call, complete: bool) -> Lookup:
    day = a_day(call) if call.chance(0.6) else None
    known = call.facts.city
    left_out = call.chance(0.65) if known else not complete and call.chance(0.35)
    city = None if left_out else call.rng.choice(CITIES)
    words = day_words(day, call.language) if day else ""
    place = f"in {city}" if city else ""
    return Lookup(
        (
            f"(what's the weather {place} {words}|how is the weather {place} {words}|what will the weather be like "
            f"{place} {words}|will it rain {place} {words}|is it going to be sunny {place} {words}|what is the weather "
            f"like {words} {place})",
            f"(wie wird das Wetter {words} {place}|wie ist das Wetter {words} {place}|regnet es {words} {place}|"
            f"scheint {words} {place} die Sonne|was macht das Wetter {words} {place})",
        ),
        lambda: ("get_weather", {"location": city or known or _city_answer(call)} | ({"day": day} if day else {})),
        lambda use: results.weather_result(call, use[1]["location"], use[1].get("day")),
    )


def _city_answer(call: Call) -> str:
    call.say(call.by_language("For which city?", "Für welche Stadt?"), "ask")
    city = call.rng.choice(CITIES)
    text = call.by_language("({w}.|In {w}.|For {w} please.|{w})", "({w}.|In {w}.|Für {w} bitte.|{w})", w=city)
    call.hear(text, city)
    return city


def _directions(call: Call, complete: bool) -> Lookup:
    return Lookup(
        (
            "(where are you|what is your address|how do I get to you|where can I park|where can I find you|can you "
            "tell me the way|where is your place)",
            "(wo sind Sie|wie ist Ihre Adresse|wie komme ich zu Ihnen|wo kann ich parken|wo finde ich Sie|wo befinden "
            "Sie sich|können Sie mir den Weg sagen)",
        ),
        lambda: ("get_directions", {}),
        lambda use: results.directions_result(call),
    )


_LOOKUPS = {"hours": _hours, "price": _price, "weather": _weather, "directions": _directions}
