"""Sound files in and out, by FFmpeg's libraries (PyAV). Everything here blocks: call it in a worker thread, one call at
a time for an object.

Uploads are hostile until proven otherwise: only a few containers and codecs are tried at all, none of which can make
FFmpeg open another file, and they are decoded piece by piece, so that a small file cannot unpack into all of memory.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol

import av
import numpy as np
from av.container import InputContainer, OutputContainer

from models.base import Pcm16
from server.errors import ClientError

HEARD_RATE = 16_000
SPOKEN_RATE = 24_000
"""Rate of all speech that is sent, as the API's own."""
MAX_SECONDS = 2 * 3600
READABLE = "wav, mp3, ogg, opus, flac, m4a, mp4, webm"

_PIECE = 10 * HEARD_RATE
_LOWEST_RATE, _HIGHEST_RATE = 4_000, 384_000
_CONTAINERS = "wav,mp3,ogg,flac,mov,matroska,aac"
_CODECS = {
    *("aac", "alac", "flac", "mp3", "mp3float", "libopus", "opus", "libvorbis", "vorbis"),
    *("pcm_alaw", "pcm_f32le", "pcm_mulaw", "pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_u8"),
}
_SAFE = {"format_whitelist": _CONTAINERS, "codec_whitelist": ",".join(sorted(_CODECS)), "protocol_whitelist": ""}


class AudioFile:
    """A recording in any of the READABLE formats, as 16 kHz mono. ``close`` it."""

    def __init__(self, file: BinaryIO, max_seconds: float = MAX_SECONDS) -> None:
        """file: must be seekable, and open for as long as this is."""
        self._left = int(max_seconds * HEARD_RATE)
        self._max_seconds = max_seconds
        self._pieces = self._decode(file)

    def read(self) -> Pcm16:
        """The next ten seconds; fewer, perhaps none, at the end. Raises ClientError for what is no sound file of a
        known kind, cannot be decoded or goes on for too long."""
        pieces: list[Pcm16] = []
        length = 0
        try:
            while length < _PIECE and (piece := next(self._pieces, None)) is not None:
                pieces.append(piece)
                length += len(piece)
        except (av.error.FFmpegError, ValueError) as error:
            raise _unreadable(f"cannot be decoded ({error})") from None
        self._left -= length
        if self._left < 0:
            raise _unreadable(f"is longer than the {self._max_seconds / 60:g} minutes that are allowed")
        return np.concatenate(pieces) if pieces else np.zeros(0, np.int16)

    def close(self) -> None:
        """Let go of the decoder."""
        self._pieces.close()

    def _decode(self, file: BinaryIO) -> Generator[Pcm16, None, None]:
        try:
            container = av.open(file, "r", options=_SAFE)
        except (av.error.FFmpegError, ValueError):
            raise _unreadable(f"is not a sound file that can be read; allowed: {READABLE}") from None
        with container:
            yield from self._decode_sound(container)

    def _decode_sound(self, container: InputContainer) -> Iterator[Pcm16]:
        streams = container.streams.audio
        if not streams:
            raise _unreadable("holds no sound")
        stream = streams[0]
        # Of a codec that FFmpeg has never heard of there is no context.
        codec = getattr(stream.codec_context, "name", "something unknown")
        if codec not in _CODECS:
            raise _unreadable(f"is coded as {codec}; allowed: {READABLE}")
        stream.codec_context.thread_count = 1
        resampler = av.AudioResampler("s16", "mono", HEARD_RATE)
        heard = False
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:
                continue  # tags in the middle and a cut-off end are common in real files
            for frame in frames:
                _check_rate(frame.sample_rate)
                heard = True
                yield from _samples(resampler, frame)
        if not heard:
            raise _unreadable("holds no sound")
        yield from _samples(resampler, None)


def _check_rate(rate: int) -> None:
    # A file of 1 Hz would become 16,000 times as large.
    if not _LOWEST_RATE <= rate <= _HIGHEST_RATE:
        raise _unreadable(f"has {rate} samples a second; allowed: {_LOWEST_RATE} to {_HIGHEST_RATE}")


def _samples(resampler: av.AudioResampler, frame: av.AudioFrame | None) -> Iterator[Pcm16]:
    for out in resampler.resample(frame):
        yield out.to_ndarray()[0].astype(np.int16, copy=False)


def _unreadable(what: str) -> ClientError:
    return ClientError("invalid_audio", f"Invalid 'file': it {what}.", "file")


