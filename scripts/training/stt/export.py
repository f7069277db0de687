"""The trained network as a folder for CTranslate2 and faster-whisper."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
from ctranslate2.specs.whisper_spec import WhisperSpec  # type: ignore[import-untyped]
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor, nn

from scripts.training.stt.network import Attention, Layer, Whisper
from scripts.training.stt.tokens import save, token_id, trained_rows, vocabulary, write_json


def export(network: Whisper, tokenizer: Tokenizer, folder: Path, quantization: str = "int8") -> None:
    """Write model.bin, config.json, vocabulary.json, tokenizer.json and preprocessor_config.json.

    Raises ValueError when tokenizer and network do not belong together.
    """
    size = network.size
    if size.rows != trained_rows(tokenizer):
        raise ValueError(f"the network has {size.rows} tokens, the tokenizer {trained_rows(tokenizer)}")
    folder.mkdir(parents=True, exist_ok=True)
    spec = WhisperSpec(size.encoder_layers, size.heads, size.decoder_layers, size.heads)
    _linear(spec.encoder.conv1, network.conv1)
    _linear(spec.encoder.conv2, network.conv2)
    spec.encoder.position_encodings.encodings = _array(network.get_buffer("source_positions"))
    _norm(spec.encoder.layer_norm, network.encoder_norm)
    spec.decoder.position_encodings.encodings = _array(network.positions)
    _norm(spec.decoder.layer_norm, network.decoder_norm)
    embedding = _embedding(network, tokenizer)
    spec.decoder.embeddings.weight = embedding
    spec.decoder.projection.weight = embedding
    for part, layers in ((spec.encoder, network.encoder), (spec.decoder, network.decoder)):
        for layer_spec, layer in zip(part.layer, layers, strict=True):
            assert isinstance(layer, Layer)
            _layer(layer_spec, layer)
    spec.register_vocabulary(vocabulary(tokenizer))
    spec.validate()
    spec.optimize(quantization=quantization)
    spec.save(str(folder))
    save(tokenizer, folder)
    _write_config(folder / "config.json", size.decoder_layers, size.heads, tokenizer)


def _write_config(path: Path, layers: int, heads: int, tokenizer: Tokenizer) -> None:
    """Two things differ from what Whisper's converter writes. Languages are detected among lang_ids; and nothing is
    forbidden as the first token, neither the blank, with which many sentences begin in so small a vocabulary, nor the
    end, which is all there is to say about silence."""
    config = json.loads(path.read_text(encoding="utf-8"))
    config["alignment_heads"] = [list(pair) for pair in itertools.product(range(layers // 2, layers), range(heads))]
    config["lang_ids"] = [token_id(tokenizer, "<|en|>"), token_id(tokenizer, "<|de|>")]
    config["suppress_ids"] = []
    config["suppress_ids_begin"] = []
    write_json(path, config)


def _embedding(network: Whisper, tokenizer: Tokenizer) -> NDArray[np.float32]:
    """All tokens' rows: those never trained are the last trained one."""
    trained = _array(network.embedding.weight)
    return np.concatenate((trained, np.repeat(trained[-1:], tokenizer.get_vocab_size() - len(trained), axis=0)))


def _layer(spec: object, layer: Layer) -> None:
    own = spec.self_attention  # type: ignore[attr-defined]
    _norm(own.layer_norm, layer.norm)
    query, key, value = _projections(layer.attention)
    _fused(own.linear[0], (query, key, value))
    _linear(own.linear[1], layer.attention.out)
    if layer.cross is not None and layer.cross_norm is not None:
        cross = spec.attention  # type: ignore[attr-defined]
        _norm(cross.layer_norm, layer.cross_norm)
        query, key, value = _projections(layer.cross)
        _fused(cross.linear[0], (query,))
        _fused(cross.linear[1], (key, value))
        _linear(cross.linear[2], layer.cross.out)
    feed = spec.ffn  # type: ignore[attr-defined]
    _norm(feed.layer_norm, layer.feed_norm)
    _linear(feed.linear_0, layer.up)
    _linear(feed.linear_1, layer.down)


def _projections(attention: Attention) -> tuple[nn.Linear, nn.Linear, nn.Linear]:
    return attention.query, attention.key, attention.value


def _fused(spec: object, layers: tuple[nn.Linear, ...]) -> None:
    width = layers[0].out_features
    biases = [np.zeros(width, np.float32) if one.bias is None else _array(one.bias) for one in layers]
    spec.weight = np.concatenate([_array(one.weight) for one in layers])  # type: ignore[attr-defined]
    spec.bias = np.concatenate(biases)  # type: ignore[attr-defined]


def _linear(spec: object, layer: nn.Linear | nn.Conv1d) -> None:
    spec.weight = _array(layer.weight)  # type: ignore[attr-defined]
    assert layer.bias is not None
    spec.bias = _array(layer.bias)  # type: ignore[attr-defined]


def _norm(spec: object, layer: nn.LayerNorm) -> None:
    spec.gamma = _array(layer.weight)  # type: ignore[attr-defined]
    spec.beta = _array(layer.bias)  # type: ignore[attr-defined]


def _array(tensor: Tensor) -> NDArray[np.float32]:
    # A copy: the converter multiplies what it is given in place when it makes it int8.
    return np.array(tensor.detach().float().numpy(), order="C")
