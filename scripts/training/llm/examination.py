"""Held-out calls put to a model: turn by turn with the right history, and whole calls on the model's own."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from scripts.training.llm.call import Dialogue, ToolCall, Turn, message
from scripts.training.llm.simulator import whole

Request = tuple[list[dict[str, Any]], tuple[Mapping[str, Any], ...]]
"""Messages and tools."""
Model = Callable[[Sequence[Request]], list[str]]
"""Raw answers to several requests."""

SETS: dict[str, dict[str, Any]] = {
    "clean": {"noisy": False, "names": "held-out"},
    "recogniser noise": {"noisy": True, "names": "held-out"},
    "names never seen": {"noisy": False, "names": "unseen"},
}
_CALL = re.compile(r"<tool_call>(.*?)(?:</tool_call>|$)", re.DOTALL)
_DECLINED = re.compile(r"cannot help|nicht helfen|only help|nur bei Fragen")
_WORDS = {
    "en": "the is you for what at a i we are your can on me of to it my will that have name",
    "de": "der die das ist sie für was um wie ich wir ihr ihre kann am mir von es wird ihnen name uhr",
}


@dataclass(frozen=True)
class Answer:
    """A model's answer taken apart. valid: every call was JSON with a name and an object of arguments."""

    text: str
    calls: tuple[ToolCall, ...]
    valid: bool

    @classmethod
    def read(cls, raw: str) -> Answer:
        calls: list[ToolCall] = []
        valid = True
        for body in _CALL.findall(raw):
            try:
                content = json.loads(body)
                calls.append((content["name"], dict(content["arguments"])))
            except (ValueError, KeyError, TypeError):
                valid = False
        return cls(_CALL.sub("", raw).strip(), tuple(calls), valid)

    def turn(self) -> Turn:
        """As a part of the history."""
        return Turn("assistant", self.text, calls=self.calls)

    def holds(self, expected: Turn) -> bool:
        """Whether every value is in the text."""
        text = self.text.casefold()
        return all(value.casefold() in text for value in expected.values)

    def calls_as(self, expected: Turn) -> bool:
        """Whether the calls are those expected, every argument exact."""
        return self.valid and sorted(map(_key, self.calls)) == sorted(map(_key, expected.calls))

    @property
    def language(self) -> str | None:
        """en or de by its most frequent words; None when they do not tell."""
        words = re.findall(r"\w+", self.text.lower())
        english, german = (sum(word in _WORDS[code].split() for word in words) for code in ("en", "de"))
        return None if english == german else "en" if english > german else "de"


@dataclass
class Score:
    """name: (right, of how many)."""

    counts: dict[str, tuple[int, int]] = field(default_factory=dict)

    def add(self, name: str, right: bool) -> None:
        good, count = self.counts.get(name, (0, 0))
        self.counts[name] = (good + right, count + 1)


def held_out(name: str, count: int) -> list[Dialogue]:
    """The calls of one of the SETS, always the same ones."""
    rng = random.Random(f"held out: {name}")
    return [whole(rng, **SETS[name]) for _ in range(count)]


def by_turn(dialogues: Sequence[Dialogue], model: Model) -> Score:
    """Every assistant turn asked with the correct history before it."""
    requests: list[Request] = []
    expected: list[Turn] = []
    for dialogue in dialogues:
        messages = dialogue.messages()
        offset = len(messages) - len(dialogue.turns)
        for at, turn in enumerate(dialogue.turns):
            if turn.role == "assistant":
                requests.append((messages[: offset + at], dialogue.tools))
                expected.append(turn)
    score = Score()
    for turn, raw in zip(expected, model(requests), strict=True):
        _mark(score, turn, Answer.read(raw))
    return score


def _mark(score: Score, turn: Turn, answer: Answer) -> None:
    if turn.calls:
        names = [name for name, _ in answer.calls]
        score.add("tool name right", sorted(names) == sorted(name for name, _ in turn.calls))
        score.add("name and all arguments exact", answer.calls_as(turn))
        score.add("words before the call", bool(answer.text))
        score.add("not declined though the tool is listed", not _DECLINED.search(answer.text))
    else:
        score.add("no call where none is due", not answer.calls)
    score.add("calls are valid JSON", answer.valid)
    if turn.kind == "read-back":
        score.add("read-back holds every value heard", answer.holds(turn))
    elif turn.kind == "answer" and turn.values:
        score.add("answer holds every value", answer.holds(turn))
    if turn.kind != "analysis" and answer.text:
        score.add("caller's language kept", answer.language in (turn.language, None))


def whole_calls(dialogues: Sequence[Dialogue], model: Model) -> tuple[Score, list[tuple[Dialogue, int, Answer]]]:
    """The caller's turns and the tools' results stay as written; the history holds the model's own answers. Gives the
    score and, for each call that went wrong, where and how."""
    score = Score()
    histories = [[{"role": "system", "content": dialogue.system}] if dialogue.system else [] for dialogue in dialogues]
    calling = [True] * len(dialogues)
    complete = [True] * len(dialogues)
    failures: list[tuple[Dialogue, int, Answer]] = []
    for at in range(max(len(dialogue.turns) for dialogue in dialogues)):
        asked = []
        for index, dialogue in enumerate(dialogues):
            if at < len(dialogue.turns) and calling[index]:
                if dialogue.turns[at].role == "assistant":
                    asked.append(index)
                else:
                    histories[index].append(message(dialogue.turns[at]))
        answers = model([(histories[index], dialogues[index].tools) for index in asked])
        for index, raw in zip(asked, answers, strict=True):
            turn, answer = dialogues[index].turns[at], Answer.read(raw)
            right, whole_right = answer.calls_as(turn), answer.calls_as(turn) and answer.holds(turn)
            if complete[index] and not whole_right:
                failures.append((dialogues[index], at, answer))
            calling[index] &= right
            complete[index] &= whole_right
            histories[index].append(message(answer.turn()))
    for index, dialogue in enumerate(dialogues):
        if any(turn.calls for turn in dialogue.turns):
            score.add("whole calls: every tool call exact", calling[index])
        score.add("whole calls: and every value said", complete[index])
    return score, failures


def _key(call: ToolCall) -> str:
    return json.dumps(call, sort_keys=True)
