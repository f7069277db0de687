"""When is a turn over? `python -m benchmarks.endpointing` compares turn detectors on spoken, labelled turns.

Unfinished turns are sentences with a pause in the middle: a detector that ends the turn in that pause has cut the
caller off. Finished turns are whole sentences: what counts is the silence after them before the turn ends. Counted in
samples of the caller's audio, so the machine's speed enters only where a decision needs a transcript.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console

from benchmarks.client import call
from benchmarks.labelled_turns import HELD_OUT, TUNING, Labelled
from benchmarks.process import Server, machine, serve
from benchmarks.speech import RATE, Question, speak

_console = Console()
_AT_ONCE = 8
_AFTER_S = 4.5

PAUSES_S = (0.5, 1.0)

DETECTORS: dict[str, dict[str, Any]] = {
    "fixed 200 ms": {"type": "server_vad", "silence_duration_ms": 200},
    "fixed 500 ms": {"type": "server_vad", "silence_duration_ms": 500},
    "fixed 800 ms": {"type": "server_vad", "silence_duration_ms": 800},
    "semantic high": {"type": "semantic_vad", "eagerness": "high"},
    "semantic auto": {"type": "semantic_vad", "eagerness": "auto"},
    "semantic low": {"type": "semantic_vad", "eagerness": "low"},
}


@dataclass(frozen=True, slots=True)
class Said:
    """A spoken turn. resumes: the sample at which it goes on after its pause, None if it has none."""

    question: Question
    resumes: int | None


def spoken_turns(labelled: Labelled) -> list[Said]:
    turns = [Said(speak(text, voice), None) for voice, text in labelled.finished]
    for voice, first, rest in labelled.unfinished:
        start, end = speak(first, voice), speak(rest, voice)
        for pause in PAUSES_S:
            gap = np.zeros(int(pause * RATE), np.int16)
            pcm = np.concatenate([start.pcm[: start.end], gap, end.pcm])
            resumes = start.end + len(gap)
            turns.append(Said(Question(f"{first} ... {rest}", pcm, resumes + end.end), resumes))
    return turns


async def ends_of(server: Server, detector: dict[str, Any], said: Said) -> list[float]:
    """Where the server ended the caller's turns, in seconds from the start of the recording."""
    session = {"audio": {"input": {"turn_detection": {**detector, "create_response": False}}}}
    async with call(server.url, session) as caller:
        begins = await caller.say(said.question)
        await asyncio.sleep(len(said.question.pcm) / RATE + _AFTER_S)
        return [event["audio_end_ms"] / 1000 - begins for event in caller.drain("input_audio_buffer.speech_stopped")]


async def measure(server: Server, detector: dict[str, Any], turns: list[Said]) -> tuple[int, list[float]]:
    """Turns that were cut off, and the waits after turns that were finished, in ms."""
    places = asyncio.Semaphore(_AT_ONCE)

    async def one(said: Said) -> list[float]:
        async with places:
            return await ends_of(server, detector, said)

    ends = await asyncio.gather(*(one(said) for said in turns))
    cut = 0
    waits = []
    for said, stops in zip(turns, ends, strict=True):
        if said.resumes is not None and any(stop < said.resumes / RATE for stop in stops):
            cut += 1
        if said.resumes is None and stops:
            waits.append((stops[-1] - said.question.end / RATE) * 1000)
    return cut, waits


async def main(labelled: Labelled) -> None:
    turns = spoken_turns(labelled)
    pausing = sum(said.resumes is not None for said in turns)
    _console.print(f"Machine: {machine()}. {time.strftime('%Y-%m-%d')}.\n", soft_wrap=True)
    _console.print(f"| turns end by | cut off, of {pausing} with a pause | wait after a finished turn p50 | p95 |")
    _console.print("| --- | --- | --- | --- |")
    with serve() as server:
        for name, detector in DETECTORS.items():
            cut, waits = await measure(server, detector, turns)
            p50, p95 = np.percentile(waits, [50, 95])
            _console.print(f"| {name} | {cut} | {p50:.0f} ms | {p95:.0f} ms |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tuning", action="store_true", help="the turns that the rules were looked for on")
    asyncio.run(main(TUNING if parser.parse_args().tuning else HELD_OUT))
