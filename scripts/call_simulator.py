"""Calls a server as a telephone carrier does: `python scripts/call_simulator.py question.wav --token SECRET`,
over Twilio's wire, or with --carrier over another's.

Each recording is one thing the caller says, once the answer before has fallen silent. With --over, that recording is
spoken into the last answer instead. Printed: one JSON object a call.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import websockets

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from models.audio import read_wav, resample, write_wav  # noqa: E402  the project's root must be on the path first
from scripts.phone_line.caller import CallResult, Plan, hold_call  # noqa: E402
from scripts.phone_line.carriers import CARRIERS, House, carrier_call  # noqa: E402
from scripts.phone_line.line import Line, Trouble  # noqa: E402
from scripts.phone_line.sounds import SOUNDS, as_loud  # noqa: E402
from scripts.phone_line.twilio import TwilioAccount, twilio_call  # noqa: E402

_SOUND_DBFS = -23.0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", nargs="*", type=Path, metavar="WAV", help="what the caller says")
    parser.add_argument("--over", type=Path, metavar="WAV", help="spoken over the last answer")
    parser.add_argument("--sound", choices=SOUNDS, help="comes from the caller's side instead of words")
    parser.add_argument("--sound-s", type=float, default=60.0, metavar="S", help="so long")
    parser.add_argument("--keys", default="", help="typed before anything is said")
    parser.add_argument("--url", default="http://127.0.0.1:8080", help="where the server is")
    parser.add_argument("--public-url", default="https://voice.example.org", help="the server's phone.public_url")
    parser.add_argument("--carrier", choices=("twilio", *CARRIERS), default="twilio", help="over whose wire")
    parser.add_argument("--token", default="", help="the server's twilio.auth_token, or phone.token of the others")
    parser.add_argument("--audiosocket", default="127.0.0.1:9092", help="the server's asterisk.audiosocket")
    parser.add_argument("--wide", action="store_true", help="16 kHz, where the carrier chooses (Asterisk, FreeSWITCH)")
    parser.add_argument("--calls", type=int, default=1, help="so many at once")
    parser.add_argument("--loss", type=float, default=0.0, help="share of the caller's frames that are lost")
    parser.add_argument("--jitter", type=float, default=0.0, help="longest delay of a frame in ms")
    parser.add_argument("--noise", type=float, metavar="DBFS", help="noise around the caller")
    parser.add_argument("--snr", type=float, metavar="DB", help="noise so far below the caller's voice")
    parser.add_argument("--echo", type=float, metavar="DB", help="the server's voice comes back so much softer")
    parser.add_argument("--hang-up-after", type=float, metavar="S", help="whatever is being said then")
    parser.add_argument("--out", type=Path, help="WAV file for what the (first) caller heard")
    return parser.parse_args()


async def _calls(options: argparse.Namespace) -> list[CallResult]:
    sound = [as_loud(SOUNDS[options.sound](options.sound_s), _SOUND_DBFS)] if options.sound else []
    plan = Plan(
        says=(*sound, *(resample(*read_wav(file), 8_000) for file in options.recordings)),
        over=resample(*read_wav(options.over), 8_000) if options.over else None,
        keys=options.keys,
        hang_up_after_s=options.hang_up_after,
    )
    noise = options.noise if options.snr is None else plan.level_dbfs() - options.snr
    trouble = Trouble(loss=options.loss, jitter_ms=options.jitter, noise_dbfs=noise, echo_db=options.echo)

    async def one(number: int) -> CallResult:
        # Real calls do not begin in the same millisecond.
        await asyncio.sleep(number * 0.137)
        async with _call(options, replace(trouble, seed=number + 1)) as line:
            return await hold_call(line, plan)

    return await asyncio.gather(*map(one, range(options.calls)))


def _call(options: argparse.Namespace, trouble: Trouble) -> AbstractAsyncContextManager[Line]:
    if options.carrier == "twilio":
        return twilio_call(TwilioAccount(options.url, options.public_url, options.token), trouble)
    host, _, port = options.audiosocket.rpartition(":")
    house = House(options.url, options.public_url, options.token, (host, int(port)))
    return carrier_call(house, options.carrier, trouble, wide=options.wide)


def main() -> None:
    options = _arguments()
    try:
        results = asyncio.run(_calls(options))
    except (httpx2.HTTPError, websockets.WebSocketException, OSError) as error:
        sys.exit(f"no call: {error} (is a server there, with this token, public URL and carrier?)")
    for result in results:
        row: dict[str, Any] = result.as_dict()
        print(json.dumps(row))
    if options.out:
        write_wav(options.out, results[0].recording.heard_pcm, results[0].recording.rate)


if __name__ == "__main__":
    main()
