"""What becomes of one resource: its category and the rule that says so, its tables, what the check finds in it."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import orjson

from charthouse.errors import LakeError, SetupError
from charthouse.lake.session import open_vault
from charthouse.lake.vault import newest
from charthouse.privacy.reads import note_reads
from charthouse.state import session
from charthouse.state.bulk import GoneResource
from charthouse.state.models import Link
from transforms.checking import Checker, Owner
from transforms.checking.explain import describe
from transforms.checking.explain import explain as sentences
from transforms.checking.rules import RULES
from transforms.classification import classify, mapping_version, tables_of

if TYPE_CHECKING:
    from charthouse.lake.vault import Newest
    from transforms.checking import Finding

MOST_BYTES = 64_000_000
"""A resource that is larger is not read from a file."""

_KEY = re.compile(
    r"([0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12})/([A-Z][A-Za-z]{1,63})/(\S{1,256})"
)
_OF_OWNERS = frozenset({"CH207", "CH240", "CH241", "CH242"})
"""Whom a resource is about: nobody says so of one that comes from a file."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What becomes of one resource. None of it repeats a value of the resource."""

    resource_type: str | None
    route: str
    category: str | None
    rule: str
    reason: str
    mapping_version: str
    tables: tuple[str, ...]
    quarantined: bool
    findings: tuple[str, ...]
    remarks: tuple[str, ...]
    no_longer_served: str = ""
    """Since when its provider serves it no longer, and how that is known; empty where it does, and of a file."""


def explain(resource: str, route: str) -> Explanation:
    """What becomes of a resource: a file, `-` for standard input, or `<link_id>/<Type>/<id>` of the vault.

    `route` is taken for one that comes from outside; the vault knows the route of its own. A read of the vault is noted
    in the audit trail before it is made.

    Raises:
        SetupError: CH013 when the file cannot be read.
        LakeError: CH507 when the vault has no such resource, CH501 or CH505 when it cannot be read.
        StateError: CH605 when the read cannot be noted.
    """
    key = _KEY.fullmatch(resource)
    if key is not None and not Path(resource).exists():
        held, link_route = _from_vault(key[1].lower(), key[2], key[3])
        told = _explained(held.resource, link_route, held)
        return replace(told, no_longer_served=_since(key[1].lower(), key[2], key[3]))
    return _explained(_from_outside(resource), route, None)


def _explained(raw: bytes, route: str, held: Newest | None) -> Explanation:
    told = _loaded(raw)
    verdict = classify(told, route)
    kind = told.get("resourceType") if isinstance(told, dict) else None
    checked = Checker().check(raw, Owner(""))
    findings = [finding for finding in checked.findings if finding.rule not in _OF_OWNERS]
    stopped = any(_stops(finding) for finding in findings) if held is None else held.quarantined
    return Explanation(
        resource_type=checked.resource_type if isinstance(kind, str) else None,
        route=route,
        category=verdict.category,
        rule=verdict.rule,
        reason=verdict.reason,
        mapping_version=mapping_version(),
        tables=() if stopped else tables_of(verdict.category, kind),
        quarantined=stopped,
        findings=tuple(dict.fromkeys([*map(describe, findings), *(sentences(raw) if findings else ())])),
        remarks=tuple(held.remarks) if held is not None else tuple(map(str, findings)),
    )


def _since(link_id: str, resource_type: str, resource_id: str) -> str:
    with session(read_only=True) as state:
        known = state.get(GoneResource, (link_id, resource_type, resource_id))
        return "" if known is None else f"since {known.at:%Y-%m-%d}: {known.reason.replace('_', ' ')}"


def _loaded(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None


def _stops(finding: Finding) -> bool:
    return RULES[finding.rule].severity == "quarantine"


def _from_outside(name: str) -> bytes:
    try:
        if name == "-":
            return _limited(sys.stdin.buffer, name)
        with Path(name).expanduser().open("rb") as file:
            return _limited(file, name)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise SetupError("CH013", where=name, what=getattr(error, "strerror", None) or "no such file") from None


def _limited(file: BinaryIO, name: str) -> bytes:
    raw = file.read(MOST_BYTES + 1)
    if len(raw) > MOST_BYTES:
        raise SetupError("CH013", where=name, what=f"it has more than {MOST_BYTES:,} bytes")
    return raw


def _from_vault(link_id: str, resource_type: str, resource_id: str) -> tuple[Newest, str]:
    if note_reads(link_id, "records.read"):
        with session(read_only=True) as state:
            link = state.get(Link, link_id)
            route = link.route if link is not None else None
        with open_vault(read_only=True) as connection:
            held = newest(connection, link_id, resource_type, resource_id)
        if held is not None and route is not None:
            return held, route
    raise LakeError("CH507", where=resource_type)
