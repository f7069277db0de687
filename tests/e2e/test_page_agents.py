"""The page with an agent: its questions are answered from the database, and a booking is a row in it."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import server_process
from tests.e2e.browser import MICROPHONE_RATE, Page, chromium
from tests.models.speech import speak
from tests.server_process import ROOT, Server

SALON = """
instructions = "You are Anna, the phone assistant of Salon Bella in Berlin. Answer in short sentences."
greeting = "Hello."

[[tools]]
python = "tools.py"
filler = "One moment, please."
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An agent with a short greeting, and the reception's tools; their database is made beside them."""
    folder = tmp_path_factory.mktemp("agents")
    shutil.copy(ROOT / "examples" / "reception" / "tools.py", folder)
    for name in ("salon", "spare"):
        (folder / f"{name}.toml").write_text(SALON)
    return folder


@pytest.fixture(scope="module")
def salon(folder: Path) -> Iterator[Server]:
    server = server_process.start(
        KAMMERTON_AGENTS__FOLDER=str(folder), KAMMERTON_STORE__URL=f"sqlite:///{folder}/store.db"
    )
    yield server
    assert server_process.stop(server) == 0


async def opened(page: Page, url: str) -> None:
    """The page is there, and knows the server's agents."""
    await page.look()
    await page.open(url)
    await page.until("document.querySelectorAll('#agent option').length > 1")


async def say(page: Page, words: str) -> None:
    """Speak once the agent has finished, which takes as long as the words do."""
    finished = "document.querySelector('.turn:last-child .line.answer.done')"
    await page.until(f"{finished} && document.body.dataset.state === 'listening'")
    await page.speak(speak(words, rate=MICROPHONE_RATE))


async def test_an_agent_is_chosen_and_answers_behind_a_filler_as_the_database_has_it(salon: Server, tmp_path: Path):
    async with chromium(tmp_path, microphone=True) as page:
        await opened(page, salon.base_url + "/")
        assert await page.texts("#agent option") == ["No agent", "salon", "spare"]
        await page.evaluate(
            """(() => { const { agent } = document.getElementById("settings").elements;
            agent.value = "salon"; agent.dispatchEvent(new Event("change", { bubbles: true })); })()"""
        )
        assert await page.evaluate("document.getElementById('instructions').disabled")
        await page.click("#talk")
        await say(page, "What time do you open on Friday?")
        await page.until("document.querySelectorAll('.line.answer.done').length === 3")
        greeting, filler, answer = await page.texts(".line.answer .words")
        assert greeting == "Hello."
        assert "moment" in filler
        assert {"nine", "six"} <= set(answer.lower().replace(".", "").split())
        (card,) = await page.texts(".card")
        assert '"open": "09:00"' in card
        assert "response.create" not in [event["type"] for event in page.sent]
        assert (await page.until_sent("session.update"))["session"]["tools"] == []
        assert len(await page.texts(".turn.greeting")) == 1
        assert len(await page.texts(".line.caller")) == 1
        assert not page.errors


async def test_the_page_names_an_agent_in_its_address_and_a_spoken_booking_is_one_row(
    salon: Server, folder: Path, tmp_path: Path
):
    async with chromium(tmp_path, microphone=True) as page:
        await opened(page, salon.base_url + "/?agent=salon")
        await page.click("#talk")
        await say(page, "I would like to book a haircut on Friday at ten. My name is Paul.")
        await say(page, "Yes.")
        told = "[...document.querySelectorAll('.card')].find((card) => card.dataset.tool === 'book_appointment')"
        await page.until(f"{told}?.textContent.includes('Gets back')")
        said = await page.texts(".line .words")
        with sqlite3.connect(folder / "reception.db") as database:
            booked = database.execute("SELECT time, service FROM appointments").fetchall()
        assert booked == [("10:00", "haircut")], said
