"""Speaking over an answer on the phone: `python -m benchmarks.phone_stops`.

Callers on good lines and bad ones have a story told and speak into it. Told: how long the voice went on, and, for the
slowest, where the time went: until the server had heard enough, until the line had brought that, until the caller's
ear was silent. All in ms of the line's clock. And how many of the words, the stories' requests among them, were
understood. Then sounds that are no interruption: how often the story ended by them,
and how often it only paused.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import soxr  # type: ignore[import-untyped]
from numpy.typing import NDArray
from rich.console import Console

from benchmarks.interruptions import INTERRUPTIONS, Sound, sounds
from benchmarks.phone_lines import LINES, NAMES, OVER, STORY, House, house, spoken, trouble
from benchmarks.process import machine
from benchmarks.speech import RATE
from benchmarks.summary import percentiles
from benchmarks.tool_scoring import word_errors
from scripts.phone_line.caller import begun_after, quiet_after
from scripts.phone_line.line import Line
from scripts.phone_line.measure import speech_bounds, stop_of
from scripts.phone_line.twilio import twilio_call

_PHONE = 8_000
_MS = _PHONE // 1000
_FRAME_MS = 20
_INTO_STORY_S = 0.5
_WATCHED_S = 1.6
_SLOWEST = 6
_WANTED_MS = 250
_console = Console(width=200)

Pcm = NDArray[np.int16]


@dataclass(slots=True)
class Over:
    """Something said over a story; times in ms of the line's clock. begins: its first sound. silent: when nothing of
    the story was heard any more, None if it went on. pauses: how often it had been silent and gone on. noticed: how
    much of the line the server had looked at when it paused or stopped for the last time before that. brought: when the
    line had brought that."""

    what: str
    begins: float
    silent: float | None
    pauses: int
    noticed: float | None = None
    brought: float | None = None

    @property
    def took(self) -> float | None:
        """Until it was silent."""
        return None if self.silent is None else self.silent - self.begins


async def speak_over(line: Line, what: str, over: Pcm) -> Over:
    """Have a story told and speak into it."""
    story = spoken(*STORY)
    end = line.say(story, _PHONE) + speech_bounds(story)[1]
    await line.after(end)
    await begun_after(line, end)
    await line.after(line.samples + int(_INTO_STORY_S * _PHONE))
    begins = line.say(over, _PHONE) + speech_bounds(over)[0]
    await line.after(begins + len(over) + int(_WATCHED_S * _PHONE))
    stop = stop_of(line.recording.cleared, line.recording.played, begins)
    await quiet_after(line, line.samples, 1.2)
    return Over(what, begins / _MS, None if stop.silent is None else stop.silent / _MS, stop.pauses)


async def call(at: House, number: int, name: str, said: Iterable[tuple[str, Pcm]]) -> tuple[str, Line, list[Over]]:
    """One call, with all of this said over a story each."""
    await asyncio.sleep(number * 0.137)
    call_sid = f"CA{time.monotonic_ns():032x}"
    found = []
    async with twilio_call(at.account(number), trouble(name, number + 1), call_sid=call_sid) as line:
        await quiet_after(line, 0)
        for what, over in said:
            found.append(await speak_over(line, what, over))
    return call_sid, line, found


def explain(at: House, call_sid: str, line: Line, found: Sequence[Over]) -> tuple[int, int]:
    """Add what the server's log says about each stop. Returns the words that it got wrong, and how many were said."""
    entries = [json.loads(entry) for entry in at.log.read_text().splitlines() if entry.startswith("{")]
    ended = [entry for entry in entries if entry["message"] == "call over"]
    (session,) = (entry["session"] for entry in ended if entry["call"] == call_sid)
    heard = {
        entry["item"]: entry["pii.transcript"]
        for entry in entries
        if entry["message"] == "turn transcribed" and entry["session"] == session
    }
    told = [
        (entry["message"], float(entry["at_ms"]))
        for entry in entries
        if entry.get("session") == session and entry.get("at_ms") is not None
    ]
    for over in found:
        over.noticed = _noticed(told, over)
        if over.noticed is not None:
            frame = int(-(-over.noticed // _FRAME_MS)) - 1
            later = [ms for number, ms in line.recording.delivered_ms.items() if number >= frame]
            over.brought = min(later, default=None)
    said = (text for over in found for text in (STORY[1], over.what))
    return word_errors(" ".join(said), " ".join(heard.values()))


def _noticed(told: Iterable[tuple[str, float]], over: Over) -> float | None:
    """Where the silence began that lasted."""
    noticed = None
    for message, at_ms in told:
        if over.silent is None or not over.begins < at_ms <= over.silent:
            continue
        if message == "answer goes on":
            noticed = None
        elif message in ("answer pauses", "answer stopped") and noticed is None:
            noticed = at_ms
    return noticed


def interruptions(calls: int, each: int) -> Iterator[list[tuple[str, Pcm]]]:
    """What each call says: all there is, by turns."""
    texts = itertools.cycle([*OVER, *INTERRUPTIONS])
    for _ in range(calls):
        yield [(text, spoken(voice, text)) for voice, text in itertools.islice(texts, each)]


def line_row(name: str, found: Sequence[Over], wrong: int, words: int) -> str:
    known = [over.took for over in found if over.took is not None]
    stops = percentiles(known)
    cells = [
        name,
        len(found),
        *("-" if ms is None else f"{ms:.0f}" for ms in (stops.p50, stops.p95, max(known, default=None))),
        sum(ms > _WANTED_MS for ms in known),
        len(found) - len(known),
        sum(over.pauses > 0 for over in found),
        f"{wrong} of {words}",
    ]
    return f"| {' | '.join(map(str, cells))} |"


def slow_row(over: Over) -> str:
    if over.silent is None or over.noticed is None or over.brought is None:
        cells = [over.what, "went on" if over.silent is None else f"{over.took:.0f}", "-", "-", "-", over.pauses]
    else:
        heard, line, rest = over.noticed - over.begins, over.brought - over.noticed, over.silent - over.brought
        cells = [over.what, f"{over.took:.0f}", f"{heard:.0f}", f"{line:.0f}", f"{rest:.0f}", over.pauses]
    return f"| {' | '.join(map(str, cells))} |"


def table(*heads: str) -> None:
    _console.print(f"\n| {' | '.join(heads)} |\n|{' --- |' * len(heads)}")


async def main(lines: Sequence[str], calls: int, each: int, profile: str, harmless: bool) -> None:
    _console.print(f"Machine: {machine()}, profile {profile}. {time.strftime('%Y-%m-%d')}.")
    slowest: list[tuple[str, Over]] = []
    with house(calls, profile, "debug") as at:
        table(
            "line",
            "spoken over",
            "stopped p50 ms",
            "p95",
            "longest",
            "over 250 ms",
            "went on",
            "paused before",
            "words wrong",
        )
        for name in lines:
            said = enumerate(interruptions(calls, each))
            done = await asyncio.gather(*(call(at, number, name, texts) for number, texts in said))
            await asyncio.sleep(0.5)  # the last lines of the log
            words = [explain(at, call_sid, line, overs) for call_sid, line, overs in done]
            found = [over for _, _, overs in done for over in overs]
            _console.print(line_row(NAMES[name], found, *map(sum, zip(*words, strict=True))))
            found.sort(key=lambda over: -1e9 if over.took is None else -over.took)
            slowest += [(NAMES[name], over) for over in found[:_SLOWEST]]
        table("slowest", "ms", "heard enough after", "line", "server, clear, ear", "paused before")
        for name, over in slowest:
            _console.print(slow_row(over).replace("| ", f"| {name}: ", 1))
        if harmless:
            await _harmless(at, calls)


async def _harmless(at: House, calls: int) -> None:
    """Sounds that are no interruption, on a clean line."""
    made = [sound for sound in sounds() if not sound.meant]
    shares = [made[number::calls] for number in range(calls)]
    said = ([(sound.kind, _narrow(sound)) for sound in share] for share in shares)
    done = await asyncio.gather(*(call(at, number, "clean", texts) for number, texts in enumerate(said)))
    found = [over for _, _, overs in done for over in overs]
    table("sound", "made", "ended the story", "paused it", "unnoticed")
    for kind in sorted({over.what for over in found}):
        these = [over for over in found if over.what == kind]
        ended = sum(over.silent is not None for over in these)
        paused = sum(over.silent is None and over.pauses > 0 for over in these)
        _console.print(f"| {kind} | {len(these)} | {ended} | {paused} | {len(these) - ended - paused} |")


def _narrow(sound: Sound) -> Pcm:
    return np.asarray(soxr.resample(sound.recording.pcm, RATE, _PHONE), np.int16)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--lines", nargs="*", choices=LINES, default=("clean", "both"), help="which lines")
    parser.add_argument("--calls", type=int, default=5, help="calls at once on each line")
    parser.add_argument("--each", type=int, default=6, help="stories that each of them speaks over")
    parser.add_argument("--profile", default="tiny")
    parser.add_argument("--no-harmless", dest="harmless", action="store_false", help="no coughs and the like")
    given = parser.parse_args()
    asyncio.run(main(given.lines, given.calls, given.each, given.profile, given.harmless))
