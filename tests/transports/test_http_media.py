"""Uploaded sound files are decoded whatever their kind, and hostile ones do no harm."""

from __future__ import annotations

import io
import struct
import wave
from pathlib import Path

import numpy as np
import pytest

from models.audio import Pcm16, rms_dbfs
from server.errors import ClientError
from server.transports.media import AudioFile
from tests.transports.sound_files import KINDS, encoded


def tone(seconds: float, rate: int) -> Pcm16:
    return (8000 * np.sin(2 * np.pi * 500 * np.arange(round(seconds * rate)) / rate)).astype(np.int16)


def heard(data: bytes, **options: float) -> Pcm16:
    audio = AudioFile(io.BytesIO(data), **options)
    try:
        pieces = []
        while len(piece := audio.read()):
            pieces.append(piece)
        return np.concatenate(pieces)
    finally:
        audio.close()


def wav(pcm: Pcm16, rate: int) -> bytearray:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes(pcm.tobytes())
    return bytearray(file.getvalue())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layout", ["mono", "stereo"])
def test_every_kind_of_file_is_heard_as_it_sounds(kind: str, layout: str):
    rate = 48_000 if kind in ("opus", "webm") else 44_100
    pcm = heard(encoded(tone(2.5, rate), rate, kind, layout=layout))
    # Codecs add up to a tenth of a second at the ends.
    assert len(pcm) / 16_000 == pytest.approx(2.5, abs=0.1)
    spectrum = np.abs(np.fft.rfft(pcm[16_000:32_000]))
    assert np.argmax(spectrum) == 500
    assert rms_dbfs(pcm[16_000:32_000]) == pytest.approx(rms_dbfs(tone(1, 16_000)), abs=1)


def test_a_picture_beside_the_sound_does_not_matter():
    pcm = heard(encoded(tone(1, 48_000), 48_000, "webm", video=True))
    assert len(pcm) / 16_000 == pytest.approx(1, abs=0.1)


def test_a_long_file_comes_in_pieces():
    audio = AudioFile(io.BytesIO(encoded(tone(25, 8_000), 8_000, "flac")))
    lengths = [len(audio.read()) / 16_000 for _ in range(4)]
    audio.close()
    assert lengths[:2] == pytest.approx([10, 10], abs=1)
    assert lengths[3] == 0
    assert sum(lengths) == pytest.approx(25, abs=0.01)


def test_a_wave_file_of_unknown_length_is_heard_to_its_end():
    data = wav(tone(1, 24_000), 24_000)
    data[4:8] = data[40:44] = b"\xff" * 4
    assert len(heard(bytes(data))) == 16_000


def test_a_file_that_is_cut_off_is_heard_up_to_there():
    data = encoded(tone(4, 16_000), 16_000, "mp3")
    assert 1.5 < len(heard(data[: len(data) // 2])) / 16_000 < 2.5


def test_rubbish_in_the_middle_is_passed_over():
    data = encoded(tone(4, 16_000), 16_000, "mp3")
    middle = len(data) // 2
    assert len(heard(data[:middle] + b"\0rubbish" * 200 + data[middle:])) / 16_000 == pytest.approx(4, abs=0.3)


def refusal(data: bytes, **options: float) -> str:
    with pytest.raises(ClientError) as refused:
        heard(data, **options)
    assert (refused.value.code, refused.value.param) == ("invalid_audio", "file")
    return refused.value.message


RATE, CHANNELS = 24, 22
"""Where a wave file says them."""


def test_what_is_no_sound_file_is_refused_with_what_is_allowed():
    for data in (
        b"",
        b"These are words. " * 100,
        b"\x89PNG\r\n\x1a\n" + bytes(1000),
        bytes(wav(tone(0, 8_000), 8_000))[:20],
    ):
        assert "webm" in refusal(data)
    assert "holds no sound" in refusal(bytes(wav(tone(0, 8_000), 8_000)))
    many = wav(tone(1, 8_000), 8_000)
    many[CHANNELS : CHANNELS + 2] = b"\xff\xff"
    assert "cannot be decoded" in refusal(bytes(many))


@pytest.mark.parametrize("name", ["secret.wav", "./secret.wav"])
def test_a_playlist_opens_no_file_of_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    """FFmpeg would, and whoever asks would be told what was said in it."""
    (tmp_path / "secret.wav").write_bytes(wav(tone(1, 16_000), 16_000))
    monkeypatch.chdir(tmp_path)
    assert "is not a sound file" in refusal(f"ffconcat version 1.0\nfile {name}\n".encode())


def test_a_codec_that_is_not_listed_is_not_tried():
    data = wav(tone(1, 8_000), 8_000)
    for number, name in ((2, "adpcm_ms"), (0x9999, "unknown")):
        data[20:22] = struct.pack("<H", number)
        assert name in refusal(bytes(data))


@pytest.mark.parametrize("rate", [1, 3_999, 400_000])
def test_an_absurd_sample_rate_is_refused(rate: int):
    data = wav(tone(1, 8_000), 8_000)
    data[RATE : RATE + 4] = struct.pack("<I", rate)
    assert "4000 to 384000" in refusal(bytes(data))


def test_a_file_that_unpacks_into_too_much_is_refused():
    bomb = encoded(np.zeros(60 * 48_000, np.int16), 48_000, "flac")
    assert len(bomb) < 30_000
    assert "longer than the 0.5 minutes" in refusal(bomb, max_seconds=30)
    assert len(heard(bomb, max_seconds=60)) == 60 * 16_000
