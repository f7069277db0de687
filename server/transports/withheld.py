"""Whether a carrier gives the caller's number: where callers hide it, a word like "anonymous" comes instead."""

from __future__ import annotations

import re

_WORDS = ("anonymous", "blocked", "none", "null", "private", "restricted", "unavailable", "unknown", "withheld")
_KEYPAD = str.maketrans("abcdefghijklmnopqrstuvwxyz", "22233344455566677778889999")
_TYPED = {word.translate(_KEYPAD) for word in _WORDS}
"""The same words on the keys of a phone: Twilio gives ``+266696687`` for a caller who is anonymous."""


def withheld(number: str) -> bool:
    """Whether this is no number that anybody could be called back at: empty, a word for a hidden one, or such a word in
    digits. A SIP address counts by the part before its ``@``."""
    user = re.sub(r"^sips?:", "", number.strip().lower()).partition("@")[0]
    name = user.strip("\"'<>+ ")
    return not name or name in _WORDS or name in _TYPED
