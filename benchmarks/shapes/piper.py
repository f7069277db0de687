"""A Piper voice of random weights: a VITS graph of the published sizes, whose decoder does all of a voice's work.

Sizes: Kim et al. 2021 (text encoder, flow), Kong et al. 2020 (HiFi-GAN, its second kind of residual block), with the
channels and rates of Piper's medium quality. Two simplifications cost next to nothing: attention without relative
positions, and durations that are the same for every phoneme, behind convolutions of the duration predictor's size.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from rich.console import Console

_OPSET = 17
_SYMBOLS = 256
_KINDS = "etaoinshrdlcumwfgypbvkjxqz əɪʊɛæʌɔɑθðʃʒŋˈˌː.,?!"
_FRAMES_A_PHONEME = 3.0
"""With a pad behind every phoneme about what English takes at this frame rate."""


@dataclass(frozen=True, slots=True)
class Size:
    """width: of the encoder and the frames. filter: of its feed-forward parts. wave: layers in each of the four flows.
    channels: of the decoder before its first upsampling; each halves them. rates, kernels: of the upsamplings.
    blocks: kernel and two dilations of the residual blocks behind each."""

    width: int
    heads: int
    layers: int
    filter: int
    wave: int
    channels: int
    rates: tuple[int, ...] = (8, 8, 4)
    kernels: tuple[int, ...] = (16, 16, 8)
    blocks: tuple[tuple[int, int, int], ...] = ((3, 1, 2), (5, 2, 6), (7, 3, 12))


MEDIUM = Size(width=192, heads=2, layers=6, filter=768, wave=4, channels=256)
SMALL = Size(width=16, heads=2, layers=1, filter=32, wave=1, channels=16)
_FLOWS = 4
_RATE = 22_050


class _Graph:
    """ONNX nodes in a row; each method gives the name of its result."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._random = np.random.default_rng(0)

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        return self.ops(kind, 1, *inputs, **attributes)[0]

    def ops(self, kind: str, outputs: int, *inputs: str, **attributes: Any) -> list[str]:
        names = [f"{kind.lower()}_{len(self.nodes)}_{number}" for number in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        return names

    def constant(self, value: object, kind: type = np.float32) -> str:
        return self._keep(np.asarray(value, kind))

    def random(self, *shape: int) -> str:
        inputs = int(np.prod(shape[1:])) or 1
        return self._keep(self._random.standard_normal(shape, np.float32) / np.float32(inputs**0.5))

    def conv(self, x: str, inputs: int, outputs: int, kernel: int = 1, dilation: int = 1) -> str:
        pad = dilation * (kernel - 1) // 2
        weights = self.random(outputs, inputs, kernel), self._keep(np.zeros(outputs, np.float32))
        return self.op("Conv", x, *weights, kernel_shape=[kernel], dilations=[dilation], pads=[pad, pad])

    def norm(self, x: str, width: int) -> str:
        """Over the channels of [1, width, n]."""
        ones, zeros = self._keep(np.ones(width, np.float32)), self._keep(np.zeros(width, np.float32))
        turned = self.op("Transpose", x, perm=[0, 2, 1])
        return self.op("Transpose", self.op("LayerNormalization", turned, ones, zeros, axis=-1), perm=[0, 2, 1])

    def split(self, x: str, parts: int) -> list[str]:
        """Along the channels."""
        return self.ops("Split", parts, x, axis=1)

    def _keep(self, value: NDArray[np.generic]) -> str:
        name = f"weight_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name


def build(size: Size) -> onnx.ModelProto:
    """Inputs and output as Piper's own: input int64 [1, n], input_lengths [1], scales [3]; sound [1, 1, 1, n]."""
    g = _Graph()
    speed = g.op("Gather", "scales", g.constant(1, np.int64))
    text = _encoder(g, size)
    mean, spread = g.split(g.conv(text, size.width, 2 * size.width), 2)
    counts = _durations(g, size, text, speed)
    path = _path(g, counts)
    frames, widths = g.op("MatMul", mean, path), g.op("MatMul", spread, path)
    noise = g.op("Mul", g.op("RandomNormalLike", frames), g.op("Gather", "scales", g.constant(0, np.int64)))
    small = g.op("Mul", widths, g.constant(0.01))
    frames = g.op("Add", frames, g.op("Mul", noise, g.op("Exp", small)))
    mask = g.op("ReduceSum", path, g.constant([1], np.int64), keepdims=1)
    for _ in range(_FLOWS):
        frames = _flow(g, size, frames, mask)
    sound = _decoder(g, size, g.op("Mul", frames, mask))
    g.nodes.append(helper.make_node("Unsqueeze", [sound, g.constant([1], np.int64)], ["output"]))
    inputs = [
        helper.make_tensor_value_info("input", TensorProto.INT64, [1, "phonemes"]),
        helper.make_tensor_value_info("input_lengths", TensorProto.INT64, [1]),
        helper.make_tensor_value_info("scales", TensorProto.FLOAT, [3]),
    ]
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 1, 1, "samples"])
    graph = helper.make_graph(g.nodes, "voice", inputs, [output], g.weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)])
    model.ir_version = 9
    return model


