"""Turns that may not be a caller's words: music in which a transcriber hears some, an announcement that is repeated.

Asking a person again who was not understood is right a few times. Without a limit, music on hold would be asked for
ever.
"""

from __future__ import annotations

import re
from collections import deque
from enum import Enum, auto

from server.core.events import TranscriptFinal

_TRUSTED = 0.55
"""Mean probability of its words from which on a transcript is trusted. Whisper reads out singing with less."""
_ROUNDS = 3
"""Said so often before, words come from a tape."""
_REMEMBERED = 12
_LONG = 4
"""Fewer words than these ("yes", "the second one") are said again by people, too."""
_ALIKE = 0.75
_WORD = re.compile(r"\w+")


class Sound(Enum):
    """What is on the line now: nobody's words, a sound that may be words, words."""

    NOTHING = auto()
    UNKNOWN = auto()
    WORDS = auto()


class Doubts:
    """most: answers in a row to turns that are not trusted; None for any number of them."""

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._row = 0
        self._said: deque[frozenset[str]] = deque(maxlen=_REMEMBERED)

    @property
    def exhausted(self) -> bool:
        """Whether only a turn that can be trusted is answered."""
        return self._most is not None and self._row >= self._most

    def answers(self, turn: TranscriptFinal) -> bool:
        """Whether these words get an answer."""
        return not self.exhausted or self._trusted(turn)

    def note(self, turn: TranscriptFinal) -> None:
        """They were said."""
        if not turn.text:
            return
        self._row = 0 if self._trusted(turn) else self._row + 1
        words = _words(turn.text)
        if len(words) >= _LONG:
            self._said.append(words)

    def _trusted(self, turn: TranscriptFinal) -> bool:
        words = _words(turn.text)
        rounds = sum(len(words & said) >= _ALIKE * len(words | said) for said in self._said)
        return turn.confidence >= _TRUSTED and rounds < _ROUNDS


def _words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text.casefold()))
