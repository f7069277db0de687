"""Pipecat's serializers of telephone carriers: what they read out of a carrier's frames, and what they write.

Standard input: {carrier: {"stream": id, "frames": [...]}} and "pcm", 16-bit samples at 8 kHz; binary is hexadecimal.
"""

from __future__ import annotations

import asyncio
import json
import sys
from types import SimpleNamespace
from typing import Any

from loguru import logger
from pipecat.frames.frames import InputAudioRawFrame, InputDTMFFrame, InterruptionFrame, OutputAudioRawFrame
from pipecat.serializers.base_serializer import FrameSerializer
from pipecat.serializers.plivo import PlivoFrameSerializer
from pipecat.serializers.telnyx import TelnyxFrameSerializer
from pipecat.serializers.twilio import TwilioFrameSerializer
from pipecat.serializers.vonage import VonageFrameSerializer

RATE = 8000


def serializers(streams: dict[str, str]) -> dict[str, FrameSerializer]:
    twilio, plivo, telnyx = TwilioFrameSerializer, PlivoFrameSerializer, TelnyxFrameSerializer
    return {
        "twilio": twilio(streams["twilio"], params=twilio.InputParams(auto_hang_up=False)),
        "plivo": plivo(streams["plivo"], params=plivo.InputParams(auto_hang_up=False)),
        "telnyx": telnyx(streams["telnyx"], "PCMU", "PCMU", params=telnyx.InputParams(auto_hang_up=False)),
        "vonage": VonageFrameSerializer(VonageFrameSerializer.InputParams(vonage_sample_rate=RATE)),
    }


def shown(frame: object) -> object:
    """A frame of the pipeline, as JSON."""
    if isinstance(frame, InputAudioRawFrame):
        return {"pcm": frame.audio.hex(), "rate": frame.sample_rate}
    return {"digit": frame.button.value} if isinstance(frame, InputDTMFFrame) else None


def written(data: str | bytes | None) -> object:
    """A frame of the wire, as JSON."""
    return {"hex": data.hex()} if isinstance(data, bytes) else data


async def main() -> dict[str, Any]:
    logger.remove()
    job = json.load(sys.stdin)
    carriers = job["carriers"]
    pcm = bytes.fromhex(job["pcm"])
    report = {}
    for name, serializer in serializers({name: entry["stream"] for name, entry in carriers.items()}).items():
        await serializer.setup(SimpleNamespace(audio_in_sample_rate=RATE))
        frames = [bytes.fromhex(f["hex"]) if isinstance(f, dict) else f for f in carriers[name]["frames"]]
        report[name] = {
            "read": [shown(await serializer.deserialize(frame)) for frame in frames],
            "audio": written(await serializer.serialize(OutputAudioRawFrame(pcm, RATE, 1))),
            "clear": written(await serializer.serialize(InterruptionFrame())),
        }
    return report


print(json.dumps(asyncio.run(main())))
