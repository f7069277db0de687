"""Scenarios: what a caller says, in files of TOML (``benchmarks/scenarios/``), checked before anything is dialled.

``docs/benchmarks.md`` has the fields with an example.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from benchmarks import noises
from benchmarks.recording import Recording, RecordingError, Word, join, load, sound, speak
from benchmarks.tool_scoring import ANYTHING, ToolCall

FOLDER = Path(__file__).parent / "scenarios"
_ANYTHING = "*"
_RATE = 24_000


class ScenarioError(ValueError):
    """A scenario file is wrong; the message has file, line and field."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Expected(_Strict):
    name: str
    arguments: dict[str, Any] = {}


_WordTimes = tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)], str]


class Utterance(_Strict):
    """A turn of the caller. One of ``say`` (words, and numbers for so many seconds of silence between them), ``wav``
    with ``text`` and perhaps ``words`` ([start, end, word] in seconds), or ``sound`` (a noise).

    over_s: it is said over the answer before it, so many seconds after that is first heard. interrupts: whether
    it is to stop that answer. wants_answer: whether an answer is due. when: only said when this pattern is found in the
    last answer. pause_s: how long the caller thinks before it. expect: the tool calls that are due.
    """

    say: str | list[str | float] | None = None
    wav: Path | None = None
    text: str = ""
    words: list[_WordTimes] = []
    sound: str | None = None
    voice: str | None = None
    language: str | None = None
    over_s: Annotated[float, Field(gt=0)] | None = None
    interrupts: bool = True
    kind: Literal["speech", "backchannel", "cough"] | None = None
    when: str | None = None
    pause_s: Annotated[float, Field(ge=0)] = 0.5
    expect: list[_Expected] = []

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        if sum(given is not None for given in (self.say, self.wav, self.sound)) != 1:
            raise ValueError("a turn has one of 'say', 'wav' and 'sound'")
        if self.sound is not None and self.sound not in noises.SOUNDS:
            raise ValueError(f"there is no sound {self.sound!r}; there are {', '.join(noises.SOUNDS)}")
        if self.wav is not None and not self.text:
            raise ValueError("'wav' needs 'text', the words that are spoken in it")
        if not self.interrupts and self.over_s is None:
            raise ValueError("'interrupts' is for a turn with 'over_s'")
        return self

    @property
    def wants_answer(self) -> bool:
        return self.interrupts and self.sound is None

    @property
    def expected(self) -> list[ToolCall]:
        return [
            ToolCall(
                call.name, {key: ANYTHING if value == _ANYTHING else value for key, value in call.arguments.items()}
            )
            for call in self.expect
        ]


class _File(_Strict):
    title: str
    language: str
    voice: str
    turns: Annotated[list[Utterance], Field(min_length=1)]
    instructions: str = ""
    tools_file: Path | None = None
    tools: list[str] = []
    results: dict[str, Any] = {}
    goal: _Expected | None = None
    speed: Annotated[float, Field(ge=0.25, le=1.5)] | None = None
    words_a_minute: Annotated[int, Field(ge=80, le=400)] = 155
    max_turns: Annotated[int, Field(ge=1, le=100)] = 20


@dataclass(frozen=True, slots=True)
class Scenario:
    """goal: the tool call that ends the call with the task done; None where there is no task. results: of tools, by
    name. speed: of the answers' speech, where a server can change it. recordings: of the turns, in order, at 24 kHz."""

    name: str
    title: str
    language: str
    turns: tuple[Utterance, ...]
    recordings: tuple[Recording, ...]
    instructions: str = ""
    tools: Sequence[dict[str, Any]] = ()
    results: Mapping[str, Any] = field(default_factory=dict)
    goal: ToolCall | None = None
    speed: float | None = None
    max_turns: int = 20

    def result(self, tool: str) -> Any:
        """What the tool says, whatever it was asked."""
        return self.results.get(tool, {"error": f"{tool} is not available"})


