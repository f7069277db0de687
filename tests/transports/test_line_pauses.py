"""However often an answer pauses on its way to a caller, he hears all of it in its order, and little of it twice.

Real codecs on both sides of a line that takes its time, and no clock but the loop's own, which need not wait.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Collection, Coroutine
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.audio import ulaw_encode
from scripts.phone_line.line import NO_TROUBLE, Line
from scripts.phone_line.twilio import TwilioEnd
from scripts.phone_line.wire import CarrierEnd
from server.core.events import AudioFormat
from server.transports.carrier import FRAME_MS, CarrierCodec, Close, Frame, LineMark, LineStarted, silence
from server.transports.line_hearing import LineHearing
from server.transports.line_samples import LineSamples
from server.transports.line_speech import LineSpeech
from server.transports.playout import Playout
from server.transports.twilio import TwilioCodec
from tests.transports.test_carriers import WIRES

WIRE = AudioFormat.PCMU
FRAME = FRAME_MS * 8
FRAMES = 150
MARKS = 100
"""Frames that differ, one after the other."""
TWILIO = (TwilioCodec, lambda: TwilioEnd("CA1", {}))
LINES = {"twilio": TWILIO, **{name: WIRES[name] for name in ("vonage", "plivo", "telnyx", "asterisk", "audiosocket")}}


class Skipping(selectors.DefaultSelector):
    """Waits for nothing but lets the time pass that it would have waited."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "everybody waits for everybody"
        self.now += max(0.0, timeout)
        return super().select(0)


def live(life: Coroutine[Any, Any, list[int]]) -> list[int]:
    """Run it in a time of its own."""
    selector = Skipping()
    loop = asyncio.SelectorEventLoop(selector)
    loop.time = lambda: selector.now  # type: ignore[method-assign]
    loop._clock_resolution = 1e-6  # type: ignore[attr-defined]  # a loop's own, so that timers are not early by rounding
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(life)


class Wire:
    """Frames from one side, to the other after so many seconds."""

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self._frames: asyncio.Queue[tuple[float, Frame]] = asyncio.Queue()

    async def send(self, frame: Frame) -> None:
        self._frames.put_nowait((asyncio.get_running_loop().time() + self._delay_s, frame))

    async def recv(self) -> Frame:
        due, frame = await self._frames.get()
        await asyncio.sleep(due - asyncio.get_running_loop().time())
        return frame


class FarSide:
    """The carrier's side of the connection."""

    def __init__(self, out: Wire, back: Wire) -> None:
        self.recv, self.send = out.recv, back.send


class Carried:
    """A line, from the server's speech to the caller's ear."""

    def __init__(self, codec: CarrierCodec, end: CarrierEnd, delay_s: float, busy_s: float) -> None:
        """busy_s: how long the server needs to hand a frame over."""
        self.codec, self.out, self.back, self.busy_s = codec, Wire(delay_s), Wire(delay_s), busy_s
        clock = asyncio.get_running_loop().time
        events = [codec.decode(frame) for frame in end.hello()]
        (started,) = [event for event in events if isinstance(event, LineStarted)]
        end.hello = lambda: []  # type: ignore[method-assign]
        self.line = Line(end, FarSide(self.out, self.back), NO_TROUBLE)
        self.playout = Playout(
            frame=FRAME,
            width=1,
            silence=silence(WIRE, FRAME_MS),
            lead_ms=codec.lead_ms,
            piece_ms=codec.piece_ms,
            clock=clock,
        )
        self.speech = LineSpeech(self.playout, WIRE, LineHearing(WIRE, clock), lambda: None)
        self.speech.connect(self, LineSamples(started.format))
        self.played = 0
        """Samples that the carrier says were heard."""

    async def send(self, frame: Frame) -> None:
        """The server's side of it."""
        await asyncio.sleep(self.busy_s)
        await self.out.send(frame)

    async def close(self, why: Close = Close.OVER, reason: str = "") -> None: ...

    def frames(self) -> Any:
        raise NotImplementedError

    async def marks(self) -> None:
        while True:
            event = self.codec.decode(await self.back.recv())
            mark = self.speech.played(event.name) if isinstance(event, LineMark) else None
            if mark is not None:
                item_id, end = mark
                self.played = max(self.played, int(item_id.removeprefix("item_")) * FRAME + end)


def numbered(frames: int) -> bytes:
    return b"".join(bytes([1 + number % MARKS]) * FRAME for number in range(frames))


