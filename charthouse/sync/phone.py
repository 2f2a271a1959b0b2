"""Landing what phones uploaded: the accepted readings of a link become pages, as if a provider had served them.

Several readings of one link are one landing: a resource is what was last said of it, and of a type that was read whole
only the last such reading counts, with the changes after it. What is missing from it is gone, as Health Connect has no
other word for it; a type that is not permitted says nothing. Of other people's records nothing is landed.
"""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import msgspec
from sqlalchemy import select

from charthouse import faults
from charthouse.files import write_whole
from charthouse.linking import judging, upload_files, uploads
from charthouse.log import get_logger
from charthouse.partners.phone import LONGEST_LINE, read_line
from charthouse.settings import Settings, get_settings
from charthouse.state import session
from charthouse.state.base import now
from charthouse.state.phones import PhoneDevice, PhoneSource, PhoneUpload
from charthouse.sync import landing
from charthouse.sync.bulk_landing import GONE
from charthouse.sync.landing import Manifest, Outcome, PageWriter, QueryRecord
from transforms.bundles import resource_stub
from transforms.checking import Owner
from transforms.checking.ownership import ownership
from transforms.health_connect import MEDICAL_TYPES, fhir_types

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from charthouse.linking.links import LinkWork
    from charthouse.sync.batches import Batch

TAKEN: Final = "uploads.json"
"""In a link's folder: the ids of the uploads that are landed there."""
PAGE_BYTES: Final = 2_000_000
MEDICAL: Final = "medical="
"""Begins the part of a label that names a medical type: `Observation?medical=VITAL_SIGNS`."""
Key = tuple[str, str]
_ENCODER: Final = msgspec.json.Encoder()
_IDS: Final = msgspec.json.Decoder(list[str])
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Phone:
    """What is known of a link's phone: whose records count, in which version, and what may be read."""

    owner: Owner
    fhir_version: str
    permitted: frozenset[str]


@dataclass(slots=True)
class _Page:
    """A file of pages that grows, and the page that is being filled."""

    writer: PageWriter
    entries: list[bytes] = field(default_factory=list)
    size: int = 0
    pages: int = 0
    resources: int = 0
    written: int = 0

    def add(self, raw: bytes) -> None:
        self.entries.append(b'{"resource":' + raw + b"}")
        self.size += len(raw)
        self.resources += 1
        if self.size >= PAGE_BYTES:
            self.flush()

    def flush(self) -> None:
        if self.entries:
            body = b'{"resourceType":"Bundle","type":"collection","entry":[' + b",".join(self.entries) + b"]}"
            self.writer.add(body)
            self.pages, self.written = self.pages + 1, self.written + len(body)
            self.entries, self.size = [], 0


def owners(link_ids: Sequence[str]) -> dict[str, Owner]:
    """Whose the records of phones' links are: the person's own Patients in each data source."""
    with session(read_only=True) as state:
        rows = state.scalars(select(PhoneSource).where(PhoneSource.link_id.in_(link_ids)))
        return {row.link_id: _owner(row) for row in rows}


def land_batch(
    batch: Batch,
    work: Iterable[LinkWork],
    present: Callable[[str], AbstractContextManager[bool]],
    landed: Callable[[Manifest], None],
) -> Counter[str]:
    """Land the accepted uploads of every link of a batch. Returns the counts of the stage."""
    counts: Counter[str] = Counter()
    for link in work:
        folder = batch.folder / link.link_id
        manifest = landing.read_manifest(folder)
        if manifest is None:
            with present(link.link_id) as here:
                if here:
                    manifest = _land(link, folder, get_settings())
        if manifest is not None:
            landed(manifest)
            counts.update(links=1, resources=manifest.resources)
    return counts


def settle(batch: Batch) -> None:
    """What a batch has landed is in the vault: its uploads are over, and their bytes go. Safe to repeat."""
    settings = get_settings()
    taken: dict[str, list[str]] = {}
    for link_id in batch.link_ids:
        file = batch.folder / link_id / TAKEN
        if file.exists():
            taken[link_id] = _IDS.decode(file.read_bytes())
    with session(settings) as state:
        for row in state.scalars(select(PhoneUpload).where(PhoneUpload.id.in_([*_all(taken)]))):
            row.status, row.changed_at = "stored", now()
    faults.point("phone.settled")
    for link_id, ids in taken.items():
        for upload_id in ids:
            upload_files.remove(upload_files.file_of(link_id, upload_id, settings))


def _all(taken: Mapping[str, list[str]]) -> Iterable[str]:
    return (upload_id for ids in taken.values() for upload_id in ids)


