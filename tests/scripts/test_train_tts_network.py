"""The voices' network, its synthesiser, training and export. They need torch (extra "train"), which the light
development environment does not have; there these tests are skipped, and the ones in test_train_tts.py still run."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

torch = pytest.importorskip("torch", reason='needs the extra "train"')

from models.tts.piper import Piper  # noqa: E402
from scripts.training.loop import Progress  # noqa: E402
from scripts.training.tts.alignment import HOP  # noqa: E402
from scripts.training.tts.analysis import ENVELOPE, analyse  # noqa: E402
from scripts.training.tts.examples import NAMES, read_shards, write_shard  # noqa: E402
from scripts.training.tts.export import export  # noqa: E402
from scripts.training.tts.network import Acoustic, Size  # noqa: E402
from scripts.training.tts.synthesiser import Synthesiser  # noqa: E402
from scripts.training.tts.teacher import RATE, teacher  # noqa: E402
from scripts.training.tts.train import Settings, measure, train  # noqa: E402

ROOT = Path(__file__).parents[2]
SMALL = Size(width=24, encoder=(1, 2), durations=(1,), decoder=(1, 2))


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def quiet(progress: Progress, share: float) -> None:
    pass


def test_frames_made_of_speech_give_the_speech_again() -> None:
    with teacher() as speaker:
        samples = speaker.speak("We are open on Monday at ten.", "en_US").samples
    frames = analyse(samples)
    given = torch.from_numpy(frames.T.copy())
    given[-1] = (given[-1] - 0.5) * 20
    torch.manual_seed(1)
    sound = Synthesiser()(given, torch.tensor(1.0)).numpy()
    assert len(sound) == len(frames) * HOP
    again = analyse(sound)[4:-10]
    loud = frames[:, :ENVELOPE].mean(1) > -12
    assert np.abs(frames - again)[loud, :ENVELOPE].mean() * 4.34 < 4  # dB
    voiced = (frames[:, -1] > 0) & (again[:, -1] > 0)
    assert voiced.mean() > 0.4
    assert np.median(np.abs(frames - again)[voiced, -2]) < 0.02
    assert (frames[:, -1] != again[:, -1]).mean() < 0.1


def test_a_pulse_train_has_its_pitch_and_power_one() -> None:
    made = Synthesiser()._pulses(torch.full((200,), 147.0)).numpy()
    assert np.mean(made**2) == pytest.approx(1, rel=0.15)
    lags = np.arange(100, 200)
    alike = [np.dot(made[:-lag], made[lag:]) for lag in lags]
    assert lags[int(np.argmax(alike))] == RATE // 147


@pytest.fixture
def voices(tmp_path: Path) -> Path:
    """A network with random weights, exported."""
    torch.manual_seed(3)
    network = Acoustic(SMALL)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    network.duration_out.bias.data.fill_(1.5)
    network.mean[:ENVELOPE] = -6
    network.mean[-2] = 5
    export(network, range(2, 100), tmp_path)
    return tmp_path


def run(path: Path, ids: list[int], *scales: float, lengths: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    feeds = {
        "input": np.array([ids], np.int64),
        "input_lengths": np.array([lengths or len(ids)], np.int64),
        "scales": np.array(scales, np.float32),
    }
    samples, frames = session.run(None, feeds)
    return samples.reshape(-1), frames.reshape(-1)


SAID = [1, 0, 20, 0, 3, 0, 14, 0, 26, 0, 24, 0, 33, 0, 14, 0, 20, 0, 10, 0, 2]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("ids", [SAID, SAID[:3] + SAID[-2:], SAID * 8], ids=["one", "short", "long"])
def test_the_graph_tells_how_long_each_symbol_lasts_whatever_the_length(
    voices: Path, name: str, ids: list[int]
) -> None:
    samples, frames = run(voices / f"{name}.onnx", ids, 0.0, 1.0, 0.0)
    assert len(frames) == len(ids)
    assert frames.sum() * HOP == len(samples) > 0
    assert not frames[np.array(ids) == 0].any()
    assert np.isfinite(samples).all()
    assert 0.01 < np.abs(samples).max() <= 1


def test_length_and_noise_are_as_they_are_asked_for(voices: Path) -> None:
    path = voices / "en_US.onnx"
    plain, frames = run(path, SAID, 0.0, 1.0, 0.0)
    again, _ = run(path, SAID, 0.0, 1.0, 0.0)
    _, slow_frames = run(path, SAID, 0.0, 2.0, 0.0)
    noisy, _ = run(path, SAID, 0.667, 1.0, 0.0)
    assert np.array_equal(plain, again)
    assert slow_frames.sum() == pytest.approx(2 * frames.sum(), abs=len(SAID))
    assert not np.array_equal(plain, noisy)
    padded, padded_frames = run(path, [*SAID, 0, 0, 0], 0.0, 1.0, 0.0, lengths=len(SAID))
    assert np.array_equal(padded, plain)
    assert padded_frames.sum() == frames.sum()


def test_the_graph_is_smaller_than_its_fourier_matrices(voices: Path) -> None:
    assert (voices / "en_US.onnx").stat().st_size < 600_000


def test_the_loss_falls_and_a_training_broken_off_goes_on_where_it_was(tmp_path: Path) -> None:
    write_shard(tmp_path / "data", 4, 0, 10)
    examples = read_shards(tmp_path / "data")
    steps: list[int] = []

    def report(progress: Progress, share: float) -> None:
        steps.append(progress.step)

    settings = {"rows": 4, "warm_up": 2, "held_out": 2}
    torch.manual_seed(7)
    for upto in (5, 60):
        network, progress = train(examples, tmp_path, SMALL, Settings(steps=upto, **settings), report)
    assert steps == list(range(1, 61))
    assert [step for step, _ in progress.held_out] == [5, 60]
    first, last = (losses for _, losses in progress.held_out)
    assert last["envelope"] < 0.9 * first["envelope"]
    assert last["duration"] < 0.9 * first["duration"]
    assert measure(network, examples[:2], 4) == pytest.approx(last)
    with pytest.raises(ValueError, match="another size"):
        train(examples, tmp_path, Size(width=32), Settings(steps=61, **settings), quiet)


def test_a_quick_run_makes_voices_that_the_engine_speaks_with(tmp_path: Path) -> None:
    out = tmp_path / "voices"
    command = [sys.executable, str(ROOT / "scripts" / "train_tiny_tts.py"), "train", "--quick", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    assert "held out, step 60" in done.stdout

    async def spoken() -> list[int]:
        engine = Piper.load(out, name="piper")
        texts = {"en": "We are open on Monday.", "de": "Wir haben am Montag geöffnet."}
        try:
            lengths = []
            for language, text in texts.items():
                voice = engine.voice_for("", language)
                assert voice.sample_rate == RATE
                pcm = np.concatenate([chunk.pcm async for chunk in engine.synthesize(text, voice)])
                assert pcm.any()
                lengths.append(len(pcm))
            return lengths
        finally:
            await engine.close()

    assert all(RATE // 2 < length < 6 * RATE for length in asyncio.run(spoken()))
