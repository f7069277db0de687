"""The page's two AudioWorklets, run by a real browser in an offline context: samples in, samples out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.e2e.browser import Page, chromium
from tests.e2e.conftest import Server

_CAPTURE = """(async () => {
  const rate = %d;
  const context = new OfflineAudioContext(1, rate, rate);
  await context.audioWorklet.addModule("web/capture-worklet.js");
  const tone = new OscillatorNode(context, { frequency: %d });
  const capture = new AudioWorkletNode(context, "capture", { numberOfOutputs: 0 });
  const level = new GainNode(context, { gain: 0.5 });
  tone.connect(level).connect(capture);
  const pieces = [];
  const all = new Promise((resolve) => {
    capture.port.onmessage = ({ data }) => pieces.push(data) === 49 && resolve();
  });
  tone.start();
  await context.startRendering();
  await all;
  const samples = pieces.slice(1, 49).flatMap(({ pcm }) => [...pcm]);
  return {
    lengths: [...new Set(pieces.map(({ pcm }) => pcm.length))],
    rms: Math.hypot(...samples) / Math.sqrt(samples.length) / 32767,
    crossings: samples.filter((sample, index) => index > 0 && sample >= 0 !== samples[index - 1] >= 0).length,
    level: pieces[10].level,
  };
})()"""

_PLAYBACK = """(async () => {
  const context = new OfflineAudioContext(1, 24000 * 2, 24000);
  await context.audioWorklet.addModule("web/playback-worklet.js");
  const playback = new AudioWorkletNode(context, "playback", { numberOfInputs: 0, outputChannelCount: [1] });
  playback.connect(context.destination);
  const said = [];
  let flushed;
  playback.port.onmessage = ({ data }) => {
    said.push(data);
    if (data.type === "flushed") flushed();
  };
  const push = (item, samples) => {
    playback.port.postMessage({ type: "push", item, pcm: new Int16Array(samples).fill(16384) });
  };
  const flush = () => {
    const done = new Promise((resolve) => (flushed = resolve));
    playback.port.postMessage({ type: "flush" });
    return done;
  };
  // An offline context takes messages while it is suspended, by the second time at the latest.
  context.suspend(0).then(() => {
    for (const [item, samples] of Object.entries({ first: 6000, second: 300000, third: 500 })) push(item, samples);
    context.resume();
  });
  context.suspend(128 / 24000).then(() => context.resume());
  context.suspend(1).then(async () => {
    await flush();
    context.resume();
  });
  const buffer = await context.startRendering();
  const loud = [...buffer.getChannelData(0).keys()].filter((index) => buffer.getChannelData(0)[index] !== 0);
  return { said, loud: loud.length, length: loud.at(-1) - loud[0] + 1 };
})()"""


@pytest_asyncio.fixture
async def page(server: Server, tmp_path: Path) -> AsyncIterator[Page]:
    async with chromium(tmp_path) as page:
        await page.open(server.base_url + "/")
        yield page


@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000])
async def test_the_microphone_is_brought_to_24_khz_at_any_rate_of_the_device(page: Page, rate: int):
    heard = await page.evaluate(_CAPTURE % (rate, 1000))
    assert heard["lengths"] == [480]
    assert heard["rms"] == pytest.approx(0.5 / 2**0.5, rel=0.01)
    assert heard["level"] == pytest.approx(0.5 / 2**0.5, rel=0.01)
    # 48 pieces of 20 ms of 1 kHz: two crossings a period.
    assert heard["crossings"] == pytest.approx(48 * 20 * 2, abs=2)


async def test_what_24_khz_cannot_hold_is_not_folded_into_speech(page: Page):
    heard = await page.evaluate(_CAPTURE % (48_000, 15_000))
    assert heard["rms"] < 0.5 / 2**0.5 / 300


async def test_what_was_played_is_counted_to_the_sample_and_a_flush_silences_the_rest(page: Page):
    played = await page.evaluate(_PLAYBACK)
    (flushed,) = [message for message in played["said"] if message["type"] == "flushed"]
    second, third = flushed["cut"]
    assert (second["item"], third["item"], third["played"]) == ("second", "third", 0)
    # The last sample of the fade is not quite silence: every sample that counts as played can be found in the sound.
    assert 6000 + second["played"] == played["loud"] == played["length"]
    # It was asked for after one second, in blocks of 128 samples, with one block to fade out.
    assert abs(played["loud"] - 24_000) <= 2 * 128
    audible = [message["item"] for message in played["said"] if message["type"] == "audible"]
    assert audible == ["first", "second"]
    progress = [message for message in played["said"] if message["type"] == "progress"]
    assert [message["total"] for message in progress] == sorted(message["total"] for message in progress)
    assert progress[0]["item"] == "first"
