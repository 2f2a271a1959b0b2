"""The fetch of a batch by Bulk Data export: kick-off, waiting, files, and the closing of each link's landing.

Everything can be killed. The state knows the job at the server, the journal which of its files are read, and the
markers which links are closed; run again, the fetch goes on from there. How to wait for a server is the caller's: a
task of Airflow gives its slot back meanwhile.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from charthouse import faults
from charthouse.errors import CharthouseError, FetchError
from charthouse.lake import vault
from charthouse.lake.session import open_vault
from charthouse.linking.bulk_sources import export_of
from charthouse.log import get_logger
from charthouse.partners.backend_services import SystemTokens
from charthouse.partners.bulk import BulkClient, JobGoneError, Manifest, Waiting
from charthouse.partners.bulk_files import Received, receive
from charthouse.partners.bulk_http import BulkHttp
from charthouse.partners.discovery import read_object
from charthouse.partners.http import HttpClient
from charthouse.settings import get_settings
from charthouse.state import session as state_session
from charthouse.state.base import now
from charthouse.state.seals import sealer_of
from charthouse.sync import bulk_jobs, bulk_marks, landing
from charthouse.sync.bulk_closing import Closing
from charthouse.sync.bulk_landing import (
    Deletions,
    ExportFolder,
    FileRecord,
    Outcomes,
    Sorter,
)
from charthouse.sync.bulk_log import BulkLog
from charthouse.sync.bulk_marks import EVERYTHING
from charthouse.sync.bulk_shared import SharedResources
from charthouse.sync.bulk_shelf import SealedShelf
from transforms import ndjson

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from typing import Any, TypeAlias

    from charthouse.linking.bulk_sources import Export
    from charthouse.linking.links import LinkWork
    from charthouse.partners.bulk import Begun, ExportRequest
    from charthouse.partners.bulk_manifest import ExportFile
    from charthouse.partners.hosts import Hosts
    from charthouse.settings import Settings
    from charthouse.sync.batches import Batch
    from charthouse.sync.bulk_jobs import Job
    from charthouse.sync.fetch_link import Presence

    Wait: TypeAlias = Callable[[datetime], None]
    """Wait until an instant. It may raise to come back later."""

MOST_STUMBLES: Final = 8
"""Looks in a row that brought no proper answer before an export counts as failed."""
MOST_OUTAGES: Final = 60
"""Looks in a row, a minute apart, for which no token was to be had before the job is left for the next night."""
MOST_JOBS: Final = 2
"""How often a batch asks for the same export: one that failed, or is gone, is asked for once more."""
LOST: Final = frozenset({"CH152", "CH153", "CH156"})
"""What ends a job. Whatever else goes wrong, the job lives, and the next night takes it up."""
FORGOTTEN_AFTER: Final = timedelta(days=3)
"""A job that nobody has taken up for so long is given back to the server."""
NUMBERS: Final = 100_000
"""Files of the second export of a batch are numbered from here."""
_PARTIAL: Final = {"allowPartialManifests": "true"}
log = get_logger(__name__)


@dataclass(slots=True)
class Exported:
    """What became of one export: its job's instant, its files, and the number of what went wrong with all of it."""

    request: ExportRequest
    transaction_time: str | None = None
    records: list[FileRecord] = field(default_factory=list)
    code: str | None = None

    @property
    def failed(self) -> set[str]:
        """The types that it leaves behind; `*` where nobody knows which."""
        return {kind for record in self.records for kind in record.failed}


@dataclass(frozen=True, slots=True)
class BulkSummary:
    """What a batch brought: links, entries landed, requests sent, and resources of others that were passed over."""

    links: int
    resources: int
    requests: int
    left_out: int


def sleep_until(moment: datetime) -> None:
    """Wait in this process."""
    time.sleep(max(0.0, (moment - now()).total_seconds()))


