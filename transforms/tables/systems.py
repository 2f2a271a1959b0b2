"""Code systems by short names: how servers write their addresses, and which of them is preferred."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from transforms.tables import text as sql


@cache
def _content() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(files("schemas").joinpath("systems.json").read_text(encoding="utf-8"))
    return content


PREFERRED: tuple[str, ...] = tuple(_content()["preferred"])
"""The systems whose coding is shown, the best first."""


def addresses(name: str) -> tuple[str, ...]:
    """Every way to write the address of a system, FHIR's own first."""
    return tuple(_content()["systems"][name]["addresses"])


def every_address() -> tuple[str, ...]:
    """FHIR's own address of every system that is known."""
    return tuple(addresses(name)[0] for name in _content()["systems"])


def title(name: str) -> str:
    """What the system is called."""
    return str(_content()["systems"][name]["title"])


@cache
def ranks(prefer: tuple[str, ...]) -> str:
    """The branches of an SQL CASE over the address of a system that give its rank, the best 0."""
    return " ".join(
        f"WHEN {sql.literal(each)} THEN {rank}" for rank, name in enumerate(prefer) for each in addresses(name)
    )


def canonical(address: str) -> str:
    """SQL of an address as FHIR writes it, whichever way the sender wrote it."""
    odd = f"(starts_with({address}, 'urn:oid:') OR starts_with({address}, 'https:') OR ends_with({address}, '/'))"
    return f"CASE WHEN {odd} THEN coalesce({_known()}[{address}], {address}) ELSE nullif({address}, '') END"


@cache
def _known() -> str:
    pairs = (
        f"{sql.literal(each)}: {sql.literal(addresses(name)[0])}"
        for name in _content()["systems"]
        for each in addresses(name)[1:]
        if each.startswith(("urn:", "https:")) or each.endswith("/")
    )
    return f"MAP {{{', '.join(pairs)}}}"
