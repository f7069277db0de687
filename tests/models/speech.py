"""Speech and noises for tests, made on the spot by espeak-ng, flite and sox."""

from __future__ import annotations

import io
import subprocess
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from models.audio import Pcm16, read_wav, resample


@lru_cache(maxsize=256)
def _spoken(text: str, voice: str, rate: int, speed: int) -> bytes:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "speech.wav"
        if voice.startswith("flite:"):
            command = ["flite", "-voice", voice.removeprefix("flite:"), "-t", text, "-o", str(file)]
        else:
            command = ["espeak-ng", "-v", voice, "-s", str(speed), "-w", str(file), text]
        subprocess.run(command, check=True, capture_output=True, timeout=240)
        pcm, native = read_wav(file)
    return resample(pcm, native, rate).tobytes()


def speak(text: str, *, voice: str = "en-us", rate: int = 16_000, speed: int = 160) -> Pcm16:
    """Speech as samples at ``rate``. voice: one of espeak-ng (en-us, en-gb+f2, de, ...) or ``flite:slt``, ``flite:rms``
    and so on. speed: words a minute, espeak-ng only."""
    return np.frombuffer(_spoken(text, voice, rate, speed), np.int16).copy()


def silence(seconds: float, rate: int = 16_000) -> Pcm16:
    """Digital silence."""
    return np.zeros(round(seconds * rate), np.int16)


def with_silence(pcm: Pcm16, *, before: float = 0.3, after: float = 0.5, rate: int = 16_000) -> Pcm16:
    """The samples with silence around them, in seconds."""
    return np.concatenate((silence(before, rate), pcm, silence(after, rate)))


def noise(seconds: float, *, dbfs: float, color: str = "white", rate: int = 16_000, seed: int = 1) -> Pcm16:
    """Noise of this RMS level. color: white or pink."""
    samples = round(seconds * rate)
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(samples))
    if color == "pink":
        spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    wave = np.fft.irfft(spectrum, samples)
    return at_level(np.rint(wave / np.abs(wave).max() * 32767).astype(np.int16), dbfs)


def at_level(pcm: Pcm16, dbfs: float) -> Pcm16:
    """The samples scaled to this RMS level; what goes beyond full scale is clipped."""
    rms = np.sqrt(np.mean(np.square(pcm, dtype=np.float64)))
    return np.clip(np.rint(pcm * (10 ** (dbfs / 20) * 32768 / rms)), -32768, 32767).astype(np.int16)


def sox(*effect: str, rate: int = 16_000) -> Pcm16:
    """What ``sox -n`` makes with this effect chain, e.g. ``sox("synth", "3", "pluck", "E3")``."""
    command = ["sox", "-R", "-D", "-n", "-r", str(rate), "-b", "16", "-c", "1", "-t", "wav", "-", *effect]
    made = subprocess.run(command, check=True, capture_output=True, timeout=240)
    pcm, _ = read_wav(io.BytesIO(made.stdout))
    return pcm
