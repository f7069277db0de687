"""Lost sound is replaced by what it would have gone on like, so that words with gaps are still understood."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import models
from models.audio import resample, ulaw_decode, ulaw_encode
from models.base import Pcm16
from models.stt.faster_whisper import FasterWhisper
from server.core.events import AudioFormat
from server.transports.carrier import LineAudio, LineFormat
from server.transports.concealment import Concealment
from server.transports.line_hearing import LineHearing
from server.transports.line_samples import LineSamples
from tests.models.speech import speak, with_silence

FRAME = 160
SENTENCES = (
    "I would like to book a haircut on Friday at nine.",
    "What time do you open on Saturday?",
    "Can I book a check-up for Saturday?",
    "Please cancel my appointment on Wednesday.",
)


def tone(samples: int, rate: int = 8_000, pitch: float = 125.0) -> Pcm16:
    return np.rint(8000 * np.sin(2 * np.pi * pitch * np.arange(samples) / rate)).astype(np.int16)


@pytest.mark.parametrize("rate", [8_000, 24_000])
@pytest.mark.parametrize("pitch", [80.0, 125.0, 220.0])
def test_a_voice_goes_on_over_a_lost_frame(rate: int, pitch: float):
    frame = rate // 50
    voice = tone(6 * frame, rate, pitch)
    line = Concealment(rate)
    line.hear(voice[: 4 * frame])
    off = line.fill(frame).astype(np.int32) - voice[4 * frame : 5 * frame]
    assert np.sqrt(np.mean(np.square(off))) < 8000 * 0.15
    joined = line.hear(voice[5 * frame :])
    assert np.abs(np.diff(joined.astype(np.int32))).max() < 8000 * 0.15 * 8_000 / rate + 8000 * 2 * np.pi * pitch / rate


def test_a_long_gap_becomes_silence():
    line = Concealment(8_000)
    line.hear(tone(640))
    made = np.abs(line.fill(1600).astype(np.int32))
    assert made[:160].max() > 7000
    assert made[480:].max() == 0


def test_before_anything_was_heard_a_gap_is_silent():
    assert not Concealment(8_000).fill(160).any()


def test_what_was_heard_whole_stays_as_it_was():
    line = Concealment(8_000)
    voice = tone(1600)
    assert all(line.hear(voice[at : at + 160]) is not None for at in range(0, 1600, 160))
    assert np.array_equal(np.concatenate([line.hear(voice[at : at + 160]) for at in range(0, 1600, 160)]), voice)


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 400)), max_size=30), st.integers(0, 2**32 - 1))
def test_any_gaps_keep_the_length(steps: list[tuple[bool, int]], seed: int):
    noise = np.random.default_rng(seed)
    line = Concealment(8_000)
    for lost, count in steps:
        samples = noise.integers(-32768, 32768, count).astype(np.int16)
        assert len(line.fill(count) if lost else line.hear(samples)) == count


async def test_words_on_a_line_that_loses_a_fifth_of_its_frames_are_understood_better_than_with_silence():
    engine = FasterWhisper.load(Path(models.__file__).parent / "bundled" / "stt" / "tiny", name="tiny")
    wrong = {"silence": 0, "concealed": 0}
    try:
        for number, text in enumerate(SENTENCES):
            lost = np.random.default_rng(number)
            pcm = with_silence(speak(text, rate=8_000), rate=8_000)
            line, hearing = LineFormat("ulaw", 8_000), LineHearing(AudioFormat.PCMU, lambda: 0.0)
            heard, silent = [], []
            for at in range(0, len(pcm) - FRAME, FRAME):
                frame = ulaw_encode(pcm[at : at + FRAME])
                if lost.random() < 0.2:
                    silent.append(np.zeros(FRAME, np.int16))
                    continue
                silent.append(ulaw_decode(frame))
                event = LineAudio(frame, at_ms=at // 8)
                heard.append(ulaw_decode(hearing.hear(event, line, LineSamples(line))))
            for name, pieces in (("concealed", heard), ("silence", silent)):
                utterance = engine.open(language="en")
                utterance.push(resample(np.concatenate(pieces), 8_000, 16_000))
                said = (await utterance.final()).text.lower().strip(".?! ").split()
                wrong[name] += len(set(text.lower().strip(".?! ").split()) - set(said))
                utterance.close()
    finally:
        await engine.close()
    assert wrong["concealed"] < wrong["silence"] / 2, wrong
