"""G.711 against its definition, the live resampler, loudness and WAV files."""

from __future__ import annotations

import io
import math
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.audio import (
    Pcm16,
    Resampler,
    alaw_decode,
    alaw_encode,
    read_wav,
    resample,
    rms_dbfs,
    ulaw_decode,
    ulaw_encode,
    write_wav,
)
from tests.models.speech import sox

RATIOS = [
    (24_000, 16_000),
    (8_000, 16_000),
    (16_000, 8_000),
    (22_050, 24_000),
    (22_050, 8_000),
    (16_000, 24_000),
    (24_000, 8_000),
    (48_000, 16_000),
    (44_100, 16_000),
]
EVERY_SAMPLE = np.arange(-32768, 32768).astype(np.int16)


def ulaw_levels() -> tuple[list[int], list[int]]:
    """Decision values x_n and output values y_n of G.711 table 2a, in units of 1/8159 of full scale."""
    decisions, outputs = [0], [0]
    edge, step = 1, 2
    for segment in range(8):
        for _ in range(15 if segment == 0 else 16):
            decisions.append(edge)
            outputs.append(edge + step // 2)
            edge += step
        step *= 2
    return decisions, outputs


def alaw_levels() -> tuple[list[int], list[int]]:
    """Decision values x_n and output values y_n of G.711 table 1a, in units of 1/4096 of full scale."""
    decisions, outputs = [], []
    edge, step = 0, 2
    for segment in range(8):
        for _ in range(16):
            decisions.append(edge)
            outputs.append(edge + step // 2)
            edge += step
        if segment:
            step *= 2
    return decisions, outputs


def test_ulaw_follows_the_tables_of_the_recommendation() -> None:
    decisions, outputs = ulaw_levels()
    assert len(outputs) == 128
    assert decisions[-1] == 7903
    assert outputs[-1] == 8031
    for level, output in enumerate(outputs):
        assert ulaw_decode(bytes([0xFF - level, 0x7F - level])).tolist() == [4 * output, -4 * output]
    levels = np.searchsorted(decisions, np.where(EVERY_SAMPLE < 0, ~EVERY_SAMPLE, EVERY_SAMPLE) // 4, side="right") - 1
    signs = np.where(EVERY_SAMPLE < 0, 0x7F, 0xFF)
    assert list(ulaw_encode(EVERY_SAMPLE)) == (signs - levels).tolist()


def test_alaw_follows_the_tables_of_the_recommendation() -> None:
    decisions, outputs = alaw_levels()
    assert len(outputs) == 128
    assert decisions[-1] == 3968
    assert outputs[-1] == 4032
    for level, output in enumerate(outputs):
        assert alaw_decode(bytes([(0x80 | level) ^ 0x55, level ^ 0x55])).tolist() == [8 * output, -8 * output]
    levels = np.searchsorted(decisions, np.where(EVERY_SAMPLE < 0, ~EVERY_SAMPLE, EVERY_SAMPLE) / 8, side="right") - 1
    signs = np.where(EVERY_SAMPLE < 0, 0, 0x80)
    assert list(alaw_encode(EVERY_SAMPLE)) == ((levels | signs) ^ 0x55).tolist()


def test_known_codes() -> None:
    assert ulaw_encode(np.array([0, 32767, -32768], np.int16)) == b"\xff\x80\x00"
    assert alaw_encode(np.array([0, 32767, -32768], np.int16)) == b"\xd5\xaa\x2a"
    assert ulaw_decode(b"\x80\x00").tolist() == [32124, -32124]
    assert alaw_decode(b"\xaa\x2a").tolist() == [32256, -32256]


@pytest.mark.parametrize(("encode", "decode"), [(ulaw_encode, ulaw_decode), (alaw_encode, alaw_decode)])
def test_what_was_coded_once_survives_coding_again(encode, decode) -> None:
    once = decode(encode(EVERY_SAMPLE))
    assert np.array_equal(decode(encode(once)), once)


@pytest.mark.parametrize(
    ("law", "encode", "decode"), [("u", ulaw_encode, ulaw_decode), ("a", alaw_encode, alaw_decode)]
)
def test_g711_agrees_with_sox(law: str, encode, decode, tmp_path: Path) -> None:
    import subprocess

    codes = bytes(range(256))
    source, target = tmp_path / f"in.{law}l", tmp_path / "out.wav"
    source.write_bytes(codes)
    subprocess.run(["sox", "-t", f"{law}l", "-r", "8000", "-c", "1", source, "-b", "16", target], check=True)
    pcm, rate = read_wav(target)
    assert rate == 8000
    assert np.array_equal(decode(codes), pcm)


def tone(frequency: float, rate: int, seconds: float = 1.0, amplitude: float = 30_000) -> Pcm16:
    time = np.arange(round(seconds * rate)) / rate
    return np.rint(amplitude * np.sin(2 * np.pi * frequency * time)).astype(np.int16)


def resampled(pcm: Pcm16, rate_in: int, rate_out: int) -> Pcm16:
    stream = Resampler(rate_in, rate_out)
    return np.concatenate((stream.push(pcm), stream.flush()))


@pytest.mark.parametrize(("rate_in", "rate_out"), RATIOS)
def test_a_tone_comes_out_clean_and_in_place(rate_in: int, rate_out: int) -> None:
    out = resampled(tone(1000, rate_in), rate_in, rate_out)
    middle = slice(rate_out // 10, -rate_out // 10)
    exact = 30_000 * np.sin(2 * np.pi * 1000 * np.arange(len(out)) / rate_out)[middle]
    error = out[middle] - exact
    assert 10 * math.log10(np.mean(exact**2) / np.mean(error**2)) >= 80


@pytest.mark.parametrize(("rate_in", "rate_out"), RATIOS)
def test_the_voice_band_is_flat_and_aliases_are_gone(rate_in: int, rate_out: int) -> None:
    nyquist = min(rate_in, rate_out) / 2
    inside = resampled(tone(0.8 * nyquist, rate_in), rate_in, rate_out)
    assert abs(rms_dbfs(inside[rate_out // 10 :]) - rms_dbfs(tone(1000, rate_in))) < 0.5
    if rate_in > rate_out:
        outside = resampled(tone(1.12 * nyquist, rate_in), rate_in, rate_out)
        assert rms_dbfs(outside[rate_out // 10 : -rate_out // 10]) < -60


@pytest.mark.parametrize(("rate_in", "rate_out"), RATIOS)
def test_a_chunk_comes_back_with_two_milliseconds_of_delay_at_most(rate_in: int, rate_out: int) -> None:
    chunk = rate_in // 50
    first = Resampler(rate_in, rate_out).push(tone(440, rate_in)[:chunk])
    assert len(first) / rate_out >= chunk / rate_in - 0.002 - 1e-9


@pytest.mark.parametrize(("rate_in", "rate_out"), [*RATIOS, (16_000, 16_000)])
@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, 3000), max_size=25), size=st.sampled_from([1, 160, 441, 480, 3000]))
def test_chunking_never_changes_a_bit(rate_in: int, rate_out: int, cuts: list[int], size: int) -> None:
    pcm = np.random.default_rng(7).integers(-32768, 32767, 3_000).astype(np.int16)
    whole = resampled(pcm, rate_in, rate_out)
    assert len(whole) == -(-len(pcm) * rate_out // rate_in)
    stream = Resampler(rate_in, rate_out)
    edges = sorted(cuts or range(0, len(pcm), size))
    pieces = [stream.push(piece) for piece in np.split(pcm, edges)]
    assert np.array_equal(np.concatenate([*pieces, stream.flush()]), whole)


def test_a_resampler_starts_afresh_after_flush_and_reset() -> None:
    stream, pcm = Resampler(24_000, 16_000), tone(700, 24_000, 0.1)
    first = np.concatenate((stream.push(pcm), stream.flush()))
    assert np.array_equal(np.concatenate((stream.push(pcm), stream.flush())), first)
    stream.push(tone(3_000, 24_000, 0.05))
    stream.reset()
    assert np.array_equal(np.concatenate((stream.push(pcm), stream.flush())), first)


def test_full_scale_does_not_wrap_around() -> None:
    square = np.where(tone(500, 8_000) >= 0, 32767, -32768).astype(np.int16)
    out = resampled(square, 8_000, 16_000)
    smooth = np.abs(np.diff(out.astype(np.int32)))
    assert smooth.max() < 50_000


def test_a_constant_stays_constant() -> None:
    out = resampled(np.full(4_000, 12_345, np.int16), 22_050, 24_000)
    assert set(out[200:-200].tolist()) == {12_345}


@pytest.mark.parametrize(("rate_in", "rate_out"), [(0, 16_000), (16_000, -1), (16_001, 24_000)])
def test_impossible_rates_are_refused(rate_in: int, rate_out: int) -> None:
    with pytest.raises(ValueError, match=str(rate_in)):
        Resampler(rate_in, rate_out)


def test_whole_recordings_keep_their_length_and_tone() -> None:
    out = resample(tone(1000, 22_050), 22_050, 24_000)
    assert abs(len(out) - 24_000) <= 1
    exact = tone(1000, 24_000)[: len(out)]
    assert np.abs(out[2400:-2400].astype(int) - exact[2400 : len(out) - 2400]).max() < 20
    same = tone(1000, 8_000)
    assert np.array_equal(resample(same, 8_000, 8_000), same)


def test_loudness() -> None:
    assert rms_dbfs(np.full(100, -32768, np.int16)) == 0
    assert rms_dbfs(tone(1000, 16_000, amplitude=32767)) == pytest.approx(-3.01, abs=0.01)
    assert rms_dbfs(np.zeros(100, np.int16)) == -math.inf
    assert rms_dbfs(np.zeros(0, np.int16)) == -math.inf


def test_a_wav_file_comes_back_as_written(tmp_path: Path) -> None:
    pcm = tone(440, 24_000, 0.1)
    write_wav(tmp_path / "a.wav", pcm, 24_000)
    again, rate = read_wav(tmp_path / "a.wav")
    assert rate == 24_000
    assert np.array_equal(again, pcm)
    memory = io.BytesIO()
    write_wav(memory, pcm, 24_000)
    memory.seek(0)
    assert np.array_equal(read_wav(memory)[0], pcm)


@pytest.mark.parametrize("width", [1, 2, 3, 4])
@pytest.mark.parametrize("channels", [1, 2])
def test_other_widths_and_channels_are_converted(width: int, channels: int) -> None:
    values = np.array([0, 64 << 8, -64 << 8, 127 << 8], np.int64)
    columns = np.repeat(values[:, None], channels, axis=1)
    data = (
        ((columns >> 8) + 128).astype(np.uint8).tobytes()
        if width == 1
        else b"".join(int(v << 8 * (width - 2)).to_bytes(width, "little", signed=True) for v in columns.ravel())
    )
    memory = io.BytesIO()
    with wave.open(memory, "wb") as file:
        file.setparams((channels, width, 16_000, 0, "NONE", ""))
        file.writeframes(data)
    memory.seek(0)
    pcm, rate = read_wav(memory)
    assert rate == 16_000
    assert pcm.tolist() == values.tolist()


@pytest.mark.parametrize("content", [b"", b"RIFF", b"ID3 not a wav", sox("trim", "0", "0.1").tobytes()])
def test_what_is_no_wav_is_refused_by_name(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "broken.wav"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"broken\.wav is not a PCM WAV file"):
        read_wav(file)


def test_a_compressed_wav_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "float.wav"
    memory = io.BytesIO()
    write_wav(memory, tone(440, 16_000, 0.1), 16_000)
    data = bytearray(memory.getvalue())
    data[20:22] = (3).to_bytes(2, "little")
    file.write_bytes(data)
    with pytest.raises(ValueError, match=r"float\.wav"):
        read_wav(file)
