"""What a caller noticed: how long the answer took, and how long the voice went on when spoken over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.base import Pcm16

AUDIBLE = 200
"""Samples beyond this are heard: -44 dB of full scale."""
_PAUSE_S = 0.25


def answer_after_ms(heard: Pcm16, end: int, rate: int) -> float | None:
    """From the caller's last sample of speech to the first audible sample of the answer; None if none came."""
    loud = np.flatnonzero(np.abs(heard[end:].astype(np.int32)) > AUDIBLE)
    return float(loud[0]) * 1000 / rate if len(loud) else None


def stopped_after_ms(heard: Pcm16, start: int, rate: int) -> float | None:
    """From the caller's first sample of speech to the last audible sample of what was being said; None if nothing was.

    What follows after a pause is another saying."""
    loud = np.flatnonzero(np.abs(heard[start:].astype(np.int32)) > AUDIBLE)
    if not len(loud) or loud[0] > _PAUSE_S * rate:
        return None
    pauses = np.flatnonzero(np.diff(loud) > _PAUSE_S * rate)
    return float(loud[pauses[0]] if len(pauses) else loud[-1]) * 1000 / rate


def speech_bounds(pcm: Pcm16) -> tuple[int, int]:
    """First and behind-last audible sample of a recording."""
    loud = np.flatnonzero(np.abs(pcm.astype(np.int32)) > AUDIBLE)
    return (int(loud[0]), int(loud[-1]) + 1) if len(loud) else (0, len(pcm))


@dataclass(frozen=True, slots=True)
class Stop:
    """An answer that was spoken over. Samples of the recording. silent: when nothing of it was heard any more; None if
    it went on to its end. pauses: how often it was silent before that, and then went on."""

    silent: int | None
    pauses: int


def stop_of(cleared: Sequence[int], played: Sequence[tuple[int, str]], begins: int) -> Stop:
    """What the server did with the answer that was being played at sample ``begins``, up to now. cleared, played: see
    ``Recording``. The server names its marks ``item:number``, one behind each piece of an item's sound."""
    stops = [at for at in cleared if at >= begins]
    before = stops[0] if stops else begins
    items = [mark.partition(":")[0] for at, mark in played if at <= before]
    heard = max((at for at, mark in played if items and mark.partition(":")[0] == items[-1]), default=begins)
    final = [at for at in stops if at >= heard]
    return Stop(final[0] if final else None, len(stops) - len(final))
