"""Sentences with alternatives: ``pick("(I want|I need) (a table|)", rng)``."""

from __future__ import annotations

import random
import re

_INNERMOST = re.compile(r"\(([^()]*)\)")


def pick(pattern: str, rng: random.Random, **slots: str) -> str:
    """One sentence of the pattern: every bracket becomes one of its alternatives, then {slots} are filled in, and
    doubled spaces go. Brackets may be nested."""
    while match := _INNERMOST.search(pattern):
        pattern = pattern[: match.start()] + rng.choice(match[1].split("|")) + pattern[match.end() :]
    text = pattern.format(**slots) if slots else pattern
    return re.sub(r"\s+([,.?!])", r"\1", re.sub(r"\s+", " ", text)).strip()


def sentence(text: str) -> str:
    """First letter upper case."""
    return text[:1].upper() + text[1:]
