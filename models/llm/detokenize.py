"""Token ids of a stream to text, piece by piece, never half a character."""

from __future__ import annotations

from collections.abc import Callable, Iterable

_BROKEN = "\ufffd"
_LONGEST = 8
"""Tokens that may wait for the rest of a character: UTF-8 has at most four bytes, so more is not one character."""


class Detokenizer:
    """``push`` ids, get the text that has become certain. decode: ids to text, as the tokenizer does it.

    Byte-level tokens may end inside a character, and some tokenizers drop the space of the first token they are given.
    Therefore each decode begins with a few ids whose text is already out, and text that ends in a broken character
    waits for the next ids. Bytes that never become a character are left out.
    """

    def __init__(self, decode: Callable[[list[int]], str]) -> None:
        self._decode = decode
        self._ids: list[int] = []
        self._known = 0  # ids at the start of _ids whose text is out

    def push(self, ids: Iterable[int]) -> str:
        return "".join(self._push(token) for token in ids)

    def finish(self) -> str:
        return self._emit(self._decode(self._ids))

    def _push(self, token: int) -> str:
        self._ids.append(token)
        whole = self._decode(self._ids)
        if whole.endswith(_BROKEN) and len(self._ids) - self._known < _LONGEST:
            return ""
        return self._emit(whole)

    def _emit(self, whole: str) -> str:
        text = whole[len(self._decode(self._ids[: self._known])) :]
        self._ids = self._ids[self._known :]
        self._known = len(self._ids)
        return text.replace(_BROKEN, "")
