"""Write THIRD_PARTY.md: what Kammerton stands on, and under which licences.

Usage: python scripts/third_party.py   (in an environment where Kammerton is installed without extras or with ``dev``)

The packages are those that an installation without extras brings, read from the metadata of what is installed here.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "THIRD_PARTY.md"

ALLOWED = {
    *("0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSD", "CC0-1.0", "ISC", "MIT", "MIT-0", "MIT-CMU"),
    *("LGPL-2.1-or-later", "MPL-2.0", "PSF-2.0", "Python-2.0", "Unlicense", "Zlib"),
}
"""Licences that any dependency may have. Others need an entry in EXCEPTIONS."""

EXCEPTIONS = {"piper-tts": "GPL-3.0-or-later"}
"""Packages under a licence that is not allowed in the server's own process."""

NOTES = {
    "av": "for sound files; its wheels hold FFmpeg (LGPL-3.0-or-later) and codecs for it as shared libraries, "
    "unmodified and replaceable, with x264 and x265 (GPL-2.0-or-later) among them, which Kammerton does not use.",
    "certifi": "a list of certificates, unmodified.",
    "orjson": "the MPL part is used unmodified.",
    "piper-tts": "runs in a process of its own (models/tts/piper_worker.py) and is spoken to over a pipe; "
    "its wheels hold espeak-ng (GPL-3.0-or-later). The server's process never imports it.",
    "soxr": "a shared library, used unmodified and replaceable; for files only.",
    "tqdm": "comes in through faster-whisper, unmodified.",
}

_SPELLINGS = {
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "apache": "Apache-2.0",
    "bsd license": "BSD",
    "isc license (iscl)": "ISC",
    "mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "python software foundation license": "PSF-2.0",
    "the unlicense (unlicense)": "Unlicense",
    "3-clause bsd license": "BSD-3-Clause",
}

HEAD = """\
# Third-party software and weights

Kammerton's own code is Apache-2.0 (LICENSE). This page lists what an installation brings along, with the licence that
each package declares; `python scripts/third_party.py` writes it. Nothing of it is copied into this repository except
the weights named below.

## Packages of a plain installation

| Package | Range | Licence | Note |
| --- | --- | --- | --- |
"""

TAIL = """
A range is given for what Kammerton asks for itself; the others come in through these.

## Optional packages

| Extra | Package | Licence | Note |
| --- | --- | --- | --- |
| `vllm`, `gpu` | vllm | Apache-2.0 | a process of its own; brings PyTorch (BSD-3-Clause) and NVIDIA's CUDA libraries |
| `cuda`, `gpu` | nvidia-cublas-cu12 | NVIDIA proprietary | redistributable under NVIDIA's CUDA licence |
| `audio` | sounddevice | MIT | needs the PortAudio library (MIT) |
| `dev` | for tests and checks only | | never part of a running server |

## Weights in this repository

| Weights | Licence | Origin |
| --- | --- | --- |
| Silero VAD (`models/bundled/vad`) | MIT | Silero Team, unmodified |
| tiny transcriber, chat model and voices (`models/bundled/stt`, `llm`, `tts`) | Apache-2.0 | trained for Kammerton \
on synthetic speech and text; each folder has a model card |
"""


@dataclass(frozen=True, slots=True)
class Package:
    """name: as its project spells it. wanted: the range that Kammerton itself asks for, else empty."""

    name: str
    wanted: str
    licence: str

    @property
    def key(self) -> str:
        return canonicalize_name(self.name)


def packages() -> list[Package]:
    """Everything that a plain installation brings, by name."""
    wanted = {canonicalize_name(need.name): need for need in direct()}
    found: dict[str, Distribution] = {}
    _collect(wanted.values(), found)
    return [
        Package(dist.metadata["Name"], _range(wanted[key]) if key in wanted else "", licence(dist))
        for key, dist in sorted(found.items())
    ]


def direct() -> list[Requirement]:
    """What pyproject.toml asks for on this platform."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [need for need in map(Requirement, project["dependencies"]) if not need.marker or need.marker.evaluate()]


def licence(dist: Distribution) -> str:
    """SPDX expression, as well as the metadata tell it."""
    metadata = dist.metadata
    if expression := metadata.get("License-Expression"):
        return str(expression)
    classified = [
        value.rpartition(" :: ")[2] for value in metadata.get_all("Classifier") or () if value.startswith("License :: ")
    ]
    names = [name for name in classified if name != "OSI Approved"] or [(metadata.get("License") or "").split("\n")[0]]
    return " AND ".join(_SPELLINGS.get(name.lower(), name) for name in names)


def refused(package: Package) -> list[str]:
    """The parts of a package's licence that are neither allowed nor an exception made for it."""
    parts = re.findall(r"[\w.+-]+", re.sub(r"\b(AND|OR|WITH)\b", " ", package.licence))
    allowed = ALLOWED | {EXCEPTIONS.get(package.key, "")}
    return [part for part in parts if part not in allowed] if parts else ["none declared"]


def page(listed: Iterable[Package]) -> str:
    return HEAD + "".join(map(_row, listed)) + TAIL


def rows(text: str) -> Iterator[tuple[str, str]]:
    """(name, licence) of each package in a written page."""
    body = text.split("## Optional")[0]
    for line in body.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| ") and len(cells) == 4 and cells[0] not in ("Package", "---"):
            yield canonicalize_name(cells[0]), cells[2]


def _range(need: Requirement) -> str:
    """The lower bound first."""
    return ", ".join(sorted(map(str, need.specifier), key=lambda bound: "<" in bound))


def _row(package: Package) -> str:
    note = NOTES.get(package.key, "")
    return f"| {package.name} | {package.wanted} | {package.licence} | {note} |\n"


def _collect(needs: Iterable[Requirement], found: dict[str, Distribution]) -> None:
    for need in needs:
        key = canonicalize_name(need.name)
        if key in found:
            continue
        try:
            dist = distribution(need.name)
        except PackageNotFoundError:
            raise SystemExit(f"{need.name} is not installed: pip install . first") from None
        found[key] = dist
        further = [Requirement(text) for text in dist.requires or ()]
        extras = {"extra": ""}, *({"extra": extra} for extra in need.extras)
        _collect([r for r in further if not r.marker or any(r.marker.evaluate(e) for e in extras)], found)


if __name__ == "__main__":
    TARGET.write_text(page(packages()))
