"""The conformance page and the socket's AsyncAPI document say what the code does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from scripts import conformance

PAGES = conformance.pages()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_the_page_is_what_the_code_says_now(path: Path):
    """It shows the types of the openai release that constraints.txt holds. Mended by: python scripts/conformance.py"""
    assert path.read_text() == PAGES[path]


@pytest.mark.parametrize(
    ("what", "kinds"), [("sent", conformance.read_types()), ("received", conformance.sent_types())]
)
def test_every_event_has_been_used_by_a_real_client(what: str, kinds: set[str]):
    clients = json.loads((conformance.ROOT / "docs" / "conformance.json").read_text()).values()
    assert kinds - {kind for client in clients for kind in client[what]} == set()


def test_every_reference_in_the_asyncapi_document_leads_somewhere():
    document = yaml.safe_load((conformance.ROOT / "docs" / "asyncapi.yaml").read_text())
    references = list(_references(document))
    assert len(references) > 100
    for reference in references:
        node = document
        for name in reference.removeprefix("#/").split("/"):
            node = node[name]


def _references(node: object) -> list[str]:
    if isinstance(node, dict):
        found = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return found + [reference for value in node.values() for reference in _references(value)]
    return [reference for value in node for reference in _references(value)] if isinstance(node, list) else []


def test_what_the_socket_refuses_is_in_no_schema():
    document = yaml.safe_load((conformance.ROOT / "docs" / "asyncapi.yaml").read_text())
    assert "output_audio_buffer.clear" not in document["components"]["messages"]
    assert not [name for name in document["components"]["schemas"] if "Prompt" in name]


@pytest.mark.parametrize(
    ("field", "wanted"),
    [
        ("session.audio.output.speed", "works"),
        ("session.tracing", "accepted and echoed, not used"),
        ("session.prompt", "refused: `invalid_value`"),
    ],
)
def test_the_verdict_on_a_field_is_the_codecs(field: str, wanted: str):
    found = [verdict for _, verdicts in conformance.probes.verdicts("session.update") for verdict in verdicts]
    (verdict,) = (verdict for verdict in found if verdict.field == field)
    assert verdict.does.startswith(wanted)
