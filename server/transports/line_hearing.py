"""The caller's sound on its way from a line to the Session: gaps filled, our own echo taken out."""

from __future__ import annotations

from collections.abc import Callable

from models.base import Pcm16
from server.core.events import AudioFormat
from server.runtime.formats import decode, encode
from server.transports.carrier import LineAudio, LineFormat, silence
from server.transports.concealment import Concealment
from server.transports.echo import EchoGate
from server.transports.line_samples import LineSamples
from server.transports.timeline import Timeline


class LineHearing:
    """One call's. wire: the Session's format."""

    def __init__(self, wire: AudioFormat, clock: Callable[[], float]) -> None:
        self._wire = wire
        self._timeline = Timeline()
        self._echo = EchoGate(clock)
        self._concealment = Concealment(wire.rate)

    def begin(self) -> None:
        """A stream begins: its clock does, too."""
        self._timeline = Timeline()
        self._concealment.forget()

    def said(self, pcm: Pcm16, until: float) -> None:
        """This is being played to the caller, up to that moment of the clock."""
        self._echo.said(pcm, until)

    def hear(self, event: LineAudio, line: LineFormat, samples: LineSamples) -> bytes:
        """A frame in the Session's format, and before it what stands in for those that were lost."""
        length_ms = line.ms(event.audio)
        missing_ms = self._timeline.missing_ms(event.at_ms, length_ms)
        before = b""
        if missing_ms:
            before = encode(self._concealment.fill(missing_ms * self._wire.rate // 1000), self._wire)
        heard = samples.hear(event.audio)
        pcm = decode(heard, self._wire)
        if self._echo.is_echo(pcm):
            self._concealment.forget()
            return before + silence(self._wire, length_ms)
        joined = self._concealment.hear(pcm)
        return before + (heard if joined is pcm else encode(joined, self._wire))

    def nothing(self, ms: int) -> bytes:
        """No sound has come for so long."""
        self._timeline.fill(ms)
        self._concealment.forget()
        return silence(self._wire, ms)
