"""The stages one by one: `python -m benchmarks.engines`.

Voice activity at 1, 16 and 128 sessions; Whisper's last decode of a turn in windows of 10 s and 30 s; Piper's first
sound with its graph divided and whole. On the bundled models, on other profiles' (`--profile cpu`), or on random
weights of the sizes of whisper-large-v3-turbo and a Piper medium voice (`--shapes full`), which say nothing, but cost
the same.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from pathlib import Path

from benchmarks import shapes
from benchmarks.engines import stt, tts, vad
from benchmarks.engines.cost import out
from benchmarks.process import machine
from models import catalog

_STAGES = ("vad", "stt", "tts")


async def main(arguments: argparse.Namespace) -> None:
    resolved = catalog.resolve(arguments.profile, arguments.weights)
    out.print(f"Machine: {machine()}. Load average {os.getloadavg()[0]:.1f}. {time.strftime('%Y-%m-%d')}.")
    options = {
        key: value
        for key, value in resolved.models["stt"].entry.options.items()
        if key not in ("window_seconds", "device")
    }
    whisper, voices = resolved.models["stt"].path, resolved.models["tts"].path
    if arguments.shapes:
        whisper = shapes.whisper_folder(arguments.shapes, arguments.folder)
        voices = shapes.voices_folder(arguments.shapes, arguments.folder)
        options = {}
    out.print(f"Models: {f'random weights, {arguments.shapes} sizes' if arguments.shapes else resolved.name}.")
    options |= {"threads": arguments.threads, "compute_type": arguments.compute_type}
    if "vad" in arguments.only:
        await vad.report(resolved.models["vad"].path, arguments.times * 200)
    if "stt" in arguments.only:
        await stt.report(whisper, options, arguments.times, trained=not arguments.shapes)
    if "tts" in arguments.only:
        await tts.report(voices, arguments.times * 4)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=_STAGES, default=_STAGES)
    parser.add_argument("--times", type=int, default=5, help="how often each is measured, more or less")
    parser.add_argument("--profile", default="tiny")
    parser.add_argument("--weights", type=Path, default=Path("~/.local/share/kammerton/weights").expanduser())
    parser.add_argument("--shapes", choices=shapes.SIZES, help="random weights of these sizes instead")
    parser.add_argument("--folder", type=Path, default=Path("shapes"), help="where random weights are kept")
    parser.add_argument("--threads", type=int, default=1, help="of the transcriber")
    parser.add_argument("--compute-type", default="int8", help="of the transcriber")
    asyncio.run(main(parser.parse_args()))
