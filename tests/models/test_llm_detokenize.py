"""Text from token ids in pieces: complete characters only, whatever the pieces."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders
from tokenizers import models as token_models

import models
from models.llm.detokenize import Detokenizer

TINY = Tokenizer.from_file(str(Path(models.__file__).parent / "bundled" / "llm" / "tiny" / "tokenizer.json"))


def decode(ids: list[int]) -> str:
    return TINY.decode(ids, skip_special_tokens=False)


def pieces(ids: list[int], size: int) -> list[str]:
    stream = Detokenizer(decode)
    return [stream.push(ids[at : at + size]) for at in range(0, len(ids), size)] + [stream.finish()]


@given(st.text(st.characters(codec="utf-8", exclude_characters="\ufffd"), max_size=30), st.integers(1, 5))
def test_any_text_comes_back_whole(text: str, size: int):
    assert "".join(pieces(TINY.encode(text, add_special_tokens=False).ids, size)) == text


def test_a_character_of_several_tokens_waits_until_it_is_complete():
    ids = TINY.encode("a😀b", add_special_tokens=False).ids
    assert len(ids) == 6
    assert pieces(ids, 1) == ["a", "", "", "", "😀", "b", ""]


@given(st.lists(st.integers(3, TINY.get_vocab_size() - 1), max_size=40), st.integers(1, 7))
def test_broken_bytes_are_left_out_and_hold_nothing_up(ids: list[int], size: int):
    found = pieces(ids, size)
    text = "".join(found)
    assert "\ufffd" not in text
    assert text == "".join(pieces(ids, 1))
    kept = [character for character in decode(ids) if character.isascii()]
    assert [character for character in text if character.isascii()] == kept


def test_a_long_run_of_broken_bytes_does_not_swallow_what_follows():
    half = TINY.encode("😀", add_special_tokens=False).ids[:1]
    assert "".join(pieces(half * 30 + TINY.encode("done", add_special_tokens=False).ids, 1)) == "done"


def test_a_tokenizer_that_drops_the_first_space_keeps_the_others():
    words = Tokenizer(token_models.WordLevel({"▁We": 0, "▁are": 1, "▁open": 2}, unk_token="▁We"))
    words.decoder = decoders.Metaspace()
    stream = Detokenizer(words.decode)
    assert [stream.push([token]) for token in (0, 1, 2)] == ["We", " are", " open"]
