"""The checker: bytes of one resource in, a verdict out."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

import orjson

from transforms.checking.keys import entered_in_error, key_findings
from transforms.checking.ownership import ownership
from transforms.checking.rules import MOST_FINDINGS, RULES
from transforms.checking.schema import PRIMITIVES
from transforms.checking.structure import fits, structure_findings
from transforms.checking.verdict import Finding, Status, Verdict
from transforms.fhir_r4 import r4

if TYPE_CHECKING:
    from collections.abc import Iterable

    from transforms.checking.verdict import Owner

_ID: Final = re.compile(r"[A-Za-z0-9\-.]{1,64}", re.ASCII)
_INSTANT: Final = re.compile(PRIMITIVES["instant"]["pattern"])


class Checker:
    """Checks resources. One per process: the schemas of the types it meets are compiled once and kept.

    Never raises for anything in the bytes: what cannot be read is a verdict too.
    """

    def __init__(self) -> None:
        self._types = r4().resources

    def check(self, raw: bytes, owner: Owner) -> Verdict:
        """The verdict on one resource of `owner`'s link, from its bytes as received."""
        content_hash = sha256(raw).hexdigest()
        try:
            resource = orjson.loads(raw)
        except orjson.JSONDecodeError:
            return _stopped("CH201", content_hash)
        if not isinstance(resource, dict):
            return _stopped("CH202", content_hash)
        kind, name = resource.get("resourceType"), resource.get("id")
        if not isinstance(kind, str) or kind not in self._types:
            rule = "CH204" if isinstance(kind, str) else "CH203"
            # What is no type of R4 may be anything, so it is not repeated.
            return _stopped(rule, content_hash, None, name)
        if not isinstance(name, str) or not _ID.fullmatch(name):
            rule = "CH205" if name is None or name == "" else "CH206"
            return _stopped(rule, content_hash, kind, path=f"{kind}.id")
        return _verdict(resource, kind, name, content_hash, owner)


def _verdict(resource: dict[str, Any], kind: str, name: str, content_hash: str, owner: Owner) -> Verdict:
    belongs = ownership(resource, kind, owner)
    try:
        fitting = fits(resource, kind)
        found: Iterable[Finding] = () if fitting else _structural(resource, kind)
    except (ValueError, RecursionError):
        return _stopped("CH210", content_hash, kind, name)
    if fitting and belongs is None:
        meta = resource.get("meta")
        return Verdict(Status.ACCEPTED, kind, name, meta.get("lastUpdated") if meta else None, content_hash)
    findings = _ranked(found if belongs is None else [belongs, *found])
    stopped = RULES[findings[0].rule].severity == "quarantine"
    return Verdict(
        Status.QUARANTINED if stopped else Status.REMARKS,
        kind,
        name,
        _last_updated(resource),
        content_hash,
        findings,
    )


def _structural(resource: dict[str, Any], kind: str) -> list[Finding]:
    """What is wrong with the structure; a resource that was entered in error need not be whole (CH243)."""
    keys, found = key_findings(resource, kind), list(structure_findings(resource, kind))
    if entered_in_error(resource):
        whole = [finding for finding in found if not (finding.rule == "CH224" and finding.path.count(".") == 1)]
        if len(whole) < len(found):
            found = [*whole, Finding("CH243", kind)]
    # One fault, one finding: what the key table has named is not named again by the schema.
    named = {finding.path for finding in keys}
    return keys + [finding for finding in found if finding.path not in named]


def _ranked(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Each finding once, those that stop the resource first, at most `MOST_FINDINGS`."""
    once = dict.fromkeys(findings)
    return tuple(sorted(once, key=lambda finding: RULES[finding.rule].severity != "quarantine"))[:MOST_FINDINGS]


def _stopped(rule: str, content_hash: str, kind: str | None = None, name: object = None, path: str = "") -> Verdict:
    readable = name if isinstance(name, str) and _ID.fullmatch(name) else None
    return Verdict(Status.QUARANTINED, kind, readable, None, content_hash, (Finding(rule, path or kind or ""),))


def _last_updated(resource: dict[str, Any]) -> str | None:
    meta = resource.get("meta")
    updated = meta.get("lastUpdated") if isinstance(meta, dict) else None
    return updated if isinstance(updated, str) and _INSTANT.match(updated) else None
