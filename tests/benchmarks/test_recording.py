"""Word times are where the words are."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from benchmarks.recording import RecordingError, Word, join, load, sound, speak
from benchmarks.tool_scoring import word_errors


def test_words_are_timed_in_order_and_end_with_the_speech() -> None:
    made = speak("What time do you open on Friday?", "en-gb")
    assert [word.text for word in made.words] == ["What", "time", "do", "you", "open", "on", "Friday?"]
    starts = [word.start_s for word in made.words]
    assert starts == sorted(starts)
    assert made.words[-1].end_s == pytest.approx(made.end / made.rate)
    assert made.said_until(made.words[2].end_s) == "What time do"


def test_a_word_begins_after_a_pause_where_its_sound_does() -> None:
    """espeak-ng pauses at a comma, so that the event can be set against the sound."""
    made = speak("Yes, please.", "en-us")
    level = np.abs(made.pcm[: made.end]).astype(float)
    frames = level[: len(level) // 220 * 220].reshape(-1, 220).max(axis=1)
    quiet = np.flatnonzero(frames < frames.max() / 50)
    gap = quiet[(quiet > 10) & (quiet < len(frames) - 10)]
    assert made.words[1].start_s == pytest.approx((gap[-1] + 1) * 220 / made.rate, abs=0.06)


def test_a_pause_is_as_long_as_it_says_and_later_words_are_shifted() -> None:
    first, last = speak("Can I book a haircut on", "en-us"), speak("Thursday?", "en-us")
    made = join([first, 0.7, last])
    assert len(made.pcm) == first.end + round(0.7 * first.rate) + len(last.pcm)
    gap = made.pcm[first.end : first.end + round(0.7 * first.rate)]
    assert not gap.any()
    assert made.words[-1].start_s == pytest.approx(first.end / first.rate + 0.7 + last.words[0].start_s, abs=0.001)
    assert made.text == "Can I book a haircut on Thursday?"


def test_other_voices_and_noises_can_be_made_and_a_voice_that_is_not_there_is_named() -> None:
    assert speak("How much is a haircut?", "flite:slt").end > 8_000
    assert sound("cough").words == ()
    for voice in ("xx-nobody", "flite:no/where"):
        with pytest.raises(RecordingError, match=voice.removeprefix("flite:")):
            speak("Hello.", voice)


def test_a_given_recording_begins_and_ends_with_its_words(tmp_path: Path) -> None:
    path = tmp_path / "given.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(16_000)
        tone = (5000 * np.sin(np.arange(16_000))).astype(np.int16)
        file.writeframes(np.stack([tone, np.zeros_like(tone)], axis=1).tobytes())
    made = load(path, "hello there", [Word("hello", 0.2, 0.4), Word("there", 0.5, 0.75)])
    assert (made.onset, made.end, made.rate, len(made.pcm)) == (3200, 12_000, 16_000, 16_000)
    with pytest.raises(RecordingError, match=r"1\.00 s long, and its last word ends at 2"):
        load(path, "hello", [Word("hello", 0.2, 2.0)])
    path.write_bytes(b"no sound")
    with pytest.raises(RecordingError, match="cannot be read as WAV"):
        load(path, "hello")


def test_words_wrong_are_counted_whatever_case_and_punctuation() -> None:
    assert word_errors("What time, do you open?", "what time do you open") == (0, 5)
    assert word_errors("one two three", "one tree") == (2, 3)
