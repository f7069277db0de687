"""The caller's audio on its way in: positions, formats, what is kept, what the detector hears."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from models.audio import ulaw_encode
from models.base import EngineError, Pcm16, Priority, Transcript
from models.vad.silero import SileroVad
from server.core.events import AudioFormat, SpeechProbability
from server.runtime.ear import Ear
from tests.models.speech import silence, speak, with_silence

SILERO = Path(__file__).parents[2] / "models" / "bundled" / "vad" / "silero_vad.onnx"


class Notebook:
    """An utterance that writes down what it is given."""

    def __init__(self) -> None:
        self.heard: Pcm16 = np.zeros(0, np.int16)
        self.closed = False

    def push(self, pcm: Pcm16) -> None:
        self.heard = np.concatenate([self.heard, pcm])

    async def partial(self) -> Transcript:
        raise NotImplementedError

    async def final(self, priority: Priority = Priority.CONFIRMED) -> Transcript:
        raise NotImplementedError

    def close(self) -> None:
        self.closed = True


@pytest.fixture
async def vad():
    engine = SileroVad.load(SILERO)
    yield engine
    await engine.close()


async def judge_all(ear: Ear) -> list[SpeechProbability]:
    judged = await ear.judge(wanted=True)
    while judged[-1].position <= ear.position - 512:
        judged += await ear.judge(wanted=True)
    return judged


@pytest.mark.parametrize("rate", [24_000, 8_000])
async def test_positions_count_on_one_clock_whatever_the_wire_is(vad: SileroVad, rate: int):
    ear = Ear(vad)
    wire = AudioFormat.PCM if rate == 24_000 else AudioFormat.PCMU
    pcm = with_silence(speak("Hello, is anybody there?", rate=rate), before=1.0, after=1.0, rate=rate)
    data = pcm.tobytes() if wire is AudioFormat.PCM else ulaw_encode(pcm)
    step = len(data) // len(pcm) * rate // 50
    judged = []
    for start in range(0, len(data), step):
        await ear.receive(data[start : start + step], wire, start / rate)
        if start % (step * 10) == 0:
            judged += await ear.judge(wanted=True)
    judged += await judge_all(ear)
    assert abs(ear.position - len(pcm) * 16_000 // rate) <= 32
    assert [fact.position for fact in judged] == list(range(512, 512 * len(judged) + 1, 512))
    speaking = [fact.position / 16_000 for fact in judged if fact.probability > 0.5]
    assert 0.9 < speaking[0] < 1.3
    spoken = np.flatnonzero(np.abs(pcm.astype(np.int32)) > 600)[-1] / rate
    assert judged[-1].loud_until is not None
    assert judged[-1].loud_until / 16_000 == pytest.approx(spoken, abs=0.03)
    assert abs(speaking[-1] - (len(pcm) / rate - 1.0)) < 0.35


async def test_a_long_append_is_the_same_audio(vad: SileroVad):
    pcm = speak("I would like to book a table for tomorrow evening please.", rate=24_000)
    whole, pieces = Ear(vad), Ear(vad)
    await whole.receive(pcm.tobytes(), AudioFormat.PCM, 0.0)
    for start in range(0, len(pcm), 480):
        await pieces.receive(pcm[start : start + 480].tobytes(), AudioFormat.PCM, 0.0)
    assert np.array_equal(whole.slice(0, whole.position), pieces.slice(0, pieces.position))


async def test_an_utterance_gets_the_audio_before_it_and_after(vad: SileroVad):
    ear, notebook = Ear(vad), Notebook()
    ramp = np.arange(24_000, dtype=np.int16)
    await ear.receive(ramp.tobytes(), AudioFormat.PCM, 0.0)
    ear.open("item_1", notebook, 8_000)
    await ear.receive(ramp.tobytes(), AudioFormat.PCM, 1.0)
    ear.stop("item_1")
    await ear.receive(ramp.tobytes(), AudioFormat.PCM, 2.0)
    assert np.array_equal(notebook.heard, ear.slice(8_000, len(notebook.heard) + 8_000))
    assert abs(len(notebook.heard) - 24_000) <= 32
    ear.drop("item_1")
    assert notebook.closed
    assert ear.utterance("item_1") is None


async def test_silence_is_let_go_of(vad: SileroVad):
    ear = Ear(vad)
    for second in range(90):
        await ear.receive(silence(1.0, 24_000).tobytes(), AudioFormat.PCM, float(second))
        await ear.judge(wanted=False)
        ear.forget_idle()
    assert len(ear.slice(0, ear.position)) <= 31 * 16_000
    assert len(ear.slice(ear.position - 16_000, ear.position)) == 16_000


async def test_who_is_far_ahead_of_the_detector_waits_for_it(vad: SileroVad):
    ear = Ear(vad)
    for _ in range(11):
        await ear.receive(silence(1.0, 24_000).tobytes(), AudioFormat.PCM, 0.0)
    next_ = asyncio.create_task(ear.receive(silence(1.0, 24_000).tobytes(), AudioFormat.PCM, 0.0))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not next_.done()
    assert abs(ear.position - 11 * 16_000) <= 32
    await ear.judge(wanted=True)
    await next_
    assert abs(ear.position - 12 * 16_000) <= 32


async def test_single_samples_are_gathered_and_none_is_lost(vad: SileroVad):
    ear, notebook = Ear(vad), Notebook()
    ramp = np.arange(1000, dtype=np.int16)
    await ear.receive(ramp[:24].tobytes(), AudioFormat.PCM, 0.0)
    ear.open("item_1", notebook, 0)
    pushes = []
    notebook.push = lambda pcm: pushes.append(pcm)  # type: ignore[method-assign]
    for sample in ramp[24:]:
        await ear.receive(sample.tobytes(), AudioFormat.PCM, 0.0)
    assert abs(ear.position - 666) <= 32
    assert len(pushes) <= 5
    assert abs(len(ear.slice(0, ear.position)) - ear.kept) <= 2


async def test_a_new_format_in_the_middle_does_not_move_the_clock(vad: SileroVad):
    ear = Ear(vad)
    for number in range(40):
        wire = AudioFormat.PCM if number % 2 else AudioFormat.PCMU
        judging = asyncio.create_task(ear.judge(wanted=True))
        await asyncio.sleep(0)
        await ear.receive(bytes(4_801 * wire.width), wire, 0.0)
        assert all(fact.position <= ear.position for fact in await judging)


async def test_it_is_known_when_a_sample_came(vad: SileroVad):
    ear = Ear(vad)
    for number in range(10):
        await ear.receive(silence(0.1, 24_000).tobytes(), AudioFormat.PCM, number * 0.1)
    assert ear.arrived_at(ear.position) == pytest.approx(0.9)
    assert ear.arrived_at(8_500) == pytest.approx(0.5)
    assert ear.arrived_at(ear.position + 1) is None


async def test_waiting_for_more_ends_with_the_turn(vad: SileroVad):
    ear = Ear(vad)
    await ear.receive(silence(0.1, 24_000).tobytes(), AudioFormat.PCM, 0.0)
    assert not await ear.grown("item_1", 100)
    ear.open("item_1", Notebook(), 0)
    more = asyncio.create_task(ear.grown("item_1", 1_600))
    await asyncio.sleep(0)
    await ear.receive(silence(0.2, 24_000).tobytes(), AudioFormat.PCM, 0.1)
    assert await more
    over = asyncio.create_task(ear.grown("item_1", 1_600))
    await asyncio.sleep(0)
    ear.stop("item_1")
    assert not await over


async def test_who_waits_for_a_turn_that_is_over_takes_nothing_from_the_next(vad: SileroVad):
    ear = Ear(vad)
    await ear.receive(silence(0.1, 24_000).tobytes(), AudioFormat.PCM, 0.0)
    ear.open("item_1", Notebook(), 0)
    ear.stop("item_1")
    ear.open("item_2", Notebook(), 0)
    more = asyncio.create_task(ear.grown("item_2", 1_600))
    await asyncio.sleep(0)
    assert not await ear.grown("item_1", 1_600)
    await ear.receive(silence(0.2, 24_000).tobytes(), AudioFormat.PCM, 0.1)
    assert await more


class Moody:
    """A detector that fails ``times`` times and then hears speech in everything."""

    name = "moody"

    def __init__(self, times: int) -> None:
        self.times = times

    def open(self, sample_rate: int) -> Moody:
        self.frame = 512 * sample_rate // 16_000
        return self

    async def push(self, pcm: Pcm16) -> list[float]:
        self.times -= 1
        if self.times >= 0:
            raise EngineError(self.name, "not now", retryable=True)
        return [0.9] * (len(pcm) // self.frame)

    def reset(self) -> None:
        pass

    async def close(self) -> None:
        pass


@pytest.mark.parametrize("wire", [AudioFormat.PCM, AudioFormat.PCMU])
async def test_a_detector_that_fails_once_leaves_the_clock_right(wire: AudioFormat):
    ear = Ear(Moody(times=1))
    second = bytes(wire.rate * wire.width)
    await ear.receive(second, wire, 0.0)
    assert await ear.judge(wanted=True) == []
    behind = ear.position
    await ear.receive(second, wire, 1.0)
    facts = await ear.judge(wanted=True)
    assert facts[0].position == pytest.approx(behind + 512, abs=64)
    assert facts[-1].position <= ear.position


async def test_a_detector_that_keeps_failing_ends_the_session():
    ear = Ear(Moody(times=100))
    for number in range(9):
        await ear.receive(bytes(9_600), AudioFormat.PCM, number * 0.2)
        assert await ear.judge(wanted=True) == []
    await ear.receive(bytes(9_600), AudioFormat.PCM, 2.0)
    with pytest.raises(EngineError, match="not now"):
        await ear.judge(wanted=True)