def _encoder(g: _Graph, size: Size) -> str:
    """Phoneme ids to [1, width, n]."""
    x = g.op("Transpose", g.op("Gather", g.random(_SYMBOLS, size.width), "input"), perm=[0, 2, 1])
    heads = g.constant([1, size.heads, size.width // size.heads, -1], np.int64)
    flat = g.constant([1, size.width, -1], np.int64)
    for _ in range(size.layers):
        query, key, value = (g.op("Reshape", g.conv(x, size.width, size.width), heads) for _ in range(3))
        scores = g.op("MatMul", g.op("Transpose", query, perm=[0, 1, 3, 2]), key)
        scores = g.op("Softmax", g.op("Mul", scores, g.constant((size.width // size.heads) ** -0.5)), axis=-1)
        seen = g.op("MatMul", value, g.op("Transpose", scores, perm=[0, 1, 3, 2]))
        seen = g.conv(g.op("Reshape", seen, flat), size.width, size.width)
        x = g.norm(g.op("Add", x, seen), size.width)
        wide = g.op("Relu", g.conv(x, size.width, size.filter, 3))
        x = g.norm(g.op("Add", x, g.conv(wide, size.filter, size.width, 3)), size.width)
    return x


def _durations(g: _Graph, size: Size, text: str, speed: str) -> str:
    """Frames of each phoneme, [1, 1, n]: all alike, up to what the convolutions' answer, made tiny, adds."""
    x = text
    for _ in range(3 * _FLOWS):
        x = g.norm(g.op("Relu", g.conv(x, size.width, size.width)), size.width)
    tiny = g.op("Mul", g.op("Tanh", g.conv(x, size.width, 1)), g.constant(1e-3))
    return g.op("Ceil", g.op("Mul", g.op("Add", tiny, g.constant(_FRAMES_A_PHONEME - 0.5)), speed))


def _path(g: _Graph, counts: str) -> str:
    """Which phoneme each frame belongs to: [1, n, frames] of zeros and ones."""
    ends = g.op("CumSum", counts, g.constant(2, np.int64))
    total = g.op("Cast", g.op("ReduceMax", ends, keepdims=0), to=TensorProto.INT64)
    steps = g.op("Cast", g.op("Range", g.constant(0, np.int64), total, g.constant(1, np.int64)), to=TensorProto.FLOAT)
    column = g.constant([1, -1, 1], np.int64)
    behind = g.op("Reshape", ends, column)
    before = g.op("Reshape", g.op("Sub", ends, counts), column)
    inside = g.op("And", g.op("Less", steps, behind), g.op("GreaterOrEqual", steps, before))
    return g.op("Cast", inside, to=TensorProto.FLOAT)


def _flow(g: _Graph, size: Size, frames: str, mask: str) -> str:
    """One coupling: half of the channels is changed by what a small WaveNet makes of the other half."""
    kept, changed = g.split(frames, 2)
    x = g.op("Mul", g.conv(kept, size.width // 2, size.width), mask)
    skipped = None
    for _ in range(size.wave):
        gate, value = g.split(g.conv(x, size.width, 2 * size.width, 5), 2)
        out = g.conv(g.op("Mul", g.op("Tanh", gate), g.op("Sigmoid", value)), size.width, 2 * size.width)
        rest, skip = g.split(out, 2)
        x = g.op("Mul", g.op("Add", x, rest), mask)
        skipped = skip if skipped is None else g.op("Add", skipped, skip)
    assert skipped is not None
    moved = g.op("Sub", changed, g.op("Mul", g.conv(skipped, size.width, size.width // 2), mask))
    # The halves change places for the next coupling.
    return g.op("Concat", moved, kept, axis=1)


def _decoder(g: _Graph, size: Size, frames: str) -> str:
    """HiFi-GAN: frames to samples in -1..1, [1, 1, samples]."""
    x, channels = g.conv(frames, size.width, size.channels, 7), size.channels
    for rate, kernel in zip(size.rates, size.kernels, strict=True):
        x = g.op("LeakyRelu", x, alpha=0.1)
        pad = (kernel - rate) // 2
        weights = g.random(channels, channels // 2, kernel), g.constant(np.zeros(channels // 2))
        x = g.op("ConvTranspose", x, *weights, kernel_shape=[kernel], strides=[rate], pads=[pad, pad])
        channels //= 2
        blocks = [_block(g, x, channels, *block) for block in size.blocks]
        x = g.op("Mul", g.op("Sum", *blocks), g.constant(1 / len(blocks)))
    return g.op("Tanh", g.conv(g.op("LeakyRelu", x, alpha=0.01), channels, 1, 7))


def _block(g: _Graph, x: str, channels: int, kernel: int, *dilations: int) -> str:
    for dilation in dilations:
        x = g.op("Add", x, g.conv(g.op("LeakyRelu", x, alpha=0.1), channels, channels, kernel, dilation))
    return x


def write(folder: Path, size: Size) -> None:
    """en_US.onnx and its description; 62 MB for the medium one."""
    Console(stderr=True).print(f"writing a random voice to {folder}")
    model = build(size)
    onnx.checker.check_model(model)
    onnx.save(model, str(folder / "en_US.onnx"))
    symbols = {"_": [0], "^": [1], "$": [2], **{kind: [number] for number, kind in enumerate(_KINDS, 3)}}
    description = {
        **{"audio": {"sample_rate": _RATE, "quality": "medium"}, "espeak": {"voice": "en-us"}},
        **{"language": {"code": "en_US"}, "inference": {"noise_scale": 0.667, "length_scale": 1.0, "noise_w": 0.0}},
        **{"phoneme_type": "espeak", "phoneme_id_map": symbols, "num_symbols": _SYMBOLS, "num_speakers": 1},
        **{"speaker_id_map": {}, "hop_length": int(np.prod(size.rates))},
    }
    (folder / "en_US.onnx.json").write_text(json.dumps(description), encoding="utf-8")