def export_batch(
    batch: Batch,
    work: Sequence[LinkWork],
    export: Export,
    settings: Settings,
    *,
    wait: Wait,
    present: Presence,
    on_link: Callable[[], None] = lambda: None,
    hosts: Hosts | None = None,
) -> BulkSummary:
    """Land what a provider's exports hold of these links, and close each link's landing.

    Raises:
        OSError: the landing cannot be written. Nothing that a provider does raises; `wait` may.
    """
    open_links = []
    for link in work:
        folder = batch.folder / link.link_id
        if landing.read_manifest(folder) is not None:
            on_link()
            continue
        with present(link.link_id) as here:
            if here:
                folder.mkdir(parents=True, exist_ok=True)
                open_links.append(link)
    if not open_links:
        return BulkSummary(len(work), 0, 0, 0)
    more = (export.file_origin,) if export.file_origin else ()
    with BulkHttp(settings, export.base_url, more, hosts) as http:
        client = _client(http, export, settings)
        fetch = _BatchExport(batch, open_links, export, client, settings, wait)
        try:
            exported = [fetch.run(number, request) for number, request in enumerate(fetch.requests)]
            closing = Closing(fetch.folder, fetch.shared, exported, export, client, settings)
            resources = closing.close(present, on_link)
        finally:
            fetch.shared.close()
        fetch.folder.close()
        return BulkSummary(
            links=len(work),
            resources=resources,
            requests=http.requests,
            left_out=sum(record.left_out for one in exported for record in one.records),
        )


def cancel(job_id: str) -> None:
    """Give a job up, here and at the provider's server. One that has ended stays as it is.

    Raises:
        FetchError: CH156 for a job that is not known, or has ended.
    """
    settings = get_settings()
    with state_session(settings, read_only=True) as state:
        job = bulk_jobs.get_job(state, job_id, settings)
        export = export_of(state, job.provider, settings) if job is not None else None
    if job is None or job.status != "begun":
        raise FetchError("CH156", where=f"export {job_id}")
    if export is not None:
        with BulkHttp(settings, export.base_url) as http:
            _client(http, export, settings).remove(job.status_url)
    bulk_jobs.end(job, "left", settings)


def _client(http: BulkHttp, export: Export, settings: Settings) -> BulkClient:
    tokens = None
    if export.client is not None:
        tokens = SystemTokens(settings, export.base_url, export.client, export.scope)
    return BulkClient(http, export.base_url, tokens, settings)


