"""PCM16 mono: G.711, resampling, loudness and WAV files.

Live audio is resampled with ``Resampler`` (at most 2 ms of delay, any chunking); whole files with ``resample``.
"""

from __future__ import annotations

import math
import wave
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soxr  # type: ignore[import-untyped]
from numpy.typing import NDArray

from models.base import Pcm16

Doubles = NDArray[np.float64]

# ------------------------------------------------------------------------------------------ G.711


def _ulaw_encoder() -> NDArray[np.uint8]:
    """Codes of all int16 values, indexed by their bits as uint16 (ITU-T G.711 table 2; rounding of G.191)."""
    value = np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int32)
    magnitude = np.minimum((np.where(value < 0, ~value, value) >> 2) + 33, 0x1FFF)
    segment = np.floor(np.log2(magnitude)).astype(np.int32) - 5
    code = (segment << 4) | ((magnitude >> (segment + 1)) & 0x0F)
    codes: NDArray[np.uint8] = (~code & np.where(value < 0, 0x7F, 0xFF)).astype(np.uint8)
    return codes


def _ulaw_decoder() -> Pcm16:
    code = ~np.arange(256, dtype=np.int32) & 0xFF
    magnitude = ((((code & 0x0F) << 1) + 33) << ((code >> 4) & 7)) - 33
    return np.where(code & 0x80, -4 * magnitude, 4 * magnitude).astype(np.int16)


def _alaw_encoder() -> NDArray[np.uint8]:
    """Codes of all int16 values, indexed by their bits as uint16 (ITU-T G.711 table 1; rounding of G.191)."""
    value = np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int32)
    magnitude = np.where(value < 0, ~value, value) >> 4
    segment = np.maximum(np.floor(np.log2(np.maximum(magnitude, 1))).astype(np.int32) - 3, 0)
    code = (segment << 4) | ((magnitude >> np.maximum(segment - 1, 0)) & 0x0F)
    codes: NDArray[np.uint8] = ((code | np.where(value < 0, 0x00, 0x80)) ^ 0x55).astype(np.uint8)
    return codes


def _alaw_decoder() -> Pcm16:
    code = np.arange(256, dtype=np.int32) ^ 0x55
    segment = (code >> 4) & 7
    # Half a step is added so that the value lies in the middle of its interval.
    fraction = ((code & 0x0F) << 4) + 8
    magnitude = np.where(segment > 0, (fraction + 0x100) << np.maximum(segment - 1, 0), fraction)
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)


_ULAW_ENCODE, _ULAW_DECODE = _ulaw_encoder(), _ulaw_decoder()
_ALAW_ENCODE, _ALAW_DECODE = _alaw_encoder(), _alaw_decoder()


def ulaw_encode(pcm: Pcm16) -> bytes:
    """One G.711 mu-law byte a sample."""
    return _ULAW_ENCODE[pcm.view(np.uint16)].tobytes()


def ulaw_decode(data: bytes) -> Pcm16:
    """Samples of G.711 mu-law bytes."""
    return _ULAW_DECODE[np.frombuffer(data, np.uint8)]


def alaw_encode(pcm: Pcm16) -> bytes:
    """One G.711 A-law byte a sample."""
    return _ALAW_ENCODE[pcm.view(np.uint16)].tobytes()


def alaw_decode(data: bytes) -> Pcm16:
    """Samples of G.711 A-law bytes."""
    return _ALAW_DECODE[np.frombuffer(data, np.uint8)]


# ------------------------------------------------------------------------------------- resampling

_DELAY_S = 0.002
_CUTOFF = 0.9625
"""Place of the -6 dB point, as a share of the lower Nyquist frequency: 3850 Hz for telephone audio."""
_KAISER_BETA = 7.0
_COEFFICIENT_BITS = 24
_MIN_BLOCK = 96
_MAX_FACTOR = 1000


