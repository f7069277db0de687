"""A few words on a connection that becomes no call: why not."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import numpy as np

from models.audio import Resampler
from models.base import Synthesizer, Voice
from server.runtime.formats import encode
from server.transports.carrier import FRAME_MS, Leg, LineFormat, silence
from server.transports.line_samples import LineSamples

_HEARD_S = 0.5
"""What a carrier may hold unplayed when the last frame has left."""


async def speak_on(leg: Leg, line: LineFormat, words: str, tts: Synthesizer, voice: Voice) -> None:
    """Say this, as fast as it is heard. Raises EngineError, CapacityError."""
    wire = line.session
    resampler = Resampler(voice.sample_rate, wire.rate)
    pieces = []
    async with aclosing(tts.synthesize(words, voice)) as chunks:
        async for chunk in chunks:
            pieces.append(resampler.push(chunk.pcm))
    pieces.append(resampler.flush())
    said = encode(np.concatenate(pieces), wire)
    frame = len(silence(wire, FRAME_MS))
    sound = LineSamples(line).say(said + silence(wire, FRAME_MS)[: -len(said) % frame])
    loop = asyncio.get_running_loop()
    begun = loop.time()
    for number, start in enumerate(range(0, len(sound), line.frame)):
        await asyncio.sleep(begun + number * FRAME_MS / 1000 - loop.time())
        await leg.send(leg.codec.audio(sound[start : start + line.frame]))
    await asyncio.sleep(_HEARD_S)
