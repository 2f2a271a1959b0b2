"""Landing an export: each line goes to the folders of the links whose person it is about, and nowhere else.

A link's folder holds the files that any fetch leaves (`charthouse.sync.landing`), one for each file of the export that
held something of the person. Beside the links, `export/` of the batch has a journal, a line for each file of the export
that is read whole, and what belongs to nobody (Practitioner, Organization …) until it is known who points at it.
"""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

import msgspec

from charthouse import faults
from charthouse.files import put, scratch_of, write_whole
from charthouse.partners.scopes import parse_scopes
from charthouse.partners.search import REFERENCED_TYPES
from charthouse.sync import landing
from charthouse.sync.bulk_marks import EVERYTHING
from transforms import ndjson
from transforms.bundles import resource_stub
from transforms.checking.outcomes import issue_counts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from charthouse.linking.links import LinkWork
    from charthouse.partners.bulk_manifest import ExportFile
    from charthouse.partners.scopes import Access
    from charthouse.sync.bulk_shared import SharedResources
    from transforms.bundles import Stub

FOLDER: Final = "export"
GONE: Final = ".gone.json"
_JOURNAL: Final = "journal.jsonl"
BUFFER: Final = 8 * 2**20
"""Bytes of lines that one file of an export holds back before they are written: a page for each link then."""
_SHARED_ROWS: Final = 500
_SIDE_BY_SIDE: Final = 8
"""Files that are brought to disk at the same time: a disk takes several in one go."""


class Landed(msgspec.Struct, array_like=True):
    """What a link has of one type: resources and their bytes."""

    resources: int = 0
    bytes: int = 0


class FileRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one file of an export. `failed` are the types that it leaves behind, `*` for any.

    `lines` counts resources, `kept` those of linked people, `shared` those of nobody, `left_out` those of other people,
    `torn` those of linked people that are no JSON, `warnings` issues that are no errors. `links` says what each link
    got, by type; `withheld` the types of which its person granted nothing.
    """

    job: str
    number: int
    kind: str
    type: str
    code: str | None
    failed: tuple[str, ...] = ()
    lines: int = 0
    bytes: int = 0
    kept: int = 0
    shared: int = 0
    left_out: int = 0
    torn: int = 0
    warnings: int = 0
    own_base: str | None = None
    links: dict[str, dict[str, Landed]] = {}
    withheld: dict[str, list[str]] = {}


_RECORD: Final = msgspec.json.Decoder(FileRecord)
_PAIRS: Final = msgspec.json.Decoder(list[tuple[str, str]])
_ENCODER: Final = msgspec.json.Encoder()


class ExportFolder:
    """The folder of a batch's exports, and those of its links."""

    def __init__(self, batch_folder: Path, work: Iterable[LinkWork]) -> None:
        self._batch_folder = batch_folder
        self.folder = batch_folder / FOLDER
        self.folder.mkdir(parents=True, exist_ok=True)
        self.links: dict[str, LinkWork] = {link.link_id: link for link in work}
        self._scopes = {link.link_id: parse_scopes(link.granted_scopes or "") for link in self.links.values()}
        self._access: dict[tuple[str, str], Access] = {}
        self.of_patient: dict[str, list[str]] = {}
        for link in self.links.values():
            self.of_patient.setdefault(link.patient_id, []).append(link.link_id)

    def access(self, link_id: str, kind: str) -> Access:
        """What a link's person granted of a type."""
        known = self._access.get((link_id, kind))
        if known is None:
            known = self._access[link_id, kind] = self._scopes[link_id].access(kind)
        return known

    def of(self, link_id: str) -> Path:
        """The folder of a link."""
        return self._batch_folder / link_id

    def records(self) -> list[FileRecord]:
        """The files that are read, in the order in which they were. A torn line of the journal costs its file."""
        journal = self.folder / _JOURNAL
        found = []
        for line in journal.read_bytes().splitlines() if journal.exists() else ():
            try:
                found.append(_RECORD.decode(line))
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue
        return found

    def note(self, record: FileRecord) -> None:
        """Note a file that is read. What it brought has its names already."""
        descriptor = os.open(self.folder / _JOURNAL, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, _ENCODER.encode(record) + b"\n")
        finally:
            os.close(descriptor)

    def tidy(self, jobs: Iterable[str]) -> None:
        """Keep what these jobs brought, and nothing else: files of jobs that are gone, and halves, are taken away."""
        wanted = set(jobs)
        kept = [record for record in self.records() if record.job in wanted]
        write_whole(self.folder / _JOURNAL, b"".join(_ENCODER.encode(record) + b"\n" for record in kept))
        vouched = {record.number for record in kept}
        for link_id in self.links:
            folder = self.of(link_id)
            if (folder / landing.MARKER).exists():
                continue
            for file in [*folder.glob("*.part"), *landing.page_files(folder)]:
                head = file.name.partition(".")[0]
                if file.name.endswith(".part") or not head.isdigit() or int(head) not in vouched:
                    file.unlink(missing_ok=True)

    def write_gone(self, request: int, found: Mapping[str, Iterable[tuple[str, str]]]) -> None:
        """Leave with each link which of its resources the provider calls deleted."""
        for link_id, pairs in found.items():
            if self.of(link_id).is_dir():
                write_whole(self.of(link_id) / f"{request}{GONE}", _ENCODER.encode(sorted(pairs)))

    def close(self) -> None:
        """Take away what was kept beside the links."""
        shutil.rmtree(self.folder, ignore_errors=True)


