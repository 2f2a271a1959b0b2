"""The fetch of one link: its queries side by side, then what the person's resources point at."""

from __future__ import annotations

import threading
from concurrent.futures import wait
from contextlib import contextmanager
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final

from charthouse import faults
from charthouse.errors import FetchError
from charthouse.log import get_logger
from charthouse.partners.scopes import parse_scopes
from charthouse.partners.search import LinkPlan, plan_link
from charthouse.sync import account, documents, landing, vanished
from charthouse.sync.asking import Asker
from charthouse.sync.harvest import Harvest
from charthouse.sync.link_token import LinkStoppedError, LinkToken
from charthouse.sync.referenced import Pointers, ReferenceFetch
from transforms.bundles import read_page, resource_stub

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Executor, Future
    from contextlib import AbstractContextManager
    from datetime import datetime
    from pathlib import Path
    from typing import TypeAlias

    from charthouse.partners.capability import Capability
    from charthouse.partners.http import HttpClient
    from charthouse.partners.knowledge import Knowledge
    from charthouse.partners.page_sizes import PageSizes
    from charthouse.partners.search import Query, TypePlan
    from charthouse.settings import Settings
    from charthouse.sync.landing import Manifest, QueryRecord
    from charthouse.sync.link_job import LinkJob, TokenSource
    from charthouse.sync.servers import Server

    Presence: TypeAlias = Callable[[str], AbstractContextManager[bool]]

GIVE_UP_AFTER: Final = 4
"""Queries in a row that found nobody at home (CH101, CH109, CH140) before the link is left for the next night."""
log = get_logger(__name__)
_NOBODY_HOME: Final = frozenset({"CH101", "CH109", "CH140"})


@contextmanager
def always(_link_id: str) -> Iterator[bool]:
    """Every link is there."""
    yield True


