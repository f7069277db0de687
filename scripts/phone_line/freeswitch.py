"""FreeSWITCH's side: mod_audio_fork with its binary streams both ways."""

from __future__ import annotations

import json

from scripts.phone_line.wire import Command, Finding, Frame, Play, l16


class AudioForkEnd:
    """See ``CarrierEnd``. words: what the dialplan has the module send first. The module keeps no marks."""

    marks_return_after_clear = False

    def __init__(self, words: dict[str, str], rate: int = 8_000) -> None:
        self.samples = l16(rate)
        self._words = words

    def hello(self) -> list[Frame]:
        """See ``CarrierEnd``."""
        return [json.dumps({"rate": self.samples.rate, **self._words})]

    def media(self, samples: bytes, at_ms: int) -> Frame:
        """See ``CarrierEnd``."""
        return samples

    def lost(self) -> None:
        """See ``CarrierEnd``."""

    def key(self, digit: str) -> Frame | None:
        """See ``CarrierEnd``."""
        return json.dumps({"event": "dtmf", "digit": digit})

    def reached(self, mark: str) -> Frame | None:
        """See ``CarrierEnd``."""
        return None

    def cleared(self) -> Frame | None:
        """See ``CarrierEnd``."""
        return None

    def stop(self) -> Frame | None:
        """See ``CarrierEnd``. The socket just closes."""
        return None

    def read(self, frame: Frame) -> list[Command]:
        """See ``CarrierEnd``."""
        if isinstance(frame, str):
            return [Finding(f"words that not every version knows: {frame[:80]}")]
        return [Play(frame)] if len(frame) % 2 == 0 else [Finding("half a sample")]
