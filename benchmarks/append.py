"""What 20 ms of a caller's audio cost: `python -m benchmarks.append`.

The server's own codec and ear are given ready-made frames, without a socket: parse, base64, resample, ring buffer. The
second table has the libraries for the first two steps side by side, the third a WebSocket echo under uvicorn with each
of its implementations and event loops, and on picows. CPU time is measured, and not the clock: other work on the
machine does little harm. Libraries that are not installed are left out.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import importlib.util
import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import orjson
import pybase64
from rich.console import Console
from rich.progress import track

from benchmarks.process import machine
from benchmarks.sockets import LOOPS, PROTOCOLS, echo_cost
from models import audio
from models.base import Pcm16
from server.core.events import INPUT_RATE, AudioFormat
from server.runtime.ear import Ear
from server.transports.base import AudioAppend
from server.transports.wire import RealtimeCodec

_SECOND = 50
_console = Console()
_status = Console(stderr=True)


class NoDetector:
    """Voice activity detection is another table (benchmarks.engines)."""

    name = "none"

    def open(self, sample_rate: int) -> NoDetector:
        return self

    async def push(self, pcm: Pcm16) -> list[float]:
        return []

    def reset(self) -> None:
        """There is no history."""

    async def close(self) -> None:
        """There is nothing to close."""


def frames(rate: int) -> list[str]:
    """A second of noise in 20 ms appends."""
    pcm = np.random.default_rng(1).integers(-8000, 8000, rate, np.int16)
    coded = pcm.tobytes() if rate != 8_000 else audio.ulaw_encode(pcm)
    size = len(coded) // _SECOND
    pieces = [base64.b64encode(coded[size * n : size * (n + 1)]).decode() for n in range(_SECOND)]
    return [json.dumps({"type": "input_audio_buffer.append", "audio": piece}) for piece in pieces]


async def append_cost(wire: AudioFormat, rounds: int, *, patient: bool) -> list[float]:
    """CPU µs of an append, from the frame to the ring buffer; the mean of a second's appends, for each round."""
    codec, ear = RealtimeCodec("kammerton", 0), Ear(NoDetector())
    codec.input_format = wire
    second = frames(wire.rate)
    costs = []
    for _ in range(rounds):
        started = time.thread_time()
        for frame in second:
            decoded = codec.decode(frame, ear.position)
            assert isinstance(decoded, AudioAppend)
            await ear.receive(decoded.audio, wire, 0.0, patient=patient)
        costs.append((time.thread_time() - started) / _SECOND * 1e6)
        await ear.judge(False)
        ear.forget_idle()
    return costs


def cost(work: Callable[[Any], object], inputs: Sequence[Any], rounds: int) -> list[float]:
    """CPU µs of one call, the mean over all inputs, for each round."""
    costs = []
    for _ in range(rounds):
        started = time.thread_time()
        for given in inputs:
            work(given)
        costs.append((time.thread_time() - started) / len(inputs) * 1e6)
    return costs


def parsers() -> dict[str, Callable[[str], object]]:
    found: dict[str, Callable[[str], object]] = {"json (standard library)": json.loads, "orjson": orjson.loads}
    if importlib.util.find_spec("msgspec"):
        import msgspec

        shape = msgspec.defstruct("Append", [("type", str), ("audio", str)])
        found["msgspec, any object"] = msgspec.json.Decoder().decode
        found["msgspec, one known shape"] = msgspec.json.Decoder(shape).decode
    return found


def steps(rounds: int) -> dict[str, list[float]]:
    """The parts of an append at 24 kHz, one by one."""
    second = frames(24_000)
    coded = [json.loads(frame)["audio"] for frame in second]
    raw = [base64.b64decode(text) for text in coded]
    resampler = audio.Resampler(24_000, INPUT_RATE)
    six = [b"".join(raw[n : n + 5]) for n in range(0, _SECOND, 5)]
    return {
        **{f"parse: {name}": cost(parse, second, rounds) for name, parse in parsers().items()},
        "base64: standard library": cost(lambda text: base64.b64decode(text, validate=True), coded, rounds),
        "base64: pybase64": cost(lambda text: pybase64.b64decode(text, validate=True), coded, rounds),
        "resample 20 ms": cost(lambda data: resampler.push(np.frombuffer(data, np.int16)), raw, rounds),
        "resample 100 ms": cost(lambda data: resampler.push(np.frombuffer(data, np.int16)), six, rounds),
    }


def report(title: str, costs: dict[str, list[float]]) -> None:
    _console.print(f"| {title} | median | p95 of the rounds |\n| --- | --- | --- |", soft_wrap=True)
    for name, rounds in costs.items():
        high = float(np.percentile(rounds, 95))
        _console.print(f"| {name} | {statistics.median(rounds):.1f} µs | {high:.1f} µs |", soft_wrap=True)
    _console.print()


async def main(rounds: int, sockets: int, seconds: float) -> None:
    _console.print(
        f"Machine: {machine()}. Load average at the start {os.getloadavg()[0]:.1f}. {time.strftime('%Y-%m-%d')}.\n",
        soft_wrap=True,
    )
    appends = {}
    for wire in track((AudioFormat.PCM, AudioFormat.PCMU), "appends", console=_status):
        for patient, who in ((False, "while somebody speaks"), (True, "while nobody speaks")):
            appends[f"{wire.value}, {who}"] = await append_cost(wire, rounds, patient=patient)
    report("one 20 ms append, all steps", appends)
    report("step", steps(rounds))
    _console.print("| echo, 20 ms appends | CPU a message, in and out |\n| --- | --- |", soft_wrap=True)
    for protocol in track(PROTOCOLS, "sockets", console=_status):
        for loop in LOOPS:
            spent = await echo_cost(protocol, loop, sockets, seconds)
            if spent is not None:
                _console.print(f"| {protocol}, {loop} | {spent * 1e6:.0f} µs |", soft_wrap=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=400, help="seconds of audio for each row")
    parser.add_argument("--sockets", type=int, default=20, help="sockets at once for the echo")
    parser.add_argument("--seconds", type=float, default=8, help="of echo for each row")
    arguments = parser.parse_args()
    asyncio.run(main(arguments.rounds, arguments.sockets, arguments.seconds))