class _BatchExport:
    """The exports of one batch. Used once."""

    def __init__(
        self,
        batch: Batch,
        work: Sequence[LinkWork],
        export: Export,
        client: BulkClient,
        settings: Settings,
        wait: Wait,
    ) -> None:
        self._batch = batch
        self._export = export
        self._client = client
        self._settings = settings
        self._wait = wait
        self._began = time.monotonic()
        self.requests = bulk_marks.requests(
            export.level, [{} if link.link_id in batch.whole else link.watermarks for link in work]
        )
        self.folder = ExportFolder(batch.folder, work)
        jobs = [self._take_up(request) for request in self.requests]
        self.folder.tidy(job.id for job in jobs if job is not None)
        self.shared = SharedResources(self.folder.folder)

    def run(self, number: int, request: ExportRequest) -> Exported:
        """One export from its beginning, or from where it was, to its end."""
        while True:
            result = Exported(request)
            job = self._take_up(request)
            try:
                if job is None:
                    job = self._begin(request)
                if job.status != "done":
                    job = self._worked(job, number)
                result.records = self._records(job)
                if sum(record.lines for record in result.records) != job.lines:
                    raise JobGoneError  # an erasure took away what was noted of it
            except JobGoneError:
                result.code = "CH156"
            except FetchError as error:
                result.code = error.code
            if job is None:
                return result
            if result.code is None:
                result.transaction_time = job.transaction_time
                self._client.remove(job.status_url)
                return result
            log.warning("export failed", provider=self._export.provider, job=job.id, code=result.code)
            self._log(job.id).failed(result.code)
            if result.code not in LOST:
                return result  # the job lives; the next night takes it up
            bulk_jobs.end(job, "failed", self._settings, code=result.code)
            self._client.remove(job.status_url)
            others = [self._take_up(other) for other in self.requests if other != request]
            self.folder.tidy(other.id for other in others if other is not None)
            lost = bulk_jobs.failures(self._export.provider, self._batch.name, request, self._settings)
            if result.code == "CH153" or lost >= MOST_JOBS:
                return result

    # -- the job ----------------------------------------------------------------------------------------------------

    def _take_up(self, request: ExportRequest) -> Job | None:
        return bulk_jobs.take_up(self._export.provider, self._batch.name, request, self._settings)

    def _records(self, job: Job) -> list[FileRecord]:
        return [record for record in self.folder.records() if record.job == job.id]

    def _begin(self, request: ExportRequest) -> Job:
        for old in bulk_jobs.begun_before(self._export.provider, now() - FORGOTTEN_AFTER, self._settings):
            self._client.remove(old.status_url)
            bulk_jobs.end(old, "left", self._settings)
        options = _PARTIAL if self._export.partial_manifests else {}
        while isinstance(begun := self._client.kick_off(request, options), Waiting):
            self._look_at_the_clock()
            seconds = bulk_jobs.LONGEST_PAUSE if begun.after is None else min(begun.after, bulk_jobs.ASKED_AT_MOST)
            self._wait(now() + timedelta(seconds=seconds))
        job = bulk_jobs.begin(self._export.provider, self._batch.name, request, begun, self._settings)
        faults.point("export.begun")
        self._note_kickoff(job, begun, options)
        return job

    def _worked(self, job: Job, number: int) -> Job:
        """A job that is waited for, and whose files are read."""
        manifest = self._awaited(job)
        job = bulk_jobs.note_ready(job, manifest.transaction_time, len(manifest.files), self._settings)
        faults.point("export.ready")
        self._read(job, manifest, number)
        records = self._records(job)
        faults.point("export.read")
        return bulk_jobs.end(
            job,
            "done",
            self._settings,
            lines=sum(record.lines for record in records),
            left_out=sum(record.left_out for record in records),
        )

    def _awaited(self, job: Job) -> Manifest:
        shelf = SealedShelf(self.folder.folder, job.id, sealer_of(self._settings))
        while True:
            if job.next_poll_at > now():
                self._look_at_the_clock()
                self._wait(job.next_poll_at)
            found = self._client.status(job.status_url, shelf)
            if isinstance(found, Manifest):
                self._log(job.id).complete(found.pages)
                return found
            self._log(job.id).progress(found.percent, found.after)
            job = bulk_jobs.note_waiting(job, found, self._settings)
            if found.outage is not None and job.stumbles < MOST_OUTAGES:
                continue
            if found.outage is not None:
                raise FetchError(found.outage, where=self._client.http.where)
            if job.stumbles >= MOST_STUMBLES:
                raise FetchError("CH152", where=self._client.http.where, what="its status cannot be had")

    def _look_at_the_clock(self) -> None:
        """Raise where the night has waited long enough: it counts from when the batch was planned."""
        if time.time() - self._batch.planned_at > self._settings.bulk_wait_max:
            raise FetchError("CH157", where=self._client.http.where)

    # -- the files --------------------------------------------------------------------------------------------------

    def _read(self, job: Job, manifest: Manifest, number: int) -> None:
        """Read every file that the journal does not have, some side by side."""
        have = {record.number for record in self._records(job)}
        began = time.monotonic()
        todo = [
            (NUMBERS * number + place, file)
            for place, file in enumerate(manifest.files)
            # What is deleted is kept in no journal: whose it is, is looked up for all of it at once.
            if NUMBERS * number + place not in have and file.kind != "deleted"
        ]
        gone: set[tuple[str, str]] = set()
        spoilt = False
        for file in manifest.files:
            if file.kind == "deleted":
                pairs = self._read_deleted(job, file)
                gone |= pairs or set()
                spoilt = spoilt or pairs is None
        # Whose a Provenance is, is known when its targets are there.
        for last in (False, True):
            self._read_some(job, [one for one in todo if (one[1].type == ndjson.BY_TARGET) is last], manifest.own_base)
        self.folder.write_gone(number, self._whose(gone))
        if spoilt:
            place = NUMBERS * number + len(manifest.files)
            failed = (EVERYTHING,)
            self.folder.note(FileRecord(job=job.id, number=place, kind="deleted", type="", code="CH154", failed=failed))
        records = self._records(job)
        size, milliseconds = sum(record.bytes for record in records), int((time.monotonic() - began) * 1000)
        self._log(job.id).exported(len(records), sum(record.lines for record in records), size, milliseconds)

    def _read_some(self, job: Job, todo: Sequence[tuple[int, ExportFile]], own_base: str | None) -> None:
        """Read files side by side; each is noted when it has landed."""
        with ThreadPoolExecutor(self._settings.bulk_threads, "export") as pool:
            futures = [pool.submit(self._read_one, job, place, file, own_base) for place, file in todo]
            try:
                for future in as_completed(futures):
                    self.folder.note(future.result())
                    faults.point("export.file")
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _read_one(self, job: Job, number: int, file: ExportFile, own_base: str | None) -> FileRecord:
        """One file, read whole and landed; or the account of why not. One that is short, or torn, is read twice."""
        bases = (self._export.base_url, self._export.fhir_base_url, *([own_base] if own_base else []))
        sink = (
            Outcomes()
            if file.kind == "error"
            else Sorter(self.folder, self.shared, file, number, bases, partial(self._held_before, job))
        )
        received, code = self._received(job, file, sink)
        if received is not None and (sink.torn or _is_short(file, received)):
            received, code = self._received(job, file, sink)
            if received is not None and _is_short(file, received):
                code = "CH155"
        failed = set(sink.failed)
        if code is not None:
            failed.add(file.type if file.kind == "output" and file.type else EVERYTHING)
        if isinstance(sink, Outcomes):
            # Some servers give the count of what they could not export: what the file says is why, and is told.
            said = code if code != "CH155" or not sink.failed else None
            return FileRecord(
                job=job.id, number=number, kind=file.kind, type=file.type, code=said or _said(failed, "CH159"),
                failed=tuple(sorted(failed)), lines=sink.lines, warnings=sink.warnings,
            )  # fmt: skip
        sink.finish()
        return FileRecord(
            job=job.id,
            number=number,
            kind=file.kind,
            type=file.type,
            code=code or ("CH160" if sink.torn else _said(failed, "CH159")),
            failed=tuple(sorted(failed)),
            lines=sink.lines,
            bytes=received.size if received is not None else 0,
            kept=sink.kept,
            shared=sink.shared,
            left_out=sink.left_out,
            torn=sink.torn,
            own_base=own_base,
            links=sink.links,
            withheld={link_id: sorted(kinds) for link_id, kinds in sink.withheld.items()},
        )

    def _read_deleted(self, job: Job, file: ExportFile) -> set[tuple[str, str]] | None:
        sink = Deletions()
        _, code = self._received(job, file, sink)
        return sink.pairs if code is None and not sink.torn else None

    def _received(
        self, job: Job, file: ExportFile, sink: Sorter | Outcomes | Deletions
    ) -> tuple[Received | None, str | None]:
        told = self._log(job.id)
        told.requested(file)
        try:
            received = receive(self._client, file, sink, self._settings, ends=self._is_over)
        except FetchError as error:
            if error.code == "CH124":
                raise
            told.lost(file, error.code)
            return None, "CH154" if error.code in {"CH103", "CH104", "CH111"} else error.code
        told.received(file, received.lines, received.size)
        return received, None

    def _is_over(self) -> bool:
        return time.monotonic() - self._began > self._settings.fetch_time_max

    def _held_before(self, job: Job, keys: set[str]) -> dict[str, set[str]]:
        """The links for which earlier nights brought resources (`Type/id`); an export of everything brings its own."""
        if job.request.since is None or not keys:
            return {}
        pairs = {(kind, name) for kind, _, name in (key.partition("/") for key in keys)}
        found: dict[str, set[str]] = {}
        for link_id, held in self._whose(pairs).items():
            for kind, name in held:
                found.setdefault(f"{kind}/{name}", set()).add(link_id)
        return found

    def _whose(self, gone: set[tuple[str, str]]) -> dict[str, set[tuple[str, str]]]:
        """Of what is deleted, that which the vault holds of these links. The rest is nobody's we know."""
        if not gone:
            return {}
        with open_vault(read_only=True) as connection:
            return vault.holders(connection, list(self.folder.links), gone)

    # -- the log ----------------------------------------------------------------------------------------------------

    def _log(self, job_id: str) -> BulkLog:
        return BulkLog(self._settings.home / "logs" / "bulk" / self._export.provider / job_id, job_id)

    def _note_kickoff(self, job: Job, begun: Begun, options: dict[str, str]) -> None:
        software: dict[str, Any] = {}
        try:
            with HttpClient(self._settings) as client:
                said = read_object(client.get(f"{self._export.base_url.rstrip('/')}/metadata").body) or {}
        except CharthouseError:
            said = {}
        if isinstance(said.get("software"), dict):
            software |= said["software"]
        software["fhirVersion"] = said.get("fhirVersion")
        url = job.request.url(self._export.base_url, options)
        self._log(job.id).kickoff(url, job.request, software, begun.headers)


def _is_short(file: ExportFile, received: Received) -> bool:
    """Whether a file holds less than its manifest says, or stops within a line."""
    return (file.count is not None and received.lines < file.count) or (
        bool(received.open_end.strip()) and not ndjson.is_whole(received.open_end)
    )


def _said(failed: set[str], code: str) -> str | None:
    return code if failed else None
