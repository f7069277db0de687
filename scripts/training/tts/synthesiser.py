"""From frames to sound without a trained weight: a pulse train and noise through minimum-phase filters, in plain tensor
operations that ONNX has, and without a loop."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from scripts.training.tts.alignment import HOP
from scripts.training.tts.analysis import APERIODICITY, BINS, ENVELOPE, FFT, triangles
from scripts.training.tts.teacher import RATE

_REACH = 12
"""Samples to either side of a pulse's middle."""
_PAUSE = -15.0
_PAUSE_DEPTH = 4.0
_CERTAINTY = 3.0
_LEAST_SHARE = 1e-5


def minimum_phase() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """[ENVELOPE, BINS] twice: what makes log amplitude, and the phase of the minimum-phase filter, of log band powers.

    The phase is linear in the log amplitude, by way of the folded cepstrum."""
    spread = _between(triangles(ENVELOPE)) / 2
    cepstrum = np.fft.irfft(spread, FFT)
    fold = np.zeros(FFT)
    fold[0] = fold[FFT // 2] = 1
    fold[1 : FFT // 2] = 2
    return spread.astype(np.float32), np.fft.rfft(cepstrum * fold).imag.astype(np.float32)


def _between(bands: NDArray[np.float64]) -> NDArray[np.float64]:
    """[bands, bins]: linear interpolation between the middles of bands."""
    middles = bands @ np.arange(bands.shape[1])
    return np.stack([np.interp(np.arange(bands.shape[1]), middles, row) for row in np.eye(len(bands))])


def _aperiodicity_to_envelope() -> NDArray[np.float32]:
    coarse, fine = (triangles(bands) @ np.arange(BINS) for bands in (APERIODICITY, ENVELOPE))
    return np.stack([np.interp(fine, coarse, row) for row in np.eye(APERIODICITY)]).astype(np.float32)


class Synthesiser(nn.Module):
    """Call it with frames that are not normalised."""

    amplitude: Tensor
    phase: Tensor
    spread: Tensor
    window: Tensor
    time: Tensor
    bins: Tensor

    def __init__(self) -> None:
        super().__init__()
        amplitude, phase = minimum_phase()
        self.register_buffer("amplitude", torch.from_numpy(amplitude))
        self.register_buffer("phase", torch.from_numpy(phase))
        # Whole numbers from which the graph builds its Fourier matrices: stored, those would be larger than the voice.
        self.register_buffer("time", torch.arange(FFT))
        self.register_buffer("bins", torch.arange(BINS))
        self.register_buffer("spread", torch.from_numpy(_aperiodicity_to_envelope()))
        place = (np.arange(2 * HOP) + 0.5) / (2 * HOP)
        self.register_buffer("window", torch.from_numpy((0.5 - 0.5 * np.cos(2 * np.pi * place)).astype(np.float32)))

    def forward(self, frames: Tensor, noise_level: Tensor) -> Tensor:
        """frames: [CHANNELS, count]: log power, log aperiodicity, log f0, voicing logit. noise_level: 1 is the trained
        one. Gives [count * HOP] samples."""
        envelope, aperiodic, pitch, voicing = torch.split(frames, [ENVELOPE, APERIODICITY, 1, 1])
        level = envelope.mean(0, keepdim=True)
        envelope = envelope - _PAUSE_DEPTH * (_PAUSE - level).clamp(min=0)
        voiced = torch.sigmoid(_CERTAINTY * voicing)
        periodic = (1 - (self.spread.T @ aperiodic).clamp(max=0).exp()) * voiced
        harmonic = envelope + periodic.clamp(min=_LEAST_SHARE).log()
        noisy = envelope + (1 - periodic).clamp(min=_LEAST_SHARE).log()
        pulses = self._pulses(pitch[0].exp())
        noise = torch.randn_like(pulses) * noise_level
        return self._filtered((pulses, harmonic), (noise, noisy))

    def _pulses(self, f0: Tensor) -> Tensor:
        """A band-limited pulse each period, of power 1 a sample. f0: [count] in Hz."""
        # Linear between the middles of frames: each half frame knows its own neighbour.
        before = torch.cat((f0[:1], f0[:-1]))
        after = torch.cat((f0[1:], f0[-1:]))
        share = (torch.arange(HOP // 2, device=f0.device, dtype=f0.dtype) + 0.5) / HOP
        first = f0[:, None] + (before - f0)[:, None] * (0.5 - share)
        second = f0[:, None] + (after - f0)[:, None] * share
        step = torch.cat((first, second), 1).flatten() / RATE
        phase = step.double().cumsum(0)
        away = (phase - phase.round()).to(f0.dtype) / step
        sinc = torch.where(away.abs() < 1e-4, torch.ones_like(away), torch.sin(torch.pi * away) / (torch.pi * away))
        hann = 0.5 + 0.5 * torch.cos(torch.pi * (away / _REACH).clamp(-1, 1))
        return sinc * hann / step.sqrt()

    def _filtered(self, *pairs: tuple[Tensor, Tensor]) -> Tensor:
        """Each excitation, cut into overlapping windows, through the filters of its log powers; their sum."""
        turn = ((self.time[:, None] * self.bins) % FFT).to(self.window.dtype) * (2 * torch.pi / FFT)
        cosine, sine = turn.cos(), turn.sin()
        real = imaginary = torch.zeros(())
        for excitation, power in pairs:
            windows = self._windows(excitation)
            gain = (power.T @ self.amplitude).exp()
            phase = power.T @ self.phase
            forward_real, forward_imaginary = windows @ cosine[: 2 * HOP], -(windows @ sine[: 2 * HOP])
            filter_real, filter_imaginary = gain * phase.cos(), gain * phase.sin()
            real = real + forward_real * filter_real - forward_imaginary * filter_imaginary
            imaginary = imaginary + forward_real * filter_imaginary + forward_imaginary * filter_real
        weight = torch.where((self.bins == 0) | (self.bins == BINS - 1), 1.0, 2.0) / FFT
        pieces = (real * weight) @ cosine.T - (imaginary * weight) @ sine.T
        return self._overlapped(pieces)

    def _windows(self, samples: Tensor) -> Tensor:
        """[count, 2 HOP]: a window around each frame's middle."""
        rest = samples.new_zeros(HOP // 2)
        halves = torch.cat((rest, samples, rest, rest, rest)).reshape(-1, HOP)
        return torch.cat((halves[:-2], halves[1:-1]), 1) * self.window

    def _overlapped(self, pieces: Tensor) -> Tensor:
        """pieces: [count, FFT], HOP apart, the first of which begins half a hop early."""
        parts = FFT // HOP
        count = pieces.shape[0]
        quarters = pieces.reshape(-1, parts, HOP)
        rows = pieces.new_zeros(parts, HOP)
        total = torch.cat((quarters[:, 0], rows))
        for part in range(1, parts):
            total = total + torch.cat((rows[:part], quarters[:, part], rows[part:]))
        return total.flatten()[HOP // 2 : HOP // 2 + count * HOP]
