"""A Piper voice's ONNX graph, run on one core; in two parts where it can be divided, so that sound comes early.

Nine tenths of a VITS voice's work is the decoder, a HiFi-GAN that sees a dozen frames to either side (Kong et al. 2020;
VITS: Kim et al. 2021). The graph is cut at the decoder's input: the first part runs once a sentence, the second
on a few frames at a time with their neighbours as context, which gives the samples the whole run would give.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import onnxruntime as ort  # type: ignore[import-untyped]
from numpy.typing import NDArray

from models.tts.loudness import Samples

if TYPE_CHECKING:
    import onnx

Feeds = Mapping[str, NDArray[Any]]

_FIRST_FRAMES = 17
_FRAMES = 45
_MARGINS = (12, 16, 24)
_PROBE_FRAMES = 150
_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class Rendering:
    """length: samples in all. durations: samples of each phoneme id, None if the graph does not tell. parts: the
    samples, made while they are taken."""

    length: int
    durations: NDArray[np.int64] | None
    parts: Iterator[Samples]


class VoiceGraph(Protocol):
    session: ort.InferenceSession

    def render(self, feeds: Feeds) -> Rendering:
        """Speak. feeds: input int64 [1, n], input_lengths int64 [1], scales float32 [3] (noise, length, noise of
        durations) and sid int64 [1] for voices with several speakers."""
        ...


def load_graph(path: Path, hop_length: int, probe: Feeds) -> VoiceGraph:
    """The graph of a voice file. hop_length: samples a frame. probe: a sentence to try the divided graph with."""
    model = path.read_bytes()
    if b"ConvTranspose" in model:
        divided = divide(model)
        if divided is not None:
            graph = DividedGraph(*divided, hop_length)
            if graph.settle_margin(probe):
                return graph
    return WholeGraph(_session(model), hop_length)


def _session(model: bytes) -> ort.InferenceSession:
    options = ort.SessionOptions()
    # By default every session takes all cores; callers are served side by side by several workers instead.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # The arena keeps the largest sentence's memory for ever (100 MB) and gains nothing measurable.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    options.log_severity_level = 3
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


class WholeGraph:
    """A graph that is run at once; its second output, if there is one, is the frames of each phoneme id."""

    def __init__(self, session: ort.InferenceSession, hop_length: int) -> None:
        self.session = session
        self._hop = hop_length

    def render(self, feeds: Feeds) -> Rendering:
        samples, *frames = self.session.run(None, dict(feeds))
        samples = samples.reshape(-1)
        return Rendering(len(samples), _durations(frames[0], self._hop) if frames else None, iter([samples]))


class DividedGraph:
    """The text and flow part (session), and the decoder behind it."""

    def __init__(self, front: onnx.ModelProto, decoder: onnx.ModelProto, hop_length: int) -> None:
        self.session = _session(front.SerializeToString())
        self._decoder = _session(decoder.SerializeToString())
        self._names = [each.name for each in self._decoder.get_inputs()]
        self._hop = hop_length
        self._margin = _MARGINS[0]

    def settle_margin(self, probe: Feeds) -> bool:
        """Find the context with which the parts join without a seam; False if none does."""
        frames, _, *speaker = self.session.run(None, dict(probe))
        inputs = [frames[:, :, :_PROBE_FRAMES], *speaker]
        whole = self._decode(inputs)
        if len(whole) != inputs[0].shape[2] * self._hop:
            return False
        for margin in _MARGINS:
            self._margin = margin
            parts = np.concatenate(list(self._parts(inputs)))
            if np.max(np.abs(parts - whole)) <= _TOLERANCE * np.max(np.abs(whole)):
                return True
        return False

    def render(self, feeds: Feeds) -> Rendering:
        frames, durations, *speaker = self.session.run(None, dict(feeds))
        length = frames.shape[2] * self._hop
        return Rendering(length, _durations(durations, self._hop), self._parts([frames, *speaker]))

    def _parts(self, inputs: list[NDArray[np.float32]]) -> Iterator[Samples]:
        frames, *speaker = inputs
        count, size, start = frames.shape[2], _FIRST_FRAMES, 0
        while start < count:
            end = min(count, start + size)
            first, last = max(0, start - self._margin), min(count, end + self._margin)
            samples = self._decode([frames[:, :, first:last], *speaker])
            yield samples[(start - first) * self._hop : (end - first) * self._hop]
            start, size = end, _FRAMES

    def _decode(self, inputs: list[NDArray[np.float32]]) -> Samples:
        (samples,) = self._decoder.run(None, dict(zip(self._names, inputs, strict=True)))
        flat: Samples = samples.reshape(-1)
        return flat


def _durations(frames: NDArray[np.float32], hop_length: int) -> NDArray[np.int64]:
    return (frames.reshape(-1) * hop_length).astype(np.int64)


def divide(model_bytes: bytes) -> tuple[onnx.ModelProto, onnx.ModelProto] | None:
    """Front part (outputs: decoder frames [1, c, t], frames per phoneme id, speaker vector if any) and decoder (the
    first and the last of these as inputs); None for a graph that is not built like a VITS voice."""
    import onnx

    model = onnx.load_from_string(model_bytes)
    maker = {name: node for node in model.graph.node for name in node.output}
    seams = _decoder_inputs(model, maker)
    roundings = [node for node in model.graph.node if node.op_type == "Ceil"]
    if not seams or len(roundings) != 1:
        return None
    frames, *speaker = seams
    given = [each.name for each in model.graph.input]
    sound = model.graph.output[0].name
    front = _part(model, maker, given, [frames, roundings[0].output[0], *speaker])
    decoder = _part(model, maker, seams, [sound])
    return (front, decoder) if front is not None and decoder is not None else None


def _decoder_inputs(model: onnx.ModelProto, maker: Mapping[str, onnx.NodeProto]) -> list[str]:
    """What the decoder's first convolution reads (masked frames), and its second the speaker, if there is one."""
    upsampling = next(node for node in model.graph.node if node.op_type == "ConvTranspose")
    node = maker.get(upsampling.input[0])
    while node is not None and node.op_type == "LeakyRelu":
        node = maker.get(node.input[0])
    if node is None:
        return []
    convolutions = [node] if node.op_type == "Conv" else [maker[name] for name in node.input if name in maker]
    if any(each.op_type != "Conv" for each in convolutions) or len(convolutions) > 2:
        return []
    inputs = [each.input[0] for each in convolutions]
    masked = [name for name in inputs if name in maker and maker[name].op_type in ("Mul", "Slice")]
    return masked + [name for name in inputs if name not in masked] if len(masked) == 1 else []


def _part(
    model: onnx.ModelProto, maker: Mapping[str, onnx.NodeProto], inputs: list[str], outputs: list[str]
) -> onnx.ModelProto | None:
    """The nodes between inputs and outputs as a model of their own; None if they need something else."""
    import onnx

    weights = {each.name: each for each in model.graph.initializer}
    given = {each.name: each for each in model.graph.input}
    needed: set[int] = set()
    open_names, seen = list(outputs), set(inputs)
    while open_names:
        name = open_names.pop()
        if name in seen or not name:
            continue
        seen.add(name)
        if name in maker:
            needed.add(id(maker[name]))
            open_names.extend(maker[name].input)
        elif name not in weights:
            return None
    nodes = [node for node in model.graph.node if id(node) in needed]
    if any(attribute.HasField("g") for node in nodes for attribute in node.attribute):
        return None  # The body of an If or Loop may use names of the graph around it that are not listed as inputs.
    unknown = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in outputs]
    entries = [
        given.get(name) or onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in inputs
    ]
    graph = onnx.helper.make_graph(nodes, "part", entries, unknown, [weights[name] for name in seen if name in weights])
    part = onnx.helper.make_model(graph, opset_imports=model.opset_import)
    part.ir_version = model.ir_version
    return part