def numbers(line: Line) -> list[int]:
    """Of the frames that were heard, without the silence between."""
    heard = ulaw_encode(line.recording.heard_pcm)[FRAME // 2 :: FRAME]
    return [code - 1 for code in heard if code - 1 < MARKS]


Pauses = list[tuple[int, int]]


async def say(
    name: str, pauses: Pauses, delay_ms: int, busy_ms: int, cuts: Collection[int] = (), *, stopped: bool = False
) -> list[int]:
    """An answer that pauses: each time after so many ms for so many more. cuts: at these frames another item begins,
    which is made in the next pause. stopped: it ends in the first. Returns the frames that were heard."""
    codec, end = (one() for one in LINES[name])
    carried = Carried(codec, end, delay_ms / 1000, busy_ms / 1000)
    tasks = [asyncio.create_task(work()) for work in (carried.line.run, carried.speech.pump, carried.marks)]
    bounds = [0, *sorted(cuts), FRAMES]
    items = [(f"item_{first}", numbered(FRAMES)[first * FRAME : last * FRAME]) for first, last in pairwise(bounds)]

    def make() -> None:
        item_id, audio = items.pop(0)
        half = len(audio) // 2
        carried.playout.add(item_id, audio[:half], 0)
        carried.playout.add(item_id, audio[half:], half)
        carried.playout.complete(item_id)

    make()
    for until_ms, for_ms in pauses:
        await asyncio.sleep(until_ms / 1000)
        await carried.speech.pause(True)
        if items and not stopped:
            make()
        lag_s = (delay_ms + 2 * busy_ms + 3 * FRAME_MS + (0 if codec.clear() else codec.lead_ms)) / 1000
        await asyncio.sleep(lag_s)
        silent = len(numbers(carried.line))
        await asyncio.sleep(for_ms / 1000)
        assert len(numbers(carried.line)) == silent, "heard in a pause"
        assert carried.played <= (max_heard(numbers(carried.line)) + 1) * FRAME, "not heard yet"
        if stopped:
            await carried.speech.clear()
        await carried.speech.pause(False)
    while items and not stopped:
        make()
    await asyncio.sleep(FRAMES * FRAME_MS / 1000 + 3)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return numbers(carried.line)


def steps(heard: list[int]) -> list[int]:
    """From frame to frame; 1 is the next, less than that is back."""
    return [(later - earlier + MARKS // 2) % MARKS - MARKS // 2 for earlier, later in pairwise(heard)]


def max_heard(heard: list[int]) -> int:
    at = highest = heard[0] if heard else -1
    for step in steps(heard):
        at += step
        highest = max(highest, at)
    return highest


@pytest.mark.parametrize("name", LINES)
@settings(max_examples=12, deadline=None)
@given(
    pauses=st.lists(st.tuples(st.integers(0, 900), st.integers(0, 500)), max_size=5),
    delay_ms=st.integers(0, 150),
    busy_ms=st.sampled_from([0, 0, 3]),
    cuts=st.sets(st.integers(1, FRAMES - 1), max_size=3),
)
def test_all_of_an_answer_is_heard_in_its_order_and_little_twice(
    name: str, pauses: Pauses, delay_ms: int, busy_ms: int, cuts: set[int]
):
    heard = live(say(name, pauses, delay_ms, busy_ms, cuts))
    assert heard[0] == 0
    assert max_heard(heard) == FRAMES - 1
    back = [1 - step for step in steps(heard) if step != 1]
    assert all(repeated > 0 for repeated in back), "something was never heard"
    assert len(back) <= len(pauses)
    assert max(back, default=0) <= (2 * delay_ms + 8 * busy_ms) // FRAME_MS + 4


@pytest.mark.parametrize("name", LINES)
@settings(max_examples=8, deadline=None)
@given(until_ms=st.integers(0, 2500), delay_ms=st.integers(0, 150), busy_ms=st.sampled_from([0, 3]))
def test_what_is_thrown_away_in_a_pause_is_never_heard(name: str, until_ms: int, delay_ms: int, busy_ms: int):
    heard = live(say(name, [(until_ms, 100)], delay_ms, busy_ms, stopped=True))
    assert heard == [number % MARKS for number in range(len(heard))]
    assert len(heard) <= (until_ms + delay_ms + 4 * busy_ms) // FRAME_MS + 4
