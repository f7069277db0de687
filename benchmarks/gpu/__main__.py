"""Whether a GPU keeps its promises: `python -m benchmarks.gpu --vllm ENV/bin/python`.

Random weights of full size: whisper-large-v3-turbo, a Piper medium voice, and a chat model of 8 billion parameters on
vLLM (`--load-format dummy`). First the stages by themselves; then callers, more and more of them, until the 95th
percentile of the time from the last word to the first sound passes 600 ms. `--device cpu --size small` tries the same
code without a GPU, without `--vllm` on the bundled chat model.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import shapes
from benchmarks.engines.cost import out
from benchmarks.engines.simulated import SOFT_END_MS, Engines
from benchmarks.gpu import stages
from benchmarks.gpu.ramp import ramp
from benchmarks.process import machine
from benchmarks.shapes import llm, piper, whisper
from models import audio
from models.base import ChatModel, Pcm16
from models.catalog import BUNDLED
from models.llm.ctranslate2 import CTranslate2Chat
from models.llm.vllm import VllmChat
from models.stt.faster_whisper import FasterWhisper
from models.tts.piper import Piper
from models.vad.silero import SileroVad

_PARTS = ("whisper", "piper", "llm", "ramp")
_SAYS = "I would like to book a haircut on Thursday at ten, and I have one more question about that, if I may."
_HEARS = 16_000


def load_chat(arguments: argparse.Namespace) -> Any:
    """A ``ChatModel``."""
    bundled = BUNDLED / "llm" / "tiny"
    if arguments.vllm is None:
        return CTranslate2Chat.load(bundled / "ctranslate2", name="bundled")
    folder = shapes.chat_folder(arguments.size, arguments.folder, bundled)
    flags = ["--load-format", "dummy", *arguments.vllm_arguments.split()]
    tuning: dict[str, Any] = {"gpu_memory": arguments.gpu_memory} if arguments.device == "cuda" else {"kv_gib": 1}
    return VllmChat.load(
        folder, name="random", python=arguments.vllm, context=min(16_384, llm.CONTEXT), arguments=flags, **tuning
    )


def load_engines(chat: ChatModel, arguments: argparse.Namespace) -> Engines:
    transcriber = FasterWhisper.load(
        shapes.whisper_folder(arguments.size, arguments.folder),
        name="random",
        device=arguments.device,
        compute_type="float16" if arguments.device == "cuda" else "int8",
        threads=arguments.threads,
    )
    voices = shapes.voices_folder(arguments.size, arguments.folder)
    speaker = Piper.load(voices, name="random", workers=arguments.workers, max_waiting=1024)
    vad = SileroVad.load(BUNDLED / "vad" / "silero_vad.onnx")
    return Engines(vad, transcriber, chat, speaker, arguments.context)


async def speech() -> Pcm16:
    """What every caller says, at 16 kHz: by a bundled voice, so that no other program is needed."""
    speaker = Piper.load(BUNDLED / "tts", name="bundled")
    parts = [chunk.pcm async for chunk in speaker.synthesize(_SAYS, speaker.voices[0])]
    await speaker.close()
    return audio.resample(np.concatenate(parts), speaker.voices[0].sample_rate, _HEARS)


def the_gpu() -> str:
    if shutil.which("nvidia-smi") is None:
        return "no GPU"
    asked = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    return subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()


async def main(arguments: argparse.Namespace) -> None:
    out.print(f"Machine: {machine()}, {the_gpu()}. Load {os.getloadavg()[0]:.1f}. {time.strftime('%Y-%m-%d')}.")
    size = whisper.TURBO if arguments.size == "full" else whisper.SMALL
    if "whisper" in arguments.only:
        kinds = ("float16", "int8_float16") if arguments.device == "cuda" else ("int8", "float32")
        folder = shapes.whisper_folder(arguments.size, arguments.folder)
        stages.whisper(folder, size, arguments.device, kinds, arguments.batches, arguments.times)
    if "piper" in arguments.only:
        width = (piper.MEDIUM if arguments.size == "full" else piper.SMALL).width
        voice = shapes.voices_folder(arguments.size, arguments.folder) / "en_US.onnx"
        stages.piper(voice, width, arguments.batches, arguments.times)
    if not {"llm", "ramp"} & set(arguments.only):
        return
    chat = await asyncio.to_thread(load_chat, arguments)
    try:
        if "llm" in arguments.only:
            await stages.llm(chat, arguments.context, arguments.rates, arguments.seconds)
        if "ramp" in arguments.only:
            await find_most(await asyncio.to_thread(load_engines, chat, arguments), arguments)
    finally:
        await chat.close()


async def find_most(engines: Engines, arguments: argparse.Namespace) -> None:
    try:
        limits = {"start": arguments.start, "most": arguments.most, "seconds": arguments.seconds}
        most = await ramp(engines, await speech(), limit_ms=arguments.limit, **limits)
    finally:
        for engine in (engines.vad, engines.stt, engines.tts):
            await engine.close()
    out.print(
        f"\nCallers for whom 95 % of the answers are heard within {arguments.limit:.0f} ms of the last word: {most}. "
        f"The turn's end is taken to be known {SOFT_END_MS:.0f} ms after it."
    )


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=_PARTS, default=_PARTS)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--size", choices=shapes.SIZES, default="full")
    parser.add_argument("--folder", type=Path, default=Path("shapes"), help="where random weights are kept")
    parser.add_argument("--vllm", help="Python of an environment that has vLLM")
    parser.add_argument("--vllm-arguments", default="", help="more for its command line")
    parser.add_argument("--gpu-memory", type=float, default=0.7, help="share of the GPU's memory for vLLM")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 8, 16])
    parser.add_argument("--times", type=int, default=20, help="how often each stage is run")
    parser.add_argument("--rates", type=float, nargs="+", default=[5, 20, 50, 100], help="turns a second")
    parser.add_argument("--context", type=int, default=2000, help="tokens of a prompt, more or less")
    parser.add_argument("--threads", type=int, default=1, help="of a transcriber on the CPU")
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 1) // 2), help="that speak")
    parser.add_argument("--start", type=int, default=16, help="callers at first")
    parser.add_argument("--most", type=int, default=1000, help="callers at most")
    parser.add_argument("--seconds", type=float, default=30, help="of each row of the chat model and the callers")
    parser.add_argument("--limit", type=float, default=600, help="ms that the first sound may take")
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(main(read_arguments()))
