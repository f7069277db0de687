"""How fast one caller is answered, and what the server weighs: `python -m benchmarks.spine`.

Runs the server twice on the bundled models, with answers prepared inside the hold and without (which is what others
do), asks the same spoken questions of both, and prints the tables in Markdown, with the machine's name.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Sequence

import numpy as np
from rich.console import Console
from rich.progress import track

from benchmarks.client import Answer, call
from benchmarks.process import Server, machine, serve
from benchmarks.speech import QUESTIONS, RATE, Question, speak

_TURNS_A_CALL = 10
_STAGES = ("stt_final", "llm_first_token", "first_segment", "tts_first_audio")
_console = Console()
_progress = Console(stderr=True)


async def ask_all(server: Server, turns: int) -> tuple[list[Answer], float]:
    """Ask ``turns`` questions, ten in a call, each when the answer before it has been heard; and the hold, in ms."""
    questions = [speak(text, voice) for voice, text in QUESTIONS]
    answers: list[Answer] = []
    hold = 0.0
    for first in range(0, turns, _TURNS_A_CALL):
        async with call(server.url) as caller:
            hold = caller.hold_ms
            for number in track(range(first, min(turns, first + _TURNS_A_CALL)), "asking", console=_progress):
                answers.append(await caller.ask(questions[number % len(questions)]))
                await asyncio.sleep(answers[-1].heard_s)
    return answers, hold


async def silent_caller(server: Server, seconds: float) -> float:
    """Share of one core that a connected, silent caller costs, beyond a server with nobody."""
    before = server.cpu_s()
    await asyncio.sleep(seconds)
    idle = server.cpu_s() - before
    async with call(server.url):
        await asyncio.sleep(2)
        before = server.cpu_s()
        await asyncio.sleep(seconds)
        return (server.cpu_s() - before - idle) / seconds


async def monologue(server: Server, seconds: int, window: int) -> list[float]:
    """CPU seconds spent in each window of an unbroken monologue, by the server."""
    sentences = [speak(text, voice) for voice, text in QUESTIONS if voice != "de"]
    pieces: list[Question] = []
    while sum(len(piece.pcm) for piece in pieces) < seconds * RATE:
        pieces.append(sentences[len(pieces) % len(sentences)])
    pcm = np.concatenate([piece.pcm[: piece.end + RATE // 4] for piece in pieces])[: seconds * RATE]
    costs = []
    async with call(server.url) as caller:
        asked = asyncio.create_task(caller.ask(Question("monologue", pcm, len(pcm)), seconds + 60))
        for _ in track(range(seconds // window), "monologue", console=_progress):
            before = server.cpu_s()
            await asyncio.sleep(window)
            costs.append(server.cpu_s() - before)
        await asked
    return costs


def percentile(values: Sequence[float], share: float) -> float:
    return float(np.percentile(np.asarray(values), share * 100))


def report_turns(name: str, answers: Sequence[Answer], hold: float) -> None:
    waits = [answer.voice_to_voice for answer in answers if answer.voice_to_voice is not None]
    beyond = [wait - hold for wait in waits]
    row = [f"{statistics.median(waits):.0f}", f"{percentile(waits, 0.95):.0f}"]
    row += [f"{statistics.median(beyond):.0f}", f"{percentile(beyond, 0.95):.0f}"]
    for stage in _STAGES:
        reached = [answer.stages[stage] for answer in answers if answer.stages.get(stage) is not None]
        row.append(f"{statistics.median(reached):.0f}")
    _console.print(f"| {name} | {len(waits)} | {hold:.0f} | " + " | ".join(row) + " |", soft_wrap=True)


async def main(turns: int, monologue_s: int) -> None:
    results = {}
    for name, prepare in (("prepared in the hold", "true"), ("started at its end", "false")):
        with serve(KAMMERTON_TURNS__PREPARE=prepare) as server:
            answers, hold = await ask_all(server, turns)
            results[name] = answers, hold
            if prepare == "true":
                quiet = await silent_caller(server, 20)
                costs = await monologue(server, monologue_s, 10)
                weight, ready = server.memory_mb(), server.ready_s
    _console.print(f"Machine: {machine()}. {time.strftime('%Y-%m-%d')}. Milliseconds.\n", soft_wrap=True)
    _console.print(
        "| answers | turns | hold | voice to voice p50 | p95 | beyond the hold p50 | p95 "
        "| transcript | first token | first clause | first audio |\n| --- |" + " --- |" * 10,
        soft_wrap=True,
    )
    for name, (answers, hold) in results.items():
        report_turns(name, answers, hold)
    _console.print(f"\nStart to ready: {ready:.1f} s. Resident memory with workers: {weight:.0f} MB.")
    _console.print(f"One silent caller: {quiet * 100:.1f} % of a core.")
    _console.print("CPU per 10 s of monologue: " + ", ".join(f"{cost:.1f}" for cost in costs) + " s.", soft_wrap=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=30, help="questions asked of each server")
    parser.add_argument("--monologue", type=int, default=120, help="seconds of unbroken speech")
    arguments = parser.parse_args()
    asyncio.run(main(arguments.turns, arguments.monologue))
