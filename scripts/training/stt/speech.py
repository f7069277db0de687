"""Utterances made into sound: espeak-ng, flite and the bundled Piper voices, then the line they come over."""

from __future__ import annotations

import subprocess
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import soxr  # type: ignore[import-untyped]
from numpy.typing import NDArray

from models.stt.features import HOP, LogMel, mel_filters
from scripts.training.stt.plan import Line, Utterance, Voice
from scripts.training.stt.sounds import RATE, SOUNDS, Floats, noise
from scripts.training.stt.telephone import band, coded

BANDS = 80
MAX_SECONDS = 9.5
VOICES = Path(__file__).parents[3] / "models" / "bundled" / "tts"
_WORDS_A_MINUTE = 165


class UnspokenError(RuntimeError):
    """A synthesiser gave no sound; the message names it and its complaint."""


def sound(utterance: Utterance) -> Floats:
    """Samples at 16 kHz as they reach the recogniser. Raises UnspokenError."""
    rng = np.random.default_rng(utterance.seed)
    if utterance.kind == "nothing":
        wave = SOUNDS[utterance.voice.name](int(RATE * rng.uniform(0.5, MAX_SECONDS)), rng)
        return _over_the_line(wave, Line(phone=utterance.line.phone, after=0.0, peak=0.0), rng)
    samples, rate = _SYNTHESISERS[utterance.voice.engine](utterance.text, utterance.voice)
    if len(samples) < rate // 20:
        raise UnspokenError(f"{utterance.voice.engine} {utterance.voice.name} said nothing for {utterance.text!r}")
    wave = soxr.resample(samples.astype(np.float32) / 32768, rate * utterance.line.stretch, RATE)
    return _over_the_line(wave, utterance.line, rng)


def log_mel(wave: Floats) -> NDArray[np.float16]:
    """[frames, 80] log10 of mel power, before the window's clamp and scaling."""
    mel = LogMel(_filters())
    mel.push(wave)
    return mel.frames(0, len(wave) // HOP).astype(np.float16)


@lru_cache(maxsize=1)
def _filters() -> Floats:
    return mel_filters(BANDS)


def _over_the_line(wave: Floats, line: Line, rng: np.random.Generator) -> Floats:
    """peak 0 leaves the level alone."""
    if line.peak:
        wave = wave * np.float32(line.peak / (np.abs(wave).max() + 1e-9))
    if line.phone:
        wave = band(wave, line.phone)
    level = float(np.sqrt(np.mean(wave**2)))
    wave = np.concatenate(
        (np.zeros(int(line.before * RATE), np.float32), wave, np.zeros(int(line.after * RATE), np.float32))
    )
    if line.noise:
        colour, ratio = line.noise
        beside = noise(len(wave), colour, rng)
        if line.phone:
            beside = band(beside, line.phone)
        loudness = float(np.sqrt(np.mean(beside**2)))
        wave = wave + beside * np.float32(level / loudness * 10 ** (-ratio / 20))
    if line.phone:
        wave = coded(wave, line.phone, rng)
    pcm = np.clip(np.rint(wave * 32768), -32768, 32767)
    return pcm.astype(np.float32) / np.float32(32768)


def _espeak(text: str, voice: Voice) -> tuple[NDArray[np.int16], int]:
    speed = str(round(_WORDS_A_MINUTE * voice.speed))
    command = ["espeak-ng", "-v", voice.name, "-s", speed, "-p", str(voice.pitch), "--stdout", text]
    return _wave(command)


def _flite(text: str, voice: Voice) -> tuple[NDArray[np.int16], int]:
    stretch = f"duration_stretch={1 / voice.speed:.3f}"
    return _wave(["flite", "-voice", voice.name, "--setf", stretch, "-t", text, "-o", "/dev/stdout"])


def _wave(command: list[str]) -> tuple[NDArray[np.int16], int]:
    """Samples and rate of the WAV that a command writes. A pipe has no length, so the header's is not read."""
    try:
        done = subprocess.run(command, capture_output=True, timeout=60)
    except FileNotFoundError as error:
        raise UnspokenError(f"{command[0]} is not installed") from error
    start = done.stdout.find(b"data")
    if done.returncode or start < 0:
        raise UnspokenError(f"{command[0]}: {done.stderr.decode(errors='replace').strip() or 'no sound'}")
    rate = int.from_bytes(done.stdout[24:28], "little")
    body = done.stdout[start + 8 :]
    return np.frombuffer(body[: len(body) // 2 * 2], np.int16), rate


@lru_cache(maxsize=2)
def _piper_voice(name: str) -> Any:
    from piper import PiperVoice

    return PiperVoice.load(VOICES / f"{name}.onnx")


def _piper(text: str, voice: Voice) -> tuple[NDArray[np.int16], int]:
    from piper import SynthesisConfig

    loaded = _piper_voice(voice.name)
    usual = loaded.config
    settings = SynthesisConfig(
        length_scale=1 / voice.speed,
        noise_scale=usual.noise_scale * voice.liveliness,
        noise_w_scale=usual.noise_w_scale * voice.liveliness,
    )
    chunks = list(loaded.synthesize(text, settings))
    if not chunks:
        raise UnspokenError(f"piper {voice.name} said nothing for {text!r}")
    return np.concatenate([chunk.audio_int16_array for chunk in chunks]), chunks[0].sample_rate


_SYNTHESISERS = {"espeak": _espeak, "flite": _flite, "piper": _piper}
