"""How a phone call is run besides its answers: greeting, patience with silence, longest duration, phrases."""

from __future__ import annotations

from dataclasses import dataclass, field

from server.transports.phrases import PhraseBook, house_book


@dataclass(frozen=True, slots=True)
class Manners:
    """greeting: what is said first, "" for the language's own. silence_s: of a caller who says nothing, before being
    asked, twice, and then bidden goodbye. max_s: of a call. resume_s: how long a call waits for a new connection when
    it has lost its own. keys_s: after the last key without #, typed keys are complete. book: the phrases."""

    greeting: str = ""
    silence_s: float = 10.0
    max_s: float = 3600.0
    resume_s: float = 20.0
    keys_s: float = 3.0
    book: PhraseBook = field(default_factory=house_book)


WARNING_S = 60.0
"""Before the end of the longest call, the caller is told; of calls shorter than twice that, in the last quarter."""
DOUBTFUL_ANSWERS = 3
"""Music on hold, in which words are heard, and a tape that speaks get no more answers in a row than these."""
PROMPTS = 2
"""A caller who says nothing is asked so often."""
