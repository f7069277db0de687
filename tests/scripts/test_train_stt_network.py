"""The recogniser's network, its training and its export. They need torch (extra "train"): a run of all tests
installs it; where it is not, these are skipped."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import ctranslate2
import numpy as np
import pytest
from tokenizers import Tokenizer

torch = pytest.importorskip("torch", reason='needs the extra "train"')

from models.stt.features import window  # noqa: E402
from scripts.training.loop import Progress  # noqa: E402
from scripts.training.stt.batches import Examples  # noqa: E402
from scripts.training.stt.evaluate import Recogniser  # noqa: E402
from scripts.training.stt.export import export  # noqa: E402
from scripts.training.stt.given import mix_in, read_weights, start_from  # noqa: E402
from scripts.training.stt.network import Size, Whisper  # noqa: E402
from scripts.training.stt.plan import Line, Utterance, Voice  # noqa: E402
from scripts.training.stt.shards import write_shard  # noqa: E402
from scripts.training.stt.speech import log_mel, sound  # noqa: E402
from scripts.training.stt.tokens import (  # noqa: E402
    CHARACTERS,
    END,
    sentences_only,
    target,
    train_tokenizer,
    trained_rows,
)
from scripts.training.stt.train import Settings, losses_of, train  # noqa: E402

ROOT = Path(__file__).parents[2]
SPOKEN = Utterance("We are open on Monday.", "en", "assistant", Voice("espeak", "en-us"), Line(), 1)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(sentences_only([SPOKEN.text, "Wir haben am Montag geöffnet."]), 300)


def small(tokenizer: Tokenizer, width: int = 128, layers: int = 2) -> Whisper:
    torch.manual_seed(3)
    network = Whisper(Size(width, width // 64, layers, layers, trained_rows(tokenizer), len(CHARACTERS) + 1))
    for parameter in network.parameters():
        # What starts at nothing would hide mistakes.
        torch.nn.init.normal_(parameter, std=0.08)
    return network.eval()


def features() -> np.ndarray:
    return window([log_mel(sound(SPOKEN)).astype(np.float32)], 400)


def logits(network: Whisper, tokenizer: Tokenizer) -> np.ndarray:
    with torch.no_grad():
        encoded = network.encode(torch.from_numpy(features()))
        decoded = network.decode(torch.tensor([target(tokenizer, SPOKEN.text, "en")]), encoded)
    return decoded[0].numpy()


def exported_scores(folder: Path, tokenizer: Tokenizer) -> np.ndarray:
    """Probability that CTranslate2's model gives to each piece of a text, among all pieces. It puts the token for "no
    timestamps" in itself."""
    model = ctranslate2.models.Whisper(str(folder), intra_threads=1)
    encoded = model.encode(ctranslate2.StorageView.from_array(features()))
    ids = target(tokenizer, SPOKEN.text, "en")
    return np.array(model.align(encoded, ids[:3], [ids[4:-1]], 400 // 2)[0].text_token_probs)


def test_ctranslate2_computes_what_the_network_computes(tmp_path: Path, tokenizer: Tokenizer) -> None:
    network = small(tokenizer)
    export(network, tokenizer, tmp_path, quantization="float32")
    pieces = tokenizer.token_to_id(END)
    every = torch.from_numpy(logits(network, tokenizer))[:, :pieces].softmax(-1).numpy()
    ids = target(tokenizer, SPOKEN.text, "en")
    expected = [every[place, ids[place + 1]] for place in range(3, len(ids) - 2)]
    assert exported_scores(tmp_path, tokenizer) == pytest.approx(expected, rel=1e-3)


def test_weights_come_back_from_an_exported_model(tmp_path: Path, tokenizer: Tokenizer) -> None:
    network = small(tokenizer)
    export(network, tokenizer, tmp_path)
    other = Whisper(network.size)
    start_from(other, read_weights(tmp_path / "model.bin"), 1)
    for name, value in network.state_dict().items():
        if not name.startswith("characters"):
            assert torch.allclose(value, other.state_dict()[name], atol=0.003), name


def test_a_network_made_wider_computes_the_same(tmp_path: Path, tokenizer: Tokenizer) -> None:
    network = small(tokenizer)
    export(network, tokenizer, tmp_path, quantization="float32")
    wide = small(tokenizer, width=256)
    start_from(wide, read_weights(tmp_path / "model.bin"), 1)
    assert np.abs(logits(wide, tokenizer) - logits(network, tokenizer)).max() < 1e-3


def test_a_network_can_keep_a_share_of_what_it_started_from(tmp_path: Path, tokenizer: Tokenizer) -> None:
    export(small(tokenizer), tokenizer, tmp_path, quantization="float32")
    weights = read_weights(tmp_path / "model.bin")
    network = small(tokenizer)
    old = network.conv1.weight.detach().clone()
    with torch.no_grad():
        network.conv1.weight += 1
    for share, left in ((0.25, 0.75), (1.0, 0.0)):
        mix_in(network, weights, share, 1)
        assert torch.allclose(network.conv1.weight - old, torch.full_like(old, left), atol=1e-5)


def test_a_model_of_another_depth_is_refused(tmp_path: Path, tokenizer: Tokenizer) -> None:
    export(small(tokenizer), tokenizer, tmp_path)
    with pytest.raises(ValueError, match="encoder layers"):
        start_from(small(tokenizer, layers=3), read_weights(tmp_path / "model.bin"), 1)
    (tmp_path / "model.bin").write_bytes(b"\x05\x00\x00\x00\x00\x00")
    with pytest.raises(ValueError, match="no Whisper model"):
        read_weights(tmp_path / "model.bin")


def test_a_training_broken_off_goes_on_where_it_was(tmp_path: Path, tokenizer: Tokenizer) -> None:
    write_shard(tmp_path / "data", 4, 0, 24)
    size = Size(64, 1, 1, 1, trained_rows(tokenizer), len(CHARACTERS) + 1)
    steps: list[int] = []

    def report(progress: Progress, share: float) -> None:
        steps.append(progress.step)

    for upto in (3, 5):
        train(tmp_path / "data", tmp_path, tokenizer, size, Settings(steps=upto, frames=1500), report)
    assert steps == [1, 2, 3, 4, 5]
    with pytest.raises(ValueError, match="another size"):
        train(tmp_path / "data", tmp_path, tokenizer, Size(128, 2, 1, 1, size.rows, 33), Settings(steps=6), report)


def test_the_loss_falls(tmp_path: Path, tokenizer: Tokenizer) -> None:
    write_shard(tmp_path / "data", 4, 0, 24)
    batch = next(iter(Examples(tmp_path / "data", tokenizer, 1).batches(6000, 0.0)))
    size = Size(64, 1, 1, 1, trained_rows(tokenizer), len(CHARACTERS) + 1)
    settings = Settings(steps=30, frames=1500, warm_up=5)
    torch.manual_seed(settings.seed)
    before = [loss.item() for loss in losses_of(Whisper(size), batch, tokenizer)]
    trained = train(tmp_path / "data", tmp_path, tokenizer, size, settings, lambda progress, share: None)
    after = [loss.item() for loss in losses_of(trained, batch, tokenizer)]
    assert after[0] < 0.9 * before[0]
    assert after[1] < 0.9 * before[1]


def test_a_quick_run_makes_a_model_that_loads_and_decodes(tmp_path: Path) -> None:
    command = [
        sys.executable,
        str(ROOT / "scripts" / "train_tiny_stt.py"),
        "train",
        "--quick",
        "--out",
        str(tmp_path / "model"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    language, text = Recogniser(tmp_path / "model").hear(sound(SPOKEN))
    assert language in ("en", "de")
    assert "<|" not in text
    model = ctranslate2.models.Whisper(str(tmp_path / "model"))
    assert model.is_multilingual
