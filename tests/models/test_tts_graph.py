"""Dividing a voice's graph: a small one with random weights, built like a published VITS voice, sounds the same."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

import models
from models.tts.piper import Piper
from models.tts.voice_graph import DividedGraph, WholeGraph, load_graph

BUNDLED = Path(models.__file__).parent / "bundled" / "tts"
HOP = 256
CHANNELS = 12
FRAMES_PER_ID = 3


def vits(path: Path, *, speakers: int = 1, far_sighted: bool = False) -> Path:
    """Write a graph: embedding, durations rounded up, frames, mask, then a HiFi-GAN of two upsamplings by 16.

    speakers: more than one adds what voices of many speakers have. far_sighted: a decoder that looks at all frames at
    once, so that it cannot be run in parts.
    """
    chance = np.random.default_rng(7)
    weights: list[onnx.TensorProto] = []

    def weight(name: str, *shape: int) -> str:
        weights.append(numpy_helper.from_array((chance.standard_normal(shape) * 0.3).astype(np.float32), name))
        return name

    def constant(name: str, value: Any, dtype: Any = np.int64) -> str:
        weights.append(numpy_helper.from_array(np.array(value, dtype), name))
        return name

    node = helper.make_node
    nodes = [
        node("Gather", [weight("emb", 256, CHANNELS), "input"], ["x"]),
        node("Gather", ["scales", constant("one", [1])], ["length"]),
        node("Mul", ["length", constant("pace", [FRAMES_PER_ID - 0.4], np.float32)], ["w"]),
        node("Ceil", ["w"], ["w_ceil"]),
        node("Cast", ["w_ceil"], ["repeat"], to=TensorProto.INT64),
        node("Concat", [constant("one_one", [1, 1]), "repeat", "one"], ["repeats"], axis=0),
        node("Unsqueeze", ["x", constant("two", [2])], ["x4"]),
        node("Tile", ["x4", "repeats"], ["tiled"]),
        node("Reshape", ["tiled", constant("shape", [1, -1, CHANNELS])], ["frames"]),
        node("Transpose", ["frames"], ["z"], perm=[0, 2, 1]),
        node("Mul", ["z", constant("mask", [1.0], np.float32)], ["masked"]),
        node("Conv", ["masked", weight("pre", 8, CHANNELS, 7)], ["pre_out"], pads=[3, 3]),
    ]
    start = "pre_out"
    if speakers > 1:
        nodes += [
            node("Gather", [weight("emb_g", speakers, 4), "sid"], ["g2"]),
            node("Unsqueeze", ["g2", "two"], ["g"]),
            node("Conv", ["g", weight("cond", 8, 4, 1)], ["cond_out"]),
            node("Add", ["pre_out", "cond_out"], ["start"]),
        ]
        start = "start"
    if far_sighted:
        nodes.append(node("GlobalAveragePool", [start], ["mean"]))
    up = {"strides": [16], "pads": [8, 8]}
    nodes += [
        node("LeakyRelu", [start], ["a0"], alpha=0.1),
        node("ConvTranspose", ["a0", weight("up0", 8, 8, 32)], ["u0"], **up),
        node("Add", ["u0", "mean" if far_sighted else constant("nought", [0.0], np.float32)], ["u0b"]),
        node("LeakyRelu", ["u0b"], ["a1"], alpha=0.1),
        node("ConvTranspose", ["a1", weight("up1", 8, 8, 32)], ["u1"], **up),
        node("LeakyRelu", ["u1"], ["a2"], alpha=0.1),
        node("Conv", ["a2", weight("post", 1, 8, 7)], ["post_out"], pads=[3, 3]),
        node("Tanh", ["post_out"], ["wave"]),
        node("Unsqueeze", ["wave", "one"], ["output"]),
    ]
    inputs = [
        helper.make_tensor_value_info("input", TensorProto.INT64, [1, "n"]),
        helper.make_tensor_value_info("input_lengths", TensorProto.INT64, [1]),
        helper.make_tensor_value_info("scales", TensorProto.FLOAT, [3]),
    ]
    if speakers > 1:
        inputs.append(helper.make_tensor_value_info("sid", TensorProto.INT64, [1]))
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "vits", inputs, [output], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    onnx.save(model, str(path))
    return path


def feeds(count: int, speaker: int | None = None) -> dict[str, NDArray[Any]]:
    given: dict[str, NDArray[Any]] = {
        "input": np.random.default_rng(count).integers(0, 256, (1, count)),
        "input_lengths": np.array([count]),
        "scales": np.array([0.667, 1.0, 0.8], np.float32),
    }
    return given if speaker is None else {**given, "sid": np.array([speaker])}


def whole(path: Path, given: dict[str, NDArray[Any]]) -> NDArray[np.float32]:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    samples: NDArray[np.float32] = session.run(["output"], given)[0].reshape(-1)
    return samples


@pytest.mark.parametrize("speakers", [1, 3])
@pytest.mark.parametrize("count", [1, 5, 40, 333])
def test_a_divided_voice_makes_the_same_sound_in_parts(tmp_path: Path, speakers: int, count: int) -> None:
    path = vits(tmp_path / "voice.onnx", speakers=speakers)
    speaker = 2 if speakers > 1 else None
    graph = load_graph(path, HOP, feeds(60, speaker))
    assert isinstance(graph, DividedGraph)
    rendering = graph.render(feeds(count, speaker))
    parts = list(rendering.parts)
    expected = whole(path, feeds(count, speaker))
    assert np.abs(np.concatenate(parts) - expected).max() < 1e-5
    assert rendering.length == len(expected) == count * FRAMES_PER_ID * HOP
    if count >= 40:
        assert len(parts) > 2
        assert len(parts[0]) / 22_050 < 0.21


def test_a_decoder_that_sees_everything_at_once_is_run_at_once(tmp_path: Path) -> None:
    path = vits(tmp_path / "voice.onnx", far_sighted=True)
    graph = load_graph(path, HOP, feeds(60))
    assert isinstance(graph, WholeGraph)
    (samples,) = graph.render(feeds(60)).parts
    assert np.array_equal(samples, whole(path, feeds(60)))


def test_a_voice_of_another_architecture_tells_its_durations_itself() -> None:
    given = feeds(60)
    graph = load_graph(BUNDLED / "en_US.onnx", HOP, given)
    assert isinstance(graph, WholeGraph)
    rendering = graph.render(given)
    assert rendering.durations is not None
    assert len(rendering.durations) == 60
    (samples,) = rendering.parts
    assert rendering.durations.sum() == rendering.length == len(samples)


async def test_a_divided_voice_speaks_through_the_engine(tmp_path: Path) -> None:
    vits(tmp_path / "en_XX.onnx")
    description = json.loads((BUNDLED / "en_US.onnx.json").read_text(encoding="utf-8"))
    (tmp_path / "en_XX.onnx.json").write_text(json.dumps(description), encoding="utf-8")
    piper = await asyncio.to_thread(Piper.load, tmp_path, name="piper")
    text = "This voice is noise, but its words have their times."
    chunks = [chunk async for chunk in piper.synthesize(text, piper.voices[0])]
    await piper.close()
    words = [word for chunk in chunks for word in chunk.words]
    assert len(words) == len(text.split())
    assert words[-1].text_end == len(text)
    length = sum(len(chunk.pcm) for chunk in chunks)
    assert 0.8 * length < words[-1].end <= length
    assert len(chunks) > 4