def read(path: Path) -> Scenario:
    """Read a scenario, and make its recordings. Raises ScenarioError."""
    try:
        source = path.read_text()
        file = _File.model_validate(tomllib.loads(source))
    except OSError as error:
        raise ScenarioError(f"{path}: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(f"{path}: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise ScenarioError(_located(path, source, first["loc"], _reason(first["msg"]))) from None
    for number, turn in enumerate(file.turns):
        if turn.over_s is not None and (number == 0 or not file.turns[number - 1].wants_answer):
            reason = "the turn before it has no answer to be said over"
            raise ScenarioError(_located(path, source, ("turns", number, "over_s"), reason))
        try:
            re.compile(turn.when or "")
        except re.error as error:
            raise ScenarioError(_located(path, source, ("turns", number, "when"), str(error))) from None
    goal = ToolCall(file.goal.name, _wildcards(file.goal.arguments)) if file.goal else None
    return Scenario(
        path.stem, file.title, file.language, tuple(file.turns), _recordings(path, source, file), file.instructions,
        _tools(path, source, file), file.results, goal, file.speed, file.max_turns,
    )  # fmt: skip


def find(names: Sequence[str]) -> list[Scenario]:
    """Scenarios by name, of those in the folder, or by path; all of the folder for no name. Raises ScenarioError."""
    known = {path.stem: path for path in sorted(FOLDER.glob("*.toml"))}
    chosen = []
    for name in names or known:
        path = known.get(name, Path(name))
        if name not in known and not path.is_file():
            raise ScenarioError(
                f"there is no scenario {name!r}; there are {', '.join(known)}, or give the path of a file"
            )
        chosen.append(read(path))
    return chosen


def _wildcards(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {key: ANYTHING if value == _ANYTHING else value for key, value in arguments.items()}


def _recordings(path: Path, source: str, file: _File) -> tuple[Recording, ...]:
    made = []
    for number, turn in enumerate(file.turns):
        try:
            made.append(_recording(path, turn, turn.voice or file.voice, file.words_a_minute))
        except RecordingError as error:
            key = "wav" if turn.wav else "sound" if turn.sound else "say"
            raise ScenarioError(_located(path, source, ("turns", number, key), str(error))) from None
    return tuple(made)


def _recording(path: Path, turn: Utterance, voice: str, words_a_minute: int) -> Recording:
    if turn.wav is not None:
        words = [Word(text, start, end) for start, end, text in turn.words]
        return load(path.parent / turn.wav, turn.text, words).at_rate(_RATE)
    if turn.sound is not None:
        return sound(turn.sound)
    parts = turn.say if isinstance(turn.say, list) else [turn.say or ""]
    spoken = [speak(part, voice, words_a_minute) if isinstance(part, str) else part for part in parts]
    if not any(isinstance(part, Recording) for part in spoken):
        raise RecordingError("there are no words in it")
    return join(spoken).at_rate(_RATE)


def _tools(path: Path, source: str, file: _File) -> list[dict[str, Any]]:
    """Flat function tools (name, description, parameters); those of the file that are named, or all."""
    if file.tools_file is None:
        if file.tools:
            raise ScenarioError(
                _located(path, source, ("tools",), "'tools' names tools of 'tools_file', which is missing")
            )
        return []
    try:
        listed = [tool.get("function", tool) for tool in json.loads((path.parent / file.tools_file).read_text())]
        known = {tool["name"]: {key: tool[key] for key in ("name", "description", "parameters")} for tool in listed}
    except (OSError, ValueError, KeyError, AttributeError) as error:
        reason = f"is no JSON list of function tools: {error}"
        raise ScenarioError(_located(path, source, ("tools_file",), reason)) from None
    unknown = [name for name in file.tools if name not in known]
    if unknown:
        reason = f"there is no tool {unknown[0]!r}; there are {', '.join(known)}"
        raise ScenarioError(_located(path, source, ("tools",), reason))
    return [known[name] for name in file.tools or known]


def _reason(message: str) -> str:
    return message.removeprefix("Value error, ")


def _located(path: Path, source: str, place: Sequence[str | int], reason: str) -> str:
    """file:line: field: reason. The line is that of the field, or of the table that misses it."""
    name = ".".join(str(part) for part in place)
    return f"{path}:{_line(source, place)}: {name}: {reason}" if name else f"{path}: {reason}"


def _line(source: str, place: Sequence[str | int]) -> int:
    """Where a field is written; the beginning of its table, or of the file, where it is not."""
    lines = source.splitlines()
    first, table, rest = 0, None, list(place)
    if len(rest) >= 2 and isinstance(rest[1], int):
        heads = [n for n, line in enumerate(lines) if re.match(rf"\s*\[\[\s*{re.escape(str(rest[0]))}\s*\]\]", line)]
        first, table, rest = (heads[rest[1]] if rest[1] < len(heads) else 0), rest[0], rest[2:]
    elif rest:
        heads = [n for n, line in enumerate(lines) if re.match(rf"\s*\[\s*{re.escape(str(rest[0]))}\s*\]", line)]
        if heads:
            return heads[0] + 1
    for number, line in enumerate(lines[first:], first):
        if number > first and table and line.lstrip().startswith("["):
            break
        if rest and re.match(rf"\s*{re.escape(str(rest[0]))}\s*[.=]", line):
            return number + 1
    return first + 1
