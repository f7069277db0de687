"""The caller's audio on its way in: decoded, resampled once, kept while it may be needed, given to the engines."""

from __future__ import annotations

import asyncio
import logging
from collections import deque

import numpy as np

from models import audio
from models.base import EngineError, Pcm16, Utterance, VadStream, VoiceActivityDetector, VoiceError
from server.core.events import INPUT_RATE, AudioFormat, SpeechProbability
from server.runtime.formats import decode

_log = logging.getLogger(__name__)

_NARROW = 8_000
_FRAME = INPUT_RATE * 32 // 1000
_IDLE_KEEP = 30 * INPUT_RATE
"""Without a turn under way, this much stays for a commit by hand or for prefix padding."""
_LONG_APPEND_S = 1
"""Longer pieces are converted in a thread, so that one large append does not hold up every other session."""
_VAD_STRIDE = 32 * _FRAME
_BLOCKS = 4
"""Loudness is looked at in quarters of a frame, 8 ms each."""
_LOUD = 10 ** (-30 / 20)
"""A sound is part of speech that is at most 30 dB softer than the loudest of late."""
_FORGET = 0.995
"""How the loudest of late fades, per frame: by half in 4.4 s."""
_PATIENCE_S = 0.096
"""While nobody speaks, this much is gathered before it is looked at: a third of the work, for a start of speech that
is noticed three frames later and loses nothing, as the turn's padding reaches back before it."""
_ARRIVALS = 512
_SHORTEST_S = 0.01
"""Shorter pieces are gathered up to this: a client that sends single samples must not cost an array for each."""
_MOST_FAILURES = 10
"""A detector that fails so often in a row is broken, and a session that hears nothing is better ended."""
_BACKLOG_S = 10
"""Audio that the detector has not looked at yet. A client that is further ahead waits."""


