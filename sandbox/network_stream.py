"""`Person/$everything` as NDJSON, in the order of ids: what a network has of a person, with its own bookkeeping.

Source: the readme files patientEverything, personEverything and streaming of icanbwell/fhir-server: the person alone
and not others who share a Patient, clinical resources and what they point at to a depth of three, hidden ones left out
unless `_includeHidden`, `_since`, `_type`; a stream that fails has begun with 200, and ends with an OperationOutcome.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import orjson

from sandbox.compartment import MEMBERSHIP, is_personal
from sandbox.network import ACTIVE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.network import Network, Person
    from sandbox.store import Store

HIDDEN: Final = {"system": "https://fhir.icanbwell.com/4_0_0/CodeSystem/server-behavior", "code": "hidden"}
RESTRICTED: Final = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}
DEPTH: Final = 3
OUTCOME: Final = orjson.dumps(
    {
        "resourceType": "OperationOutcome",
        "issue": [{"severity": "error", "code": "exception", "diagnostics": "the query took too long"}],
    }
)
_REFERENCE: Final = re.compile(rb'"reference"\s*:\s*"([A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64})"')
Row = tuple[str, str, str, int]
"""Id, type, provider and row of a resource."""


def rows_of(network: Network, person: Person, since: int | None, types: frozenset[str]) -> list[Row]:
    """Everything of a person's connections, in the order of ids."""
    with network.lock:
        held = [one for one in person.connections.values() if one.status in ACTIVE]
    rows: set[Row] = set()
    for connection in held:
        name = connection.organization.provider
        store = network.providers[name].store
        mine = _personal(store, connection.patient)
        rows |= {(identity, kind, name, seq) for identity, kind, seq, updated in mine if _is_new(updated, since)}
        rows |= {(identity, kind, name, seq) for identity, kind, seq in _pointed_at(store, [row[2] for row in mine])}
    return sorted(row for row in rows if not types or row[1] in types)


def body_of(network: Network, row: Row) -> bytes:
    """One resource, as a line."""
    (body,) = network.providers[row[2]].store.db.execute("SELECT body FROM body WHERE seq = ?", [row[3]]).fetchone()
    return bytes(body).replace(b"\r", b" ").replace(b"\n", b" ")


def bookkeeping(network: Network, person: Person) -> Iterator[tuple[str, bytes]]:
    """The network's own resources about the person: id and line."""
    with network.lock:
        patients = sorted({one.patient for one in person.connections.values() if one.status in ACTIVE})
    links = [{"target": {"reference": f"Patient/{name}"}} for name in patients]
    name = {"family": person.family, "given": list(person.given)}
    said = {"resourceType": "Person", "id": person.id, "name": [name], "birthDate": person.birth_date, "link": links}
    yield person.id, orjson.dumps(said)
    for status in network.subscription_statuses(person):
        yield status["id"], orjson.dumps(status)


def strangers(network: Network, person: Person) -> Iterator[tuple[str, bytes]]:
    """Another person's Patient and a record of theirs, as a network that mixed people up would send them."""
    with network.lock:
        held = next((one for one in person.connections.values() if one.status in ACTIVE), None)
    if held is None:
        return
    store = network.providers[held.organization.provider].store
    other = next((name for name in store.people() if name != held.patient), None)
    if other is None:
        return
    for identity, _, seq, _ in _personal(store, other)[:5]:
        (body,) = store.db.execute("SELECT body FROM body WHERE seq = ?", [seq]).fetchone()
        yield identity, bytes(body).replace(b"\r", b" ").replace(b"\n", b" ")


def tagged(person: Person, patient: str) -> Iterator[tuple[str, bytes]]:
    """A hidden and a restricted resource of the person's own."""
    for number, (place, tag) in enumerate((("tag", HIDDEN), ("security", RESTRICTED)), start=1):
        identity = f"{person.id[:-1]}{number}"
        said = {
            "resourceType": "Observation",
            "id": identity,
            "meta": {place: [tag]},
            "status": "final",
            "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]},
            "subject": {"reference": f"Patient/{patient}"},
        }
        yield identity, orjson.dumps(said)


def _personal(store: Store, patient: str) -> list[tuple[str, str, int, int]]:
    """Id, type, row and change of each resource of a patient's compartment; what has no id is not streamed."""
    return store.db.execute(
        "SELECT DISTINCT r.id, r.type, r.seq, r.updated FROM link l JOIN resource r ON r.seq = l.seq"
        " WHERE l.target = ? AND l.parameter = ? AND r.gone = 0 AND r.id IS NOT NULL",
        [f"Patient/{patient}", MEMBERSHIP],
    ).fetchall()


def _pointed_at(store: Store, rows: list[int]) -> set[tuple[str, str, int]]:
    """What resources point at that is nobody's, and what that points at."""
    found: set[tuple[str, str, int]] = set()
    todo = rows
    for _ in range(DEPTH):
        named: set[tuple[str, str]] = set()
        for seq in todo:
            (body,) = store.db.execute("SELECT body FROM body WHERE seq = ?", [seq]).fetchone()
            for reference in _REFERENCE.findall(bytes(body)):
                kind, _, name = reference.decode().partition("/")
                if not is_personal(kind):
                    named.add((kind, name))
        todo = []
        for kind, name in named:
            row = store.db.execute(
                "SELECT id, type, seq FROM resource WHERE type = ? AND id = ? AND gone = 0", [kind, name]
            ).fetchone()
            if row is not None and row not in found:
                found.add(row)
                todo.append(row[2])
    return found


def _is_new(updated: int, since: int | None) -> bool:
    return since is None or updated > since
