"""Samples as they are on the wire, in and out."""

from __future__ import annotations

import numpy as np

from models import audio
from models.base import Pcm16
from server.core.events import AudioFormat


def encode(pcm: Pcm16, audio_format: AudioFormat) -> bytes:
    """Samples at the format's rate to bytes."""
    match audio_format:
        case AudioFormat.PCM:
            return pcm.astype("<i2", copy=False).tobytes()
        case AudioFormat.PCMU:
            return audio.ulaw_encode(pcm)
        case AudioFormat.PCMA:
            return audio.alaw_encode(pcm)


def decode(data: bytes, audio_format: AudioFormat) -> Pcm16:
    """Bytes to samples at the format's rate."""
    match audio_format:
        case AudioFormat.PCM:
            return np.frombuffer(data, "<i2").astype(np.int16, copy=False)
        case AudioFormat.PCMU:
            return audio.ulaw_decode(data)
        case AudioFormat.PCMA:
            return audio.alaw_decode(data)
