"""A Whisper of random weights in CTranslate2's format, which ends its transcript after a fixed number of tokens.

Sizes: the model card and config.json of openai/whisper-large-v3-turbo; layers as in Radford et al. 2022, section 2.2.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ctranslate2.specs.whisper_spec import WhisperSpec  # type: ignore[import-untyped]
from faster_whisper.tokenizer import _LANGUAGE_CODES  # type: ignore[import-untyped]
from numpy.typing import NDArray
from rich.console import Console

Half = NDArray[np.float16]

_WORDS = 50_257
_SOURCE, _TARGET = 1500, 448
_PROMPT = 4
"""Start, language, task, no timestamps."""
_CERTAIN = 1000.0
"""So strong is the end in the positions that ask for it, that nothing the layers add matters."""


@dataclass(frozen=True, slots=True)
class Size:
    """width: of the model; the feed-forward part is four times as wide. tokens: that every transcript has."""

    bands: int
    width: int
    heads: int
    encoder: int
    decoder: int
    tokens: int


TURBO = Size(bands=128, width=1280, heads=20, encoder=32, decoder=4, tokens=15)
SMALL = Size(bands=80, width=64, heads=2, encoder=2, decoder=1, tokens=15)


class _Weights:
    """Small random numbers; the same each time."""

    def __init__(self) -> None:
        self._random = np.random.default_rng(0)

    def __call__(self, *shape: int, scale: float = 0.02) -> Half:
        return (self._random.standard_normal(shape, np.float32) * np.float32(scale)).astype(np.float16)


def tokens() -> list[str]:
    """All of them, in the order of large-v3: words, an empty one by which CTranslate2 knows a model of many languages,
    the end, the start, languages, tasks, times."""
    special = ["<|endoftext|>", "<|startoftranscript|>", *(f"<|{code}|>" for code in _LANGUAGE_CODES)]
    special += ["<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>"]
    special += ["<|notimestamps|>", *(f"<|{step / 50:.2f}|>" for step in range(_SOURCE + 1))]
    return [*(f"\u0120w{number}" for number in range(_WORDS - 1)), "", *special]


def write(folder: Path, size: Size) -> None:
    """model.bin, config.json, vocabulary.json, tokenizer.json. About a minute, and 1.6 GB, for the large one."""
    Console(stderr=True).print(f"writing random weights to {folder}")
    weights, names = _Weights(), tokens()
    spec = WhisperSpec(size.encoder, size.heads, size.decoder, size.heads)
    _convolution(spec.encoder.conv1, weights, size.bands, size.width)
    _convolution(spec.encoder.conv2, weights, size.width, size.width)
    spec.encoder.position_encodings.encodings = weights(_SOURCE, size.width)
    for part, layers in ((spec.encoder, spec.encoder.layer), (spec.decoder, spec.decoder.layer)):
        _norm(part.layer_norm, size.width)
        for layer in layers:
            _layer(layer, weights, size.width)
    positions, embedding = _ending(weights, size, names.index("<|endoftext|>"), len(names))
    spec.decoder.position_encodings.encodings = positions
    spec.decoder.embeddings.weight = spec.decoder.projection.weight = embedding
    spec.register_vocabulary(names)
    spec.validate()
    spec.decoder.projection.weight = "decoder/embeddings/weight"
    spec.save(str(folder))
    _describe(folder, size, names)


def _ending(weights: _Weights, size: Size, end: int, count: int) -> tuple[Half, Half]:
    """Positions and token embeddings, such that the end follows the last of ``tokens`` and hardly ever comes before."""
    direction = weights(size.width).astype(np.float32)
    direction -= direction.mean()
    direction /= np.linalg.norm(direction)
    positions, embedding = weights(_TARGET, size.width), weights(count, size.width)
    positions[_PROMPT + size.tokens - 1 :] = (direction * _CERTAIN).astype(np.float16)
    embedding[end] = direction.astype(np.float16)
    return positions, embedding


def _layer(layer: Any, weights: _Weights, width: int) -> None:
    _norm(layer.self_attention.layer_norm, width)
    _linear(layer.self_attention.linear[0], weights, width, 3 * width)
    _linear(layer.self_attention.linear[1], weights, width, width)
    if hasattr(layer, "attention"):
        _norm(layer.attention.layer_norm, width)
        _linear(layer.attention.linear[0], weights, width, width)
        _linear(layer.attention.linear[1], weights, width, 2 * width)
        _linear(layer.attention.linear[2], weights, width, width)
    _norm(layer.ffn.layer_norm, width)
    _linear(layer.ffn.linear_0, weights, width, 4 * width)
    _linear(layer.ffn.linear_1, weights, 4 * width, width)


def _linear(spec: Any, weights: _Weights, inputs: int, outputs: int) -> None:
    spec.weight, spec.bias = weights(outputs, inputs), np.zeros(outputs, np.float16)


def _convolution(spec: Any, weights: _Weights, inputs: int, outputs: int) -> None:
    spec.weight, spec.bias = weights(outputs, inputs, 3), np.zeros(outputs, np.float16)


def _norm(spec: Any, width: int) -> None:
    spec.gamma, spec.beta = np.ones(width, np.float16), np.zeros(width, np.float16)


def _describe(folder: Path, size: Size, names: list[str]) -> None:
    numbers = {name: number for number, name in enumerate(names)}
    languages = [numbers[f"<|{code}|>"] for code in _LANGUAGE_CODES]
    config = {"alignment_heads": [[0, 0]], "lang_ids": languages, "suppress_ids": [], "suppress_ids_begin": []}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    bytewise = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    added = [
        {
            **dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False),
            **{"id": numbers[name], "content": name, "special": True},
        }
        for name in names[_WORDS:]
    ]
    tokenizer = {
        **{"version": "1.0", "truncation": None, "padding": None, "normalizer": None, "post_processor": None},
        **{"pre_tokenizer": bytewise, "decoder": bytewise, "added_tokens": added},
        "model": {"type": "BPE", "vocab": {name: numbers[name] for name in names[:_WORDS]}, "merges": []},
    }
    extractor = {"feature_size": size.bands, "sampling_rate": 16_000, "hop_length": 160, "n_fft": 400}
    extractor["chunk_length"] = 30
    (folder / "preprocessor_config.json").write_text(json.dumps(extractor), encoding="utf-8")
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
