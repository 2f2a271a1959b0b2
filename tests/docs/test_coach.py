"""docs/coach.md from top to bottom: its commands pasted, its file given to the SDK's client, its server asked."""

from __future__ import annotations

import json
import re
import socket
import sys
from typing import TYPE_CHECKING

import anyio
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

from charthouse.coach.functions import FUNCTIONS
from tests.coach import edge
from tests.docs.test_pasted import ROOT, blocks, environment, pasted, running
from tests.privacy import stocked

if TYPE_CHECKING:
    from pathlib import Path


def test_an_assistant_is_connected_as_the_page_says(home: Path, tmp_path: Path) -> None:
    """In five minutes: the consent, both doors, an emergency, and the end of the consent."""
    person, link = stocked.new_person()
    edge.put(tmp_path / "records", person, link, edge.a1c(1, 5.4, "2024-03-05"), edge.a1c(2, 6.1, "2025-04-06"))
    (tmp_path / ".venv").symlink_to(sys.prefix)
    agree, serving, ask, withdraw = blocks("docs/coach.md", "In five minutes")
    assert "6.1" in pasted(agree, tmp_path)
    assert (tmp_path / "person.txt").read_text().strip() == person

    [connection] = re.findall(r"^```json\n(\{\n  \"mcpServers\".*?)^```", _page(), re.MULTILINE | re.DOTALL)
    [server] = json.loads(connection)["mcpServers"].values()
    command = StdioServerParameters(
        command=f"{sys.prefix}/bin/{server['command']}",
        args=[person if each == "PERSON" else each for each in server["args"]],
        env=environment(tmp_path),
    )

    async def talk() -> None:
        async with Client(stdio_client(command)) as client:
            answer = await client.call_tool("latest_result", {"name": "a1c"})
            assert answer.structured_content["quoted_from_records"]["fact"]["value"]["quantity"]["number"] == 6.1

    anyio.run(talk)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    with running(serving.replace("8750", port), tmp_path, f"http://127.0.0.1:{port}/charthouse/v1/health"):
        said = pasted("\n".join((". .venv/bin/activate", ask, withdraw)).replace("8750", port), tmp_path)
    assert all(each.tool in said for each in FUNCTIONS)
    assert '"value": "6.1 %"' in said
    assert '"number": "911"' in said
    assert "CH680" in said


def _page() -> str:
    return (ROOT / "docs" / "coach.md").read_text()