class _Filter:
    """Coefficients of one ratio, shared by all its resamplers.

    A block of ``block_in`` input samples, with ``half - 1`` samples before and ``half`` behind it, gives
    ``block_out`` output samples by one product with ``matrix`` [block_in + 2 half - 1, block_out]. Coefficients are
    whole numbers (scaled by 2**24) and samples are 16 bits wide, so a float64 sum of them is exact in any order: that
    is why the chunking of the input can never change an output bit.
    """

    def __init__(self, rate_in: int, rate_out: int) -> None:
        divisor = math.gcd(rate_in, rate_out)
        up, down = rate_out // divisor, rate_in // divisor
        if max(up, down) > _MAX_FACTOR:
            raise ValueError(f"cannot resample {rate_in} Hz to {rate_out} Hz: the ratio {up}/{down} is too fine")
        self.up, self.down = up, down
        self.half = max(2, int(_DELAY_S * rate_in))
        periods = max(1, _MIN_BLOCK // down)
        self.block_in, self.block_out = periods * down, periods * up
        cutoff = _CUTOFF * min(rate_in, rate_out) / rate_in
        self.matrix: Doubles = np.zeros((self.block_in + 2 * self.half - 1, self.block_out))
        for n in range(self.block_out):
            first, remainder = divmod(n * down, up)
            offset = np.arange(1 - self.half, self.half + 1) - remainder / up
            window = np.i0(_KAISER_BETA * np.sqrt(np.clip(1 - (offset / self.half) ** 2, 0, None)))
            taps = np.sinc(cutoff * offset) * window
            # Each phase has the same gain at 0 Hz: otherwise a constant would come out as a whistle.
            self.matrix[first : first + 2 * self.half, n] = np.rint(taps / taps.sum() * 2**_COEFFICIENT_BITS)


@lru_cache(maxsize=32)
def _filter(rate_in: int, rate_out: int) -> _Filter:
    return _Filter(rate_in, rate_out)


class Resampler:
    """Stateful resampler for live audio: a polyphase FIR (Kaiser-windowed sinc) that looks 2 ms ahead.

    The output is not shifted against the input: sample n belongs to input time ``n * rate_in / rate_out``. Cutting
    the input into other chunks gives the same bits.
    """

    def __init__(self, rate_in: int, rate_out: int) -> None:
        """Raises ValueError for rates that are not positive or have no small ratio."""
        if rate_in <= 0 or rate_out <= 0:
            raise ValueError(f"sample rates must be positive, not {rate_in} and {rate_out}")
        self.rate_in, self.rate_out = rate_in, rate_out
        self._filter = None if rate_in == rate_out else _filter(rate_in, rate_out)
        self.reset()

    def reset(self) -> None:
        """Forget all history."""
        before = self._filter.half - 1 if self._filter else 0
        self._tail: Pcm16 = np.zeros(before, np.int16)
        self._emitted = 0

    def push(self, pcm: Pcm16) -> Pcm16:
        """All output samples that the input so far allows and that were not returned yet."""
        f = self._filter
        if f is None:
            return pcm.copy()
        # The tail starts half - 1 samples before a block; _emitted counts the samples of that block already returned.
        data = np.concatenate((self._tail, pcm))
        usable = len(data) - (f.half - 1) - f.half
        ready = max(self._emitted, -(-usable * f.up // f.down))
        blocks = -(-ready // f.block_out)
        if ready == self._emitted:
            self._tail = data
            return np.zeros(0, np.int16)
        width = f.matrix.shape[0]
        padded = np.zeros((blocks - 1) * f.block_in + width)
        used = min(len(data), len(padded))
        padded[:used] = data[:used]
        windows = np.lib.stride_tricks.as_strided(
            padded, (blocks, width), (f.block_in * padded.itemsize, padded.itemsize), writeable=False
        )
        out = (windows @ f.matrix).reshape(-1)[self._emitted : ready]
        np.rint(np.multiply(out, 2.0**-_COEFFICIENT_BITS, out=out), out=out)
        whole = ready // f.block_out
        self._tail = data[whole * f.block_in :]
        self._emitted = ready - whole * f.block_out
        return np.clip(out, -32768, 32767, out=out).astype(np.int16)

    def flush(self) -> Pcm16:
        """The rest, as if silence followed; ready for a new stream afterwards. All output together is then
        ceil(samples in * rate_out / rate_in) samples long."""
        f = self._filter
        rest = self.push(np.zeros(f.half, np.int16)) if f else np.zeros(0, np.int16)
        self.reset()
        return rest


def resample(pcm: Pcm16, rate_in: int, rate_out: int) -> Pcm16:
    """A whole recording at another rate, in the best quality (soxr HQ)."""
    if rate_in == rate_out:
        return pcm.copy()
    return np.asarray(soxr.resample(pcm, rate_in, rate_out), dtype=np.int16)


# --------------------------------------------------------------------------------------- loudness


def rms_dbfs(pcm: Pcm16) -> float:
    """Root mean square in dB relative to full scale (a full-scale square wave is 0); -inf for digital silence."""
    if not len(pcm):
        return -math.inf
    rms = math.sqrt(float(np.mean(np.square(pcm, dtype=np.float64))))
    return 20 * math.log10(rms / 32768) if rms > 0 else -math.inf


# ------------------------------------------------------------------------------------------- WAV


def _to_pcm16(data: bytes, width: int) -> Pcm16:
    if width == 1:
        return (np.frombuffer(data, np.uint8).astype(np.int16) - 128) << 8
    if width == 2:
        return np.frombuffer(data, "<i2").astype(np.int16)
    # Of 24 and 32 bits the upper two bytes are kept.
    return np.frombuffer(data, np.uint8).reshape(-1, width)[:, -2:].copy().view("<i2")[:, 0].astype(np.int16)


def read_wav(source: Path | BinaryIO) -> tuple[Pcm16, int]:
    """Samples and rate of a PCM WAV file of 8, 16, 24 or 32 bits; more channels are averaged into one.

    Raises ValueError for anything else (compressed or floating-point data, a truncated header), OSError when
    the file cannot be read.
    """
    name = str(source) if isinstance(source, Path) else "the WAV data"
    try:
        with wave.open(str(source) if isinstance(source, Path) else source, "rb") as file:
            channels, width, rate = file.getnchannels(), file.getsampwidth(), file.getframerate()
            data = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise ValueError(f"{name} is not a PCM WAV file: {error or 'it ends too early'}") from error
    if not 1 <= width <= 4 or rate <= 0:
        raise ValueError(f"{name} has {8 * width} bits a sample at {rate} Hz: not a PCM WAV file of 8 to 32 bits")
    frames = len(data) // (width * channels)
    pcm = _to_pcm16(data[: frames * width * channels], width)
    if channels > 1:
        pcm = pcm.reshape(frames, channels).mean(axis=1).astype(np.int16)
    return pcm, rate


def write_wav(target: Path | BinaryIO, pcm: Pcm16, rate: int) -> None:
    """A mono 16-bit PCM WAV file."""
    with wave.open(str(target) if isinstance(target, Path) else target, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(pcm.astype("<i2").tobytes())
