"""The page in a real browser: spoken to, typed to, worked by keys alone; its answers heard and read."""

from __future__ import annotations

import itertools
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from tests.e2e.browser import MICROPHONE_RATE, Page, chromium
from tests.e2e.conftest import Server
from tests.models.speech import speak

SECRETS = "/v1/realtime/client_secrets"
LISTENING = "document.body.dataset.state === 'listening'"
ANSWERED = "document.querySelector('.line.answer.done')"
TOLD = "document.querySelectorAll('.line.answer.done').length > 1"
"""A tool's call was announced, and its result is said."""

_CONTRAST = """((element) => {
  const shine = (colour) => {
    const [red, green, blue] = colour.match(/[\\d.]+/g).slice(0, 3).map((value) => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const front = shine(getComputedStyle(element).color);
  let behind = element;
  while (getComputedStyle(behind).backgroundColor === "rgba(0, 0, 0, 0)") behind = behind.parentElement;
  const back = shine(getComputedStyle(behind).backgroundColor);
  return (Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05);
})(document.querySelector("%s"))"""
"""Contrast of an element's text (WCAG 2, relative luminance)."""
_IN_VIEW = """["talk", "mute", "interrupt", "typed", "panel-toggle"].every((id) => {
  const { left, right, top, bottom } = document.getElementById(id).getBoundingClientRect();
  return left >= 0 && right <= innerWidth && top >= 0 && bottom <= innerHeight && bottom - top >= 40;
})"""
"""What one presses can be seen, and hit with a thumb."""

Open = Callable[..., AbstractAsyncContextManager[Page]]


@pytest.fixture
def browser(server: Server, tmp_path: Path) -> Open:
    """``async with browser() as page``: the server's page. When it is left, the page must have had no fault and asked
    nobody but the server."""

    @asynccontextmanager
    async def opened(*, microphone: bool = False) -> AsyncIterator[Page]:
        async with chromium(tmp_path, microphone=microphone) as page:
            await page.look()
            await page.open(server.base_url + "/")
            await page.until("document.querySelectorAll('#voice option').length > 1")
            yield page
            # A server without keys has no secrets to give, and the browser reports that by itself.
            faults = [error for error in page.errors if not (SECRETS in error and page.statuses[secrets] == 404)]
            assert not faults
            host = server.base_url.removeprefix("http")
            strangers = [url for url in page.requests if not re.match(r"(http|ws)" + re.escape(host) + "/", url)]
            assert not strangers
            assert not [event for event in page.received if event["type"] == "error"]

    secrets = server.base_url + SECRETS
    return opened


async def say(page: Page, words: str) -> None:
    """Speak, which takes as long as the words do."""
    await page.speak(speak(words, rate=MICROPHONE_RATE))


async def timeline(page: Page) -> dict[str, str]:
    """The rows of the last turn's chart: label and time."""
    rows = "[...document.querySelectorAll('.turn:last-child .times tr')]"
    pairs = await page.evaluate(f"{rows}.map((row) => [row.cells[0].textContent, row.cells[2].textContent])")
    return dict(pairs)


