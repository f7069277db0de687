"""speech-to-speech, and the Kammerton server that serves it the chat model and the voice."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.peers import process
from benchmarks.peers.pipecat.process import PYTHON as PIPECAT
from benchmarks.process import Server, held_port, serve

PYTHON = process.ROOT / ".venv-speech-to-speech" / "bin" / "python"
VARIANTS = ("default", "tuned")
_WHISPER = process.ROOT / "models" / "bundled" / "stt" / "tiny"
_SMART_TURN = "pipecat/audio/turn/smart_turn/data/smart-turn-v3*-cpu.onnx"
_PUNKT = ("abbrev_types.txt", "collocations.tab", "ortho_context.tab", "sent_starters.txt")


@contextmanager
def run(variant: str, callers: int = 1) -> Iterator[Server]:
    """Start both on free ports, and stop them. callers: at once; each has a pipeline of its own with its own models.

    ``default``: its own settings. ``tuned``: a turn ends after a fixed silence, which the client asks for, and each
    sentence is spoken as it comes, where its own setting waits for three.

    Raises FileNotFoundError when there is no environment for it or none of Pipecat's, RuntimeError when it ends at its
    start.
    """
    python = process.environment(PYTHON, "speech-to-speech")
    process.environment(PIPECAT, "Pipecat, with smart-turn,")
    with (
        serve(KAMMERTON_SERVER__MAX_SESSIONS=str(max(callers, 32))) as models,
        held_port() as port,
        tempfile.TemporaryDirectory() as folder,
    ):
        variables = _downloads(Path(folder))
        command = [python, "-m", "speech_to_speech.cli", "serve", "--port", str(port)]
        command += ["--num_pipelines", str(callers), *_engines(models), *_settings(variant)]
        with process.running(command, port, "/v1/pool", models, variables) as peer:
            yield peer


def _engines(models: Server) -> Sequence[str]:
    url = f"http://127.0.0.1:{models.port}/v1"
    [smart_turn] = PIPECAT.parents[1].glob(f"lib/*/site-packages/{_SMART_TURN}")
    hearing = ["--stt", "faster-whisper", "--faster_whisper_stt_model_name", str(_WHISPER)]
    hearing += ["--faster_whisper_stt_device", "cpu", "--smart_turn_model_path", str(smart_turn)]
    thinking = ["--llm_backend", "chat-completions", "--model_name", "kammerton"]
    thinking += ["--responses_api_base_url", url, "--responses_api_api_key", "none"]
    speaking = ["--tts", "openai", "--openai_tts_base_url", url, "--openai_tts_api_key", "none"]
    return [*hearing, *thinking, *speaking, "--openai_tts_model", "kammerton", "--openai_tts_voice", "en_US"]


def _settings(variant: str) -> Sequence[str]:
    if variant == "default":
        return []
    return ["--no_smart_turn", "--stream_batch_sentences", "1", "--no_enable_live_transcription"]


def _downloads(folder: Path) -> dict[str, str]:
    """Lay out what it would fetch; the environment variables that lead there."""
    hub = folder / "hub" / "snakers4_silero-vad_master"
    hub.mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("silero_hub.py"), hub / "hubconf.py")
    punkt = folder / "tokenizers" / "punkt_tab" / "english"
    punkt.mkdir(parents=True)
    for name in _PUNKT:
        (punkt / name).touch()
    return {"TORCH_HOME": str(folder), "NLTK_DATA": str(folder)}


def versions() -> dict[str, str]:
    """Of what the peer is made of, by package."""
    names = ["speech-to-speech", "faster-whisper", "ctranslate2", "torch", "silero-vad"]
    return process.versions(str(PYTHON), names)
