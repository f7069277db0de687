"""The conversation: its items in order, and what the chat model gets to read of them."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import replace

from server.core.events import ContentPart, ContextMessage, Item, ItemKind, ItemStatus

ROOT = "root"

_MAX_SIZE = 8 * 1024 * 1024
_ITEM_SIZE = 256
_PENDING = '{"status": "pending"}'
"""What the model reads as the result of a call that has none yet."""
_DECLINED = '{"error": "the caller does not want this"}'
_READ = {ItemKind.MESSAGE, ItemKind.FUNCTION_CALL, ItemKind.FUNCTION_CALL_OUTPUT}


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
    return (
        _ITEM_SIZE
        + words
        + len(item.name)
        + len(item.arguments)
        + len(item.output)
        + len(item.error)
        + sum(len(str(tool)) for tool in item.tools)
    )


def context(
    items: Iterable[Item],
    instructions: str,
    heard: Callable[[Item], str] | None = None,
    disowned: Container[str] = frozenset(),
) -> tuple[ContextMessage, ...]:
    """What the chat model reads: instructions first, then the items as chat messages, in order.

    heard gives an assistant item's text as the caller heard it; default is its whole text. disowned: results that are
    not to be read. Audio that is not transcribed yet is left out, and so are calls that were cut off.
    """
    return _Context(list(items), heard or text_of, disowned).messages(instructions)


class _Context:
    """Items as chat models want them: a call joins the assistant's words, and its result stands right behind it, also
    where the assistant went on speaking meanwhile. What it says when the results are there comes behind them as soon as
    something follows; until then the results stay last, for they are still to be told. A result that came in a later
    turn stands there, behind its call told once more; in its own turn the call has been pending."""

    def __init__(self, items: list[Item], heard: Callable[[Item], str], disowned: Container[str]) -> None:
        read = [item for item in items if item.id not in disowned and not _cut_off(item)]
        self._items = [part for item in read for part in _parts(item)]
        self._heard = heard
        self._calls: dict[str, Item] = {}
        self._results: dict[str, Item] = {}
        self._turn_of: dict[str, int] = {}
        turn = 0
        for item in self._items:
            turn += item.role == "user"
            self._turn_of[item.id] = turn
            if item.kind is ItemKind.FUNCTION_CALL:
                self._calls[item.call_id] = item
            elif item.kind is ItemKind.FUNCTION_CALL_OUTPUT:
                self._results.setdefault(item.call_id, item)

    def messages(self, instructions: str) -> tuple[ContextMessage, ...]:
        read: list[ContextMessage] = [ContextMessage("system", instructions)] if instructions else []
        open_calls: list[Item] = []
        told: set[str] = set()
        report = ""
        for item in self._items:
            if report and item.role != "assistant":
                read += [*self._answers(open_calls), ContextMessage("assistant", report)]
                report = ""
            if item.kind is ItemKind.FUNCTION_CALL:
                if read and read[-1].role == "assistant":
                    read[-1] = replace(read[-1], calls=(*read[-1].calls, item))
                else:
                    read.append(ContextMessage("assistant", "", calls=(item,)))
                open_calls.append(item)
            elif item.kind is ItemKind.FUNCTION_CALL_OUTPUT:
                if item.call_id in self._calls and self._near(item):
                    told.add(item.call_id)
                    continue
                read += self._answers(open_calls)
                read += self._late(item)
            elif text := self._heard(item) if item.role == "assistant" else text_of(item):
                if open_calls and item.role == "assistant":
                    if told.issuperset(call.call_id for call in open_calls):
                        report = f"{report} {text}".strip()
                        continue
                    read[-1] = replace(read[-1], text=f"{read[-1].text} {text}".strip())
                    continue
                read += self._answers(open_calls)
                read.append(ContextMessage(item.role, text))
        if report:
            read[-1] = replace(read[-1], text=f"{read[-1].text} {report}".strip())
        return (*read, *self._answers(open_calls))

    def _near(self, result: Item) -> bool:
        """Whether the result came in the turn of its call, and is the first for it."""
        call = self._calls[result.call_id]
        first = self._results[result.call_id] is result
        return not first or self._turn_of[call.id] == self._turn_of[result.id]

    def _answers(self, open_calls: list[Item]) -> list[ContextMessage]:
        read = []
        for call in open_calls:
            result = self._results.get(call.call_id)
            known = result is not None and self._near(result)
            read.append(ContextMessage("tool", result.output if result and known else _PENDING, call_id=call.call_id))
        open_calls.clear()
        return read

    def _late(self, result: Item) -> list[ContextMessage]:
        call = self._calls.get(result.call_id)
        if call is None:
            return [ContextMessage("tool", result.output, call_id=result.call_id)]
        again = replace(call, call_id=f"{call.call_id}_late")
        return [
            ContextMessage("assistant", "", calls=(again,)),
            ContextMessage("tool", result.output, call_id=again.call_id),
        ]


def _parts(item: Item) -> list[Item]:
    """A call of an MCP tool has its outcome in itself; lists and requests are not for the model."""
    if item.kind is ItemKind.MCP_CALL:
        call = replace(item, kind=ItemKind.FUNCTION_CALL)
        outcome = item.output or item.error
        result = replace(item, id=f"{item.id}_output", kind=ItemKind.FUNCTION_CALL_OUTPUT, output=outcome)
        return [call, result] if outcome else [call]
    if item.kind is ItemKind.MCP_APPROVAL_RESPONSE and not item.approve:
        call = replace(item, kind=ItemKind.FUNCTION_CALL)
        result = replace(item, id=f"{item.id}_output", kind=ItemKind.FUNCTION_CALL_OUTPUT, output=_DECLINED)
        return [call, result]
    return [item] if item.kind in _READ else []


def _cut_off(item: Item) -> bool:
    return item.kind is ItemKind.FUNCTION_CALL and item.status is not ItemStatus.COMPLETED


def text_of(item: Item) -> str:
    """All words of a message, its parts joined by line breaks."""
    return "\n".join(part.text for part in item.content if part.text)


def with_text(item: Item, text: str | None) -> Item:
    """The message with the words of its first part replaced."""
    first, *rest = item.content
    return replace(item, content=(ContentPart(first.kind, text), *rest))
