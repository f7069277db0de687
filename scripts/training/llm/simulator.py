"""Whole calls, short ones, drills and call analyses, drawn from a seed."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

from scripts.training.llm import limits, talk
from scripts.training.llm import tools as toolbox
from scripts.training.llm.appointments import availability, cancel, move
from scripts.training.llm.booking import book
from scripts.training.llm.call import Call, Dialogue, Facts, ToolCall, Turn
from scripts.training.llm.lookups import TOOL_OF, look_up, two_at_once
from scripts.training.llm.noise import Noise

_REQUESTS: dict[str, tuple[int, str | None, Callable[[Call], None]]] = {
    "book": (26, "book_appointment", book),
    "availability": (12, "check_availability", availability),
    "hours": (11, "get_opening_hours", lambda call: look_up(call, "hours")),
    "price": (10, "get_price", lambda call: look_up(call, "price")),
    "weather": (8, "get_weather", lambda call: look_up(call, "weather")),
    "directions": (5, "get_directions", lambda call: look_up(call, "directions")),
    "cancel": (11, "cancel_appointment", cancel),
    "move": (10, "move_appointment", move),
    "two": (7, None, two_at_once),
    "human": (4, "transfer_to_human", limits.human),
    "who": (6, None, talk.who),
    "real": (2, None, talk.real),
    "story": (3, None, talk.story),
    "digits": (5, None, talk.digits),
    "introduce": (4, None, talk.introduce),
    "payment": (2, None, limits.payment),
    "beyond": (8, None, limits.beyond),
    "annoyed": (2, None, limits.annoyed),
    "praise": (3, None, talk.praise),
    "salad": (2, None, talk.salad),
    "wrong": (1, None, talk.wrong),
    "wait": (1, None, talk.wait),
}
_DRILLS = {
    **{"book": 4, "introduce": 5, "digits": 4},
    **{"cancel": 1, "move": 3, "hours": 1, "price": 1, "weather": 1, "availability": 2, "directions": 1},
}
"""What is drilled, and how often: the first three copy what was heard."""


def whole(
    rng: random.Random, *, noisy: bool | None = None, names: str = "train", requests: int | None = None
) -> Dialogue:
    """A call of one to four requests with system text and tools. noisy: heard by a bad recogniser; drawn by default.
    names: which people call (lexicon.person)."""
    kinds = _draw(rng, requests or rng.choices([1, 2, 3, 4], [30, 36, 22, 12])[0])
    call, schemas = _start(rng, kinds, short=False, noisy=noisy, names=names)
    language = call.language if rng.random() < 0.75 else {"en": "de", "de": "en"}[call.language]
    system = toolbox.system_text(call.facts, language, rng)
    if not system and rng.random() < 0.6:
        system = toolbox.plain_text(language, rng)
    if rng.random() < 0.12:
        talk.answer_phone(call)
    elif rng.random() < 0.3:
        talk.greet(call)
    for kind in kinds:
        if call.turns and rng.random() < 0.04:
            call.language = {"en": "de", "de": "en"}[call.language]
        _perform(call, kind)
        if call.over:
            break
        if rng.random() < 0.08:
            talk.repeat(call)
        if rng.random() < 0.06:
            talk.praise(call)
    if not call.over and rng.random() < 0.6:
        talk.goodbye(call)
    return Dialogue(system, tuple(schemas), tuple(call.turns))


def short(rng: random.Random) -> Dialogue:
    """One request with the tools that it needs and hardly any others: more of it is learned from per token."""
    kind = _draw(rng, 1)
    call, schemas = _start(rng, kind, short=True, noisy=None, names="train")
    system = toolbox.system_text(call.facts, call.language, rng) if rng.random() < 0.3 else ""
    _perform(call, kind[0])
    if not call.over and rng.random() < 0.15:
        talk.repeat(call)
    return Dialogue(system, tuple(schemas), tuple(call.turns))


def forced(rng: random.Random) -> Dialogue:
    """A short call that ends in a tool call without words, as tool_choice demands one: the call that is due, or, where
    the assistant would have spoken, one that does no harm."""
    while True:
        dialogue = short(rng)
        for at, turn in enumerate(dialogue.turns):
            calls = turn.calls or _harmless(dialogue, rng)
            if turn.role == "assistant" and calls and (turn.calls or rng.random() < 0.5):
                turns = (*dialogue.turns[:at], Turn("assistant", "", "call", (), calls, turn.language))
                return Dialogue(dialogue.system, dialogue.tools, turns)


def _harmless(dialogue: Dialogue, rng: random.Random) -> tuple[ToolCall, ...]:
    listed = [tool["function"]["name"] for tool in dialogue.tools]
    if "transfer_to_human" in listed:
        return (("transfer_to_human", {"reason": "other question"}),)
    empty = [name for name in ("get_directions", "end_call") if name in listed]
    return ((rng.choice(empty), {}),) if empty else ()


def drill(rng: random.Random) -> Dialogue:
    """One request with its tool and nothing else: copying, times and read-backs, in few tokens."""
    kind = rng.choices(list(_DRILLS), list(_DRILLS.values()))[0]
    tool = _REQUESTS[kind][1]
    call = Call(rng, rng.choice(["en", "de"]), Facts(), frozenset([tool] if tool else []))
    call.noise = Noise.draw(rng) if rng.random() < 0.6 else None
    call.compact = rng.random() < 0.4
    _perform(call, kind)
    return Dialogue("", tuple(toolbox.schema(name) for name in call.listed), tuple(call.turns))


def analysis(rng: random.Random) -> Dialogue:
    """A transcript, and the answer is JSON with intent, sentiment, resolved and summary."""
    kind = rng.choice(["book", "cancel", "move", "hours", "price", "human"])
    call, _ = _start(rng, [kind], short=True, noisy=False, names="train")
    call.facts = Facts()
    _perform(call, kind)
    if unhappy := rng.random() < 0.3:
        call.hear(
            call.by_language(
                "(This is terrible.|I am not happy with this.)", "(Das ist schrecklich.|Ich bin damit nicht zufrieden.)"
            )
        )
    last = call.last.lower()
    failed = (
        any(word in last for word in ("sorry", "leid", "will not", "nicht ab", "?"))
        and "else" not in last
        and "sonst" not in last
    )
    caller, agent = call.by_language("Caller", "Anrufer"), "Agent"
    lines = [f"{caller if turn.role == 'user' else agent}: {turn.text}" for turn in call.turns if turn.role != "tool"]
    system = "You are a call analyst. Reply with one JSON object: intent, sentiment, resolved, summary."
    what = {
        "book": "book an appointment",
        "cancel": "cancel an appointment",
        "move": "move an appointment",
        "hours": "know the opening hours",
        "price": "know a price",
        "human": "speak to a person",
    }[kind]
    answer = {
        "intent": kind,
        "sentiment": "negative" if unhappy else "neutral",
        "resolved": not failed,
        "summary": f"Caller asked to {what}.",
    }
    turns = (Turn("user", "Transcript:\n" + "\n".join(lines)), Turn("assistant", json.dumps(answer), "analysis"))
    return Dialogue(system, (), turns)


def _draw(rng: random.Random, count: int) -> list[str]:
    weights = [weight for weight, _, _ in _REQUESTS.values()]
    return rng.choices(list(_REQUESTS), weights, k=count)


def _start(
    rng: random.Random, kinds: list[str], *, short: bool, noisy: bool | None, names: str
) -> tuple[Call, list[dict[str, object]]]:
    """The call and the tools shown: those the requests need, one in twelve left out."""
    wanted = {tool for kind in kinds if (tool := _REQUESTS[kind][1]) and rng.random() >= 0.08}
    if "two" in kinds:
        wanted |= set(rng.sample(sorted(TOOL_OF.values()), 2))
    if "availability" in kinds and rng.random() < 0.6:
        wanted.add("book_appointment")
    if rng.random() < (0.2 if short else 0.6):
        wanted.add("end_call")
    if rng.random() < (0.1 if short else 0.4):
        wanted.add("transfer_to_human")
    if short:
        schemas = [toolbox.schema(name) for name in sorted(wanted, key=lambda _: rng.random())]
    elif rng.random() < 0.05 and "two" not in kinds:
        schemas = []
    else:
        schemas = toolbox.choose(rng, frozenset(wanted))
    listed = frozenset(str(item["function"]["name"]) for item in schemas)
    known = toolbox.facts(rng, short=short) if rng.random() < 0.8 else Facts()
    call = Call(rng, rng.choice(["en", "de"]), known, listed, names=names)
    call.noise = Noise.draw(rng) if (rng.random() < 0.45 if noisy is None else noisy) else None
    call.compact = rng.random() < 0.4
    return call, schemas


def _perform(call: Call, kind: str) -> None:
    _, tool, request = _REQUESTS[kind]
    if kind == "two" and sum(call.has(name) for name in TOOL_OF.values()) < 2:
        return
    if tool is None or call.has(tool) or kind == "human":
        request(call)
        return
    limits.cannot(call, kind)