def _land(link: LinkWork, folder: Path, settings: Settings) -> Manifest:
    phone, rows = _known(link.link_id, settings)
    landing.resume(folder)
    rows = [row for row in rows if _is_whole(row, settings)]
    since = {name: number for number, row in enumerate(rows) if row.mode == "full" for name in row.types.split()}
    last, gone = _last_words(rows, since, settings)
    files: dict[str, _Page] = {}
    left_out: Counter[tuple[str, str]] = Counter()
    with ExitStack() as held:
        for number, row in enumerate(rows):
            for place, (line, passed, code) in enumerate(judging.records_of(row, phone.fhir_version, settings)):
                kind = line.type or ""
                if line.data is None or number < since.get(kind, 0):
                    continue
                if passed is None:
                    left_out[kind, code or ""] += 1
                    continue
                resource = passed.resource
                if last.get((resource["resourceType"], resource["id"])) != (number, place):
                    continue
                finding = ownership(resource, resource["resourceType"], phone.owner)
                if finding is not None and finding.rule == "CH207":
                    left_out[kind, "CH986"] += 1
                    continue
                label = label_of(resource["resourceType"], passed.medical_type)
                if label not in files:
                    files[label] = _Page(PageWriter(folder / landing.file_name(len(files), label)))
                    held.callback(files[label].writer.drop)
                files[label].add(line.data.encode())
        for page in files.values():
            page.flush()
        held.pop_all()
    for page in files.values():
        page.writer.finish()
    read = {name for row in rows for name in row.types.split()}
    manifest = Manifest(
        link_id=link.link_id,
        status="complete",
        queries=tuple(_records(read, since, files, left_out, rows)),
        outcomes=tuple(_outcomes(phone.permitted, left_out)),
        not_requested={},
    )
    if gone:
        write_whole(folder / f"0{GONE}", _ENCODER.encode(sorted(gone)))
    write_whole(folder / TAKEN, _ENCODER.encode([row.id for row in rows]))
    faults.point("phone.landed")
    landing.write_manifest(folder, manifest)
    return manifest


def _known(link_id: str, settings: Settings) -> tuple[_Phone, list[PhoneUpload]]:
    """What is known of a link's phone, and its accepted uploads, the oldest first."""
    with session(settings, read_only=True) as state:
        source = state.get_one(PhoneSource, link_id)
        device = state.get(PhoneDevice, source.device_id)
        permitted = frozenset(device.permissions.split() if device is not None else ())
        query = select(PhoneUpload).where(PhoneUpload.link_id == link_id, PhoneUpload.status == "accepted")
        rows = list(state.scalars(query.order_by(PhoneUpload.received_at, PhoneUpload.id)))
        return _Phone(_owner(source), source.fhir_version, permitted), rows


def _is_whole(row: PhoneUpload, settings: Settings) -> bool:
    """Whether an upload is still what it was; one that is not is refused, and the app reads again."""
    file = upload_files.file_of(row.link_id, row.id, settings)
    if upload_files.verify(file, uploads.key_of(row, settings), length=row.length, sha256=row.sha256):
        return True
    with session(settings) as state:
        state.get_one(PhoneUpload, row.id).code = "CH982"
        state.get_one(PhoneUpload, row.id).status = "refused"
    _log.warning("an upload is no longer what it was", link_id=row.link_id, code="CH982")
    return False


def _last_words(
    rows: Sequence[PhoneUpload], since: Mapping[str, int], settings: Settings
) -> tuple[dict[Key, tuple[int, int]], set[Key]]:
    """Where each resource is said last, and which are gone by the last that was said of them."""
    last: dict[Key, tuple[int, int]] = {}
    gone: set[Key] = set()
    for number, row in enumerate(rows):
        file = upload_files.file_of(row.link_id, row.id, settings)
        key = uploads.key_of(row, settings)
        lines = upload_files.lines(file, key, length=row.length, sha256=row.sha256, longest=LONGEST_LINE)
        for place, raw in enumerate(lines):
            line = read_line(raw)
            if line.deleted is not None:
                named = (line.deleted.type, line.deleted.id)
                last.pop(named, None)
                gone.add(named)
            elif line.data is not None and number >= since.get(line.type or "", 0):
                kind, name, _ = resource_stub(line.data.encode())
                if kind is not None and name is not None:
                    last[kind, name] = (number, place)
                    gone.discard((kind, name))
    return last, gone


def label_of(kind: str, medical_type: str) -> str:
    """The label of a medical type's resources of one FHIR type: Observations are of several."""
    return f"{kind}?{MEDICAL}{medical_type}" if kind == "Observation" else kind


def _records(
    read: Iterable[str],
    since: Mapping[str, int],
    files: Mapping[str, _Page],
    left_out: Mapping[tuple[str, str], int],
    rows: Sequence[PhoneUpload],
) -> Iterable[QueryRecord]:
    mark = max((row.received_at for row in rows if row.received_at is not None), default=None)
    unsure = {kind for kind, code in left_out if code != "CH986"}
    for name in sorted(read):
        for kind in fhir_types(name):
            label = label_of(kind, name)
            page = files.get(label)
            yield QueryRecord(
                label=label,
                type=kind,
                file=page.writer.file.name if page else None,
                mode="full" if name in since else "incremental",
                status="complete",
                code=None,
                pages=max(1, page.pages if page else 0),
                resources=page.resources if page else 0,
                bytes=page.written if page else 0,
                watermark=mark.isoformat() if mark else None,
                # A record that was left out is on the phone all the same: its older version is not gone.
                exhaustive=name in since and name not in unsure,
            )


def _outcomes(permitted: frozenset[str], left_out: Mapping[tuple[str, str], int]) -> Iterable[Outcome]:
    for name in MEDICAL_TYPES:
        if name not in permitted:
            for kind in fhir_types(name):
                label = label_of(kind, name)
                yield Outcome(code="CH103", unit="type", resource_type=kind, label=label, count=1)
    for (name, code), count in sorted(left_out.items()):
        yield Outcome(code=code, unit="resource", resource_type=None, label=name, count=count)


def _owner(source: PhoneSource) -> Owner:
    first, *others = source.patient_ids or [""]
    return Owner(patient_id=first, base_url=source.fhir_base_uri, others=frozenset(others))
