"""Piper: how long until there is sound, with the graph divided before its decoder and in one piece.

The graphs are run here, on random phonemes: what they say is nonsense of the right length. The last table asks the
engine itself, with its worker process, for sentences.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort  # type: ignore[import-untyped]
from numpy.typing import NDArray

from benchmarks.engines.cost import Cost, rounds, row, shown, table
from models.tts.piper import Piper
from models.tts.voice_files import find_voices
from models.tts.voice_graph import DividedGraph, Feeds, VoiceGraph, WholeGraph, load_graph

_LENGTHS_S = (1.0, 3.0, 6.0)
_HOP = 256
_TEXTS = {
    1: "Good morning to you.",
    3: "We are open on Friday from nine in the morning until six.",
    6: "We are open on Friday from nine in the morning until six in the evening, and on Saturday from ten until two.",
}


class Graphs:
    """A voice's graph both ways, or in one piece if it cannot be divided: the bundled voices have no such decoder."""

    def __init__(self, model: Path) -> None:
        description = json.loads(model.with_name(model.name + ".json").read_text(encoding="utf-8"))
        self.rate = int(description["audio"]["sample_rate"])
        hop = int(description.get("hop_length", _HOP))
        ids = sorted({each for code in description["phoneme_id_map"].values() for each in code})
        self._ids = np.random.default_rng(0).choice(ids, 4096)
        self._scales = self._settings(description["inference"])
        loaded = load_graph(model, hop, self.feeds(120))
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = options.enable_mem_pattern = False
        options.log_severity_level = 3
        whole = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        divided = {"divided": loaded} if isinstance(loaded, DividedGraph) else {}
        self.ways: Mapping[str, VoiceGraph] = {**divided, "whole": WholeGraph(whole, hop)}

    @staticmethod
    def _settings(inference: dict[str, Any]) -> NDArray[np.float32]:
        return np.array([inference["noise_scale"], inference["length_scale"], inference["noise_w"]], np.float32)

    def feeds(self, phonemes: int) -> Feeds:
        ids = self._ids[None, :phonemes].astype(np.int64)
        return {"input": ids, "input_lengths": np.array([phonemes], np.int64), "scales": self._scales}

    def of_length(self, seconds: float) -> Feeds:
        """As many phonemes as make about so much sound."""
        count = 60
        for _ in range(4):
            made = self.ways["whole"].render(self.feeds(count)).length / self.rate
            count = max(4, min(4096, round(count * seconds / made)))
        return self.feeds(count)


def graph_cost(graph: VoiceGraph, feeds: Feeds, times: int, what: str) -> tuple[Cost, Cost, float]:
    """Until the first sound is there, and until all of it is; and the seconds of it (of the last run)."""
    first, everything, length = Cost(), Cost(), 0
    list(graph.render(feeds).parts)
    for _ in rounds(times, what):
        with everything.run():
            with first.run():
                rendering = graph.render(feeds)
                next(rendering.parts)
            for _part in rendering.parts:
                pass
        length = rendering.length
    return first, everything, length


async def engine_cost(piper: Piper, text: str, times: int, what: str) -> tuple[list[float], float]:
    """Milliseconds until the first chunk, each time at another speed, so that none is kept ready; and the length."""
    waits, seconds = [], 0.0
    for number in rounds(times, what):
        started, seconds = time.perf_counter(), 0.0
        async with aclosing(piper.synthesize(text, piper.voices[0], speed=1 + number / 10_000)) as chunks:
            async for chunk in chunks:
                if not seconds:
                    waits.append((time.perf_counter() - started) * 1000)
                seconds += len(chunk.pcm) / chunk.sample_rate
    return waits, seconds


async def report(voices: Path, times: int) -> None:
    """voices: a folder of Piper voices, of which the first speaks."""
    graphs = Graphs(find_voices(voices, "tts")[0].path)
    table("Piper, sound", "graph", "first sound ms p50 / p95", "CPU ms p50", "all of it ms p50 / p95", "RTF of the CPU")
    for seconds in _LENGTHS_S:
        feeds = graphs.of_length(seconds)
        for name, graph in graphs.ways.items():
            first, everything, length = graph_cost(graph, feeds, times, f"Piper, {seconds} s, {name}")
            made = length / graphs.rate
            factor = np.median(everything.cpu) / 1000 / made
            cpu = f"{np.median(first.cpu):.1f}"
            row(f"{made:.1f} s", name, shown(first.wall), cpu, shown(everything.wall), f"{factor:.3f}")
    piper = Piper.load(voices, name="tts")
    table("Piper with its worker, text", "sound", "first sound ms p50 / p95")
    for text in _TEXTS.values():
        waits, seconds = await engine_cost(piper, text, times, "Piper's worker")
        row(f"{len(text)} characters", f"{seconds:.1f} s", shown(waits))
    await piper.close()
