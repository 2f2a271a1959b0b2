"""The fetch of a batch through a partner: each person's records in one stream, sorted to their links as they come.

A stream can be killed anywhere: its spool has what came, and the next try goes on behind it. A person's links are
closed together, by their markers; until then no part of a stream counts. Nothing of another person's lands
(`charthouse.sync.network_sorting`).
"""

from __future__ import annotations

import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING, Final

import msgspec
from sqlalchemy import select

from charthouse import faults
from charthouse.errors import CharthouseError, FetchError
from charthouse.files import write_whole
from charthouse.lake import vault
from charthouse.lake.session import open_vault
from charthouse.linking import found_providers
from charthouse.linking.identity import identity_of
from charthouse.linking.network_accounts import network_of, who_is
from charthouse.linking.people import get_person
from charthouse.log import get_logger
from charthouse.partners import everything
from charthouse.partners.bulk_http import BulkHttp
from charthouse.state import session as state_session
from charthouse.state.network import FoundProvider, NetworkPerson
from charthouse.sync import landing, network_marks
from charthouse.sync.bulk_landing import FOLDER, ExportFolder
from charthouse.sync.bulk_shared import SharedResources
from charthouse.sync.network_closing import Brought, close_links
from charthouse.sync.network_sorting import StreamSorter

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    import duckdb

    from charthouse.linking.links import LinkWork
    from charthouse.partners.hosts import Hosts
    from charthouse.partners.network import Network, Who
    from charthouse.settings import Settings
    from charthouse.sync.batches import Batch
    from charthouse.sync.fetch_link import Presence

SPOOL: Final = "stream.ndjson"
ASIDE: Final = "aside.ndjson"
BEGUN: Final = "begun.json"
log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class StreamSummary:
    """What a batch brought: links, entries landed, requests sent, and resources that were passed over."""

    links: int = 0
    resources: int = 0
    requests: int = 0
    left_out: int = 0


class Begun(msgspec.Struct, frozen=True):
    """A stream that has begun: from when on it was asked for, and when, by the partner's clock."""

    since: str | None
    as_of: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Known:
    """What the state knows of a person at a partner: who they are there, and patients that are no link."""

    who: Who
    partner_person_id: str
    retrieved: frozenset[str]
    elsewhere: frozenset[str]


def stream_batch(
    batch: Batch,
    work: Sequence[LinkWork],
    partner: str,
    settings: Settings,
    *,
    present: Presence,
    on_link: Callable[[int], None] = lambda _: None,
    hosts: Hosts | None = None,
) -> StreamSummary:
    """Land what a partner streams of these links' people, and close each link's landing.

    Raises:
        OSError: the landing cannot be written. Nothing that a partner does raises.
    """
    open_links = []
    for link in work:
        folder = batch.folder / link.link_id
        manifest = landing.read_manifest(folder)
        if manifest is not None:
            on_link(manifest.resources)
            continue
        with present(link.link_id) as here:
            if here:
                folder.mkdir(parents=True, exist_ok=True)
                open_links.append(link)
    if not open_links:
        return StreamSummary(len(work))
    by_person = [list(some) for _, some in groupby(open_links, key=lambda link: link.person_key)]
    try:
        network = network_of(partner, settings, hosts)
    except CharthouseError as error:
        return _failed(batch, by_person, error.code, present, on_link)
    base = open_links[0].fhir_base_url
    began = time.monotonic()
    try:
        with (
            _Held() as held,
            BulkHttp(settings, base, hosts=hosts) as http,
            ThreadPoolExecutor(settings.bulk_threads, "stream") as pool,
        ):

            def one(links: list[LinkWork]) -> tuple[int, int]:
                fetch = _PersonStream(batch, links, network, http, held, settings)
                return fetch.run(present, on_link, lambda: time.monotonic() - began > settings.fetch_time_max)

            done = list(pool.map(one, by_person))
            requests = http.requests
    finally:
        network.close()
    shutil.rmtree(batch.folder / FOLDER, ignore_errors=True)
    return StreamSummary(len(work), sum(each[0] for each in done), requests, sum(each[1] for each in done))


