"""A headless Chromium, driven over the DevTools protocol. Its microphone says what it is told, when it is told."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import re
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from models.audio import Pcm16

MICROPHONE_RATE = 48_000
"""Samples a second that ``Page.speak`` takes."""

_FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions"),
    *("--use-fake-device-for-media-stream", "--autoplay-policy=no-user-gesture-required"),
    *("--remote-debugging-port=0", "--lang=en-US", "--window-size=1280,900"),
)
_LISTENING = re.compile(rb"DevTools listening on (ws://\S+)")
_WHEN = """new Promise((resolve) => {
  const check = () => {
    const value = (%s);
    if (!value) return;
    observer.disconnect();
    resolve(value);
  };
  const observer = new MutationObserver(check);
  observer.observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
  check();
})"""
_MICROPHONE = """(() => {
  const media = navigator.mediaDevices;
  if (!media) return;
  const ask = media.getUserMedia.bind(media);
  media.getUserMedia = async (wishes) => {
    for (const track of (await ask(wishes)).getTracks()) track.stop();
    const context = new AudioContext({ sampleRate: %d });
    const line = new MediaStreamAudioDestinationNode(context, { channelCount: 1 });
    window.speak = (encoded) => new Promise((resolve) => {
      const pcm = new Int16Array(Uint8Array.from(atob(encoded), (one) => one.charCodeAt(0)).buffer);
      const buffer = context.createBuffer(1, pcm.length, context.sampleRate);
      buffer.copyToChannel(Float32Array.from(pcm, (sample) => sample / 32768), 0);
      const voice = new AudioBufferSourceNode(context, { buffer });
      voice.onended = () => resolve();
      voice.connect(line);
      voice.start();
    });
    return line.stream;
  };
})()"""
"""The page asks for the microphone as ever, and gets a line that is silent but for what is spoken into it."""
_CODES = {"Escape": 27, "Enter": 13, "Tab": 9, " ": 32, "ArrowRight": 39, "ArrowDown": 40}


class Page:
    """One open page. ``errors``: what it wrote to the console as an error, and exceptions. ``requests``: all addresses
    that it asked for, and ``statuses`` what it was answered. ``handshakes``: the headers with which it opened sockets;
    ``sent`` and ``received``: their frames, as JSON."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._loaded = asyncio.Event()
        self._session = ""
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.statuses: dict[str, int] = {}
        self.handshakes: list[dict[str, str]] = []
        self.sent: list[dict[str, Any]] = []
        self.received: list[dict[str, Any]] = []
        self._sent_more = asyncio.Condition()

    async def listen(self) -> None:
        """Take in what the browser says, until it ends."""
        # A browser that is told to close does so without a close frame.
        with suppress(ConnectionClosed):
            async for frame in self._socket:
                message = json.loads(frame)
                if "id" in message:
                    self._answers.pop(message["id"]).set_result(message)
                else:
                    await self._note(message["method"], message["params"])

    async def _note(self, method: str, params: Mapping[str, Any]) -> None:
        match method:
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])
            case "Network.webSocketCreated":
                self.requests.append(params["url"])
            case "Network.webSocketWillSendHandshakeRequest":
                self.handshakes.append(params["request"]["headers"])
            case "Network.webSocketFrameSent":
                async with self._sent_more:
                    self.sent.append(json.loads(params["response"]["payloadData"]))
                    self._sent_more.notify_all()
            case "Network.webSocketFrameReceived":
                self.received.append(json.loads(params["response"]["payloadData"]))
            case "Network.responseReceived":
                self.statuses[params["response"]["url"]] = params["response"]["status"]
            case "Runtime.exceptionThrown":
                self.errors.append(params["exceptionDetails"].get("exception", {}).get("description", "exception"))
            case "Runtime.consoleAPICalled" if params["type"] in ("error", "assert"):
                self.errors.append(str([argument.get("value") for argument in params["args"]]))
            case "Log.entryAdded" if params["entry"]["level"] == "error":
                self.errors.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
            case "Page.loadEventFired":
                self._loaded.set()

    async def command(self, method: str, **params: Any) -> dict[str, Any]:
        """Give the browser a command; its result."""
        number = next(self._ids)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        session = {"sessionId": self._session} if self._session else {}
        await self._socket.send(json.dumps({"id": number, "method": method, "params": params, **session}))
        message = await answer
        if "error" in message:
            raise RuntimeError(f"{method}: {message['error']['message']}")
        return dict(message["result"])

    async def attach(self) -> None:
        """Make a tab and watch it."""
        target = await self.command("Target.createTarget", url="about:blank")
        attached = await self.command("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            await self.command(f"{domain}.enable")

    async def quit(self) -> None:
        """Close the whole browser."""
        self._session = ""
        await self.command("Browser.close")

    async def open(self, url: str) -> None:
        """Go there and wait until all of it is loaded."""
        self._loaded.clear()
        await self.command("Page.navigate", url=url)
        async with asyncio.timeout(60):
            await self._loaded.wait()

    async def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression; a promise is waited for."""
        result = await self.command("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"]["exception"].get("description", expression))
        return result["result"].get("value")

    async def until(self, expression: str, timeout_s: float = 60) -> Any:
        """Wait until a JavaScript expression over the document is true; its value."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self.evaluate(_WHEN % expression)
        except TimeoutError:
            text = await self.evaluate("document.body.innerText")
            raise AssertionError(f"the page never came to {expression}; it says:\n{text}") from None

    async def until_sent(self, kind: str, count: int = 1) -> dict[str, Any]:
        """Wait until the page has sent so many events of this type; the last of them."""
        async with asyncio.timeout(60), self._sent_more:
            while len(found := [event for event in self.sent if event["type"] == kind]) < count:
                await self._sent_more.wait()
        return found[count - 1]

    async def texts(self, selector: str) -> list[str]:
        """The text of each element."""
        return list(await self.evaluate(f"[...document.querySelectorAll({selector!r})].map((one) => one.textContent)"))

    async def click(self, selector: str) -> None:
        """Press and release the mouse in the middle of the element."""
        x, y = await self.evaluate(
            f"""(() => {{ const one = document.querySelector({selector!r}); one.scrollIntoView({{ block: "nearest" }});
            const box = one.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; }})()"""
        )
        for kind in ("mousePressed", "mouseReleased"):
            await self.command("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    async def key(self, key: str, *, down: bool = True, up: bool = True) -> None:
        """Press and release a key: a character, or its name."""
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        code = _CODES.get(key) or ord(key.upper())
        if down:
            await self.command("Input.dispatchKeyEvent", type="keyDown", key=key, text=text, windowsVirtualKeyCode=code)
        if up:
            await self.command("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    async def write(self, text: str) -> None:
        """Type into what has the focus."""
        await self.command("Input.insertText", text=text)

    async def speak(self, recording: Pcm16) -> None:
        """Say it into the microphone, which the page must have opened; returns when all of it was said."""
        encoded = base64.b64encode(recording.tobytes()).decode()
        await self.evaluate(f"speak({encoded!r})")

    async def look(self, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """The size of the window (a phone's when it is narrow), and the colour scheme of the system."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        await self.command("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.command("Emulation.setEmulatedMedia", features=[scheme])


@asynccontextmanager
async def chromium(folder: Path, *, microphone: bool = False) -> AsyncIterator[Page]:
    """A browser with one empty page. folder: for its profile. microphone: whether it has one, silent but for what
    ``Page.speak`` says; without it the browser refuses the microphone."""
    permission = "--use-fake-ui-for-media-stream" if microphone else "--deny-permission-prompts"
    arguments = [*_FLAGS, f"--user-data-dir={folder / 'profile'}", permission]
    process = await asyncio.create_subprocess_exec(
        "chromium", *arguments, stderr=asyncio.subprocess.PIPE, start_new_session=True
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(60):
            while not (listening := _LISTENING.search(line := await process.stderr.readline())):
                assert line, "Chromium ended before it listened"
        drain = asyncio.create_task(_drain(process.stderr))
        async with connect(listening[1].decode(), max_size=None) as socket:
            page = Page(socket)
            listener = asyncio.create_task(page.listen())
            await page.attach()
            if microphone:
                await page.command("Page.addScriptToEvaluateOnNewDocument", source=_MICROPHONE % MICROPHONE_RATE)
            yield page
            await page.quit()
            await listener
        await drain
    finally:
        if process.returncode is None:
            with suppress(TimeoutError, ProcessLookupError):
                async with asyncio.timeout(60):
                    await process.wait()
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


async def _drain(stream: asyncio.StreamReader) -> None:
    while await stream.read(65536):
        pass