class Ear:
    """One session's input: a buffer on the 16 kHz input clock, the voice activity stream, the open utterance."""

    def __init__(self, vad: VoiceActivityDetector) -> None:
        self._vad = vad
        self._format: AudioFormat | None = None
        self._resampler: audio.Resampler | None = None
        self._stream: VadStream | None = None
        self._chunks: deque[Pcm16] = deque()
        self._first = 0
        self._raw = bytearray()
        self._converted = 0
        self._unjudged: deque[Pcm16] = deque()
        self._backlog = 0
        self._room = asyncio.Event()
        self._room.set()
        self._judged = 0
        self._failures = 0
        self._frame_rest: Pcm16 = np.zeros(0, np.int16)
        self._loudest = 0.0
        self._loud_until = 0
        self._arrived = asyncio.Event()
        self._arrivals: deque[tuple[int, float]] = deque(maxlen=_ARRIVALS)
        self._utterances: dict[str, Utterance] = {}
        self._now = 0.0
        self._listening: str | None = None
        self._growth: tuple[int, asyncio.Future[bool]] | None = None

    @property
    def kept(self) -> int:
        """Samples held for turns that may still claim them."""
        return self.position - self._first

    @property
    def position(self) -> int:
        """Samples received so far."""
        if self._format is None:
            return 0
        waiting = len(self._raw) // self._format.width
        return self._converted + waiting * INPUT_RATE // self._format.rate

    async def receive(self, data: bytes, audio_format: AudioFormat, now: float, *, patient: bool = False) -> None:
        """Take samples in the wire's format. now: seconds of the session's clock. patient: nobody is speaking, so it
        need not be looked at right away. Returns when there is room for more."""
        await self._room.wait()
        if audio_format is not self._format:
            self._convert()
            self._change_format(audio_format)
        self._raw += data
        self._now = now
        enough_s = _PATIENCE_S if patient else _SHORTEST_S
        if len(self._raw) < enough_s * audio_format.rate * audio_format.width:
            return
        if len(data) > _LONG_APPEND_S * audio_format.rate * audio_format.width:
            raw, self._raw = bytes(self._raw), bytearray()
            self._take(*await asyncio.to_thread(self._decoded, raw, audio_format))
        else:
            self._convert()

    def _convert(self) -> None:
        if self._raw and self._format is not None:
            raw, self._raw = bytes(self._raw), bytearray()
            self._take(*self._decoded(raw, self._format))

    def _take(self, heard: Pcm16, pcm: Pcm16) -> None:
        self._chunks.append(pcm)
        self._converted += len(pcm)
        self._arrivals.append((self._converted, self._now))
        self._unjudged.append(heard)
        self._waits(len(heard))
        self._arrived.set()
        if self._listening is not None:
            self._utterances[self._listening].push(pcm)
        if self._growth is not None and self._converted >= self._growth[0]:
            self._grown(True)

    def _change_format(self, audio_format: AudioFormat) -> None:
        self._format = audio_format
        rate = audio_format.rate
        self._resampler = audio.Resampler(rate, INPUT_RATE)
        self._stream = self._vad.open(self._detector_rate)
        self._unjudged.clear()
        self._waits(-self._backlog)
        self._judged = self._converted
        self._frame_rest = np.zeros(0, np.int16)

    @property
    def _detector_rate(self) -> int:
        """Telephone audio has nothing above 4 kHz: the detector hears it at its own rate, for half the work."""
        narrow = self._format is not None and self._format.rate == _NARROW
        return _NARROW if narrow else INPUT_RATE

    def _waits(self, samples: int) -> None:
        """So many more, or fewer, wait for the detector."""
        self._backlog += samples
        if self._backlog <= _BACKLOG_S * INPUT_RATE:
            self._room.set()
        else:
            self._room.clear()

    def _decoded(self, data: bytes, audio_format: AudioFormat) -> tuple[Pcm16, Pcm16]:
        """The samples as the detector hears them, and on the input clock."""
        assert self._resampler is not None
        heard = decode(data, audio_format)
        pcm = self._resampler.push(heard)
        return (heard, pcm) if audio_format.rate == _NARROW else (pcm, pcm)

    async def judge(self, wanted: bool) -> list[SpeechProbability]:
        """Wait for audio; return the facts about each frame that is complete now, none if no detection is wanted.

        Raises what the detector raised when it says that it cannot go on, or fails for the tenth time in a row.
        """
        await self._arrived.wait()
        assert self._stream is not None
        stream, rate = self._stream, self._detector_rate
        stride = _VAD_STRIDE * rate // INPUT_RATE
        samples = 0
        taken: list[Pcm16] = []
        while self._unjudged and samples < stride:
            taken.append(self._unjudged.popleft())
            samples += len(taken[-1])
        self._waits(-samples)
        if not self._unjudged:
            self._arrived.clear()
        if not wanted:
            stream.reset()
            self._judged = self._converted
            self._frame_rest = np.zeros(0, np.int16)
            return []
        if not taken:
            return []
        pcm = np.concatenate(taken)
        try:
            probabilities = await stream.push(pcm)
        except VoiceError as error:
            self._failures += 1
            lasting = isinstance(error, EngineError) and not error.retryable
            if lasting or self._failures >= _MOST_FAILURES:
                raise
            _log.warning("voice activity was not detected in a piece of audio", exc_info=True)
            self._pass_over(stream, len(pcm), rate)
            return []
        self._failures = 0
        if stream is not self._stream:  # the format has changed meanwhile, and with it where counting goes on
            return []
        waiting = np.concatenate([self._frame_rest, pcm])
        frame = _FRAME * rate // INPUT_RATE
        self._frame_rest = waiting[len(probabilities) * frame :]
        return [
            self._fact(probability, waiting[number * frame : (number + 1) * frame])
            for number, probability in enumerate(probabilities)
        ]

    def _pass_over(self, stream: VadStream, samples: int, rate: int) -> None:
        """The detector has failed over these samples: go on behind them, where the clock is by then."""
        if stream is not self._stream:
            return
        stream.reset()
        self._judged += (len(self._frame_rest) + samples) * INPUT_RATE // rate
        self._frame_rest = np.zeros(0, np.int16)

    def _fact(self, probability: float, frame: Pcm16) -> SpeechProbability:
        blocks = frame.reshape(_BLOCKS, -1).astype(np.float32)
        levels = np.sqrt((blocks * blocks).mean(axis=1))
        self._loudest = max(self._loudest * _FORGET, float(levels.max()))
        loud = np.flatnonzero(levels > self._loudest * _LOUD)
        if len(loud):
            self._loud_until = self._judged + (int(loud[-1]) + 1) * _FRAME // _BLOCKS
        self._judged += _FRAME
        return SpeechProbability(self._judged, probability, self._loud_until)

    def forget_idle(self) -> None:
        """No turn is under way: let go of audio that no later one can claim."""
        while self._chunks and self._converted - self._first - len(self._chunks[0]) >= _IDLE_KEEP:
            self._first += len(self._chunks.popleft())

    def drop_before(self, position: int) -> None:
        """Audio before ``position`` belongs to turns that are over."""
        while self._chunks and self._first + len(self._chunks[0]) <= position:
            self._first += len(self._chunks.popleft())

    def open(self, item_id: str, utterance: Utterance, start: int) -> None:
        """Give the utterance all audio from input sample ``start`` on, now and as it comes."""
        # Before the slice is taken nobody listens yet, so that no audio is given twice.
        heard = self.slice(start, self.position)
        self._utterances[item_id] = utterance
        self._listening = item_id
        utterance.push(heard)

    async def grown(self, item_id: str, samples: int) -> bool:
        """Wait until this turn has got so many more samples; False if it takes no more, perhaps since long ago."""
        if self._listening != item_id:
            return False
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._growth = self.position + samples, future
        return await future

    def _grown(self, more: bool) -> None:
        if self._growth is not None and not self._growth[1].done():
            self._growth[1].set_result(more)
        self._growth = None

    def utterance(self, item_id: str) -> Utterance | None:
        """The utterance of a turn that is not dropped yet."""
        return self._utterances.get(item_id)

    def stop(self, item_id: str) -> None:
        """The turn takes no more audio."""
        if self._listening == item_id:
            self._listening = None
            self._grown(False)

    def drop(self, item_id: str) -> None:
        """The turn's transcript is known or not wanted."""
        self.stop(item_id)
        utterance = self._utterances.pop(item_id, None)
        if utterance is not None:
            utterance.close()

    def slice(self, start: int, end: int) -> Pcm16:
        """Samples start..end of the input clock, as far as they are kept."""
        self._convert()
        parts = []
        first = self._first
        for chunk in self._chunks:
            if first + len(chunk) > start and first < end:
                parts.append(chunk[max(0, start - first) : end - first])
            first += len(chunk)
        return np.concatenate(parts) if parts else np.zeros(0, np.int16)

    def arrived_at(self, position: int) -> float | None:
        """When the sample at ``position`` came in, in seconds of the session's clock; None if too long ago."""
        found = None
        for end, now in reversed(self._arrivals):
            if end < position:
                break
            found = now
        return found

    def close(self) -> None:
        """The session is over."""
        for item_id in list(self._utterances):
            self.drop(item_id)
