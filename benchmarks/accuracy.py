"""How often a spoken question leads to the right tool call: `python -m benchmarks.accuracy`.

The bundled models, the ten tools of the chat model's tools.json offered by the client, each question a session of its
own, spoken in real time: on a clean line, and as it comes out of a telephone with more and more noise. Beside the calls
stands the word error rate of what was heard, and how many calls were wrong although every word was right: whether
hearing failed or choosing. benchmarks/spoken_questions.py has the questions, and says in what sense they are held out.
Answers are text, so that nobody waits for speech. Prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from benchmarks.client import Caller, call
from benchmarks.phone_noise import over_the_phone
from benchmarks.process import machine, serve
from benchmarks.speech import RATE, Question, speak
from benchmarks.spoken_questions import KINDS, SPEEDS, TASKS, VOICES, Task
from benchmarks.tool_scoring import ANYTHING, CallScore, ToolCall, score, word_errors

_TOOLS = Path(__file__).parents[1] / "models" / "bundled" / "llm" / "tiny" / "tools.json"
_INSTRUCTIONS = {
    "en": "You are the phone assistant of Salon Bella. Answer in short sentences.",
    "de": "Du bist die Telefonassistenz von Salon Bella. Antworte in kurzen Sätzen.",
}
LINES: dict[str, float | None] = {
    "clean": None,
    "phone": None,
    "phone, 20 dB": 20,
    "phone, 10 dB": 10,
    "phone, 5 dB": 5,
}
"""dB of speech over noise."""
_PATIENCE_S = 10.0
"""How long an answer is waited for; who is not heard at all gets none."""
_LANGUAGES = {"en": "English", "de": "German"}
_console = Console()
_status = Console(stderr=True)


@dataclass(slots=True)
class Heard:
    """One conversation. words: (misheard, said) of all turns together."""

    task: Task
    voices: str
    line: str
    transcripts: list[str] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)

    @property
    def words(self) -> tuple[int, int]:
        return word_errors(" ".join(self.task.turns), " ".join(self.transcripts))

    @property
    def score(self) -> CallScore:
        return score(self.task.calls, self.calls)


class _Turn:
    """What is still to come before a turn is over: a caller who is heard to speak, or an answer that is owed."""

    def __init__(self, ends: float) -> None:
        self._ends = ends
        self._speaking = False
        self._owed = True

    def over(self, arrived: float, event: dict[str, Any]) -> bool:
        match event["type"]:
            case "input_audio_buffer.speech_started":
                self._speaking = True
            case "input_audio_buffer.speech_stopped":
                self._speaking = False
            case "input_audio_buffer.committed":
                self._owed = True
            case "response.done" if event["response"]["status"] != "cancelled":
                self._owed = False
            case _:
                return False
        return arrived > self._ends and not self._speaking and not self._owed


async def converse(caller: Caller, said: Sequence[Question], heard: Heard) -> None:
    """Say one after the other, each behind the answer to the one before, and note what was heard and called."""
    for question in said:
        turn = _Turn(await caller.say_at(question) + question.end / RATE)
        until = time.perf_counter() + len(question.pcm) / RATE + _PATIENCE_S
        while True:
            try:
                arrived, event = await asyncio.wait_for(caller.next(), until - time.perf_counter())
            except TimeoutError:
                break
            _note(event, heard)
            if turn.over(arrived, event):
                break


def _note(event: dict[str, Any], heard: Heard) -> None:
    match event["type"]:
        case "conversation.item.input_audio_transcription.completed":
            heard.transcripts.append(event["transcript"])
        case "response.function_call_arguments.done":
            heard.calls.append(ToolCall.read(event["name"], event["arguments"]))
        case "error":
            raise RuntimeError(event["error"]["message"])


def session(language: str) -> dict[str, Any]:
    """A client of one language that offers the tools and wants text."""
    tools = [{"type": "function", **entry["function"]} for entry in json.loads(_TOOLS.read_text())]
    return {
        "instructions": _INSTRUCTIONS[language],
        "output_modalities": ["text"],
        "tools": tools,
        "audio": {"input": {"transcription": {"model": "whisper-1", "language": language}}},
    }


def spoken(task: Task, voices: str, line: str, number: int) -> list[Question]:
    """The turns, each by the same voice over the same line. number: which of the voices."""
    voice, speed = VOICES[voices][task.language][number % 4], SPEEDS[voices][number % 4]
    made = [speak(text, voice, speed) for text in task.turns]
    if line == "clean":
        return made
    return [over_the_phone(one, LINES[line], zlib.crc32(f"{line} {one.text} {voice}".encode())) for one in made]


async def _one(url: str, plan: tuple[Task, str, str, int], places: asyncio.Semaphore) -> Heard:
    task, voices, line, _ = plan
    async with places:
        said = await asyncio.to_thread(spoken, *plan)
        heard = Heard(task, voices, line)
        async with call(url, session(task.language)) as caller:
            await converse(caller, said, heard)
    return heard


def cell(conversations: Sequence[Heard]) -> str:
    """Shares of right tools, right arguments, whole calls; word error rate."""
    scores = [one.score for one in conversations]
    wrong, words = (sum(one.words[at] for one in conversations) for at in (0, 1))
    shares = (
        sum(one.names for one in scores) / len(scores),
        sum(one.arguments for one in scores) / sum(one.of_arguments for one in scores),
        sum(one.whole for one in scores) / len(scores),
    )
    return f"{' / '.join(f'{100 * share:.0f}' for share in shares)}, WER {100 * wrong / words:.0f}"


def table(conversations: Sequence[Heard], lines: Sequence[str]) -> Iterator[str]:
    """Its lines, in Markdown: by language, kind of sentence and kind of voice; a column for each line."""
    yield f"| percent | asked | {' | '.join(lines)} | heard word for word: wrong calls |"
    yield f"|{' --- |' * (len(lines) + 3)}"
    for (language, called), kind, voices in product(_LANGUAGES.items(), KINDS, VOICES):
        found = [
            one for one in conversations if (one.task.language, one.task.kind, one.voices) == (language, kind, voices)
        ]
        if not found:
            continue
        cells = [cell([one for one in found if one.line == line]) for line in lines]
        heard = [one for one in found if not one.words[0]]
        missed = f"{sum(not one.score.whole for one in heard)} of {len(heard)}"
        yield f"| {called}, {kind}, {voices} voice | {len(found) // len(lines)} | {' | '.join(cells)} | {missed} |"


def mistakes(conversations: Iterable[Heard]) -> Iterator[str]:
    """A line for each conversation with a wrong call."""
    for one in conversations:
        if not one.score.whole:
            due, got = (", ".join(map(_shown, calls)) or "none" for calls in (one.task.calls, one.calls))
            said, heard = " / ".join(one.task.turns), " / ".join(one.transcripts)
            yield f"{one.line}, {one.voices} voice: {said!r} heard {heard!r}: {got}; due {due}"


def _shown(called: ToolCall) -> str:
    given = ", ".join(f"{key}={'...' if value is ANYTHING else value}" for key, value in called.arguments.items())
    return f"{called.name}({given})"


async def main(profile: str, lines: list[str], rounds: int, callers: int, *, show: bool) -> None:
    numbered = list(enumerate(TASKS))
    planned = [
        (task, voices, line, at + turn)
        for line, voices, turn, (at, task) in product(lines, VOICES, range(rounds), numbered)
    ]
    places = asyncio.Semaphore(callers)
    conversations = []
    with serve(profile) as server:
        running = [asyncio.ensure_future(_one(server.url, plan, places)) for plan in planned]
        for done in track(asyncio.as_completed(running), "asking", len(running), console=_status):
            conversations.append(await done)
    _console.print(f"Machine: {machine()}. {time.strftime('%Y-%m-%d')}. Profile {profile}.\n", soft_wrap=True)
    _console.print(*table(conversations, lines), sep="\n", soft_wrap=True)
    if show:
        _console.print("", *mistakes(conversations), sep="\n", soft_wrap=True, markup=False)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="tiny", help="the models that are asked")
    parser.add_argument("--lines", nargs="+", choices=LINES, default=list(LINES), help="what the calls come over")
    parser.add_argument("--rounds", type=int, default=1, help="how often each question is asked, by other voices")
    parser.add_argument("--callers", type=int, default=8, help="conversations at once")
    parser.add_argument("--mistakes", action="store_true", help="show each conversation with a wrong call")
    given = parser.parse_args()
    asyncio.run(main(given.profile, given.lines, given.rounds, given.callers, show=given.mistakes))
