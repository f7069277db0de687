"""A simulated phone call while it is written: who is called, what may be done, what has been said."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from scripts.training.llm.grammar import pick
from scripts.training.llm.lexicon import person
from scripts.training.llm.noise import Noise

ToolCall = tuple[str, dict[str, str]]


@dataclass(frozen=True)
class Turn:
    """role: user, assistant or tool. kind, of the assistant: what the turn is for ("ask", "read-back", "call",
    "answer", "talk"). values: what must be in the text for it to be right. calls: tool calls after the text.
    language: the caller's."""

    role: str
    text: str
    kind: str = ""
    values: tuple[str, ...] = ()
    calls: tuple[ToolCall, ...] = ()
    language: str = "en"


@dataclass(frozen=True)
class Dialogue:
    """system: "" for none. tools: schemas, as the chat template takes them."""

    system: str
    tools: tuple[Mapping[str, Any], ...]
    turns: tuple[Turn, ...]

    def messages(self) -> list[dict[str, Any]]:
        """In the form of the chat template."""
        start: list[dict[str, Any]] = [{"role": "system", "content": self.system}] if self.system else []
        return start + [message(turn) for turn in self.turns]


def message(turn: Turn) -> dict[str, Any]:
    """A turn in the form of the chat template."""
    shown: dict[str, Any] = {"role": turn.role, "content": turn.text}
    if turn.calls:
        shown["tool_calls"] = [{"function": {"name": name, "arguments": arguments}} for name, arguments in turn.calls]
    return shown


@dataclass(frozen=True)
class Facts:
    """What the system text tells the assistant; None: not told."""

    business: str | None = None
    assistant: str | None = None
    city: str | None = None
    card: bool | None = None
    insurance: bool | None = None


@dataclass
class Call:
    """listed: names of the tools that are shown. names: which people call. known_name: the caller's, once said. last:
    what the assistant said last, fillers apart. compact: how tools write JSON. over: nothing follows."""

    rng: random.Random
    language: str
    facts: Facts
    listed: frozenset[str]
    noise: Noise | None = None
    names: str = "train"
    known_name: str | None = None
    turns: list[Turn] = field(default_factory=list)
    last: str = ""
    compact: bool = False
    over: bool = False

    def by_language(self, english: str, german: str, **slots: str) -> str:
        """One sentence of the pattern of the caller's language."""
        return pick(german if self.language == "de" else english, self.rng, **slots)

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def has(self, tool: str) -> bool:
        return tool in self.listed

    def person(self) -> str:
        return person(self.rng, self.names)

    def hear(self, text: str, keep: str = "") -> None:
        """The caller speaks. keep: words that the recogniser gets right."""
        if self.noise:
            words = frozenset(re.findall(r"[^\s.,?!]+", keep.lower()))
            text = self.noise.apply(text, self.language, self.rng, words)
        self.turns.append(Turn("user", text, language=self.language))

    def say(self, text: str, kind: str = "talk", values: Sequence[str] = ()) -> None:
        """The assistant speaks."""
        self.turns.append(Turn("assistant", text, kind, tuple(values), language=self.language))
        self.last = text

    def use(self, text: str, *calls: ToolCall) -> None:
        """The assistant speaks a filler and calls tools."""
        self.turns.append(Turn("assistant", text, "call", (), calls, self.language))

    def result(self, content: Mapping[str, Any]) -> None:
        """A tool answers."""
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":") if self.compact else None)
        self.turns.append(Turn("tool", text, language=self.language))
