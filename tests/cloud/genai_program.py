"""Talks to a Gemini Live server with Google's own SDK, and prints what came of it as JSON. Runs in .venv-clients.

Arguments: the server's URL, its key, a file of PCM16 at 16 kHz.
"""

import asyncio
import json
import sys
from pathlib import Path

from google import genai
from google.genai import types

MODEL = "gemini-3.8-live"
TYPED = "gemini-live-2.5-flash-native-audio"
HOURS = {
    "name": "get_opening_hours",
    "description": "When the shop is open.",
    "parameters_json_schema": {"type": "object", "properties": {"day": {"type": "string"}}, "required": ["day"]},
}


def client(url, key):
    return genai.Client(api_key=key, http_options=types.HttpOptions(base_url=url))


async def turn(session):
    """One turn of the model, as the SDK tells it."""
    seen = {"bytes": 0, "heard": "", "said": "", "calls": [], "interrupted": False, "complete": False, "tokens": 0}
    async for message in session.receive():
        seen["bytes"] += len(message.data or b"")
        for call in message.tool_call.function_calls if message.tool_call else []:
            seen["calls"].append([call.name, call.args])
            result = types.FunctionResponse(id=call.id, name=call.name, response={"open": "nine"})
            await session.send_tool_response(function_responses=result)
        content = message.server_content
        if content:
            seen["heard"] += content.input_transcription.text if content.input_transcription else ""
            seen["said"] += content.output_transcription.text if content.output_transcription else ""
            seen["interrupted"] |= bool(content.interrupted)
            seen["complete"] |= bool(content.generation_complete)
        if message.usage_metadata:
            seen["tokens"] = message.usage_metadata.total_token_count
    return seen


async def speak(session, pcm):
    for start in range(0, len(pcm), 1280):
        blob = types.Blob(data=pcm[start : start + 1280], mime_type="audio/pcm;rate=16000")
        await session.send_realtime_input(audio=blob)


async def talk(url, key, pcm):
    report = {}
    spoken = {
        "response_modalities": ["AUDIO"],
        "system_instruction": "You are a shop.",
        "tools": [{"function_declarations": [HOURS]}],
        "input_audio_transcription": {},
        "output_audio_transcription": {},
        "session_resumption": {},
        "context_window_compression": {"sliding_window": {}},
        "realtime_input_config": {"automatic_activity_detection": {"silence_duration_ms": 300}},
    }
    live = client(url, key).aio.live
    async with live.connect(model=MODEL, config=spoken) as session:
        await speak(session, pcm)
        report["spoken"] = await turn(session)
        await session.send_context_update(system_instruction="You are a bakery.", tools=[])
        await session.send_realtime_input(text="And on Sunday?")
        report["typed"] = await turn(session)
    by_hand = {
        "response_modalities": ["AUDIO"],
        "realtime_input_config": {"automatic_activity_detection": {"disabled": True}},
    }
    async with live.connect(model=TYPED, config=by_hand) as session:
        await session.send_realtime_input(activity_start=types.ActivityStart())
        await speak(session, pcm)
        await session.send_realtime_input(activity_end=types.ActivityEnd())
        report["by_hand"] = await turn(session)
        await session.send_client_content(turns={"role": "user", "parts": [{"text": "Hello."}]}, turn_complete=True)
        report["content"] = await turn(session)
    try:
        async with client(url, "wrong").aio.live.connect(model=MODEL, config={}):
            pass
    except genai.errors.APIError as error:
        report["wrong_key"] = str(error)
    return report


url, key, file = sys.argv[1:]
print(json.dumps(asyncio.run(talk(url, key, Path(file).read_bytes()))))
