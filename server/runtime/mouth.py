"""The last step to the client: speech at the rate of the wire, and which words end where in it."""

from __future__ import annotations

from models import audio
from models.base import Pcm16, SpeechChunk, Voice
from server.core import events as e
from server.core.segmenter import Segment


class Mouth:
    """Brings a voice's audio to the client's format, and its word times to the message's clock."""

    def __init__(self, voice: Voice, output_format: e.AudioFormat) -> None:
        self.voice = voice
        self._format = output_format
        self._said = 0
        self._offset = 0
        self._start = 0
        self._resampler = audio.Resampler(voice.sample_rate, output_format.rate)

    def new_message(self) -> None:
        """A function call ends the message; the next words begin another."""
        self._said = 0

    def start(self, segment: Segment) -> None:
        """The next audio is this segment's."""
        self._start = self._said
        self._offset = segment.start
        self._resampler.reset()

    def say(self, chunk: SpeechChunk) -> tuple[Pcm16, tuple[e.SpokenTo, ...]]:
        """A chunk at the client's rate, and which words end in it."""
        ends = tuple(
            e.SpokenTo(self._offset + word.text_end, self._start + word.end * self._format.rate // chunk.sample_rate)
            for word in chunk.words
        )
        return self._count(self._resampler.push(chunk.pcm)), ends

    def end(self) -> tuple[Pcm16, tuple[e.SpokenTo, ...]]:
        """The segment is over: what the filter still holds."""
        return self._count(self._resampler.flush()), ()

    def _count(self, pcm: Pcm16) -> Pcm16:
        self._said += len(pcm)
        return pcm
