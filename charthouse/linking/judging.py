"""Judging uploads: is it what it says it is, could it have come from Health Connect, and is it this person's?

An upload is accepted or refused whole; records that Health Connect would not have taken are left out and counted. Whose
it is, the Patients in it say, by the matching rules of links: several of the person's own are fine, and so are others
beside them, of which nothing is kept (`charthouse.sync.phone`). Read in one pass, a record at a time.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy import select

from charthouse.errors import CharthouseError, PhoneError, StateError
from charthouse.linking import links, minors, upload_files, uploads
from charthouse.linking.eligibility import is_minor
from charthouse.linking.identity import identity_of
from charthouse.linking.matching import matches
from charthouse.linking.people import get_person
from charthouse.linking.phones import may_sync, source_of
from charthouse.linking.states import DUE
from charthouse.log import get_logger
from charthouse.partners.phone import LONGEST_LINE, read_line
from charthouse.settings import Settings, get_settings
from charthouse.state import session as state_session
from charthouse.state.base import now
from charthouse.state.locks import exclusive
from charthouse.state.phones import PhoneUpload
from transforms.health_connect import Gate, Passed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from typing import Any

    from sqlalchemy.orm import Session

    from charthouse.linking.identity import Identity
    from charthouse.partners.phone import Line

_log = get_logger(__name__)


@dataclass(slots=True)
class Findings:
    """What one pass found: accepted records by medical type, left out ones by code, and the Patients."""

    records: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    own: list[str] = field(default_factory=list)
    strangers: int = 0
    minor: bool = False


def judge(upload_id: str, *, settings: Settings | None = None) -> None:
    """Judge an upload that was received; one that was judged, or is gone, is left as it is. Safe to repeat.

    What is wrong with an upload is in its row (`code`): nothing raises for it.
    """
    settings = settings or get_settings()
    try:
        with exclusive(f"upload {upload_id}", settings, wait=60.0):
            _judge(upload_id, settings)
    except StateError as error:
        if error.code not in ("CH602", "CH608"):  # gone meanwhile, or another is at it
            raise


def judge_waiting(*, settings: Settings | None = None) -> int:
    """Judge what was received and not judged: whoever took it was killed. Returns how many there were."""
    settings = settings or get_settings()
    with state_session(settings, read_only=True) as state:
        waiting = list(state.scalars(select(PhoneUpload.id).where(PhoneUpload.status == "received")))
    for upload_id in waiting:
        judge(upload_id, settings=settings)
    return len(waiting)


def _judge(upload_id: str, settings: Settings) -> None:
    with state_session(settings, read_only=True) as state:
        row = state.get(PhoneUpload, upload_id)
        if row is None or row.status != "received":
            return
        link = links.get_link(state, row.link_id)
        person = get_person(state, link.person_key)
        identity, country = identity_of(person, settings), person.country
        source = source_of(state, row.link_id)
        version, known = source.fhir_version, set(source.patient_ids)
    code: str | None = None
    found = Findings()
    try:
        found = _read(row, version, identity, country, settings)
        code = _whose(found, known)
    except PhoneError as error:
        code = error.code
    with state_session(settings) as state:
        _close(state, upload_id, code, found, settings)
    _log.info("upload judged", link_id=row.link_id, code=code or "", records=found.records.total())
    if code is not None:
        upload_files.remove(upload_files.file_of(row.link_id, upload_id, settings))


def records_of(
    row: PhoneUpload, fhir_version: str, settings: Settings
) -> Iterator[tuple[Line, Passed | None, str | None]]:
    """The lines of an upload, each with what the gate says: the record, or the code for which it is left out.

    Raises:
        PhoneError: CH982, CH984 for an upload that cannot be believed, maybe only at its end.
    """
    gate, permitted = Gate(fhir_version), frozenset(row.types.split())
    file = upload_files.file_of(row.link_id, row.id, settings)
    key = uploads.key_of(row, settings)
    for raw in upload_files.lines(file, key, length=row.length, sha256=row.sha256, longest=LONGEST_LINE):
        line = read_line(raw)
        if line.data is None:
            if row.mode != "changes":
                raise PhoneError("CH984", what="a reading of everything names what is gone")
            yield line, None, None
            continue
        verdict = gate.judge(line.data)
        if not isinstance(verdict, Passed):
            yield line, None, verdict.code
        elif verdict.medical_type != line.type or line.type not in permitted:
            yield line, None, "CH174"
        else:
            yield line, verdict, None


def _read(row: PhoneUpload, version: str, identity: Identity | None, country: str, settings: Settings) -> Findings:
    found = Findings()
    file = upload_files.file_of(row.link_id, row.id, settings)
    if not upload_files.verify(file, uploads.key_of(row, settings), length=row.length, sha256=row.sha256):
        raise PhoneError("CH982")
    for _, passed, code in records_of(row, version, settings):
        if code is not None:
            found.left_out[code] += 1
        elif passed is not None:
            found.records[passed.medical_type] += 1
            if passed.resource["resourceType"] == "Patient":
                _look_at(passed.resource, identity, country, found)
    return found


def _look_at(patient: dict[str, Any], identity: Identity | None, country: str, found: Findings) -> None:
    if identity is None or not matches(identity, patient).matched:
        found.strangers += 1
        found.minor = found.minor or is_minor(patient, country)
    else:
        found.own.append(patient["id"])


def _whose(found: Findings, known: Collection[str]) -> str | None:
    """Why an upload is not this person's; None where it is."""
    if found.own:
        return None
    if found.minor:
        return "CH643"
    if found.strangers:
        return "CH986"
    return None if known else "CH985"


def _close(state: Session, upload_id: str, code: str | None, found: Findings, settings: Settings) -> None:
    row = state.get(PhoneUpload, upload_id, with_for_update=True)
    if row is None:  # the phone was disconnected meanwhile
        return
    link = links.get_link(state, row.link_id, lock=True)
    if code is None and link.status not in DUE:
        code = "CH601"  # it ended while the upload was on its way
    if code is None:
        try:
            may_sync(state, link.person_key, link.provider, settings)
        except CharthouseError as error:
            code = error.code
    row.status, row.code, row.changed_at = ("refused" if code else "accepted"), code, now()
    row.left_out = dict(sorted(found.left_out.items()))
    if code is None:
        row.records = dict(sorted(found.records.items()))
        source = source_of(state, row.link_id)
        source.patient_ids = _merged(source.patient_ids, found.own)
        if found.own:
            link.identity_matched_at = row.changed_at
        source.changes_token = row.changes_token or source.changes_token
        links.request_sync(state, link.id, actor="sync")
    elif code == "CH643":
        minors.end_links(state, [link.id], actor="sync")
    elif code == "CH986" and link.status in DUE:
        # As with every link: what was read before stays, for a name may have changed since.
        links.transition(state, link.id, "failed", "identity_not_matched", "sync")
        link.identity_matched_at = None


def _merged(known: Iterable[str], more: Iterable[str]) -> list[str]:
    return list(dict.fromkeys([*known, *more]))