def read_gone(folder: Path) -> set[tuple[str, str]]:
    """The type and id of each resource in a link's folder that the provider called deleted."""
    return {pair for file in folder.glob(f"*{GONE}") for pair in _PAIRS.decode(file.read_bytes())}


class Sorter:
    """Takes the lines of one file of an export (`bulk_files.Sink`) and lands those of linked people."""

    def __init__(
        self,
        export: ExportFolder,
        shared: SharedResources,
        file: ExportFile,
        number: int,
        bases: tuple[str, ...],
        held_before: Callable[[set[str]], Mapping[str, set[str]]],
    ) -> None:
        """`held_before`: for which links the vault holds resources (`Type/id`) that an export need not bring again."""
        self._export = export
        self._held_before = held_before
        self._shared = shared
        self._type = file.type
        self._number = number
        self._bases = bases
        self.begin()

    def begin(self) -> None:
        """Begin, perhaps anew."""
        self._held: dict[tuple[str, str], list[bytes]] = {}
        self._size = 0
        self._nobodys: list[tuple[str, bytes]] = []
        self._by_target: list[tuple[bytes, set[str]]] = []
        self._landed: list[tuple[str, str]] = []
        self.lines = self.kept = self.shared = self.left_out = self.torn = self.warnings = 0
        self.failed: set[str] = set()
        self.links: dict[str, dict[str, Landed]] = {}
        self.withheld: dict[str, set[str]] = {}
        for link_id, files in getattr(self, "_files", {}).items():
            for name in files:
                scratch_of(self._export.of(link_id) / name).unlink(missing_ok=True)
        self._files: dict[str, set[str]] = {}

    def take(self, line: bytes, stub: Stub | None = None) -> None:
        """Land one resource, if it is of a linked person. `stub` is its `resource_stub`, where it is known already."""
        self.lines += 1
        if not (line.startswith(b"{") and line.endswith(b"}")):
            # No resource of anybody: a page of HTML, or half a line. What else is missing, nobody knows.
            self.torn += 1
            self.failed.add(self._type or EVERYTHING)
            return
        kind, name, _ = stub = stub or resource_stub(line)
        if kind == "OperationOutcome":
            # Servers leave word of what they could not export in the place of what they could not.
            self.failed |= {self._type or EVERYTHING if said == EVERYTHING else said for said in _failed(line)}
            return
        if kind in REFERENCED_TYPES:
            self.shared += 1
            if name is not None:
                self._keep(f"{kind}/{name}", line)
            return
        try:
            whose = ndjson.owners(line, self._export.of_patient, self._bases, stub)
        except ndjson.TornLineError:
            self.torn += 1
            self.failed.add(kind or self._type or EVERYTHING)
            return
        if whose:
            self._land({link for patient in whose for link in self._export.of_patient[patient]}, kind or "", name, line)
        elif kind == ndjson.BY_TARGET:
            self._by_target.append((line, ndjson.targets(line, self._bases)))
            if len(self._by_target) >= _SHARED_ROWS:
                self._follow_targets()
        else:
            self.left_out += 1

    def give(self, link_id: str, line: bytes) -> None:
        """Land a line for a link, though it does not say that it is about its patient: `take` left it out."""
        kind, name, _ = resource_stub(line)
        self.left_out -= 1
        self._land({link_id}, kind or "", name, line)

    def finish(self) -> None:
        """Write what is held back, and give the files their names."""
        self._follow_targets()
        self._flush()
        if self._nobodys:
            self._shared.add(self._nobodys)
            self._nobodys = []
        named = [(link_id, self._export.of(link_id) / name) for link_id, names in self._files.items() for name in names]
        if named:
            with ThreadPoolExecutor(min(_SIDE_BY_SIDE, len(named))) as pool:
                done = list(pool.map(_put, [file for _, file in named]))
            for (link_id, _), there in zip(named, done, strict=True):
                if not there:  # its person, or the link alone, was erased meanwhile
                    self.links.pop(link_id, None)

    def _land(self, links: set[str], kind: str, name: str | None, line: bytes) -> None:
        self.kept += 1
        for link_id in links:
            self._give(link_id, kind, line)
            if name is not None:
                self._landed.append((f"{kind}/{name}", link_id))

    def _follow_targets(self) -> None:
        """Land what is of whoever its targets are of; the rest is others'."""
        if not self._by_target:
            return
        waiting, self._by_target = self._by_target, []
        named = {key for _, keys in waiting for key in keys}
        of_key = {key: set(links) for key, links in self._shared.landed_for(named).items()}
        for key, links in self._held_before(named - of_key.keys()).items():
            of_key.setdefault(key, set()).update(links)
        for line, keys in waiting:
            whose = {link for key in keys for link in of_key.get(key, ())}
            if whose:
                self._land(whose, ndjson.BY_TARGET, None, line)
            else:
                self.left_out += 1

    def _give(self, link_id: str, kind: str, line: bytes) -> None:
        access = self._export.access(link_id, kind)
        granted = access.read or access.search
        if not granted or (access.categories is not None and not ndjson.in_categories(line, access.categories)):
            if not granted:
                self.withheld.setdefault(link_id, set()).add(kind)
            return
        landed = self.links.setdefault(link_id, {}).setdefault(kind, Landed())
        landed.resources += 1
        landed.bytes += len(line)
        self._held.setdefault((link_id, kind), []).append(line)
        self._size += len(line)
        if self._size >= BUFFER:
            self._flush()

    def _keep(self, key: str, line: bytes) -> None:
        self._nobodys.append((key, line))
        if len(self._nobodys) >= _SHARED_ROWS:
            self._shared.add(self._nobodys)
            self._nobodys = []

    def _flush(self) -> None:
        for (link_id, kind), lines in self._held.items():
            name = landing.file_name(self._number, kind)
            file = self._export.of(link_id) / name
            try:
                landing.append_page(file, ndjson.page(lines))
            except FileNotFoundError:
                continue
            self._files.setdefault(link_id, set()).add(name)
        self._held.clear()
        self._size = 0
        if self._landed:
            self._shared.note_landed(self._landed)
            self._landed = []
        faults.point("export.flushed")


