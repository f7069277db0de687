"""What every voice activity detector must do, on the real weights."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import pytest

import models
from models.audio import resample
from models.base import Pcm16, VadStream, VoiceActivityDetector, WeightsError
from models.vad.silero import SileroVad
from tests.models.speech import at_level, noise, silence, speak, with_silence

BUNDLED = Path(models.__file__).parent / "bundled" / "vad" / "silero_vad.onnx"

ENGINES: dict[str, Callable[[], VoiceActivityDetector]] = {"silero": lambda: SileroVad.load(BUNDLED)}
RATES = (8_000, 16_000)


@pytest.fixture(params=ENGINES)
async def engine(request: pytest.FixtureRequest) -> AsyncIterator[VoiceActivityDetector]:
    engine = ENGINES[request.param]()
    yield engine
    await engine.close()


def spoken(rate: int, text: str = "I would like to book a table for two people tomorrow evening.") -> Pcm16:
    return resample(speak(text), 16_000, rate)


async def hear(stream: VadStream, pcm: Pcm16, chunk: int) -> list[float]:
    heard: list[float] = []
    for start in range(0, len(pcm), chunk):
        heard += await stream.push(pcm[start : start + chunk])
    return heard


@pytest.mark.parametrize("rate", RATES)
async def test_speech_is_found_where_it_is(engine: VoiceActivityDetector, rate: int) -> None:
    pcm = with_silence(spoken(rate), before=1.0, after=1.0, rate=rate)
    heard = await hear(engine.open(rate), pcm, rate // 50)
    assert len(heard) == len(pcm) // (rate * 32 // 1000)
    assert all(0 <= probability <= 1 for probability in heard)
    before, inside, after = heard[:28], heard[36:-40], heard[-16:]
    assert max(before) < 0.3
    assert np.median(inside) > 0.9
    assert max(after) < 0.3


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("pcm", [silence(2), noise(2, dbfs=-50), noise(2, dbfs=-30, color="pink")])
async def test_no_speech_in_silence_and_noise(engine: VoiceActivityDetector, rate: int, pcm: Pcm16) -> None:
    heard = await engine.open(rate).push(resample(pcm, 16_000, rate))
    assert np.mean(np.array(heard) > 0.5) < 0.1


@pytest.mark.parametrize("level", [-40, -10])
async def test_quiet_and_clipped_speech_is_speech(engine: VoiceActivityDetector, level: int) -> None:
    heard = await engine.open(16_000).push(at_level(spoken(16_000), level))
    assert np.mean(np.array(heard) > 0.5) > 0.6


@pytest.mark.parametrize("rate", RATES)
async def test_chunking_does_not_change_what_is_heard(engine: VoiceActivityDetector, rate: int) -> None:
    pcm = spoken(rate)
    whole = await engine.open(rate).push(pcm)
    for chunk in (rate // 50, 77, 3 * rate):
        assert await hear(engine.open(rate), pcm, chunk) == pytest.approx(whole, abs=1e-4)


async def test_streams_that_share_the_model_do_not_hear_each_other(engine: VoiceActivityDetector) -> None:
    inputs = [spoken(16_000), silence(3), spoken(16_000, "What are your opening hours?"), noise(3, dbfs=-40)]
    inputs += [resample(inputs[0], 16_000, 8_000)]
    rates = [16_000] * 4 + [8_000]
    alone = [await engine.open(rate).push(pcm) for rate, pcm in zip(rates, inputs, strict=True)]
    streams = [engine.open(rate) for rate in rates]
    together = await asyncio.gather(*(hear(s, pcm, 500) for s, pcm in zip(streams, inputs, strict=True)))
    for own, shared in zip(alone, together, strict=True):
        assert shared == pytest.approx(own, abs=1e-4)


async def test_a_stream_that_was_reset_is_like_new(engine: VoiceActivityDetector) -> None:
    pcm = spoken(16_000)
    fresh = await engine.open(16_000).push(pcm)
    stream = engine.open(16_000)
    await stream.push(noise(1.01, dbfs=-20))
    stream.reset()
    assert await stream.push(pcm) == pytest.approx(fresh, abs=1e-4)


async def test_a_reset_while_a_frame_is_under_way_forgets_that_frame_too(engine: VoiceActivityDetector) -> None:
    pcm = spoken(16_000)
    fresh = await engine.open(16_000).push(pcm)
    stream = engine.open(16_000)
    under_way = asyncio.create_task(stream.push(noise(3, dbfs=-20)))
    await asyncio.sleep(0)
    stream.reset()
    assert len(await under_way) < 3 / 0.032 - 1
    assert await stream.push(pcm) == pytest.approx(fresh, abs=1e-4)


async def test_no_sample_is_fine_and_other_rates_are_refused(engine: VoiceActivityDetector) -> None:
    assert await engine.open(16_000).push(silence(0)) == []
    for rate in (0, 24_000, 44_100):
        with pytest.raises(ValueError, match=str(rate)):
            engine.open(rate)


def test_missing_and_damaged_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"nothing\.onnx is missing"):
        SileroVad.load(tmp_path / "nothing.onnx")
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(BUNDLED.read_bytes()[:100_000])
    with pytest.raises(WeightsError, match=r"damaged\.onnx"):
        SileroVad.load(damaged)
