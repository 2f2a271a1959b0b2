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
_OTHERS, _HL7, _CHOSEN, _LOCAL, _SILENT, _NO_CODE = 50, 60, 70, 80, 90, 99
"""Ranks of a coding behind those of the preferred systems, the best first."""
_SNOMED = "http://snomed.info/sct"
"""Its editions and versions have addresses below this one (SNOMED CT URI standard), and the same codes."""


@cache
def _plain(name: str) -> tuple[str, ...]:
    """The addresses and names of a system as `_folded` leaves them."""
    system = {**_content()["systems"], **_content()["silent"]}[name]
    folded = (each.lower().replace("http://www.", "http://").removeprefix("urn:oid:") for each in system["addresses"])
    return tuple(dict.fromkeys([*folded, *(each.lower() for each in system.get("names", ()))]))


def _folded(address: str) -> str:
    """SQL of an address without what servers write differently: case, https, www, a slash behind, `urn:oid:`.

    Without patterns: a lambda makes them anew for each row.
    """
    made = f"rtrim(replace(replace(lower(trim({address})), 'https://', 'http://'), 'http://www.', 'http://'), '/')"
    return f"CASE WHEN starts_with({made}, '{_SNOMED}') THEN '{_SNOMED}' ELSE replace({made}, 'urn:oid:', '') END"


def is_of(name: str, system: str) -> str:
    """SQL: whether the address of a system, as sent, is one of that system's."""
    return f"{_folded(system)} IN ({', '.join(map(sql.literal, _plain(name)))})"


def every_address() -> tuple[str, ...]:
    """The address of every system that is known, as the tables show it."""
    systems = _content()["systems"].values()
    return tuple(address for each in systems for address in (each["addresses"][0], *each.get("apart", {}).values()))


@cache
def short_names() -> dict[str, str]:
    """Every system's name here by each of its addresses and names, as `folded_address` leaves them."""
    return {each: name for name in _content()["systems"] for each in _plain(name)}


def folded_address(address: str) -> str:
    """An address without what servers write differently: what `_folded` is in SQL."""
    made = address.strip().lower().replace("https://", "http://").replace("http://www.", "http://").rstrip("/")
    return _SNOMED if made.startswith(_SNOMED) else made.replace("urn:oid:", "")


def title(name: str) -> str:
    """What the system is called."""
    return str(_content()["systems"][name]["title"])


def rank(prefer: tuple[str, ...], coding: str, *, chosen: bool = True) -> str:
    """SQL of the rank of a coding, the best 0: preferred systems, others that are known, HL7's own, a person's choice.

    Last are codes that say that nothing is known, unless they are preferred, and codings without a code. `chosen`:
    whether codings have what says that a person chose them.
    """
    system = f"{coding}.system"
    ranks = dict.fromkeys(_content()["systems"], _OTHERS) | dict.fromkeys(_content()["silent"], _SILENT)
    ranks |= {name: number for number, name in enumerate(prefer)}
    known = ", ".join(f"{sql.literal(each)}: {number}" for name, number in ranks.items() for each in _plain(name))
    by_person = f" WHEN {coding}.userSelected = 'true' THEN {_CHOSEN}" if chosen else ""
    # A map, since DuckDB works out the operand of a CASE anew for each of its branches.
    return (
        f"CASE WHEN coalesce({coding}.code, '') = '' THEN {_NO_CODE} ELSE coalesce(MAP {{{known}}}[{_folded(system)}],"
        f" CASE WHEN starts_with({system}, 'http://terminology.hl7.org/') THEN {_HL7}"
        f" WHEN starts_with({system}, 'http://hl7.org/fhir/') THEN {_HL7}"
        f"{by_person} ELSE {_LOCAL} END) END"
    )


def canonical(address: str) -> str:
    """SQL of an address as FHIR writes it, whichever way the sender wrote it."""
    odd = " OR ".join(
        (
            f"NOT starts_with({address}, 'http://')",
            f"ends_with({address}, '/')",
            f"starts_with({address}, '{_SNOMED}')",
            *(f"starts_with({address}, {sql.literal(each)})" for each in _misleading()),
        )
    )
    return f"CASE WHEN {odd} THEN coalesce({_known()}[{_folded(address)}], nullif({address}, '')) ELSE {address} END"


def _misleading() -> tuple[str, ...]:
    """Addresses that look as FHIR writes them, and are not: with a `www` that theirs does not have."""
    every = (each for system in _content()["systems"].values() for each in system["addresses"][1:])
    return tuple(each for each in every if each.startswith("http://www."))


@cache
def _known() -> str:
    pairs: dict[str, str] = {}
    for name, system in _content()["systems"].items():
        pairs |= dict.fromkeys(_plain(name), system["addresses"][0])
        # An address that shows a system of its own is that one, though the codes stand in one column.
        pairs |= {each: shown for sent, shown in system.get("apart", {}).items() for each in (sent, shown)}
    plain = {sent.removeprefix("urn:oid:").replace("http://www.", "http://"): shown for sent, shown in pairs.items()}
    return "MAP {" + ", ".join(f"{sql.literal(sent)}: {sql.literal(shown)}" for sent, shown in plain.items()) + "}"