class _Held:
    """What the vault holds of a batch's links: opened once for all its people, when the first needs to know."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stack = ExitStack()
        self._connection: duckdb.DuckDBPyConnection | None = None

    def by_key(self, link_ids: Collection[str], keys: Iterable[str]) -> dict[str, set[str]]:
        """The links that hold each of these resources (`Type/id`)."""
        pairs = {(kind, name) for kind, _, name in (key.partition("/") for key in keys)}
        with self._lock:
            theirs = vault.holders(self._opened(), list(link_ids), pairs)
        found: dict[str, set[str]] = {}
        for link_id, held in theirs.items():
            for kind, name in held:
                found.setdefault(f"{kind}/{name}", set()).add(link_id)
        return found

    def types(self, link_ids: Collection[str]) -> dict[str, set[str]]:
        """The types that each of these links holds."""
        with self._lock:
            return vault.types_of(self._opened(), list(link_ids)) if link_ids else {}

    def _opened(self) -> duckdb.DuckDBPyConnection:
        if self._connection is None:
            self._connection = self._stack.enter_context(open_vault(read_only=True))
        return self._connection

    def __enter__(self) -> _Held:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


class _PersonStream:
    """One person's stream. Used once."""

    def __init__(
        self,
        batch: Batch,
        links: list[LinkWork],
        network: Network,
        http: BulkHttp,
        held: _Held,
        settings: Settings,
    ) -> None:
        self._held = held
        self._batch = batch
        self._links = links
        self._network = network
        self._http = http
        self._settings = settings
        self._folder = batch.folder / FOLDER / links[0].person_key
        self._export = ExportFolder(batch.folder, links)

    def run(self, present: Presence, on_link: Callable[[int], None], ends: Callable[[], bool]) -> tuple[int, int]:
        """Stream, sort and close. Returns the entries landed, and the resources that were passed over."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._tidy()
        shared = SharedResources(self._folder)
        try:
            try:
                brought, left_out = self._brought(shared, ends)
            except CharthouseError as error:
                log.warning("a person's stream could not be read", code=error.code, where=error.where)
                brought, left_out = Brought(code=error.code), 0
            landed = close_links(self._export, shared, brought, self._links[0].fhir_base_url, present, on_link)
        finally:
            shared.close()
        shutil.rmtree(self._folder, ignore_errors=True)
        return landed, left_out

    def _brought(self, shared: SharedResources, ends: Callable[[], bool]) -> tuple[Brought, int]:
        known = self._known()
        since = self._since()
        base, held = self._links[0].fhir_base_url, self._held_before(whole=since is None)
        sorter = StreamSorter(self._export, shared, base, known.elsewhere, held, self._folder / ASIDE)
        streamed = self._received(known, since, sorter, ends)
        sorter.finish()
        faults.point("stream.read")
        brought = Brought(
            code=streamed.code,
            since=since,
            mark=network_marks.mark_of(streamed.as_of or self._begun(since).as_of),
            warnings=streamed.warnings,
            links=sorter.links,
            failed=sorter.failed,
            torn=sorter.torn,
            withheld=sorter.withheld_by_link,
            not_permitted=sorter.not_permitted,
            foreign=sorter.foreign,
            retrieved=known.retrieved,
            held_types=self._held_types() if since is None else {},
        )
        return brought, sorter.left_out

    # -- the stream -------------------------------------------------------------------------------------------------

    def _received(
        self, known: _Known, since: str | None, sorter: StreamSorter, ends: Callable[[], bool]
    ) -> everything.Streamed:
        begun = self._begun(since)
        stream = self._network.everything(known.who, known.partner_person_id, since)
        streamed = everything.receive(self._http, stream, sorter, self._folder / SPOOL, self._settings, ends=ends)
        if streamed.as_of is not None and begun.as_of is None:
            write_whole(self._folder / BEGUN, msgspec.json.encode(Begun(since, streamed.as_of)))
        return streamed

    def _begun(self, since: str | None) -> Begun:
        """What was noted when the stream began; one that was asked for otherwise is begun anew."""
        try:
            begun = msgspec.json.decode((self._folder / BEGUN).read_bytes(), type=Begun)
        except (OSError, msgspec.DecodeError):
            begun = None
        if begun is None or begun.since != since:
            (self._folder / SPOOL).unlink(missing_ok=True)
            begun = Begun(since)
            write_whole(self._folder / BEGUN, msgspec.json.encode(begun))
        return begun

    def _since(self) -> str | None:
        """From when on the stream is asked for; None for everything."""
        if any(link.link_id in self._batch.whole for link in self._links):
            return None
        return network_marks.since([link.watermarks for link in self._links], self._settings.overlap_seconds)

    def _tidy(self) -> None:
        """Take away what a killed try has sorted: it is sorted again, from the spool."""
        (self._folder / "shared.sqlite").unlink(missing_ok=True)
        for suffix in ("-wal", "-shm"):
            (self._folder / f"shared.sqlite{suffix}").unlink(missing_ok=True)
        for link in self._links:
            folder = self._batch.folder / link.link_id
            for file in [*folder.glob("*.part"), *landing.page_files(folder)]:
                file.unlink(missing_ok=True)

    # -- what is known ----------------------------------------------------------------------------------------------

    def _known(self) -> _Known:
        person_key = self._links[0].person_key
        mine = {link.link_id for link in self._links}
        with state_session(self._settings, read_only=True) as state:
            identity = identity_of(get_person(state, person_key), self._settings)
            row = state.get(NetworkPerson, person_key)
            found = list(state.scalars(select(FoundProvider).where(FoundProvider.person_key == person_key)))
        if identity is None or row is None or row.partner_person_id is None:
            raise FetchError("CH177", what="the person is not known to the partner")
        return _Known(
            who=who_is(person_key, identity),
            partner_person_id=row.partner_person_id,
            retrieved=frozenset(one.link_id for one in found if one.link_id and found_providers.is_retrieved(one)),
            elsewhere=frozenset(one.patient_id for one in found if one.patient_id and one.link_id not in mine),
        )

    def _held_before(self, *, whole: bool) -> Callable[[set[str]], dict[str, set[str]]]:
        """For which of the links the vault holds resources (`Type/id`) that a stream of what is new need not bring."""
        return lambda keys: self._held.by_key(self._export.links, keys) if keys and not whole else {}

    def _held_types(self) -> dict[str, set[str]]:
        """The types that the vault holds, of the links that were read before."""
        read = [link.link_id for link in self._links if link.watermarks or link.read_whole_at is not None]
        return self._held.types(read)


def _failed(
    batch: Batch,
    by_person: list[list[LinkWork]],
    code: str,
    present: Presence,
    on_link: Callable[[int], None],
) -> StreamSummary:
    """Close all links as failed: the partner could not be asked at all."""
    for links in by_person:
        export = ExportFolder(batch.folder, links)
        close_links(export, None, Brought(code=code), links[0].fhir_base_url, present, on_link)
    return StreamSummary(sum(map(len, by_person)))
