"""MCP over standard input and output: one assistant, one person, until the input ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
from mcp.server.stdio import stdio_server

from charthouse.api.tokens import caller_of
from charthouse.coach.assistant import Whose, make_server
from charthouse.errors import ApiError, CoachError
from charthouse.linking.people import get_person
from charthouse.settings import get_settings
from charthouse.state import session

if TYPE_CHECKING:
    from pathlib import Path

    from charthouse.coach.assistant import Door


def of_person(person_key: str) -> Door:
    """Read one person's records, on an operator's word.

    Raises:
        StateError: CH602 when there is no such person.
    """
    with session(read_only=True) as state:
        get_person(state, person_key)
    return lambda _request: Whose(person_key, "operator")


def by_token(file: Path) -> Door:
    """Read the records of whom a service token acts for; the file is read at each call."""
    settings = get_settings()

    def whose(_request: object) -> Whose:
        try:
            token = file.read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            raise ApiError("CH801") from None
        caller = caller_of(token, settings=settings)
        if caller.person is None:
            raise CoachError("CH691")
        return Whose(caller.person, "person")

    return whose


def speak(door: Door) -> None:
    """Answer what comes in, until the input ends."""
    anyio.run(_speak, door)


async def _speak(door: Door) -> None:
    server = make_server(door, get_settings())
    async with stdio_server() as (received, sent):
        await server.run(received, sent, server.create_initialization_options())
