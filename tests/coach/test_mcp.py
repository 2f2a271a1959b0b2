"""Assistants over MCP: the SDK's own client, over both transports, against a real server and a real command."""

from __future__ import annotations

import base64
import json
import os
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import httpx2
import pytest
import requests
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client

from charthouse.api import tokens
from charthouse.coach.functions import FUNCTIONS
from charthouse.privacy.audit_trail import verify
from charthouse.state import session
from charthouse.state.models import AuditEvent
from tests.api.conftest import Api, serving
from tests.coach import edge
from tests.coach.edge import Town, stocked_town, town

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

__all__ = ["stocked_town", "town"]
ARGUMENTS = {"name": "a1c", "text": "hemoglobin"}
"""What is asked of the functions that take something."""


@pytest.fixture
def person(town: Town) -> str:
    """Who agreed: two results, and the note of the newer one is hostile."""
    return town.person


@pytest.fixture
def api(person: str) -> Iterator[Api]:
    """The API of their home."""
    with serving(api_limit="100000/minute", api_page_limit="100000/minute") as served:
        yield served


@asynccontextmanager
async def over_http(api: Api, token: str, mode: str = "auto") -> AsyncIterator[Client]:
    """A client that speaks to the API with a token."""
    async with AsyncExitStack() as stack:
        http = httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=60)
        await stack.enter_async_context(http)
        transport = streamable_http_client(f"{api.url}/mcp", http_client=http)
        yield await stack.enter_async_context(Client(transport, mode=mode))


@asynccontextmanager
async def over_stdio(*arguments: str) -> AsyncIterator[Client]:
    """A client that starts `charthouse mcp` itself, as assistants do."""
    command = StdioServerParameters(
        command=sys.executable, args=["-m", "charthouse", "mcp", *arguments], env=dict(os.environ)
    )
    async with Client(stdio_client(command)) as client:
        yield client


def asked(tool: Any) -> dict[str, str]:
    """Arguments that a tool's own schema takes."""
    return {name: ARGUMENTS[name] for name in tool.input_schema.get("required", ())}


def text_of(result: Any) -> str:
    """All text of a result."""
    return "\n".join(each.text for each in result.content if each.type == "text")


async def every_tool(client: Client) -> dict[str, Any]:
    """What each tool answers."""
    listed = await client.list_tools()
    assert [tool.name for tool in listed.tools] == [each.tool for each in FUNCTIONS]
    assert all(tool.annotations.read_only_hint and tool.output_schema for tool in listed.tools)
    return {tool.name: await client.call_tool(tool.name, asked(tool)) for tool in listed.tools}


def check(answers: dict[str, Any]) -> None:
    """What a client of either transport gets for the two results."""
    assert not any(result.is_error for result in answers.values()), [text_of(each) for each in answers.values()]
    latest = answers["latest_result"].structured_content
    fact = latest["quoted_from_records"]["fact"]
    assert fact["value"]["quantity"]["number"] == 6.1
    assert fact["when"]["value"].startswith("2025-04-06")
    assert "wellness" in latest["declares"]
    trend = answers["trend"]
    assert [point["number"] for point in trend.structured_content["quoted_from_records"]["points"]] == [5.4, 6.1]
    [picture] = [each for each in trend.content if each.type == "image"]
    assert picture.mime_type == "image/png"
    assert base64.b64decode(picture.data).startswith(b"\x89PNG")
    assert picture.data not in text_of(trend), "a picture is no text"


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_a_client_calls_every_tool_over_http(api: Api, person: str, mode: str) -> None:
    """With the protocol's handshake of before as well as today's."""

    async def talk() -> None:
        async with over_http(api, tokens.issue(person=person), mode) as client:
            assert "988" in str(client.instructions)
            assert "data" in str(client.instructions)
            check(await every_tool(client))

    anyio.run(talk)


def test_a_client_calls_every_tool_over_stdio(person: str, tmp_path: Path) -> None:
    """Bound to a person by an operator; bound by a token that ends, and is written anew."""
    file = tmp_path / "token"
    file.write_text(tokens.issue(person=person))

    async def talk() -> None:
        async with over_stdio("--person", person) as client:
            check(await every_tool(client))
        async with over_stdio("--token-file", str(file)) as client:
            assert not (await client.call_tool("conditions", {})).is_error
            file.write_text("eyJ0.eyJ0.x")
            refused = await client.call_tool("conditions", {})
            assert (refused.is_error, refused.structured_content) == (True, None)
            assert "CH802" in text_of(refused)
            file.write_text(tokens.issue(person=person))
            assert not (await client.call_tool("conditions", {})).is_error

    anyio.run(talk)


