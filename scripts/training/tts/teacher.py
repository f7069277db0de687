"""The teacher: espeak-ng, called as a library, so that each phoneme comes with the sample at which it begins.

The constants are those of espeak-ng's C interface, speak_lib.h. The library of Debian's package will do.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

RATE = 22_050
VOICES = {"en_US": "en-us", "de_DE": "de"}
WORDS_A_MINUTE = 155

_SYNCHRONOUS = 2
_PHONEME_EVENTS_IN_IPA = 1 | 2
_PHONEME_EVENT = 7
_UTF8 = 1
_RATE_PARAMETER = 1
_VARIANT = "kammerton"
# One timbre for all languages. Random pitch jitter (flutter, roughness) is off: it cannot be learnt.
_VARIANT_TEXT = "\n".join(
    [
        "language variant",
        f"name {_VARIANT}",
        "gender female",
        "pitch 120 195",
        "flutter 0",
        "roughness 0",
        "formant 0 105 95 125",
        "formant 1 108 95 115",
        "formant 2 109 90 115",
        "formant 3 108 85 115",
        "formant 4 112 85 120",
        "formant 5 112 85 120",
        "formant 6 110 80 120",
        "formant 7 110 80 120",
        "formant 8 110 80 120",
        "consonants 105 110",
    ]
)


class TeacherError(RuntimeError):
    """espeak-ng is not there or did not speak; the message says which."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """samples: [n] at RATE, -1..1. events: (first sample, IPA name without stress, empty for a pause) in order."""

    samples: NDArray[np.float32]
    events: list[tuple[int, str]]


class _Id(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


class Teacher:
    """One process has one; the library keeps its state in globals. Make it with ``teacher``."""

    def __init__(self, library: ctypes.CDLL, data: Path) -> None:
        self._library = library
        self._sound: list[NDArray[np.int16]] = []
        self._events: list[tuple[int, str]] = []
        # Kept, because the library does not keep the function alive.
        self._callback = _Callback(self._take)
        rate = library.espeak_Initialize(_SYNCHRONOUS, 0, str(data.parent).encode(), _PHONEME_EVENTS_IN_IPA)
        if rate != RATE:
            raise TeacherError(f"espeak-ng speaks at {rate} Hz and not at {RATE}")
        library.espeak_SetSynthCallback(self._callback)

    def speak(self, text: str, voice: str) -> Spoken:
        """voice: a key of VOICES. Raises TeacherError."""
        name = f"{VOICES[voice]}+{_VARIANT}"
        if self._library.espeak_SetVoiceByName(name.encode()) != 0:
            raise TeacherError(f"espeak-ng has no voice {name}")
        self._library.espeak_SetParameter(_RATE_PARAMETER, WORDS_A_MINUTE, 0)
        self._sound, self._events = [], []
        encoded = text.encode() + b"\0"
        status = self._library.espeak_Synth(encoded, ctypes.c_size_t(len(encoded)), 0, 0, 0, _UTF8, None, None)
        if status != 0 or not self._sound:
            raise TeacherError(f"espeak-ng said nothing for {text!r}")
        samples = np.concatenate(self._sound).astype(np.float32) / np.float32(32768)
        return Spoken(samples, self._events)

    def _take(self, samples: ctypes._Pointer[ctypes.c_short], count: int, events: ctypes._Pointer[_Event]) -> int:
        if count > 0:
            self._sound.append(np.ctypeslib.as_array(samples, (count,)).copy())
        index = 0
        while events[index].type:
            if events[index].type == _PHONEME_EVENT:
                self._events.append((events[index].sample, events[index].id.string.decode(errors="ignore")))
            index += 1
        return 0


@contextmanager
def teacher() -> Iterator[Teacher]:
    """espeak-ng with the teacher's voice variant. Raises TeacherError when it is not installed."""
    name = ctypes.util.find_library("espeak-ng")
    if name is None:
        raise TeacherError("libespeak-ng is not installed")
    with TemporaryDirectory(prefix="espeak-") as folder:
        data = _data_with_variant(Path(folder))
        yield Teacher(ctypes.CDLL(name), data)


def _data_with_variant(folder: Path) -> Path:
    """espeak-ng's data folder again, as links, with one voice variant more."""
    try:
        told = subprocess.run(["espeak-ng", "--version"], capture_output=True, text=True, timeout=30).stdout
    except FileNotFoundError as error:
        raise TeacherError("espeak-ng is not installed") from error
    found = re.search(r"Data at: (.+)", told)
    if found is None or not (original := Path(found[1].strip())).is_dir():
        raise TeacherError("espeak-ng does not say where its data is")
    data = folder / "espeak-ng-data"
    variants = data / "voices" / "!v"
    variants.mkdir(parents=True)
    for each in original.iterdir():
        if each.name != "voices":
            (data / each.name).symlink_to(each)
    (variants / _VARIANT).write_text(_VARIANT_TEXT + "\n", encoding="utf-8")
    return data
