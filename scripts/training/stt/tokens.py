"""The recogniser's vocabulary: byte-level pieces learnt from the sentences, then Whisper's own tokens.

Rows of the trained embedding are fewer than tokens: timestamps and tasks are never trained and share the last row.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

PIECES = 900
END = "<|endoftext|>"
START = "<|startoftranscript|>"
NO_SPEECH = "<|nospeech|>"
TRANSCRIBE = "<|transcribe|>"
NO_TIMESTAMPS = "<|notimestamps|>"
_SPECIAL = (
    *(END, START, "<|en|>", "<|de|>", "<|translate|>", TRANSCRIBE),
    *("<|startoflm|>", "<|startofprev|>", NO_SPEECH, NO_TIMESTAMPS),
)
_TIMESTAMPS = tuple(f"<|{step * 0.02:.2f}|>" for step in range(1501))
CHARACTERS = " 'abcdefghijklmnopqrstuvwxyzäöüß"
"""Targets of the CTC head; 0 is its blank, so the first of these is 1."""


def train_tokenizer(sentences: Iterable[str], pieces: int = PIECES) -> Tokenizer:
    """A byte-level BPE of at most that many pieces with Whisper's tokens behind them.

    The empty piece between them tells CTranslate2 that the model knows several languages.
    """
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=pieces, initial_alphabet=sorted(alphabet), show_progress=False)
    learner.train_from_iterator(sentences, trainer)
    model = json.loads(learner.to_str())["model"]
    vocabulary = {**model["vocab"], "": len(model["vocab"])}
    merges = [(left, right) for left, right in model["merges"]]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in _SPECIAL])
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in _TIMESTAMPS])
    return tokenizer


def vocabulary(tokenizer: Tokenizer) -> list[str]:
    """All tokens in the order of their ids."""
    known: dict[str, int] = tokenizer.get_vocab(with_added_tokens=True)
    return sorted(known, key=known.__getitem__)


def trained_rows(tokenizer: Tokenizer) -> int:
    """Rows of the embedding that are trained: the pieces, Whisper's ten tokens, and one for all others."""
    return token_id(tokenizer, _TIMESTAMPS[0]) + 1


def token_id(tokenizer: Tokenizer, token: str) -> int:
    """The id of a token. Raises ValueError when the tokenizer does not know it."""
    known: int | None = tokenizer.token_to_id(token)
    if known is None:
        raise ValueError(f"the tokenizer does not know {token}")
    return known


def target(tokenizer: Tokenizer, text: str, language: str) -> list[int]:
    """Tokens from the start of the transcript to the end of the text."""
    head = (START, f"<|{language}|>", TRANSCRIBE, NO_TIMESTAMPS)
    pieces: list[int] = tokenizer.encode(f" {text}" if text else "", add_special_tokens=False).ids
    return [*(token_id(tokenizer, token) for token in head), *pieces, token_id(tokenizer, END)]


def characters(text: str) -> list[int]:
    """What the CTC head is to hear of a text."""
    return [CHARACTERS.index(character) + 1 for character in text.lower() if character in CHARACTERS]


def save(tokenizer: Tokenizer, folder: Path) -> None:
    """Write tokenizer.json, vocabulary.json and the feature extractor's settings as faster-whisper reads them."""
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(folder / "vocabulary.json", vocabulary(tokenizer))
    settings = {
        "chunk_length": 30,
        "feature_extractor_type": "WhisperFeatureExtractor",
        "feature_size": 80,
        "hop_length": 160,
        "n_fft": 400,
        "padding_value": 0.0,
        "processor_class": "WhisperProcessor",
        "return_attention_mask": False,
        "sampling_rate": 16000,
    }
    write_json(folder / "preprocessor_config.json", settings)


def write_json(path: Path, value: object) -> None:
    """Readable, in UTF-8, with a newline at the end."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def sentences_only(texts: Iterable[str]) -> Iterator[str]:
    """Texts as the tokenizer meets them, each once; a transcript begins with a blank."""
    return (f" {text}" for text in dict.fromkeys(texts) if text)
