"""Start from a trained recogniser: its weights read from CTranslate2's file, and made wider without losing what it
knows.

A wider network of the same depth gets every channel, hidden unit and attention head of the narrow one, some of them
twice; what reads a doubled one takes an uneven share of each copy, so that the copies drift apart in training
(Chen, Goodfellow and Shlens 2016, "Net2Net"). Only layer normalisation sees slightly other statistics.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scripts.training.stt.network import Whisper

Weights = dict[str, NDArray[np.float32]]
_TYPES = (np.float32, np.int8, np.int16, np.int32, np.float16)
_HEAD = 64


def read_weights(path: Path) -> Weights:
    """Variables of a CTranslate2 model.bin (binary version 6), int8 rows multiplied out. Raises ValueError."""
    data = memoryview(path.read_bytes())
    place = 0

    def take(kind: str) -> int:
        nonlocal place
        (value,) = struct.unpack_from("<" + kind, data, place)
        place += struct.calcsize("<" + kind)
        return int(value)

    def text() -> str:
        nonlocal place
        length = take("H")
        place += length
        return bytes(data[place - length : place - 1]).decode()

    if take("I") != 6 or text() != "WhisperSpec":
        raise ValueError(f"{path} is no Whisper model of CTranslate2's binary version 6")
    take("I")
    raw: dict[str, NDArray[np.generic]] = {}
    for _ in range(take("I")):
        name = text()
        shape = [take("I") for _ in range(take("B"))]
        kind, size = _TYPES[take("B")], take("I")
        raw[name] = np.frombuffer(data[place : place + size], kind).reshape(shape)
        place += size
    return {name: _multiplied_out(name, raw) for name in raw if not name.endswith("_scale")}


def _multiplied_out(name: str, raw: dict[str, NDArray[np.generic]]) -> NDArray[np.float32]:
    value = raw[name].astype(np.float32)
    scale = raw.get(f"{name}_scale")
    if scale is None:
        return value
    return value / scale.astype(np.float32).reshape(-1, *[1] * (value.ndim - 1))


def start_from(network: Whisper, weights: Weights, seed: int) -> None:
    """Fill the network from a narrower or equal one of the same depth with the same trained tokens in front.

    The head for characters stays as it is. Raises ValueError when the depths differ.
    """
    size = network.size
    for part, layers in (("encoder", size.encoder_layers), ("decoder", size.decoder_layers)):
        if (
            f"{part}/layer_{layers - 1}/ffn/linear_0/weight" not in weights
            or f"{part}/layer_{layers}/ffn/linear_0/weight" in weights
        ):
            raise ValueError(f"the given model has not {layers} {part} layers")
    rng = np.random.default_rng(seed)
    old = len(weights["encoder/layer_norm/gamma"])
    filler = _Filler(old, size.width, rng)
    state = network.state_dict()
    for name in state:
        if not name.startswith("characters"):
            state[name] = filler.tensor(name, weights, state[name])
    network.load_state_dict(state)


def mix_in(network: Whisper, weights: Weights, share: float, seed: int) -> None:
    """Move the network this far back to what ``start_from`` made of the weights: a mean of the two forgets less of the
    old and knows most of the new (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models")."""
    first = Whisper(network.size)
    start_from(first, weights, seed)
    old = first.state_dict()
    for name, value in network.state_dict().items():
        if not name.startswith("characters"):
            value.lerp_(old[name], share)


class _Filler:
    """Maps of channels, hidden units and heads from the narrow network to the wide one."""

    def __init__(self, old: int, new: int, rng: np.random.Generator) -> None:
        self._rng = rng
        self._channels = self._map(old, new)
        self._hidden = self._map(4 * old, 4 * new)
        heads = self._map(old // _HEAD, new // _HEAD)
        self._inner = (heads[:, None] * _HEAD + np.arange(_HEAD)).ravel()

    def _map(self, old: int, new: int) -> NDArray[np.intp]:
        """The narrow network's unit behind each of the wide one's."""
        more = [self._rng.permutation(old) for _ in range((new - 1) // old)]
        return np.concatenate((np.arange(old), *more))[:new]

    def _read(self, matrix: NDArray[np.float32], units: NDArray[np.intp]) -> NDArray[np.float32]:
        """[rows, old] made [rows, new]: the copies of a unit share its weight unevenly."""
        share = self._rng.uniform(0.5, 1.5, (len(matrix), len(units)))
        total = np.zeros(matrix.shape)
        np.add.at(total.T, units, share.T)
        return (matrix[:, units] * share / total[:, units]).astype(np.float32)

    def tensor(self, name: str, weights: Weights, wanted: Tensor) -> Tensor:
        """The value of one of the network's parameters."""
        value = self._value(name.split("."), weights, wanted)
        if value.shape != tuple(wanted.shape):
            raise ValueError(f"{name} has the shape {value.shape} and not {tuple(wanted.shape)}")
        return torch.from_numpy(np.ascontiguousarray(value))

    def _value(self, path: list[str], weights: Weights, wanted: Tensor) -> NDArray[np.float32]:
        channels = self._channels
        kind = path[-1]
        if path[0] in ("conv1", "conv2"):
            value = weights[f"encoder/{path[0]}/{kind}"][channels]
            if path[0] == "conv2" and kind == "weight":
                return np.stack([self._read(value[..., tap], channels) for tap in range(value.shape[-1])], axis=-1)
            return value
        if path[0] in ("positions", "source_positions"):
            part = "decoder" if path[0] == "positions" else "encoder"
            return weights[f"{part}/position_encodings/encodings"][:, channels]
        if path[0] == "embedding":
            # As input a row is written to the channels, as output it is read: the copies share it in the end norm.
            return weights["decoder/embeddings/weight"][: len(wanted), channels]
        if path[0].endswith("_norm"):
            return self._norm(
                f"{path[0].removesuffix('_norm')}/layer_norm", kind, weights, end=path[0] == "decoder_norm"
            )
        return self._layer(f"{path[0]}/layer_{path[1]}", path[2:], weights)

    def _norm(self, name: str, kind: str, weights: Weights, end: bool = False) -> NDArray[np.float32]:
        value = weights[f"{name}/{'gamma' if kind == 'weight' else 'beta'}"][self._channels]
        copies: NDArray[np.float32] = np.bincount(self._channels)[self._channels].astype(np.float32)
        return value / copies if end else value

    def _layer(self, layer: str, path: list[str], weights: Weights) -> NDArray[np.float32]:
        part, kind = path[0], path[-1]
        place = {"norm": "self_attention", "cross_norm": "attention", "feed_norm": "ffn"}
        if part in place:
            return self._norm(f"{layer}/{place[part]}/layer_norm", kind, weights)
        if part in ("up", "down"):
            value = weights[f"{layer}/ffn/linear_{int(part == 'down')}/{kind}"]
            rows, columns = (self._hidden, self._channels) if part == "up" else (self._channels, self._hidden)
            return self._read(value[rows], columns) if kind == "weight" else value[rows]
        spec = f"{layer}/{'self_attention' if part == 'attention' else 'attention'}"
        if path[1] == "out":
            value = weights[f"{spec}/linear_{1 if part == 'attention' else 2}/{kind}"][self._channels]
            return self._read(value, self._inner) if kind == "weight" else value
        number = {"query": 0, "key": 1, "value": 2}[path[1]]
        fused = 0 if part == "attention" or not number else 1
        value = weights[f"{spec}/linear_{fused}/{kind}"]
        width = len(weights["encoder/layer_norm/gamma"])
        first = (number - fused) * width
        value = value[first : first + width][self._inner]
        return self._read(value, self._channels) if kind == "weight" else value
