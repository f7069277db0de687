"""How much of the conversation the model gets to read, so that an hour's call never overflows it.

The core knows no tokenizer: it counts characters, and learns from every response's true token count how many tokens
they make. What falls out stays out, and more falls out at once than had to, so that the prompt's beginning stays the
same for many turns and the model's prefix cache goes on hitting it (OpenAI Realtime API: ``truncation``).
"""

from __future__ import annotations

from collections.abc import Sequence

from server.core.conversation import text_of
from server.core.events import Item, ItemKind, SessionConfig, Tool

_FIRST_GUESS = 0.4
"""Tokens per character before any response is known; pessimistic for European languages."""
_ITEM_CHARACTERS = 24
"""What a chat template puts around a message."""
_MIN_ANSWER_TOKENS = 256
_AUTO_RETENTION = 0.8
_UNKNOWN_EXCESS = 1.5


class Economy:
    """The part of one conversation that fits. Instructions and tools always stay; items leave oldest first, in
    whole turns, so that no function's result is left without its call."""

    def __init__(self) -> None:
        self._tokens_per_character = _FIRST_GUESS
        self._gone: str | None = None
        """The last item that has fallen out. The first one that is left may have no id yet: a turn that is prepared."""

    def learn(self, characters: int, tokens: int) -> None:
        """A prompt of this many characters was this many tokens long."""
        if characters and tokens:
            self._tokens_per_character = tokens / characters

    def exceeded(self, characters: int, tokens: int | None) -> None:
        """A prompt of this many characters was too long; tokens None: the engine did not say how long."""
        self.learn(characters, tokens or round(characters * self._tokens_per_character * _UNKNOWN_EXCESS))

    def fit(
        self, items: Sequence[Item], instructions: str, tools: Sequence[Tool], config: SessionConfig
    ) -> list[Item] | None:
        """The items to read, the last turn at least; None when they do not fit and truncation is disabled."""
        kept = self._left(items)
        if config.context_tokens is None:
            return kept
        fixed = self._tokens(fixed_characters(instructions, tools))
        limit = config.context_tokens - fixed - min(config.context_tokens // 4, answer_tokens(config))
        truncation = config.truncation
        if truncation.post_instructions is not None:
            limit = min(limit, truncation.post_instructions)
        if self._tokens(sum(map(characters_of, kept))) <= limit:
            return kept
        if truncation.kind == "disabled":
            return None
        share = truncation.retention_ratio if truncation.kind == "retention_ratio" else _AUTO_RETENTION
        newest = self._newest(kept, limit * share)
        if len(newest) < len(kept):
            self._gone = kept[-len(newest) - 1].id
        return newest

    def _left(self, items: Sequence[Item]) -> list[Item]:
        ids = [item.id for item in items]
        return list(items[ids.index(self._gone) + 1 :]) if self._gone in ids else list(items)

    def _newest(self, items: list[Item], budget: float) -> list[Item]:
        """As many of the last turns as fit; one at least."""
        start, characters = None, 0
        for index in range(len(items) - 1, -1, -1):
            characters += characters_of(items[index])
            if items[index].role != "user":
                continue
            if start is not None and self._tokens(characters) > budget:
                break
            start = index
        return items[start or 0 :]

    def _tokens(self, characters: int) -> float:
        return characters * self._tokens_per_character


def answer_tokens(config: SessionConfig) -> int:
    """Room left for the answer."""
    return max(_MIN_ANSWER_TOKENS, config.max_output_tokens or 0)


def characters_of(item: Item) -> int:
    """Characters of an item in a prompt."""
    if item.kind is ItemKind.MESSAGE:
        return len(text_of(item)) + _ITEM_CHARACTERS
    return len(item.name) + len(item.arguments) + len(item.output) + _ITEM_CHARACTERS


def fixed_characters(instructions: str, tools: Sequence[Tool]) -> int:
    """Characters of a prompt before its first item."""
    described = sum(len(tool.name) + len(tool.description) + len(str(tool.parameters)) for tool in tools)
    return len(instructions) + described + _ITEM_CHARACTERS
