"""What an agent says by fixed rules when no model can answer: states, sentences, and the slots that it asks for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from server.agents.files import ScriptEntry, StateEntry, in_order
from server.runtime.dictation import KINDS


@dataclass(frozen=True, slots=True)
class Line:
    """What is said next, the slots that the caller has filled, and whether that was the end."""

    sentence: str
    slots: Mapping[str, str]
    over: bool


def play(script: ScriptEntry, heard: Sequence[str], language: str | None) -> Line:
    """Where the script stands after what the caller has said since it took over.

    It is played from its start each time: a turn that is prepared, thrown away and heard anew leaves nothing behind.
    """
    name = script.start
    slots: dict[str, str] = {}
    for words in heard:
        state = script.states[name]
        value = _value(state, words)
        if value is None or state.next is None:
            continue
        if state.slot:
            slots[state.slot] = value
        name = state.next
    state = script.states[name]
    sentence = in_order(state.say, language)
    return Line(sentence, slots, state.next is None)


def _value(state: StateEntry, words: str) -> str | None:
    """What the slot gets of the caller's words; None when nothing that was expected is among them."""
    if state.take:
        return KINDS[state.take](words) or None
    if not state.expect:
        return words.strip() or None
    found = [value for value, forms in state.expect.items() if any(_said(form, words) for form in forms)]
    return found[0] if found else None


def _said(form: str, words: str) -> bool:
    return re.search(rf"\b{re.escape(form)}\b", words, re.IGNORECASE) is not None
