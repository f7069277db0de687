"""FreeSWITCH with mod_audio_fork, as jambonz keeps it: binary frames of 16-bit samples both ways.

Source: the module's own description and code. Of its words only those are used that all its versions know: the text
that the dialplan has it send first, and sound. So there are no marks, and nothing to throw sound away with.
"""

from __future__ import annotations

import secrets

from server.transports import carrier
from server.transports.carrier import LineEvent, LineFormat, LineStarted


class AudioForkCodec:
    """See ``CarrierCodec``. The first frame is a JSON object of the dialplan's: rate (samples a second), and as text
    call (by which the dialplan asks what comes next), caller, to and agent."""

    name = "freeswitch"
    lead_ms = 60
    piece_ms = carrier.FRAME_MS
    marks = False
    resumes = False
    asks_next = True
    ordered = True

    def __init__(self) -> None:
        self._line: LineFormat | None = None

    def decode(self, frame: carrier.Frame) -> LineEvent | None:
        """See ``CarrierCodec``."""
        if isinstance(frame, bytes):
            return carrier.sound(frame, self._line, "the dialplan's words")
        message = carrier.parse(frame)
        if self._line is None:
            self._line = LineFormat("l16", carrier.number(message, "rate"))
            call = carrier.text(message, "call")
            return LineStarted(call, secrets.token_hex(8), self._line, carrier.strings(message))
        if message.get("event") == "dtmf":
            return carrier.key(message)
        raise carrier.RefusedMessage("'event' is not dtmf")

    def audio(self, samples: bytes) -> carrier.Frame:
        """See ``CarrierCodec``."""
        return samples

    def mark(self, name: str) -> carrier.Frame | None:
        """See ``CarrierCodec``."""
        return None

    def clear(self) -> carrier.Frame | None:
        """See ``CarrierCodec``."""
        return None
