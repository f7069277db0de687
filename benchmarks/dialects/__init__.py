"""The protocols that the benchmark speaks, one file each, by the name that ``--dialect`` takes."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.dialects.base import Dialect
from benchmarks.dialects.gemini import Gemini
from benchmarks.dialects.openai import Azure, OpenAi, OpenAiBeta

DIALECTS: dict[str, Callable[[], Dialect]] = {
    "openai": OpenAi,
    "openai-beta": OpenAiBeta,
    "azure": Azure,
    "gemini": Gemini,
}
"""Each makes the dialect of one call."""
