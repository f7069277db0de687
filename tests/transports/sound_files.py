"""Sound files of every kind, made by FFmpeg's libraries, and what is in those that the server made."""

from __future__ import annotations

import io
from dataclasses import dataclass

import av
import numpy as np

from models.audio import Pcm16

KINDS = {
    "wav": ("wav", "pcm_s16le"),
    "mp3": ("mp3", "libmp3lame"),
    "ogg": ("ogg", "vorbis"),
    "opus": ("ogg", "libopus"),
    "flac": ("flac", "flac"),
    "m4a": ("ipod", "aac"),
    "webm": ("webm", "libopus"),
    "aac": ("adts", "aac"),
}
"""Container and codec by the name that files have."""


def encoded(pcm: Pcm16, rate: int, kind: str, *, layout: str = "mono", video: bool = False) -> bytes:
    """A file of one of KINDS. layout: stereo has the same on both sides. video: with a picture beside the sound."""
    container_name, codec = KINDS[kind]
    if codec == "vorbis":
        layout = "stereo"  # FFmpeg's own encoder knows nothing else
    file = io.BytesIO()
    with av.open(file, "w", format=container_name) as container:
        picture = container.add_stream("libvpx", rate=25, width=64, height=64, pix_fmt="yuv420p") if video else None
        stream = container.add_stream(codec, rate=rate, layout=layout, options={"strict": "experimental"})
        assert isinstance(stream, av.AudioStream)
        if picture is not None:
            frame = av.VideoFrame.from_ndarray(np.zeros((96, 64), np.uint8), format="yuv420p")
            container.mux(picture.encode(frame))
            container.mux(picture.encode(None))
        samples = np.repeat(pcm[:, np.newaxis], 2, axis=1).reshape(1, -1) if layout == "stereo" else pcm[np.newaxis]
        sound = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="s16", layout=layout)
        sound.sample_rate = rate
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    return file.getvalue()


@dataclass(frozen=True)
class Sound:
    """A decoded file: its container, codec and rate, and the samples as mono at that rate."""

    container: str
    codec: str
    rate: int
    pcm: Pcm16

    @property
    def seconds(self) -> float:
        return len(self.pcm) / self.rate


def decoded(data: bytes) -> Sound:
    """What is in a file."""
    with av.open(io.BytesIO(data)) as container:
        (stream,) = container.streams.audio
        resampler = av.AudioResampler("s16", "mono", stream.rate)
        frames = [out for frame in container.decode(stream) for out in resampler.resample(frame)]
        frames += resampler.resample(None)
        pcm = np.concatenate([frame.to_ndarray()[0] for frame in frames])
        return Sound(container.format.name, stream.codec_context.name, stream.rate, pcm)
