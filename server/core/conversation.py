"""The conversation: its items in order, and what the chat model gets to read of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from server.core.events import ContentPart, ContextMessage, Item, ItemKind

ROOT = "root"

_MAX_SIZE = 8 * 1024 * 1024
_ITEM_SIZE = 256


class Conversation:
    """Items in order. ``version`` rises with every change that a response's context could depend on.

    max_size: characters that it should not outgrow; an item counts some more than it has.
    """

    def __init__(self, max_size: int = _MAX_SIZE) -> None:
        self._items: dict[str, Item] = {}
        self._order: list[str] = []
        self._size = 0
        self._max_size = max_size
        self.version = 0

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._items

    def __getitem__(self, item_id: str) -> Item:
        return self._items[item_id]

    def __iter__(self) -> Iterator[Item]:
        return (self._items[item_id] for item_id in self._order)

    def __len__(self) -> int:
        return len(self._order)

    @property
    def last_id(self) -> str | None:
        """The last item's id; None when there is none."""
        return self._order[-1] if self._order else None

    @property
    def surplus(self) -> str | None:
        """The oldest item's id, when the conversation has outgrown its size."""
        return self._order[0] if self._order and self._size > self._max_size else None

    def insert(self, item: Item, after: str | None = None) -> str | None:
        """Put a new item behind ``after`` (None: at the end, ROOT: first); return the id before it.

        The caller has checked that the item's id is new and that ``after`` exists.
        """
        if after is None:
            index = len(self._order)
        elif after == ROOT:
            index = 0
        else:
            index = self._order.index(after) + 1
        self._order.insert(index, item.id)
        self._items[item.id] = item
        self._size += _size(item)
        self.version += 1
        return self._order[index - 1] if index else None

    def update(self, item: Item) -> None:
        """Replace an item by a later state of itself."""
        self._size += _size(item) - _size(self._items[item.id])
        self._items[item.id] = item
        self.version += 1

    def delete(self, item_id: str) -> None:
        """Take an item out."""
        self._size -= _size(self._items.pop(item_id))
        self._order.remove(item_id)
        self.version += 1

    def previous_id(self, item_id: str) -> str | None:
        """The id before this item; None for the first."""
        index = self._order.index(item_id)
        return self._order[index - 1] if index else None


def _size(item: Item) -> int:
    words = sum(len(part.text or "") for part in item.content)
    return _ITEM_SIZE + words + len(item.name) + len(item.arguments) + len(item.output)


def context(
    items: Iterable[Item], instructions: str, heard: Callable[[Item], str] | None = None
) -> tuple[ContextMessage, ...]:
    """What the chat model reads: instructions first, then the items as chat messages, in order.

    heard gives an assistant item's text as the caller heard it; default is its whole text. Function calls join the
    assistant's words before them, as chat templates expect. Audio that is not transcribed yet is left out.
    """
    messages: list[ContextMessage] = []
    if instructions:
        messages.append(ContextMessage("system", instructions))
    for item in items:
        if item.kind is ItemKind.FUNCTION_CALL_OUTPUT:
            messages.append(ContextMessage("tool", item.output, call_id=item.call_id))
        elif item.kind is ItemKind.FUNCTION_CALL:
            if messages and messages[-1].role == "assistant":
                messages[-1] = replace(messages[-1], calls=(*messages[-1].calls, item))
            else:
                messages.append(ContextMessage("assistant", "", calls=(item,)))
        else:
            text = heard(item) if heard and item.role == "assistant" else text_of(item)
            if text:
                messages.append(ContextMessage(item.role, text))
    return tuple(messages)


def text_of(item: Item) -> str:
    """All words of a message, its parts joined by line breaks."""
    return "\n".join(part.text for part in item.content if part.text)


def with_text(item: Item, text: str | None) -> Item:
    """The message with the words of its first part replaced."""
    first, *rest = item.content
    return replace(item, content=(ContentPart(first.kind, text), *rest))
