"""Which phonemes say which words of the text.

espeak gives phonemes a sentence at a time and says nothing about the text behind them: "25" becomes two phonetic
words, "of the" one, a comma vanishes. So each word of the text is also phonemised alone, and the two rows of sounds
are laid against each other with the fewest changes (edit distance; Needleman and Wunsch 1970). Where the sounds
of a word end, the word has been spoken.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Sentence = Sequence[str]
"""Phonemes (one codepoint each, as a rule), with blanks between phonetic words and punctuation at the end."""

_BLANK = ord(" ")
_DROP_SOUND, _DROP_BLANK, _OTHER_SOUND, _SOUND_FOR_BLANK = 2, 1, 3, 8
_SENTENCE_END = (".", "!", "?", ":", "…", ";")
_END_BONUS = 3
_MARKS = "ːˑʲʰʷˤ˞"
_MAX_CELLS = 4_000_000


@dataclass(frozen=True, slots=True)
class Word:
    """text_end: offset in the text just behind the word and what hangs on it. sounds: its codepoints when said
    alone, blanks between phonetic words, no stress marks. ends_sentence: punctuation says that one may end here."""

    text_end: int
    sounds: str
    ends_sentence: bool


def sounds_of(phonemes: Sentence) -> tuple[str, list[int]]:
    """The codepoints that are sounds or single blanks between them, and the index of the phoneme of each."""
    sounds: list[str] = []
    origin: list[int] = []
    for index, phoneme in enumerate(phonemes):
        for char in phoneme:
            blank = char == " "
            if (blank and sounds and sounds[-1] != " ") or (not blank and _is_sound(char)):
                sounds.append(char)
                origin.append(index)
    if sounds and sounds[-1] == " ":
        sounds.pop()
        origin.pop()
    return "".join(sounds), origin


def _is_sound(char: str) -> bool:
    return unicodedata.category(char)[0] in "LN" and char not in "ˈˌ" + _MARKS


def find_words(tokens: Sequence[tuple[int, str]], say: Callable[[str], str]) -> list[Word]:
    """The words of a text. tokens: its pieces between blanks, each with the offset behind it. say: the sounds of a
    piece said alone. A piece without sounds ("-", "...") belongs to the word before it, or to the first one."""
    words: list[Word] = []
    silent = False
    for text_end, token in tokens:
        sounds = say(token)
        ends = token.rstrip("\"'”“’»«)]*_").endswith(_SENTENCE_END)
        if sounds:
            words.append(Word(text_end, sounds, ends))
        elif words:
            words[-1] = Word(text_end, words[-1].sounds, words[-1].ends_sentence or ends)
        else:
            silent = True
    if silent and not words and tokens:
        words.append(Word(tokens[-1][0], "", True))
    return words


def word_ends(sentences: Sequence[Sentence], words: Sequence[Word]) -> list[list[tuple[int, int]]]:
    """For each sentence its words as (text_end, number of phonemes of the sentence spoken when the word is over).

    Both numbers never fall. Every word is in exactly one sentence, in order, and the last word ends with
    the last sentence; a sentence has no words only when there are fewer words than sentences.
    """
    spoken: list[list[tuple[int, int]]] = []
    first = 0
    for index, phonemes in enumerate(sentences):
        after = len(sentences) - index - 1
        most = max(0, len(words) - first - after) if after else len(words) - first
        count, ends = _align(phonemes, words[first : first + most], everything=not after)
        spoken.append([(word.text_end, end) for word, end in zip(words[first : first + count], ends, strict=True)])
        first += count
    return spoken


def _align(phonemes: Sentence, words: Sequence[Word], *, everything: bool) -> tuple[int, list[int]]:
    """How many of the words the sentence says, and behind which phoneme each of them ends."""
    sounds, origin = sounds_of(phonemes)
    columns, ends = _columns(words, None if everything else 2 * len(sounds) + 40)
    if not ends:
        return 0, []
    if len(sounds) * len(columns) > _MAX_CELLS:
        return _in_proportion(phonemes, origin, columns, ends, everything=everything)
    costs = _costs(_codes(sounds), _codes(columns))
    count = len(ends)
    if not everything:
        bonus = [_END_BONUS if word.ends_sentence else 0 for word in words[: len(ends)]]
        count = int(np.argmin(costs[-1, ends] - np.array(bonus))) + 1
    rows = _rows_at(costs, sounds, columns, ends[:count])
    rows[-1] = len(sounds)
    return count, [_phonemes_spoken(phonemes, origin, row) for row in rows]


def _columns(words: Sequence[Word], limit: int | None) -> tuple[str, list[int]]:
    """The sounds of the words in one row, blanks between them, and the position behind each word. No more words
    are added once the row is longer than ``limit``."""
    row = ""
    ends: list[int] = []
    for word in words:
        if limit is not None and len(row) > limit:
            break
        row += (" " if row else "") + word.sounds
        ends.append(len(row))
    return row, ends


def _in_proportion(
    phonemes: Sentence, origin: Sequence[int], columns: str, ends: Sequence[int], *, everything: bool
) -> tuple[int, list[int]]:
    """The answer of _align for a sentence too long for its table: words end where their share of sounds does."""
    scale = len(origin) / len(columns) if everything else 1.0
    rows = [min(len(origin), round(end * scale)) for end in ends]
    count = len(rows) if everything else sum(row < len(origin) for row in rows) or 1
    return count, [_phonemes_spoken(phonemes, origin, row) for row in rows[:count]]


def _codes(sounds: str) -> NDArray[np.int32]:
    return np.array([ord(char) for char in sounds], np.int32)


def _costs(rows: NDArray[np.int32], columns: NDArray[np.int32]) -> NDArray[np.int32]:
    """Edit costs of all prefixes, shape [rows + 1, columns + 1]."""
    insert = np.concatenate([[0], np.cumsum(np.where(columns == _BLANK, _DROP_BLANK, _DROP_SOUND))]).astype(np.int32)
    costs = np.empty((len(rows) + 1, len(columns) + 1), np.int32)
    costs[0] = insert
    for index, symbol in enumerate(rows):
        best = costs[index] + (_DROP_BLANK if symbol == _BLANK else _DROP_SOUND)
        differ = np.where((columns == _BLANK) == (symbol == _BLANK), _OTHER_SOUND, _SOUND_FOR_BLANK)
        best[1:] = np.minimum(best[1:], costs[index, :-1] + np.where(columns == symbol, 0, differ))
        costs[index + 1] = np.minimum.accumulate(best - insert) + insert
    return costs


def _rows_at(costs: NDArray[np.int32], rows: str, columns: str, ends: Sequence[int]) -> list[int]:
    """Walk the cheapest path back from the last of ``ends``; for each end the row behind which its word is over."""
    row, column = len(rows), ends[-1]
    touched: dict[int, list[int]] = {}
    while row or column:
        touched.setdefault(column, []).append(row)
        here = costs[row, column]
        if row and column and here == costs[row - 1, column - 1] + _change(rows[row - 1], columns[column - 1]):
            row, column = row - 1, column - 1
        elif row and here == costs[row - 1, column] + _drop(rows[row - 1]):
            row -= 1
        else:
            column -= 1
    # Sounds that the word has only inside the sentence are its own up to the next blank, if there is one.
    found = []
    for end in ends:
        behind = sorted(touched.get(end, [0]))
        found.append(next((row for row in behind if rows[row : row + 1] == " "), behind[0]))
    return found


def _change(one: str, other: str) -> int:
    if one == other:
        return 0
    return _SOUND_FOR_BLANK if " " in (one, other) else _OTHER_SOUND


def _drop(sound: str) -> int:
    return _DROP_BLANK if sound == " " else _DROP_SOUND


def _phonemes_spoken(phonemes: Sentence, origin: Sequence[int], row: int) -> int:
    """How many phonemes are over when the first ``row`` sounds are: with length and other marks, without the blank
    or punctuation behind them."""
    while row and phonemes[origin[row - 1]] == " ":
        row -= 1
    if not row:
        return 0
    count = origin[row - 1] + 1
    while count < len(phonemes) and all(c in _MARKS or unicodedata.category(c) == "Mn" for c in phonemes[count]):
        count += 1
    return count
