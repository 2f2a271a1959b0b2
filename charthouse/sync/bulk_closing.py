"""The end of an export: what belongs to nobody goes to those who point at it, and each link's landing is closed."""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from charthouse import faults
from charthouse.errors import FetchError
from charthouse.partners.http import HttpClient
from charthouse.partners.search import REFERENCED_TYPES
from charthouse.sync import bulk_marks, landing
from charthouse.sync.bulk_landing import Landed
from charthouse.sync.bulk_marks import EVERYTHING, PATIENT
from charthouse.sync.landing import Manifest, Outcome, QueryRecord
from charthouse.sync.pointing import Pointing, referenced_records
from transforms import ndjson
from transforms.bundles import resource_stub

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any

    from charthouse.linking.bulk_sources import Export
    from charthouse.linking.links import LinkWork
    from charthouse.partners.bulk import BulkClient
    from charthouse.settings import Settings
    from charthouse.sync.bulk_landing import ExportFolder, FileRecord
    from charthouse.sync.bulk_shared import SharedResources
    from charthouse.sync.fetch_link import Presence

GIVE_UP_AFTER: Final = 3
"""Reads of a type in a row that a server refuses, or knows nothing of, before it is asked for no more of that type."""


class Closing:
    """Closes the links of a batch whose exports have ended. Used once."""

    def __init__(
        self,
        folder: ExportFolder,
        shared: SharedResources,
        exported: Iterable[Any],
        export: Export,
        client: BulkClient,
        settings: Settings,
    ) -> None:
        self._folder = folder
        self._shared = shared
        self._exported = list(exported)
        self._export = export
        self._client = client
        self._settings = settings
        self._not_there: set[str] = set()
        self._refused: defaultdict[str, int] = defaultdict(int)
        self._read_count = 0
        own = {record.own_base for record in self._records() if record.own_base is not None}
        bases = own | {export.base_url, export.fhir_base_url}
        self._pointing = Pointing(folder, shared, bases, self._read_missing)

    def close(self, present: Presence, on_link: Callable[[], None]) -> int:
        """Give each link what it points at, and its marker. Returns the entries landed."""
        brought = any(one.code is None for one in self._exported)
        total = 0
        for link_id, link in self._folder.links.items():
            folder = self._folder.of(link_id)
            try:
                nobodys = self._pointing.point_at(link_id) if brought else {}
                manifest = self._manifest(link, nobodys)
                faults.point("export.closing")
                with present(link_id) as here:
                    if here:
                        landing.write_manifest(folder, manifest)
                        total += manifest.resources
            except FileNotFoundError:
                if folder.exists():
                    raise
                continue  # its person, or the link alone, was erased under our hands
            faults.point("export.link")
            on_link()
        return total

    # -- what the resources point at --------------------------------------------------------------------------------

    def _read_missing(self, keys: Iterable[str]) -> None:
        """Read one by one what an export left out: servers need not export what belongs to nobody (3.0, `_since`)."""
        base = self._client.http.at_home(self._export.fhir_base_url)
        todo = sorted(set(keys) - self._not_there)
        if base is None or not todo:
            self._not_there.update(todo)
            return
        with (
            HttpClient(self._settings, hosts=self._client.http.hosts) as client,
            ThreadPoolExecutor(self._settings.fetch_threads, "referenced") as pool,
        ):
            bodies = pool.map(lambda key: self._read(client, base.rstrip("/"), key), todo)
            found = {key: body for key, body in zip(todo, bodies, strict=True) if body is not None}
        self._shared.add(found.items())
        self._not_there.update(set(todo) - found.keys())

    def _read(self, client: HttpClient, base: str, key: str) -> bytes | None:
        kind, _, name = key.partition("/")
        self._read_count += 1
        if self._refused[kind] >= GIVE_UP_AFTER or self._read_count > self._settings.max_pages:
            return None
        try:
            body = client.get(f"{base}/{kind}/{quote(name, safe='')}", token=self._client.token()).body.strip()
        except FetchError:
            self._refused[kind] += 1
            return None
        found, identity, _ = resource_stub(body)
        if (found, identity) != (kind, name) or not ndjson.is_whole(body):
            self._refused[kind] += 1
            return None
        self._refused[kind] = 0
        return body

    # -- the account ------------------------------------------------------------------------------------------------

    def _manifest(self, link: LinkWork, nobodys: Mapping[str, tuple[Landed, int]]) -> Manifest:
        whole = self._exported[0]
        if whole.code is not None:
            outcome = Outcome(code=whole.code, unit="link", resource_type=None, label=None, count=1)
            return Manifest(link_id=link.link_id, status="failed", queries=(), outcomes=(outcome,), not_requested={})
        queries = [*self._queries(link), *referenced_records(nobodys)]
        outcomes = list(self._outcomes(link.link_id, queries))
        failed = {kind for one in self._exported for kind in self._behind(one)}
        status: landing.LinkStatus = "partial" if failed or any(one.code for one in self._exported) else "complete"
        if whole.request.since is None and not any(query.resources for query in queries):
            status = "failed"
            if not failed & {"Patient", EVERYTHING}:  # else nobody knows whether they were in what was not read
                outcomes.append(Outcome(code="CH158", unit="link", resource_type=None, label=None, count=1))
        else:
            queries += self._marks(link)
        withheld = {
            kind: "not_permitted" for record in self._records() for kind in record.withheld.get(link.link_id, ())
        }
        return Manifest(
            link_id=link.link_id,
            status=status,
            queries=tuple(queries),
            outcomes=tuple(outcomes),
            not_requested=withheld,
        )

    def _records(self) -> Iterator[FileRecord]:
        for one in self._exported:
            yield from one.records

    @staticmethod
    def _behind(one: Any) -> set[str]:
        return set(one.failed) if one.code is None else set(one.request.types)

    def _queries(self, link: LinkWork) -> Iterator[QueryRecord]:
        """A record for each type that brought something, or of which an export of everything had files."""
        landed: dict[str, Landed] = {}
        files: dict[str, list[str]] = {}
        for record in self._records():
            for kind, got in record.links.get(link.link_id, {}).items():
                sum_of = landed.setdefault(kind, Landed())
                sum_of.resources += got.resources
                sum_of.bytes += got.bytes
                files.setdefault(kind, []).append(landing.file_name(record.number, kind))
        failed = {kind for one in self._exported for kind in self._behind(one)}
        since = self._exported[0].request.since
        whole = self._whole_types(link.link_id) if EVERYTHING not in failed else set()
        for kind in whole:
            landed.setdefault(kind, Landed())
        for kind in sorted(landed):
            behind = kind in failed
            access = self._folder.access(link.link_id, kind)
            if not (access.read or access.search):
                continue
            yield QueryRecord(
                label=bulk_marks.label_of(kind),
                type=kind,
                file=files[kind][0] if kind in files else None,
                mode="full" if since is None or kind in whole else "incremental",
                status="partial" if behind else "complete",
                code=None,
                pages=len(files.get(kind, ())),
                resources=landed[kind].resources,
                bytes=landed[kind].bytes,
                watermark=None,
                exhaustive=kind in whole and not behind and access.categories is None,
            )

    def _whole_types(self, link_id: str) -> set[str]:
        """The types of which an export of everything of them had files, and its server no more to say.

        One of some types speaks of those alone whose Patient is in it: it may leave somebody out.
        """
        if any(record.warnings for record in self._records()):
            return set()
        return {
            record.type
            for one in self._exported
            if one.code is None and one.request.since is None
            if not one.request.types or any(PATIENT in record.links.get(link_id, {}) for record in one.records)
            for record in one.records
            if record.kind == "output" and record.type and record.type not in REFERENCED_TYPES
        }

    def _marks(self, link: LinkWork) -> Iterator[QueryRecord]:
        """The marks that move, as records that brought nothing."""
        marks: dict[str, str] = {}
        for one in self._exported:
            if one.code is None:
                marks |= bulk_marks.moved(link.watermarks, one.request, one.transaction_time, one.failed)
        for label, value in marks.items():
            yield QueryRecord(
                label=label,
                type=label.rpartition("=")[2] if "=" in label else EVERYTHING,
                file=None,
                mode="incremental" if label in link.watermarks else "full",
                status="complete",
                code=None,
                pages=0,
                resources=0,
                bytes=0,
                watermark=value,
            )

    def _outcomes(self, link_id: str, queries: Iterable[QueryRecord]) -> Iterator[Outcome]:
        """What went other than well, for this link: with a type, or with the export as a whole."""
        told: set[tuple[str, str]] = set()
        warnings = 0
        for one in self._exported:
            if one.code is not None:
                for kind in one.request.types:
                    told.add((one.code, kind))
            for record in one.records:
                warnings += record.warnings
                if record.code is not None:
                    told |= {(record.code, kind) for kind in record.failed or (EVERYTHING,)}
        for code, kind in sorted(told):
            named = None if kind == EVERYTHING else kind
            label = bulk_marks.ALL if named is None else bulk_marks.label_of(kind)
            yield Outcome(code=code, unit="type", resource_type=named, label=label, count=1)
        if warnings:
            yield Outcome(code="CH115", unit="type", resource_type=None, label=bulk_marks.ALL, count=warnings)
        for query in queries:
            for code, count in query.remarks.items():
                yield Outcome(code=code, unit="resource", resource_type=query.type, label=query.label, count=count)
        for kind in sorted({kind for record in self._records() for kind in record.withheld.get(link_id, ())}):
            yield Outcome(code="CH103", unit="type", resource_type=kind, label=kind, count=1)
