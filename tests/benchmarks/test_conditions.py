"""Conditions are what they are called: measured on what the microphone sends."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.conditions import SNR_DB, Channel
from benchmarks.recording import LEVEL_DBFS, Recording, recording, rms_dbfs, speak

RATES = (16_000, 24_000)


@pytest.fixture(scope="module")
def said() -> Recording:
    return speak("What time do you open on Friday?", "en-us")


def power_db(pcm: np.ndarray, rate: int, low: float, high: float) -> float:
    spectrum = np.abs(np.fft.rfft(pcm / 32768)) ** 2
    pitches = np.fft.rfftfreq(len(pcm), 1 / rate)
    return float(10 * np.log10(spectrum[(pitches >= low) & (pitches < high)].sum() + 1e-12))


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize(("condition", "snr"), SNR_DB.items())
def test_noise_lies_below_the_speech_by_as_many_decibels_as_it_says(
    condition: str, snr: float, rate: int, said: Recording
) -> None:
    channel = Channel(condition, rate)
    carried = channel.carry(said)
    alone = channel.microphone(0, np.zeros(20 * rate, np.int16))
    together = channel.microphone(0, carried.pcm)
    noise = together.astype(np.int32) - carried.pcm
    measured = rms_dbfs(carried.pcm[carried.onset : carried.end]) - rms_dbfs(alone)
    assert measured == pytest.approx(snr, abs=0.3)
    assert np.array_equal(noise, alone[: len(noise)])


def test_noise_goes_on_without_a_seam_from_piece_to_piece() -> None:
    channel = Channel("noise_10", 16_000)
    whole = channel.microphone(0, np.zeros(3200, np.int16))
    pieces = [channel.microphone(at, np.zeros(320, np.int16)) for at in range(0, 3200, 320)]
    assert np.array_equal(np.concatenate(pieces), whole)


@pytest.mark.parametrize("rate", RATES)
def test_a_phone_line_lets_through_its_band_and_moves_nothing_in_time(rate: int, said: Recording) -> None:
    clean, phone = Channel("clean", rate).carry(said), Channel("phone", rate).carry(said)
    assert phone.rate == rate
    assert len(phone.pcm) == pytest.approx(len(clean.pcm), abs=rate / 1000)
    assert (phone.onset, phone.end) == (
        pytest.approx(clean.onset, abs=rate / 1000),
        pytest.approx(clean.end, abs=rate / 1000),
    )
    inside = power_db(phone.pcm, rate, 500, 3000) - power_db(clean.pcm, rate, 500, 3000)
    assert abs(inside) < 1.0
    above = power_db(phone.pcm, rate, 4200, rate / 2) - power_db(clean.pcm, rate, 4200, rate / 2)
    assert above < -15
    length = min(len(phone.pcm), len(clean.pcm))
    both = np.fft.irfft(
        np.fft.rfft(phone.pcm[:length].astype(float)) * np.conj(np.fft.rfft(clean.pcm[:length].astype(float)))
    )
    assert int(np.argmax(both)) in (0, 1, length - 1)


def test_recordings_have_one_level_whatever_they_were_made_at(said: Recording) -> None:
    quiet = recording("", (said.pcm / 8).astype(np.int16), said.rate)
    for each in (said, quiet):
        assert rms_dbfs(each.pcm[each.onset : each.end]) == pytest.approx(LEVEL_DBFS, abs=0.2)
