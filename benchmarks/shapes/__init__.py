"""Models of random weights, in the sizes of real ones and in small: they say nothing, and cost what real ones cost.

For machines that have no real weights. Made once, kept in a folder.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

SIZES = ("full", "small")


def whisper_folder(size: str, folder: Path) -> Path:
    """A Whisper of the size of large-v3-turbo, or a small one."""
    from benchmarks.shapes import whisper as shape

    chosen = shape.TURBO if size == "full" else shape.SMALL
    return kept(folder / f"whisper-{size}", lambda new: shape.write(new, chosen))


def voices_folder(size: str, folder: Path) -> Path:
    """A folder with one Piper voice, of medium size or small."""
    from benchmarks.shapes import piper as shape

    chosen = shape.MEDIUM if size == "full" else shape.SMALL
    return kept(folder / f"piper-{size}", lambda new: shape.write(new, chosen))


def chat_folder(size: str, folder: Path, bundled: Path) -> Path:
    """A chat model without weights, of the size of Qwen3-8B or small. bundled: the chat model whose words it has."""
    from benchmarks.shapes import llm as shape

    chosen = shape.QWEN3_8B if size == "full" else shape.SMALL
    return kept(folder / f"chat-{size}", lambda new: shape.write(new, chosen, bundled))


def kept(folder: Path, write: Callable[[Path], None]) -> Path:
    """The folder, which is there as a whole or not at all."""
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder.parent) as scratch:
            new = Path(scratch) / folder.name
            new.mkdir()
            write(new)
            new.rename(folder)
    return folder
