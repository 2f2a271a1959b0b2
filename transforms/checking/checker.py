"""The checker: bytes of one resource in, a verdict out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from transforms.bundles import resource_stub
from transforms.checking.keys import entered_in_error, key_findings
from transforms.checking.mending import Mended, mend
from transforms.checking.ownership import compartment, ownership
from transforms.checking.reading import beyond, named_twice, read
from transforms.checking.rules import MOST_FINDINGS, RULES
from transforms.checking.schema import PRIMITIVES
from transforms.checking.structure import contained_fit, known, structure_findings, validator
from transforms.checking.verdict import Finding, Status, Verdict
from transforms.fhir_r4 import r4
from transforms.ids import ID, PERMITTED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from transforms.checking.verdict import Owner

_ID: Final = re.compile(ID)
_PERMITTED: Final = re.compile(PERMITTED)
_INSTANT: Final = re.compile(PRIMITIVES["instant"]["pattern"])
_CONTROL: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u00(?:0[0-8bBcCeEfF]|1[0-9a-fA-F])")


@dataclass(frozen=True, slots=True)
class _Gate:
    """What one type needs on the quick way: its schema, and the names of the elements that say whom it is about."""

    is_valid: Callable[[Any], bool]
    subjects: tuple[str, ...]
    shared: bool


class Checker:
    """Checks resources. One per process: the schemas of the types it meets are compiled once and kept.

    Never raises for anything in the bytes: what cannot be read is a verdict too.
    """

    def __init__(self) -> None:
        self._gates: dict[str, _Gate] = {}

    def check(self, raw: bytes, owner: Owner) -> Verdict:
        """The verdict on one resource of `owner`'s link, from its bytes as received."""
        content_hash = sha256(raw).hexdigest()
        try:
            resource, is_beyond = read(raw)
        except ValueError:
            return _torn(raw, content_hash)
        if not isinstance(resource, dict):
            return _stopped("CH202", content_hash)
        kind = resource.get("resourceType")
        gate = self._gate(kind) if isinstance(kind, str) else None
        if gate is None or not isinstance(kind, str):
            # What is no type of R4 may be anything, so it is not repeated.
            return _stopped("CH204" if isinstance(kind, str) else "CH203", content_hash, name=resource.get("id"))
        twice = named_twice(raw, resource)
        # The quick way, for what is whole and says in the plainest form that it is this patient's.
        name = resource.get("id")
        if (
            name is not None
            and gate.is_valid(resource)
            and (gate.shared or _is_plainly_owned(resource, gate.subjects, "Patient/" + owner.patient_id))
            and ("contained" not in resource or contained_fit(resource))
            and not (b"\\u00" in raw and _CONTROL.search(raw))
            and not (is_beyond or twice)
        ):
            meta = resource.get("meta")
            updated = meta.get("lastUpdated") if meta else None
            return Verdict(Status.ACCEPTED, kind, name, updated, content_hash)
        if twice == "different":
            return _stopped("CH211", content_hash, kind, name)
        return _explained(resource, kind, raw, content_hash, owner, [Finding("CH236", kind)] if twice else [])

    def _gate(self, kind: str) -> _Gate | None:
        gate = self._gates.get(kind)
        if gate is None and kind in r4().resources:
            steps = compartment(kind).subject
            self._gates[kind] = gate = _Gate(
                is_valid=validator(kind).is_valid,
                subjects=tuple(step[0] for step in steps if len(step) == 1),
                shared=not steps and kind != "Patient",
            )
        return gate


def _is_plainly_owned(resource: dict[str, Any], subjects: tuple[str, ...], own: str) -> bool:
    for name in subjects:
        subject = resource.get(name)
        if type(subject) is dict and subject.get("reference") == own:
            return True
    return False


def _torn(raw: bytes, content_hash: str) -> Verdict:
    """The verdict on what is no JSON: named by its type and id where they can be told all the same."""
    kind, name, _ = resource_stub(raw)
    if kind is None or kind not in r4().resources:
        return _stopped("CH201", content_hash)
    return _stopped("CH201", content_hash, kind, name)


def _explained(
    resource: dict[str, Any], kind: str, raw: bytes, content_hash: str, owner: Owner, found: list[Finding]
) -> Verdict:
    """The verdict on what did not take the quick way, with every rule that it breaks."""
    name = resource.get("id")
    if not isinstance(name, str) or not _ID.fullmatch(name):
        rule = "CH205" if name is None or name == "" else "CH206"
        return _stopped(rule, content_hash, kind, path=f"{kind}.id")
    try:
        mended = mend(resource)
        found += _structural(resource, mended, kind)
        found += (Finding("CH237", path) for path in _beyond(resource, kind))
    except (ValueError, RecursionError):
        return _stopped("CH210", content_hash, kind, name)
    if b"\\u00" in raw and _CONTROL.search(raw):
        found.append(Finding("CH235", kind))
    belongs = ownership(mended.resource, kind, owner)
    findings = _ranked(found if belongs is None else [belongs, *found])
    status = Status.ACCEPTED
    if findings:
        stopped = RULES[findings[0].rule].severity == "quarantine"
        status = Status.QUARANTINED if stopped else Status.REMARKS
    return Verdict(status, kind, name, _last_updated(resource), content_hash, findings)


def _structural(resource: dict[str, Any], mended: Mended, kind: str) -> list[Finding]:
    """What is wrong with the structure; a resource that was entered in error need not be whole (CH243).

    A key element that can be read once the resource is mended is no reason to stop it.
    """
    shaped = mended.resource
    keys, found = key_findings(shaped, kind), list(structure_findings(resource, kind))
    if mended.findings:
        there = tuple(f"{kind}.{name}" for name in shaped)
        found = [finding for finding in found if finding.rule != "CH224" or not _is_there(finding.path, there)]
    if entered_in_error(shaped):
        whole = [finding for finding in found if not (finding.rule == "CH224" and finding.path.count(".") == 1)]
        if len(whole) < len(found):
            found = [*whole, Finding("CH243", kind)]
    if not _PERMITTED.fullmatch(resource["id"]):
        keys.append(Finding("CH238", f"{kind}.id"))
    # One fault, one finding: what has been named is not named again by the schema.
    named = {finding.path for finding in (*keys, *mended.findings)} | mended.covered
    return [*keys, *mended.findings, *(finding for finding in found if finding.path not in named)]


def _is_there(path: str, there: tuple[str, ...]) -> bool:
    """Whether an element is there after all, or one type of a choice (`medicationReference` for `medication`)."""
    return any(name == path or (name.startswith(path) and name[len(path)].isupper()) for name in there)


def _beyond(node: Any, path: str) -> Iterator[str]:
    """Where numbers beyond a DOUBLE stand."""
    if isinstance(node, dict):
        for name, value in node.items():
            yield from _beyond(value, f"{path}.{known(name)}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _beyond(value, f"{path}[{index}]")
    elif beyond(node):
        yield path


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
