"""What b.well says of a person's connections, read: those that stand, whose patient they are, and those recommended.

Words that are not understood are kept as they came; what has no id is passed over.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from charthouse.partners.bwell_states import access_of, retrieval_of
from charthouse.partners.network import Found

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

LONGEST: Final = 255
_PATIENT: Final = re.compile(r"(?:.*/)?(?:Patient/)?([A-Za-z0-9\-.]{1,64})")
_NAME: Final = ("connection_name", "connection-name")
_CONNECTION: Final = ("connection_id", "connection-id", "service_slug", "service-slug")
_SOURCE: Final = ("source_patient_id", "source-patient-id")


def patients_of(statuses: object) -> dict[str, str]:
    """The patient of each connection, by its id or its name, of `subscriptionStatuses`. A name of two is nobody's."""
    found: dict[str, str] = {}
    doubtful: set[str] = set()
    entries = statuses.get("entry") if isinstance(statuses, dict) else None
    for entry in _objects(entries):
        resource = entry.get("resource")
        said = dict(_extensions(resource if isinstance(resource, dict) else {}))
        patient = _PATIENT.fullmatch(_first(said, _SOURCE))
        if patient is None:
            continue
        for key in {f"id {_first(said, _CONNECTION)}", f"name {_first(said, _NAME)}"}:
            if found.get(key, patient[1]) != patient[1]:
                doubtful.add(key)
            found[key] = patient[1]
    return {key: patient for key, patient in found.items() if key not in doubtful and not key.endswith(" ")}


def connections(listed: Iterable[object], patients: Mapping[str, str]) -> list[Found]:
    """What `getMemberConnections` lists."""
    rows = list(_objects(listed))
    names = [str(row.get("name") or "") for row in rows]
    found = []
    for row, name in zip(rows, names, strict=True):
        identity = row.get("id")
        if not isinstance(identity, str) or not 1 <= len(identity) <= LONGEST:
            continue
        by_name = patients.get(f"name {name}") if names.count(name) == 1 else None
        status, sync = str(row.get("status") or ""), str(row.get("syncStatus") or "")
        found.append(
            Found(
                organization=identity,
                name=name or identity,
                waits_for_sign_in=False,
                patient_id=patients.get(f"id {identity}") or by_name,
                access=access_of(status),
                retrieval=retrieval_of(sync),
                status_said=status[:64],
                sync_said=sync[:64],
                errors=tuple(dict.fromkeys(_codes(row.get("syncErrors")))),
            )
        )
    return found


def recommended(teams: Iterable[Mapping[str, Any]]) -> list[Found]:
    """The participants of CareTeams `recommended-connections`: providers that want the person's sign-in first."""
    found: dict[str, Found] = {}
    for team in teams:
        for participant in _objects(team.get("participant")):
            member = participant.get("member")
            if not isinstance(member, dict):
                continue
            identifier = member.get("identifier")
            given = identifier.get("value") if isinstance(identifier, dict) else None
            identity = given or str(member.get("reference") or "").rpartition("/")[2]
            if not isinstance(identity, str) or not 1 <= len(identity) <= LONGEST:
                continue
            name = str(member.get("display") or identity)
            found.setdefault(identity, Found(identity, name, waits_for_sign_in=True, status_said="NEEDS ATTENTION"))
    return list(found.values())


def _extensions(resource: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for extension in _objects(resource.get("extension")):
        value = extension.get("valueString")
        if isinstance(value, str):
            yield str(extension.get("id") or ""), value
            yield str(extension.get("url") or "").rpartition("/")[2], value


def _first(said: Mapping[str, str], names: Iterable[str]) -> str:
    return next((said[name] for name in names if said.get(name)), "")


def _codes(errors: object) -> Iterator[str]:
    listed = errors if isinstance(errors, list) else [errors]
    for error in _objects(listed):
        coding = error.get("coding")
        for one in _objects(coding if isinstance(coding, list) else [coding]):
            if isinstance(one.get("code"), str):
                yield one["code"][:64]


def _objects(items: object) -> Iterator[Mapping[str, Any]]:
    for item in items if isinstance(items, list | tuple) else ():
        if isinstance(item, dict):
            yield item