async def test_a_spoken_question_is_answered_aloud_and_both_are_written_word_by_word(browser: Open, server: Server):
    async with browser(microphone=True) as page:
        await page.evaluate(
            """window.stages = []; window.loudest = 0; new MutationObserver(() => {
              const level = document.getElementById("input-level").style.getPropertyValue("--level");
              window.loudest = Math.max(window.loudest, Number(level));
              const words = document.querySelector(".line.answer .words")?.textContent;
              if (words && words !== window.stages.at(-1)) window.stages.push(words);
            }).observe(document, { subtree: true, childList: true, characterData: true, attributes: true })"""
        )
        await page.click("#talk")
        await page.until(LISTENING)
        await say(page, "Are you a real person?")
        await page.until(ANSWERED)
        (heard,) = await page.texts(".line.caller .words")
        assert {"real", "person"} & set(heard.lower().strip("?").split()), heard
        (answer,) = await page.texts(".line.answer .words")
        assert len(answer.split()) > 3
        stages = await page.evaluate("window.stages")
        assert len(stages) > 3
        assert all(answer.startswith(stage) for stage in stages)
        assert await page.evaluate("window.loudest") > 0.5
        played = int(await page.evaluate("document.querySelector('.line.answer').dataset.playedSamples"))
        made = sum(len(event["delta"]) * 3 // 8 for event in page.received if event["type"].endswith("audio.delta"))
        assert made - 4 * len(page.received) <= played <= made
        assert played == int(await page.evaluate("document.body.dataset.playedSamples"))
        times = await timeline(page)
        assert {"You spoke", "Hold", "Transcript", "First token", "First clause", "First audio", "You heard it"} <= set(
            times
        )
        (handshake,) = page.handshakes
        with_secret = "openai-insecure-api-key.ek_" in handshake["Sec-WebSocket-Protocol"]
        assert with_secret == (page.statuses[server.base_url + SECRETS] == 200)


async def test_speaking_over_an_answer_stops_it_at_the_very_sample(browser: Open):
    async with browser(microphone=True) as page:
        await page.click("#talk")
        await page.until(LISTENING)
        await say(page, "Tell me a story.")
        await page.until("document.body.dataset.playedSamples > 12000")
        await say(page, "Stop please, one moment.")
        truncate = await page.until_sent("conversation.item.truncate")
        first = "document.querySelector('.line.answer')"
        await page.until(f"{first}.classList.contains('cut')")
        played = int(await page.evaluate(f"{first}.dataset.playedSamples"))
        assert truncate["item_id"] == await page.evaluate(f"{first}.dataset.item")
        assert truncate["audio_end_ms"] == played * 1000 // 24_000 > 200
        (retrieved,) = [event for event in page.received if event["type"] == "conversation.item.retrieved"]
        kept = await page.evaluate(f"{first}.querySelector('.words').firstChild.textContent")
        assert kept == retrieved["item"]["content"][0]["transcript"]
        assert await page.evaluate(f"{first}.querySelector('s').textContent.trim()")


async def test_a_typed_question_goes_to_a_tool_with_the_keyboard_alone(browser: Open):
    async with browser() as page:
        await page.key("/")
        await page.write("What time do you open on Friday?")
        await page.key("Enter")
        await page.until(TOLD)
        (card,) = await page.texts(".card")
        assert "get_opening_hours" in card
        assert '"friday"' in card
        assert '"09:00"' in card
        _, answer = await page.texts(".line.answer .words")
        assert "nine" in answer.lower(), answer
        assert "get_opening_hours" in await timeline(page)
        assert int(await page.evaluate("document.body.dataset.playedSamples")) > 12_000


async def test_the_interrupt_key_stops_a_long_answer(browser: Open):
    async with browser() as page:
        await page.key("/")
        await page.write("Tell me a story.")
        await page.key("Enter")
        await page.until("document.body.dataset.playedSamples > 12000")
        await page.key("Escape")
        await page.until("document.querySelector('.line.answer.cut s')")
        truncate = await page.until_sent("conversation.item.truncate")
        assert truncate["audio_end_ms"] >= 500


async def test_turns_by_hand_are_held_with_the_space_key(browser: Open):
    async with browser(microphone=True) as page:
        await page.evaluate("document.getElementById('panel-toggle').focus()")
        for _ in range(60):
            await page.key("Tab")
            if await page.evaluate("document.activeElement.id") == "detection":
                break
        await page.key("ArrowDown")
        await page.key("ArrowDown")
        await page.evaluate("document.activeElement.blur()")
        await page.key("t")
        await page.until("!document.getElementById('hold').hidden")
        assert (await page.until_sent("session.update"))["session"]["audio"]["input"]["turn_detection"] is None
        await page.key(" ", up=False)
        await page.until("document.body.dataset.state === 'hearing'")
        await say(page, "Are you a real person?")
        # What was said is still on its way through the browser: half a second more.
        said = [event["type"] for event in page.sent].count("input_audio_buffer.append")
        await page.until_sent("input_audio_buffer.append", said + 25)
        await page.key(" ", down=False)
        await page.until(ANSWERED)
        (heard,) = await page.texts(".line.caller .words")
        assert {"real", "person"} & set(heard.lower().strip("?").split()), heard
        assert [event["type"] for event in page.sent].count("response.create") == 1


async def test_muted_there_is_nothing_to_hear(browser: Open):
    async with browser(microphone=True) as page:
        await page.click("#talk")
        await page.until(LISTENING)
        await page.key("m")
        await page.until("document.getElementById('state').textContent === 'Muted'")
        await say(page, "Are you a real person?")
        before = [event["type"] for event in page.sent].count("input_audio_buffer.append")
        await page.until_sent("input_audio_buffer.append", before + 50)
        assert not [event for event in page.received if event["type"] == "input_audio_buffer.speech_started"]
        last = [event["audio"] for event in page.sent if event["type"] == "input_audio_buffer.append"][-1]
        assert set(last) <= {"A", "="}


async def test_a_refused_microphone_is_told_in_plain_words_and_typing_still_works(browser: Open):
    async with browser() as page:
        await page.key("t")
        fault = await page.until("document.getElementById('fault-text').textContent")
        assert "microphone" in fault
        assert await page.evaluate("document.body.dataset.state") == "idle"
        await page.click("#typed")
        await page.write("Are you a real person?")
        await page.key("Enter")
        await page.until(ANSWERED)


async def test_a_server_that_goes_away_is_told_in_plain_words(own_server: Server, tmp_path: Path):
    async with chromium(tmp_path) as page:
        await page.open(own_server.base_url + "/")
        await page.until("document.querySelectorAll('#voice option').length > 1")
        await page.key("/")
        await page.write("Are you a real person?")
        await page.key("Enter")
        await page.until(ANSWERED)
        own_server.process.kill()
        assert "lost" in await page.until("document.getElementById('fault-text').textContent")
        assert await page.evaluate("document.body.dataset.state") == "idle"
        await page.click("#fault-close")
        await page.click("#talk")
        told = "!document.getElementById('fault').hidden && document.getElementById('fault-text').textContent"
        assert await page.until(told) == "The server cannot be reached."


async def test_nothing_is_left_in_the_air_when_a_call_ends_in_the_middle_of_an_answer(browser: Open):
    async with browser() as page:
        await page.key("/")
        await page.write("Tell me a story.")
        await page.key("Enter")
        await page.until("document.querySelector('.line.answer .words')?.textContent")
        await page.click("#talk")
        await page.until("document.body.dataset.state === 'idle'")
        assert await page.texts(".line:not(.done)") == []
        assert await page.texts(".line.answer small") == ["(interrupted, not heard)"]


async def test_what_is_said_behind_a_noise_is_shown_as_said_by_itself(browser: Open):
    async with browser() as page:
        await page.evaluate(
            """Promise.all([import("/web/conversation.js"), import("/web/log.js")]).then(([talk, log]) => {
              const call = new talk.Conversation({ log: new log.Log(() => false), clock: { at: () => 0 },
                agent: "", speaker: null, settings: {}, send() {}, onChange() {}, onFault() {} });
              const item_id = "noise";
              call.receive({ type: "input_audio_buffer.speech_started", item_id, audio_start_ms: 0 });
              call.receive({ type: "input_audio_buffer.committed", item_id });
              const kind = "conversation.item.input_audio_transcription.completed";
              call.receive({ type: kind, item_id, transcript: " " });
              call.receive({ type: "response.created", response: { id: "r" } });
              const item = { type: "message", id: "i" };
              call.receive({ type: "response.output_item.added", response_id: "r", item });
              call.receive({ type: "response.output_text.delta", item_id: "i", delta: "Are you there?" });
            })"""
        )
        assert await page.texts(".line .words") == ["Are you there?"]


async def test_settings_last_and_bad_json_is_shown_and_not_sent(browser: Open):
    async with browser() as page:
        await page.evaluate(
            """(() => { const { language, tools } = document.getElementById("settings").elements;
            language.value = "de"; language.dispatchEvent(new Event("change", { bubbles: true }));
            document.getElementById("advanced").open = true;
            tools.value = "[{"; tools.dispatchEvent(new Event("input", { bubbles: true })); })()"""
        )
        assert "JSON" in await page.evaluate("document.getElementById('tools-fault').textContent")
        await page.command("Page.reload")
        await page.until("document.querySelectorAll('#language option').length > 1")
        assert await page.evaluate("document.getElementById('language').value") == "de"
        await page.key("/")
        await page.write("Sind Sie ein echter Mensch?")
        await page.key("Enter")
        await page.until(ANSWERED)
        session = (await page.until_sent("session.update"))["session"]
        assert session["audio"]["input"]["transcription"] == {"language": "de"}
        assert [tool["name"] for tool in session["tools"]] == ["get_opening_hours", "get_price"]


async def test_it_fits_any_screen_and_can_be_read_in_light_and_dark(browser: Open):
    async with browser() as page:
        await page.key("/")
        await page.write("What time do you open on Friday?")
        await page.key("Enter")
        await page.until(TOLD)
        opened = "getComputedStyle(document.getElementById('panel')).display === 'block'"
        for width, dark in itertools.product((1280, 390, 320), (False, True)):
            await page.look(width=width, height=640, dark=dark)
            await page.until(f"innerWidth === {width} && {opened} === {str(width == 1280).lower()}")
            assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            assert await page.evaluate("document.documentElement.scrollHeight <= innerHeight"), "only a part scrolls"
            assert await page.evaluate(_IN_VIEW)
            state = "document.getElementById('state')"
            assert await page.evaluate(f"{state}.scrollWidth <= {state}.clientWidth"), "what goes on is cut off"
            for selector in (
                "#state",
                ".caller .words",
                ".answer .words",
                ".card dt",
                ".card code",
                ".times th",
                "#talk",
            ):
                assert await page.evaluate(_CONTRAST % selector) >= 4.5, (selector, dark)
        await page.click("#panel-toggle")
        assert await page.evaluate(opened)
        await page.key("Escape")
        assert not await page.evaluate(opened)
