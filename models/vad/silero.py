"""Silero VAD v6, run from its ONNX graph with numpy; the package of the same name (which needs torch) is not used.

The graph takes a frame of 512 samples at 16 kHz (256 at 8 kHz) with the last 64 (32) samples of the frame before in
front of it, and a recurrent state. Source: the model card beside the weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime  # type: ignore[import-untyped]
from numpy.typing import NDArray

from models.base import EngineError, Pcm16, Priority, WeightsError
from models.batching import Batcher

Floats = NDArray[np.float32]

FRAME_SAMPLES = {8_000: 256, 16_000: 512}
"""Samples of one 32 ms frame by rate."""
_CONTEXT_SAMPLES = {8_000: 32, 16_000: 64}
_STATE_SHAPE = (2, 1, 128)
_MAX_FRAMES = 32
"""Frames of one stream in one request: an upload of a long recording shares the model with live callers."""


@dataclass(frozen=True, slots=True)
class _Frames:
    """Some frames of one stream. windows: [n, context + frame] in -1..1; state: [2, 1, 128] before the first."""

    rate: int
    windows: Floats
    state: Floats


@dataclass(frozen=True, slots=True)
class _Heard:
    """probabilities: [n]; state: [2, 1, 128] behind the last frame."""

    probabilities: list[float]
    state: Floats


class SileroVad:
    """Kind ``vad``: all live streams of one rate share a batched call. The weights serve 8 and 16 kHz."""

    def __init__(self, session: onnxruntime.InferenceSession, name: str, max_batch: int) -> None:
        self.name = name
        self._session = session
        self._batcher = Batcher(self._run, name=name, max_batch=max_batch, group=lambda frames: frames.rate)

    @classmethod
    def load(cls, path: Path, *, name: str = "silero-v6", max_batch: int = 64) -> SileroVad:
        """path: the ONNX file. Raises WeightsError if it is missing or not a Silero VAD graph."""
        if not path.is_file():
            raise WeightsError(name, f"{path} is missing")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the exceptions of onnxruntime have no public base class
            raise WeightsError(name, f"{path} cannot be loaded: {error}") from error
        if {node.name for node in session.get_inputs()} != {"input", "state", "sr"}:
            raise WeightsError(name, f"{path} is not a Silero VAD graph")
        return cls(session, name, max_batch)

    def open(self, sample_rate: int) -> SileroStream:
        """A stream at 8000 or 16000 Hz. Raises ValueError for any other rate."""
        if sample_rate not in FRAME_SAMPLES:
            raise ValueError(f"{self.name} hears 8000 or 16000 Hz, not {sample_rate}")
        return SileroStream(self._batcher, sample_rate)

    async def close(self) -> None:
        await self._batcher.aclose()

    def _run(self, requests: list[_Frames]) -> list[_Heard]:
        """Step through the frames of all requests side by side; those with more frames stay longer."""
        states = [request.state for request in requests]
        probabilities: list[list[float]] = [[] for _ in requests]
        rate = np.array(requests[0].rate, np.int64)
        try:
            for step in range(max(len(request.windows) for request in requests)):
                rows = [row for row, request in enumerate(requests) if step < len(request.windows)]
                feed = {
                    "input": np.stack([requests[row].windows[step] for row in rows]),
                    "state": np.concatenate([states[row] for row in rows], axis=1),
                    "sr": rate,
                }
                output, state = self._session.run(None, feed)
                for place, row in enumerate(rows):
                    probabilities[row].append(float(output[place, 0]))
                    states[row] = state[:, place : place + 1]
        except Exception as error:  # the exceptions of onnxruntime have no public base class
            raise EngineError(self.name, f"{self.name} failed: {error}", retryable=True) from error
        return [_Heard(heard, state) for heard, state in zip(probabilities, states, strict=True)]


class SileroStream:
    """Voice activity of one session: at most one ``push`` at a time."""

    def __init__(self, batcher: Batcher[_Frames, _Heard], rate: int) -> None:
        self._batcher, self._rate = batcher, rate
        self._frame, self._context = FRAME_SAMPLES[rate], _CONTEXT_SAMPLES[rate]
        self._history = 0
        self.reset()

    def reset(self) -> None:
        """Forget all history, as at the start of a session."""
        self._history += 1
        self._state: Floats = np.zeros(_STATE_SHAPE, np.float32)
        # The context of the next frame, then the samples that do not fill it yet.
        self._samples: Pcm16 = np.zeros(self._context, np.int16)

    async def push(self, pcm: Pcm16) -> list[float]:
        """One speech probability for each 32 ms frame that these samples completed, oldest first.

        Raises CapacityError when too many streams wait, EngineError when the model fails.
        """
        self._samples = np.concatenate((self._samples, pcm))
        probabilities: list[float] = []
        history = self._history
        while self._history == history and (windows := self._take_windows()) is not None:
            heard = await self._batcher.submit(_Frames(self._rate, windows, self._state), Priority.CONFIRMED)
            if self._history == history:
                self._state = heard.state
                probabilities += heard.probabilities
        return probabilities

    def _take_windows(self) -> Floats | None:
        """The complete frames, each with its context in front, as [n, context + frame]; None when there is none."""
        count = min((len(self._samples) - self._context) // self._frame, _MAX_FRAMES)
        if count == 0:
            return None
        width = self._context + self._frame
        windows = np.lib.stride_tricks.sliding_window_view(self._samples, width)[:: self._frame][:count]
        self._samples = self._samples[count * self._frame :]
        return np.multiply(windows, np.float32(1 / 32768), dtype=np.float32)
