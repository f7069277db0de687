"""The trained network and the synthesiser as one ONNX graph for each language, in the format of Piper."""

from __future__ import annotations

import io
import json
import unicodedata
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn

from scripts.training.tts.alignment import sort_of
from scripts.training.tts.analysis import APERIODICITY, ENVELOPE, FLOOR
from scripts.training.tts.examples import NAMES, description
from scripts.training.tts.network import Acoustic
from scripts.training.tts.synthesiser import Synthesiser

OPSET = 17
_NOISE_SCALE = 0.667
"""The noise_scale at which noise is as loud as it was learnt."""
_DURATION_NOISE = 0.1
_LARGE = 4000
_NEAR = {"ʁ": "r", "ɒ": "ɑ", "g": "ɡ", "ɫ": "l", "e": "ɛ", "o": "ɔ", "y": "ʏ", "œ": "ø", "ʀ": "ɾ", "ɵ": "ə"}  # noqa: RUF001
"""What stands in for a symbol that never occurred."""


class Voice(nn.Module):
    """Piper's inputs to Piper's outputs, for one language."""

    def __init__(self, network: Acoustic, language: int) -> None:
        super().__init__()
        self.network = network
        self.synthesiser = Synthesiser()
        self.language = language

    def forward(self, ids: Tensor, lengths: Tensor, scales: Tensor) -> tuple[Tensor, Tensor]:
        """ids: [1, n], pads (0) between the symbols. lengths: [1]. scales: noise, length, noise of durations.

        Gives (samples [1, 1, 1, m], frames of each id [1, n])."""
        places = torch.arange(ids.shape[1])
        kept = torch.nonzero((ids[0] != 0) & (places < lengths[0]))[:, 0]
        symbols = ids[0].index_select(0, kept)[None]
        mask = torch.ones_like(symbols)[:, None].to(torch.float32)
        encoded, spoken = self.network.encode(symbols, torch.tensor([self.language]), mask)
        spoken = spoken + torch.randn_like(spoken) * scales[2] * _DURATION_NOISE
        frames = torch.round((spoken.exp() - 1).clamp(min=0) * scales[1])
        # The begin mark always lasts: there is sound for any input.
        first = torch.cat((torch.ones_like(frames[:, :1]), torch.zeros_like(frames[:, 1:])), 1)
        frames = torch.maximum(frames, first)
        whole = frames.to(torch.int64)
        made = self.network.decode(encoded, whole, whole.sum())[0]
        made = made * self.network.deviation[:, None] + self.network.mean[:, None]
        floor = torch.cat((torch.full((ENVELOPE, 1), FLOOR), torch.full((APERIODICITY + 2, 1), -1e9)))
        samples = self.synthesiser(torch.maximum(made, floor), scales[0] / _NOISE_SCALE)
        every = torch.zeros_like(ids[0]).to(torch.float32).scatter(0, kept, frames[0])
        return samples.clamp(-1, 1)[None, None, None], every[None]


def export(network: Acoustic, seen: Iterable[int], folder: Path) -> None:
    """Write VOICE.onnx and VOICE.onnx.json for each language. seen: ids that occurred in the training."""
    folder.mkdir(parents=True, exist_ok=True)
    network.eval()
    _stand_in(network, set(seen))
    for language, name in enumerate(NAMES):
        model = _halved(_traced(Voice(network, language)))
        onnx.checker.check_model(model)
        (folder / f"{name}.onnx").write_bytes(model.SerializeToString())
        told = json.dumps(description(name), indent=1, ensure_ascii=False) + "\n"
        (folder / f"{name}.onnx.json").write_text(told, encoding="utf-8")


def _stand_in(network: Acoustic, seen: set[int]) -> None:
    """Symbols that never occurred sound like a near one, or like a blank."""
    table = {symbol: ids[0] for symbol, ids in description(NAMES[0])["phoneme_id_map"].items()}
    rows = network.symbols.weight.data
    for symbol, row in table.items():
        if row not in seen:
            near = _NEAR.get(symbol) or unicodedata.normalize("NFD", symbol)[0]
            found = table.get(near, table[" "])
            quiet = table["ˈ"] if len(symbol) == 1 and sort_of(symbol) == "mark" else table[" "]  # noqa: RUF001
            rows[row] = rows[found if found in seen else quiet]


def _traced(voice: Voice) -> onnx.ModelProto:
    ids = torch.tensor([[1, 0, 14, 0, 20, 0, 26, 0, 3, 0, 24, 0, 2]])
    inputs = (ids, torch.tensor([ids.shape[1]]), torch.tensor([_NOISE_SCALE, 1.0, 0.0]))
    file = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        # The exporter warns of its own age, and of shapes that it takes for constants; other lengths are tested.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            voice,
            inputs,
            file,  # type: ignore[arg-type]
            input_names=["input", "input_lengths", "scales"],
            output_names=["output", "durations"],
            dynamic_axes={"input": {1: "phonemes"}, "output": {3: "samples"}, "durations": {1: "phonemes"}},
            opset_version=OPSET,
            do_constant_folding=False,
            dynamo=False,
        )
    return onnx.load_from_string(file.getvalue())


def _halved(model: onnx.ModelProto) -> onnx.ModelProto:
    """Large weights are stored as half precision; the runtime widens them when it loads the graph."""
    casts = []
    for weight in model.graph.initializer:
        if weight.data_type == onnx.TensorProto.FLOAT and int(np.prod(weight.dims)) > _LARGE:
            name = weight.name
            half = numpy_helper.from_array(numpy_helper.to_array(weight).astype(np.float16), f"{name}_half")
            weight.CopyFrom(half)
            casts.append(helper.make_node("Cast", [half.name], [name], to=onnx.TensorProto.FLOAT))
    nodes: list[Any] = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model