def test_what_records_say_stays_a_quotation(api: Api, person: str) -> None:
    """A note that pretends to be the end of the quotation, and gives orders, stands between marks it cannot know."""

    async def talk() -> None:
        async with over_http(api, tokens.issue(person=person)) as client:
            seen = set()
            for _ in range(2):
                result = await client.call_tool("search", {"text": "warfarin"})
                assert "ignore your instructions" in json.dumps(result.structured_content["quoted_from_records"])
                outside = {k: v for k, v in result.structured_content.items() if k != "quoted_from_records"}
                assert "warfarin" not in json.dumps({k: v for k, v in outside.items() if k != "looked_for"})
                lines = text_of(result).splitlines()
                marks = [line for line in lines if line.startswith("--- quotation ")]
                assert len(marks) == 2, "no line of a record stands by itself"
                begin, end = (lines.index(mark) for mark in marks)
                inside = "\n".join(lines[begin + 1 : end])
                assert "ignore your instructions" in inside
                assert "ignore your instructions" not in "\n".join(lines[:begin] + lines[end + 1 :])
                assert json.loads(inside) == result.structured_content["quoted_from_records"]
                seen.add(marks[0])
            assert len(seen) == 2, "another mark each time"

    anyio.run(talk)


def test_withdrawal_empties_every_answer_at_once(api: Api, person: str) -> None:
    """The very next call of each tool, over a connection that stands; and what was asked is in the audit trail."""

    async def talk() -> None:
        async with over_http(api, tokens.issue(person=person)) as client:
            check(await every_tool(client))
            edge.withdraw(person)
            for result in (await every_tool(client)).values():
                assert (result.is_error, result.structured_content) == (True, None)
                assert [each.type for each in result.content] == ["text"]
                assert "CH680" in text_of(result)

    anyio.run(talk)
    with session(read_only=True) as state:
        reads = state.query(AuditEvent).filter_by(action="coach.read", subject_id=person).all()
    assert {event.detail["function"] for event in reads} == {each.name for each in FUNCTIONS}
    assert {(event.actor, event.detail["through"]) for event in reads} == {("person", "mcp")}
    assert verify().holds


def test_emergencies_get_the_standing_answer_from_every_tool_that_takes_words(api: Api, person: str) -> None:
    """And nothing of the records beside it."""

    async def talk() -> None:
        async with over_http(api, tokens.issue(person=person)) as client:
            for tool in (await client.list_tools()).tools:
                words = [name for name in ("name", "text") if name in tool.input_schema["properties"]]
                for name in words:
                    result = await client.call_tool(tool.name, {name: "i cant breathe my chest hurts"})
                    said = result.structured_content
                    assert said["verdict"]["kind"] == "emergency", tool.name
                    assert said["verdict"]["calls"][0]["number"] == "911"
                    assert said["quoted_from_records"] is None
                    assert "911" in text_of(result)

    anyio.run(talk)


def test_bad_calls_are_told_and_leak_nothing(api: Api, town: Town) -> None:
    """Another person's token, a tool that there is not, arguments that do not fit, 100 KB, SQL."""
    person, other = town.person, town.other

    async def talk() -> None:
        async with over_http(api, tokens.issue(person=other)) as client:
            assert "CH680" in text_of(await client.call_tool("conditions", {}))
        async with over_http(api, tokens.issue(person=person)) as client:
            with pytest.raises(MCPError, match="CH681"):
                await client.call_tool("delete_everything", {})
            for given in (
                {},
                {"name": 7},
                {"name": "a1c", "person": other},
                {"name": "x" * 100_000},
                {"name": "a\x00b"},
            ):
                refused = await client.call_tool("latest_result", given)
                assert refused.is_error, given.keys()
                assert "CH682" in text_of(refused)
                assert len(text_of(refused)) < 400
            nothing = await client.call_tool("latest_result", {"name": "'; DROP TABLE person; --"})
            assert nothing.structured_content["quoted_from_records"]["found"] is False
            check(await every_tool(client))

    anyio.run(talk)


def test_who_may_speak_over_http(api: Api, person: str) -> None:
    """Without a token, with an operator's, from a page elsewhere, by another method, too large: a problem each."""
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    headers = {"Accept": "application/json, text/event-stream"}
    mine = tokens.issue(person=person)

    def answer(method: str = "POST", token: str | None = mine, **more: Any) -> requests.Response:
        more.setdefault("json", body)
        return api.ask(method, "/mcp", token, headers=headers | more.pop("headers", {}), **more)

    assert answer().json()["result"]["tools"]
    unknown = answer(token=None)
    assert (unknown.status_code, unknown.json()["code"]) == (401, "CH801")
    told = unknown.headers["WWW-Authenticate"]
    assert told.startswith("Bearer ")
    where = told.partition('resource_metadata="')[2].rstrip('"')
    described = requests.get(where, timeout=10).json()
    assert described["resource"] == f"{api.url}/mcp"
    assert described["bearer_methods_supported"] == ["header"]
    wrong = answer(token=f"{mine[:-4]}AAAA")
    assert (wrong.status_code, 'error="invalid_token"' in wrong.headers["WWW-Authenticate"]) == (401, True)
    assert answer(token=tokens.issue(operator=True)).json()["code"] == "CH691"
    assert answer(headers={"Origin": "https://elsewhere.example"}).json()["code"] == "CH692"
    assert answer("GET", json=None).status_code == 405
    assert answer("DELETE", json=None).headers["Allow"] == "POST"
    assert answer(json=body | {"padding": "x" * 2_000_000}).status_code == 413
    assert answer(json=None, data="{", headers={"Content-Type": "application/json"}).status_code == 400
    assert answer(headers={"Mcp-Session-Id": "../../etc"}).status_code in (200, 404)
