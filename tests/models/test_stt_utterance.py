"""What an utterance makes of decodes that end late, contradict each other or cannot be true.

Listening is real; the decoder is a script, so that its answers and their order can be chosen.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import models
from models.audio import Pcm16
from models.base import Priority
from models.batching import Batcher
from models.stt.decoding import Decoded, DecodeRequest
from models.stt.faster_whisper import FasterWhisper
from models.stt.pieces import Hearing
from models.stt.utterance import WhisperUtterance
from tests.models.speech import silence, speak

TINY = Path(models.__file__).parent / "bundled" / "stt" / "tiny"
SPEECH = np.concatenate([speak("When do you close on Tuesday?")[2_000:-8_000]] * 4)


class Queue(Batcher[DecodeRequest, Decoded]):
    """Tells when a request comes in."""

    arrivals: asyncio.Semaphore

    async def submit(self, request: DecodeRequest, priority: Priority = Priority.CONFIRMED) -> Decoded:
        self.arrivals.release()
        return await super().submit(request, priority)


class Decoder:
    """Answers with the texts given, one a request, and waits while ``held``."""

    def __init__(self, engine: FasterWhisper) -> None:
        self.tokenizer = engine._workers.tokenizer("en")
        self.texts: list[str] = []
        self.language = ("en", 1.0)
        self.requests: list[DecodeRequest] = []
        self.free = threading.Event()
        self.free.set()
        self.started = threading.Event()
        self.queue = Queue(self.run, name="script", max_batch=1)
        self.queue.arrivals = asyncio.Semaphore(0)

    def run(self, requests: list[DecodeRequest]) -> list[Decoded]:
        self.requests += requests
        self.started.set()
        assert self.free.wait(60)
        return [self._answer(request) for request in requests]

    def _answer(self, request: DecodeRequest) -> Decoded:
        prefix = self.tokenizer.decode(list(request.prefix))
        text = self.texts.pop(0)
        tokens = self.tokenizer.encode(text if text.startswith(prefix) else prefix + text)
        return Decoded(tuple(tokens), *self.language, avg_logprob=-0.1, no_speech_prob=0.0)

    async def holds(self) -> None:
        assert await asyncio.to_thread(self.started.wait, 60)

    async def asked(self) -> None:
        """Wait until one more request is in the queue."""
        await asyncio.wait_for(self.queue.arrivals.acquire(), 60)


@pytest.fixture
async def engine(request: pytest.FixtureRequest) -> AsyncIterator[FasterWhisper]:
    """Cuts turns into pieces of a second, or as long as the test says."""
    engine = FasterWhisper.load(TINY, name="tiny", piece_seconds=getattr(request, "param", 1.0))
    yield engine
    await engine.close()


@pytest.fixture
async def decoder(engine: FasterWhisper) -> AsyncIterator[Decoder]:
    decoder = Decoder(engine)
    trained = engine._workers.decode
    engine._workers = replace(engine._workers, decode=decoder.queue)
    yield decoder
    decoder.free.set()
    await decoder.queue.aclose()
    engine._workers = replace(engine._workers, decode=trained)


def utterance(engine: FasterWhisper, *heard: Pcm16) -> WhisperUtterance:
    opened = engine.open(language="en")
    for pcm in heard:
        opened.push(pcm)
    return opened


STEP = 20_000
"""A little more than a second of speech."""


async def test_two_decodes_that_agree_settle_words(engine: FasterWhisper, decoder: Decoder) -> None:
    decoder.texts = ["I would like to book", "I would like to cancel my"]
    turn = utterance(engine, SPEECH[:STEP])
    assert (await turn.partial()).stable == ""
    turn.push(SPEECH[STEP : 2 * STEP])
    second = await turn.partial()
    assert (second.text, second.stable) == ("I would like to cancel my", "I would like to")


async def test_decodes_of_nearly_the_same_audio_do_not_count_as_two(engine: FasterWhisper, decoder: Decoder) -> None:
    decoder.texts = ["I would like to book"] * 3
    turn = utterance(engine, SPEECH[:STEP])
    await turn.partial()
    turn.push(SPEECH[STEP : STEP + 3_200])
    assert (await turn.partial()).stable == ""
    turn.push(SPEECH[STEP + 3_200 : 2 * STEP])
    assert (await turn.partial()).stable == "I would like to"


@pytest.mark.parametrize("engine", [6.0], indirect=True)
async def test_a_word_made_up_twice_over_one_pause_is_not_settled(engine: FasterWhisper, decoder: Decoder) -> None:
    decoder.texts = ["what time do you open today", "what time do you open today", "what time do you close on Friday"]
    turn = utterance(engine, SPEECH[:STEP])
    await turn.partial()
    turn.push(silence(0.8))
    assert (await turn.partial()).stable == ""
    turn.push(SPEECH[STEP : 2 * STEP])
    assert (await turn.partial()).stable == "what time do you"
    decoder.texts = [" close on Friday"]
    assert (await turn.final()).text == "what time do you close on Friday"


async def test_words_are_settled_when_the_language_is_sure(engine: FasterWhisper, decoder: Decoder) -> None:
    decoder.texts = ["I would like to book"] * 3
    turn = engine.open()
    for number, (certainty, stable) in enumerate([(0.6, ""), (0.6, ""), (0.95, "I would like to")]):
        decoder.language = ("en", certainty)
        turn.push(SPEECH[number * STEP : (number + 1) * STEP])
        assert (await turn.partial()).stable == stable
    assert [request.language for request in decoder.requests] == [None] * 3


async def test_a_certain_language_needs_a_second_of_speech(engine: FasterWhisper, decoder: Decoder) -> None:
    decoder.texts = ["I would", "I would"]
    turn = engine.open()
    turn.push(SPEECH[: STEP // 2])
    await turn.partial()
    turn.push(SPEECH[STEP // 2 : 2 * STEP])
    await turn.partial()
    turn.push(SPEECH[2 * STEP : 3 * STEP])
    decoder.texts = ["I would"]
    await turn.partial()
    assert [request.language for request in decoder.requests] == [None, None, "en"]


async def test_a_partial_that_a_final_overtakes_settles_nothing(engine: FasterWhisper, decoder: Decoder) -> None:
    decoder.texts = ["When do you close on", "When do you close on Friday", "Where are you?"]
    turn = utterance(engine, SPEECH[:STEP])
    await turn.partial()
    turn.push(SPEECH[STEP : 2 * STEP])
    decoder.free.clear()
    decoder.started.clear()
    partial = asyncio.create_task(turn.partial())
    await decoder.holds()
    turn.push(silence(0.2))
    final = asyncio.create_task(turn.final())
    await asyncio.sleep(0)
    decoder.free.set()
    assert (await partial).stable == ""
    assert (await final).text == "Where are you?"
    assert decoder.requests[-1].prefix == ()


async def test_a_final_that_a_partial_overtakes_keeps_the_partials_promise(
    engine: FasterWhisper, decoder: Decoder
) -> None:
    decoder.texts = ["When do you close on", "busy", "When do you close on Friday", "Where are you?"]
    turn = utterance(engine, SPEECH[:STEP])
    await turn.partial()
    turn.push(SPEECH[STEP : 2 * STEP])
    decoder.free.clear()
    decoder.started.clear()
    await decoder.asked()
    other = asyncio.create_task(utterance(engine, SPEECH[:STEP]).final())
    await decoder.holds()
    await decoder.asked()
    late = asyncio.create_task(turn.final(Priority.BACKGROUND))
    await decoder.asked()
    early = asyncio.create_task(turn.partial())
    await decoder.asked()
    decoder.free.set()
    await other
    assert (await early).stable == "When do you close"
    assert (await late).text.startswith("When do you close")


async def test_more_words_than_can_be_spoken_are_not_believed(engine: FasterWhisper, decoder: Decoder) -> None:
    decoder.texts = ["I would like to book a table for two on Sunday at four.", "I would"]
    turn = utterance(engine, silence(0.5), SPEECH[: STEP // 2])
    heard = await turn.final()
    assert (heard.text, heard.stable) == ("", "")
    turn.push(SPEECH[STEP // 2 : STEP])
    assert (await turn.final()).text == "I would"


async def test_settled_words_stay_when_the_rest_is_not_believed(engine: FasterWhisper, decoder: Decoder) -> None:
    endless = "I would like to " + "to book " * 60
    decoder.texts = ["I would like to book", "I would like to cancel", endless, endless]
    turn = utterance(engine, SPEECH[:STEP])
    await turn.partial()
    turn.push(SPEECH[STEP : 2 * STEP])
    assert (await turn.partial()).stable == "I would like to"
    turn.push(SPEECH[2 * STEP : 3 * STEP])
    third = await turn.partial()
    assert (third.text, third.stable) == ("I would like to", "I would like to")
    turn.push(SPEECH[3 * STEP : 4 * STEP])
    assert (await turn.final()).text == "I would like to"


async def test_a_long_recording_stands_in_the_queues_like_any_other_caller(
    engine: FasterWhisper, decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    listened: list[int] = []
    waiting: list[int] = [0]
    listen, submit = Hearing.listen, decoder.queue.submit

    def measured(hearing: Hearing, position: int) -> None:
        before = hearing._mel.samples
        listen(hearing, position)
        listened.append(hearing._mel.samples - before)

    async def counted(request: DecodeRequest, priority: Priority = Priority.CONFIRMED) -> Decoded:
        waiting.append(waiting[-1] + 1)
        decoded = await submit(request, priority)
        waiting.append(waiting[-1] - 1)
        return decoded

    monkeypatch.setattr(Hearing, "listen", measured)
    monkeypatch.setattr(decoder.queue, "submit", counted)
    sentence = np.concatenate((speak("When do you close on Tuesday?"), silence(0.5)))
    decoder.texts = ["when do you close"] * 60
    heard = await utterance(engine, np.concatenate([sentence] * 40)).final()
    assert heard.text.lower().count("when do you close") > 10
    assert len(listened) > 5
    assert max(listened) <= 10 * 16_000
    assert max(waiting) == 4


async def test_an_utterance_that_is_closed_while_it_is_listened_to_harms_nobody(engine: FasterWhisper) -> None:
    utterance = engine.open(language="en")

    class Inbox(deque[Pcm16]):
        """The listening thread has just looked whether there is more when the event loop closes the utterance."""

        def __bool__(self) -> bool:
            more = len(self) > 0
            utterance.close()
            return more

    utterance._hearing.inbox = Inbox()
    utterance.push(SPEECH)
    # What this raises, every caller in the same batch would get.
    utterance._hearing.listen(len(SPEECH))