# ---------------------------------------------------------------------------------------- writing


class Encoder(Protocol):
    """Turns mono samples at SPOKEN_RATE into a file, bit by bit. ``close`` it: left to the garbage collector, FFmpeg
    may write to what is gone already."""

    def encode(self, pcm: Pcm16) -> bytes:
        """What can be sent once these samples are in."""
        ...

    def finish(self) -> bytes:
        """The rest."""
        ...

    def close(self) -> None:
        """Let go of the codec."""
        ...


@dataclass(frozen=True, slots=True)
class _Format:
    media_type: str
    container: str = ""
    codec: str = ""
    bit_rate: int | None = None
    options: dict[str, str] = field(default_factory=dict)


_FORMATS = {
    # No field may be written that is known only at the end: what is sent is sent.
    "mp3": _Format("audio/mpeg", "mp3", "libmp3lame", 64_000, {"write_xing": "0"}),
    # Pages of 20 ms: the muxer would else wait until it has a whole second.
    "opus": _Format("audio/ogg", "ogg", "libopus", 48_000, {"page_duration": "20000"}),
    "aac": _Format("audio/aac", "adts", "aac", 64_000),
    "flac": _Format("audio/flac", "flac", "flac"),
    "wav": _Format("audio/wav"),
    "pcm": _Format("audio/pcm"),
}
SPEECH_FORMATS = tuple(_FORMATS)


def media_type(name: str) -> str:
    """The media type of one of SPEECH_FORMATS."""
    return _FORMATS[name].media_type


def encoder(name: str) -> Encoder:
    """A new file in one of SPEECH_FORMATS."""
    if name in ("wav", "pcm"):
        return _Plain(_streaming_wav_header() if name == "wav" else b"")
    return _Coded(_FORMATS[name])


class _Plain:
    """Little-endian samples, with or without a header."""

    def __init__(self, header: bytes) -> None:
        self._header = header

    def encode(self, pcm: Pcm16) -> bytes:
        header, self._header = self._header, b""
        return header + pcm.astype("<i2", copy=False).tobytes()

    def finish(self) -> bytes:
        return b""

    def close(self) -> None: ...


def _streaming_wav_header() -> bytes:
    """Of a length that is not known yet: both sizes are the largest there are, which players take for "to the end"."""
    unknown = b"\xff\xff\xff\xff"
    layout = np.array([(16, 1, 1, SPOKEN_RATE, 2 * SPOKEN_RATE, 2, 16)], "<u4,<u2,<u2,<u4,<u4,<u2,<u2")
    return b"RIFF" + unknown + b"WAVEfmt " + layout.tobytes() + b"data" + unknown


class _Sink:
    """Where the muxer writes to, from front to back only."""

    def __init__(self) -> None:
        self._data = bytearray()

    def write(self, data: bytes) -> int:
        self._data += data
        return len(data)

    def take(self) -> bytes:
        """What was written since the last call."""
        data = bytes(self._data)
        self._data.clear()
        return data


class _Coded:
    """A codec in a container that can be written without going back."""

    def __init__(self, wanted: _Format) -> None:
        self._wanted = wanted
        self._sink = _Sink()
        self._opened: tuple[OutputContainer, av.AudioStream] | None = None
        self._position = 0

    def encode(self, pcm: Pcm16) -> bytes:
        container, stream = self._open()
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(pcm[np.newaxis]), format="s16", layout="mono")
        frame.sample_rate = SPOKEN_RATE
        frame.pts = self._position
        self._position += len(pcm)
        container.mux(stream.encode(frame))
        return self._sink.take()

    def finish(self) -> bytes:
        container, stream = self._open()
        container.mux(stream.encode(None))
        container.close()
        return self._sink.take()

    def close(self) -> None:
        if self._opened is not None:
            self._opened[0].close()

    def _open(self) -> tuple[OutputContainer, av.AudioStream]:
        if self._opened is None:
            wanted = self._wanted
            options = {"flush_packets": "1", **wanted.options}
            container = av.open(self._sink, "w", format=wanted.container, options=options)
            stream = container.add_stream(wanted.codec, rate=SPOKEN_RATE, layout="mono")
            assert isinstance(stream, av.AudioStream)
            if wanted.bit_rate is not None:
                stream.bit_rate = wanted.bit_rate
            self._opened = container, stream
        return self._opened
