"""What stops an answer? `python -m benchmarks.interruptions` speaks and coughs over answers, with several settings.

Sounds that are no interruption: coughs, clicks, noise, laughter, and what a listener says without wanting the floor
("mm-hm", "ja genau"). Each is made over an answer that goes on for seconds; `speech_started` before the answer's
end, on which clients stop their loudspeaker, is a false interruption. Real interruptions are missed without it, and
late when it comes more than 0.7 s after their first sound.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from dataclasses import dataclass

import numpy as np
from rich.console import Console

from benchmarks import noises
from benchmarks.client import Caller, call
from benchmarks.process import Server, machine, serve
from benchmarks.speech import RATE, Question, speak

_console = Console()
_AT_ONCE = 2
_AFTER_S = 0.9
_LATE_S = 0.7
_PATIENCE_S = 20

SETTINGS = {
    "any speech of 64 ms": ("64", "0"),
    "any speech of 160 ms": ("160", "0"),
    "any speech of 400 ms": ("400", "0"),
    "160 ms and 1 word": ("160", "1"),
    "160 ms and 2 words": ("160", "2"),
}
BACKCHANNELS = (
    ("en-us", "mm hm"),
    ("en-gb", "uh huh"),
    ("en-us", "yeah"),
    ("en-gb", "okay"),
    ("en-us", "yes, right"),
    ("en-gb", "I see"),
    ("de", "mm hm"),
    ("de", "ja genau"),
    ("de", "okay gut"),
    ("de", "ja"),
)
INTERRUPTIONS = (
    ("en-us", "Stop."),
    ("en-gb", "Wait a moment please."),
    ("en-us", "No, on Friday please."),
    ("en-gb", "What time do you close on Friday?"),
    ("en-us", "How much is a haircut?"),
    ("en-gb", "Can I speak to a human please?"),
    ("en-us", "I would like to cancel my appointment."),
    ("de", "Nein, am Montag."),
    ("de", "Einen Moment bitte."),
    ("de", "Was kostet ein Haarschnitt?"),
)


@dataclass(frozen=True, slots=True)
class Sound:
    """onset: its first audible sample. meant: whether it is to stop the answer."""

    kind: str
    recording: Question
    onset: int
    meant: bool


def sounds() -> list[Sound]:
    made = [_sound("backchannel", speak(text, voice), meant=False) for voice, text in BACKCHANNELS]
    made += [_sound("interruption", speak(text, voice), meant=True) for voice, text in INTERRUPTIONS]
    for seed in range(4):
        made.append(_sound("cough", _recording("cough", seed), meant=False))
        made.append(_sound("click", _recording("click", seed), meant=False))
        made.append(_sound("noise", _recording("noise", seed), meant=False))
    made += [
        _sound("laughter", speak(text, voice), meant=False) for voice, text in (("en-us", "ha ha ha"), ("de", "haha"))
    ]
    return made


def _sound(kind: str, recording: Question, *, meant: bool) -> Sound:
    loud = np.flatnonzero(np.abs(recording.pcm.astype(np.int32)) > 500)
    return Sound(kind, recording, int(loud[0]), meant)


def _recording(kind: str, seed: int) -> Question:
    pcm = noises.make(kind, seed)
    return Question(kind, pcm, len(pcm))


async def stopped_after(server: Server, sound: Sound) -> float | None:
    """Seconds from the first sound to the moment at which a client learns of it; None when the answer goes on."""
    session = {"audio": {"output": {"speed": 0.25}}}
    async with call(server.url, session) as caller:
        await _long_answer(caller)
        begins = await caller.say(sound.recording)
        caller.arrivals("")
        await asyncio.sleep(len(sound.recording.pcm) / RATE + _AFTER_S)
        stops = caller.arrivals("input_audio_buffer.speech_started")
        return stops[0] - begins - sound.onset / RATE if stops else None


async def _long_answer(caller: Caller) -> None:
    """Have something said, slowly, and begin to listen to it."""
    part = {"type": "input_text", "text": "Are you a real person?"}
    item = {"type": "message", "role": "user", "content": [part]}
    await caller.send({"type": "conversation.item.create", "item": item})
    await caller.send({"type": "response.create"})
    async with asyncio.timeout(_PATIENCE_S):
        while not caller.arrivals("response.done"):  # noqa: ASYNC110 - the client keeps its events in a queue
            await asyncio.sleep(0.05)
    await asyncio.sleep(0.3)


async def measure(server: Server, made: list[Sound]) -> list[float | None]:
    places = asyncio.Semaphore(_AT_ONCE)

    async def one(sound: Sound) -> float | None:
        async with places:
            return await stopped_after(server, sound)

    return await asyncio.gather(*(one(sound) for sound in made))


def row(name: str, made: list[Sound], delays: list[float | None]) -> str:
    """A line of the table."""
    cells = []
    for kind in ("cough", "click", "noise", "laughter", "backchannel"):
        found = [delay for sound, delay in zip(made, delays, strict=True) if sound.kind == kind]
        cells.append(f"{sum(delay is not None for delay in found)}/{len(found)}")
    real = [delay for sound, delay in zip(made, delays, strict=True) if sound.meant]
    known = [delay for delay in real if delay is not None]
    late = sum(delay > _LATE_S for delay in known)
    p50, p95 = np.percentile(known, [50, 95]) * 1000 if known else (0.0, 0.0)
    cells += [f"{len(real) - len(known)}/{len(real)}", str(late), f"{p50:.0f} ms", f"{p95:.0f} ms"]
    return f"| {name} | {' | '.join(cells)} |"


async def main(verbose: bool) -> None:
    made = sounds()
    _console.print(f"Machine: {machine()}. {time.strftime('%Y-%m-%d')}.\n", soft_wrap=True)
    heads = ("an answer is stopped by", "coughs", "clicks", "noise", "laughter", "backchannels")
    _console.print(f"| {' | '.join((*heads, 'missed', 'late', 'delay p50', 'p95'))} |", soft_wrap=True)
    _console.print(f"|{' --- |' * (len(heads) + 4)}")
    for name, (speech_ms, words) in SETTINGS.items():
        environment = {"KAMMERTON_TURNS__INTERRUPT_MS": speech_ms, "KAMMERTON_TURNS__INTERRUPT_WORDS": words}
        with serve(**environment) as server:
            delays = await measure(server, made)
        _console.print(row(name, made, delays), soft_wrap=True)
        for sound, delay in zip(made, delays, strict=True) if verbose else ():
            _console.print(f"    {sound.kind} {sound.recording.text!r}: {delay}", soft_wrap=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--verbose", action="store_true", help="tell of each sound")
    asyncio.run(main(parser.parse_args().verbose))