def _put(file: Path) -> bool:
    """Give a file its name; whether it was still there."""
    try:
        put(scratch_of(file), file)
    except FileNotFoundError:
        return False
    return True


class Outcomes:
    """Takes the lines of an `error` file: what the server says went other than well (`bulk_files.Sink`)."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Begin, perhaps anew."""
        self.lines = self.torn = self.warnings = 0
        self.failed: set[str] = set()

    def take(self, line: bytes) -> None:
        """One OperationOutcome."""
        self.lines += 1
        self.failed.update(_failed(line))
        counts = issue_counts(line)
        self.warnings += counts.get("warning", 0) + counts.get("unknown", 0)


class Deletions:
    """Takes the lines of a `deleted` file (`bulk_files.Sink`): transaction Bundles of what is gone."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Begin, perhaps anew."""
        self.lines = self.torn = 0
        self.pairs: set[tuple[str, str]] = set()

    def take(self, line: bytes) -> None:
        """One Bundle."""
        self.lines += 1
        try:
            self.pairs.update(ndjson.deletions(line))
        except ndjson.TornLineError:
            self.torn += 1


def _failed(line: bytes) -> Iterator[str]:
    try:
        yield from ndjson.failed_types(line)
    except ndjson.TornLineError:
        yield EVERYTHING