class LinkFetch:
    """Fetches one link into its folder, its queries in the threads of `pool`. Used once."""

    def __init__(
        self,
        job: LinkJob,
        folder: Path,
        client: HttpClient,
        server_of: Callable[[str, str], Server],
        tokens: TokenSource,
        settings: Settings,
        pool: Executor,
        sizes: PageSizes,
        present: Presence | None = None,
    ) -> None:
        self._job = job
        self._base_url = job.base_url.rstrip("/")
        self._folder = folder
        self._server_of = server_of
        self._settings = settings
        self._pool = pool
        self._present = present or always
        self._token = LinkToken(job.link_id, tokens, client)
        self._pointers = Pointers(self._base_url)
        self._asker = Asker(
            self._base_url, client, self._token, sizes, self._pointers.note, settings.max_pages, job.origins
        )
        self._plan = LinkPlan((), {})
        self._records: dict[str, QueryRecord] = {}
        self._half_way: dict[str, landing.Begun] = {}
        self._numbers: dict[str, int] = {}
        self._not_offered: set[str] = set()
        self._not_found: set[tuple[str, str]] = set()
        self._lacking: set[str] = set()
        self._nobody_home = 0
        self._stopped: str | None = None
        self._lock = threading.Lock()

    def run(self) -> Manifest | None:
        """Fetch what is not there yet and close the landing with its manifest; None where the link is gone by then."""
        done = landing.read_manifest(self._folder)
        if done is not None:
            return done
        with self._present(self._job.link_id) as here:
            if not here:
                return None
            records, self._half_way = landing.resume(self._folder)
            self._journal = landing.Journal(self._folder)
        try:
            with self._journal:
                return self._fetch(records)
        except FileNotFoundError:
            if self._folder.exists():
                raise
            return None  # its person, or the link alone, was erased under our hands

    def _fetch(self, records: list[QueryRecord]) -> Manifest | None:
        self._take_up(records)
        try:
            self._ask_everything()
        except LinkStoppedError as error:
            self._stopped = error.code
        except OSError:
            raise  # the landing cannot be written: no link's matter
        except Exception:
            # What nobody thought of costs this link, and not the hundred beside it.
            log.exception("the fetch of a link broke", link_id=self._job.link_id)
            self._stopped = "CH126"
        if self._stopped is not None:
            self._give_up_the_rest(self._stopped)
        ordered = sorted(self._records.values(), key=lambda record: self._numbers.get(record.label, len(self._numbers)))
        manifest = account.manifest(self._job.link_id, self._plan, ordered, self._not_offered, self._stopped)
        faults.point("fetch.marker")
        with self._present(self._job.link_id) as here:
            if not here:
                return None
            vanished.write_not_found(self._folder, self._not_found)
            documents.write(self._folder, self._lacking)
            landing.write_manifest(self._folder, manifest)
        faults.point("fetch.link")
        return manifest

    def _take_up(self, records: list[QueryRecord]) -> None:
        """Go on where a killed fetch was: its finished queries count, and what they point at is found again."""
        for record in records:
            self._records[record.label] = record
            if record.file is None:
                continue
            for body in landing.read_pages(self._folder / record.file):
                for entry in read_page(body).entries:
                    kind, name, _ = resource_stub(entry.raw)
                    self._pointers.note(entry.raw, [(kind, name)])

    def _ask_everything(self) -> None:
        try:
            server = self._token.used(lambda token: self._server_of(self._base_url, token))
        except FetchError as error:
            raise LinkStoppedError(error.code) from None
        before = server.knowledge
        self._plan = self._planned(server.offer, before)
        known = server.probed(self._plan.queries(), self._asker.get)
        if known != before:
            self._plan = self._planned(server.offer, known)
        self._number_queries()
        self._ask_types(self._plan.types)
        for kind in account.had_by_parts(self._plan, self._records):
            server.splits(kind)
        references = ReferenceFetch(
            self._asker,
            self._pointers,
            server.offer,
            self._plan,
            self._folder,
            self._settings.page_size,
            self._settings.max_pages,
            self._settings.attachment_bytes,
            self._job.held,
            self._job.missing,
        )
        try:
            references.run(self._close)
        finally:
            self._not_offered, self._not_found = references.not_offered, references.not_found
            self._lacking = references.lacking

    def _planned(self, offer: Capability, knowledge: Knowledge) -> LinkPlan:
        scopes = parse_scopes(self._job.granted_scopes or "")
        size = self._settings.page_size
        patient, marks, overlap = self._job.patient_id, self._job.watermarks, self._settings.overlap_seconds
        anew = marks.keys() if self._job.whole else self._job.owed
        return plan_link(offer, patient, scopes, marks, size, knowledge, overlap, anew)

    def _number_queries(self) -> None:
        """Give each query its place in the plan, by which its file is named, behind what a killed fetch has named."""
        taken = [record.file for record in self._records.values() if record.file] + [
            half.file for half in self._half_way.values()
        ]
        first = max((int(name.partition(".")[0]) + 1 for name in taken), default=0)
        for query in self._plan.queries():
            self._numbers.setdefault(query.label, first + len(self._numbers))

    def _ask_types(self, types: Sequence[TypePlan]) -> None:
        """Ask the types side by side: each whole, or by its parts where that is turned away.

        Raises:
            LinkStoppedError: one of them found that nothing more can be had; those under way have ended.
        """
        done: SimpleQueue[tuple[TypePlan, Query, Future[QueryRecord]]] = SimpleQueue()
        under_way: set[Future[QueryRecord]] = set()

        def begin(plan: TypePlan, query: Query) -> None:
            future = self._pool.submit(self._ask, query)
            under_way.add(future)
            future.add_done_callback(lambda ended: done.put((plan, query, ended)))

        try:
            for plan in types:
                for query in [plan.whole] if plan.whole is not None else plan.parts:
                    begin(plan, query)
            while under_way:
                plan, query, ended = done.get()
                under_way.remove(ended)
                if ended.result().status in account.TURNED_AWAY and query is plan.whole:
                    for part in plan.parts:
                        begin(plan, part)
        finally:
            for future in under_way:
                future.cancel()
            wait(under_way)

    def _ask(self, query: Query) -> QueryRecord:
        """One query to its end, and its record in the journal. What is in the journal already is not asked again.

        Raises:
            LinkStoppedError: nothing more can be had of the link.
        """
        known = self._records.get(query.label)
        if known is not None:
            return known
        if self._stopped is not None:
            raise LinkStoppedError(self._stopped)
        left = self._half_way.get(query.label)
        name = left.file if left is not None else landing.file_name(self._numbers[query.label], query.label)

        def begun(as_of: datetime | None) -> None:
            self._journal.note(landing.Begun(query.label, name, as_of))

        try:
            record = self._close(self._asker.ask(query, self._folder / name, left=left, begun=begun))
        except LinkStoppedError as error:
            self._stopped = self._stopped or error.code
            if error.harvest is not None:
                self._close(error.harvest)
            raise
        with self._lock:
            self._nobody_home = self._nobody_home + 1 if record.code in _NOBODY_HOME and not record.pages else 0
            if self._nobody_home >= GIVE_UP_AFTER and record.code is not None:
                self._stopped = self._stopped or record.code
                raise LinkStoppedError(record.code)
        return record

    def _close(self, harvest: Harvest) -> QueryRecord:
        record = harvest.close()
        with self._lock:
            self._records[record.label] = record
            self._journal.note(record)
        faults.point("fetch.query")
        return record

    def _give_up_the_rest(self, code: str) -> None:
        for plan in self._plan.types:
            for query in [plan.whole] if plan.whole is not None else plan.parts:
                if query.label not in self._records:
                    harvest = Harvest(query, self._folder / "none")
                    harvest.fail(code)
                    self._records[query.label] = harvest.close()
