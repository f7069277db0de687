"""Speech with the times of its words, from espeak-ng's own events: `python -m benchmarks.espeak en-us 155 TEXT`.

A program of its own, as espeak-ng is GPL-3.0-or-later and its command line does not tell word times: it is the one that
loads the library (ctypes), and is spoken to over a pipe. Writes a line of JSON, then the samples, int16.
"""

from __future__ import annotations

import ctypes
import json
import sys

_SYNCHRONOUS, _CHARS_UTF8, _RATE, _WORD, _END_OF_LIST = 2, 1, 1, 1, 0
_LIBRARY = "libespeak-ng.so.1"


class _Event(ctypes.Structure):
    """espeak_EVENT of espeak-ng's speak_lib.h. text_position: characters, from 1."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    )


class _Voice(ctypes.Structure):
    """espeak_VOICE: what a voice is to be like."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_char_p),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("internal", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


def synthesize(text: str, voice: str, words_a_minute: int) -> tuple[bytes, int, list[tuple[int, int]]]:
    """Samples, their rate, and for each word its place in the text (from 0) and its first sample. Raises ValueError
    for a voice that is not there, OSError without the library."""
    library = ctypes.CDLL(_LIBRARY)
    pcm = bytearray()
    words: list[tuple[int, int]] = []

    def take(wave: ctypes.Array[ctypes.c_short], samples: int, events: ctypes.Array[_Event]) -> int:
        if wave and samples:
            pcm.extend(ctypes.string_at(wave, samples * 2))
        for event in events:
            if event.type == _END_OF_LIST:
                break
            if event.type == _WORD:
                words.append((event.text_position - 1, event.sample))
        return 0

    callback = _Callback(take)
    rate = library.espeak_Initialize(_SYNCHRONOUS, 0, None, 0)
    library.espeak_SetSynthCallback(callback)
    by_language = _Voice(languages=voice.encode())
    if (
        library.espeak_SetVoiceByName(voice.encode()) != 0
        and library.espeak_SetVoiceByProperties(ctypes.byref(by_language)) != 0
    ):
        raise ValueError(f"espeak-ng has no voice {voice!r}")
    library.espeak_SetParameter(_RATE, words_a_minute, 0)
    encoded = text.encode() + b"\0"
    library.espeak_Synth(encoded, len(encoded), 0, 0, 0, _CHARS_UTF8, None, None)
    return bytes(pcm), rate, words


if __name__ == "__main__":
    voice, speed, text = sys.argv[1:]
    samples, rate, found = synthesize(text, voice, int(speed))
    sys.stdout.buffer.write(json.dumps({"rate": rate, "words": found}).encode() + b"\n" + samples)
