"""One caller's turn on its way to the decoder: cut into pieces at pauses, with silence left out.

A piece is short enough for the encoder's window and is decoded once when it is complete, so the cost per second of a
long turn stays flat. Where speech is comes from the Silero VAD that faster-whisper brings along: a recogniser that is
given noise, clicks or music invents words, and what its decoder says about its own certainty does not give it away.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.base import Pcm16
from models.stt.features import HOP, SAMPLE_RATE, Floats, LogMel, as_floats

VAD_FRAME = 512
_VAD_CONTEXT = 64
_SPEECH = 0.5
_QUIET = 0.35
_LEAD_IN = SAMPLE_RATE // 2
"""Silence kept in front of the first word of a piece."""
_TRAIL = 8
"""Frames kept behind the last word of a piece, at most."""
_LONG_PAUSE = 62
"""32 ms frames of silence that end a piece of any length."""
_PAUSES = ((0.75, 2), (0.5, 5), (0.0, 10))
"""(share, frames): the pause that ends a piece gone this share of the way from its preferred length to the longest."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a turn. start, end: in samples. complete: nothing will be added.

    mel: [frames, bands] from start to end. speech_frames: how many of its 32 ms frames hold speech; heard_to: where the
    last of them ends.
    """

    number: int
    start: int
    end: int
    complete: bool
    mel: Floats
    speech_frames: int
    heard_to: int


class SpeechFrames:
    """Speech probabilities of consecutive 32 ms frames, computed for many frames of one stream in a call.

    session: an ONNX session with inputs input [n, 64 + 512], h and c [1, 1, 128].
    """

    def __init__(self, session: Any) -> None:
        self._session = session
        self._state: tuple[Floats, Floats] = (np.zeros((1, 1, 128), np.float32), np.zeros((1, 1, 128), np.float32))
        self._audio: Floats = np.zeros(_VAD_CONTEXT, np.float32)

    def push(self, audio: Floats) -> Floats:
        """The probabilities [n] of the frames that these samples completed."""
        self._audio = np.concatenate((self._audio, audio))
        count = (len(self._audio) - _VAD_CONTEXT) // VAD_FRAME
        if count == 0:
            return np.zeros(0, np.float32)
        windows = np.lib.stride_tricks.sliding_window_view(self._audio, _VAD_CONTEXT + VAD_FRAME)[::VAD_FRAME][:count]
        feed = {"input": np.ascontiguousarray(windows), "h": self._state[0], "c": self._state[1]}
        probabilities, h, c = self._session.run(None, feed)
        self._state = (h, c)
        self._audio = self._audio[count * VAD_FRAME :]
        return np.asarray(probabilities, np.float32).reshape(-1)


class Hearing:
    """The audio of one turn.

    It belongs to the worker that listens; only ``inbox``, samples that nobody has looked at yet, is filled by others.
    """

    def __init__(self, mel: LogMel, speech: SpeechFrames, *, piece_seconds: float, longest_seconds: float) -> None:
        """piece_seconds: from this length on a piece ends at the next pause. longest_seconds: it ends anyway."""
        self._mel, self._speech = mel, speech
        self._longest = round(longest_seconds * SAMPLE_RATE)
        self._preferred = min(round(piece_seconds * SAMPLE_RATE), self._longest - 1)
        self._probabilities: Floats = np.zeros(0, np.float32)
        self._start = 0
        self._number = 0
        self._complete: list[Piece] = []
        self.inbox: deque[Pcm16] = deque()

    def listen(self, position: int) -> None:
        """Take in what is in the inbox up to sample ``position`` of the turn."""
        chunks = []
        missing = position - self._mel.samples
        while missing > 0 and self.inbox:
            chunks.append(self.inbox.popleft())
            missing -= len(chunks[-1])
        if chunks:
            audio = as_floats(np.concatenate(chunks))
            self._mel.push(audio)
            self._probabilities = np.concatenate((self._probabilities, self._speech.push(audio)))

    def pieces(self, *, fixed_to: int, forget: int) -> list[Piece]:
        """Every complete piece from number ``forget`` on, then the growing one; the numbers have no gaps.

        fixed_to: words heard before this sample may already have been given away as part of the growing piece, so it
        is not cut before them.
        """
        self._complete = [piece for piece in self._complete if piece.number >= forget]
        while (cut := self._find_cut(fixed_to)) is not None:
            self._complete.append(self._piece(cut, complete=True))
            self._number += 1
            self._start = cut
        self._mel.drop(self._start // HOP)
        return [*self._complete, self._piece(self._mel.samples, complete=False)]

    def _piece(self, end: int, *, complete: bool) -> Piece:
        first = self._start // VAD_FRAME
        speech = np.flatnonzero(self._probabilities[first : end // VAD_FRAME] > _SPEECH)
        heard_to = (first + int(speech[-1]) + 1) * VAD_FRAME if len(speech) else self._start
        mel = self._mel.frames(self._start // HOP, -(-end // HOP))
        return Piece(self._number, self._start, end, complete, mel, len(speech), heard_to)

    def _skip_silence(self) -> None:
        """Begin the growing piece shortly before its first word."""
        first = self._start // VAD_FRAME
        speech = np.flatnonzero(self._probabilities[first:] >= _QUIET)
        heard_from = first + int(speech[0]) if len(speech) else len(self._probabilities)
        self._start = max(self._start, _on_frame(heard_from * VAD_FRAME - _LEAD_IN))

    def _find_cut(self, fixed_to: int) -> int | None:
        """Where the growing piece ends, if it does."""
        self._skip_silence()
        latest = self._start + self._longest + SAMPLE_RATE
        for start, end in self._pauses():
            cut = (start + min((end - start) // 2, _TRAIL)) * VAD_FRAME
            if cut < latest and end * VAD_FRAME > fixed_to and end - start >= self._needed(start * VAD_FRAME):
                return _on_frame(cut)
        if self._mel.samples < latest:
            return None
        earliest = max(self._start + self._longest // 2, fixed_to)
        loudness = self._mel.frames(earliest // HOP, latest // HOP).mean(axis=1)
        smooth = np.convolve(loudness, np.ones(16), "same")
        return (earliest // HOP + int(smooth.argmin())) * HOP

    def _needed(self, position: int) -> int:
        """How many quiet frames end a piece whose words end at this sample."""
        share = (position - self._start - self._preferred) / (self._longest - self._preferred)
        return next((frames for least, frames in _PAUSES if share >= least), _LONG_PAUSE)

    def _pauses(self) -> list[tuple[int, int]]:
        """Runs of quiet frames (first, one behind the last) behind the first word of the growing piece."""
        first = self._start // VAD_FRAME
        quiet = self._probabilities[first:] < _QUIET
        edges = np.flatnonzero(np.diff(np.concatenate(([0], quiet.astype(np.int8), [0])))) + first
        runs = [(int(start), int(end)) for start, end in zip(edges[::2], edges[1::2], strict=True)]
        return runs[1:] if runs and runs[0][0] == first else runs


def _on_frame(sample: int) -> int:
    return sample // HOP * HOP
