"""The servers of a batch: each one's `/metadata`, read once, whose it is, and what asking it shows on the way.

`/metadata` is asked for with the ETag of the night before; a server that has nothing new says so in a few bytes. What
it declares of `_lastUpdated` is not believed: before the first incremental search of a type, a search for what changed
in the far future has to be empty. Both are remembered from night to night.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from charthouse.errors import FetchError
from charthouse.partners.addresses import host_of, origin
from charthouse.partners.capability import Capability, fetch_statement, parse_capability
from charthouse.partners.knowledge import NOTHING_LEARNT, Knowledge, Learnt, digest_of
from charthouse.partners.paging import walk
from charthouse.partners.vendors import Vendor, vendor_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from charthouse.partners.http import Answer, HttpClient
    from charthouse.partners.search import Query

FAR_FUTURE: Final = "2199-01-01T00:00:00Z"
"""Nothing has changed since. Some servers refuse years that their databases cannot hold."""
_LOCKED: Final = frozenset({"CH102", "CH103"})
_SAYS_NOTHING: Final = frozenset({"CH101", "CH103", "CH109", "CH124", "CH140"})
"""Faults that tell nothing of whether a search is understood."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """What is remembered of a base: the statement's body with its ETag, and what was learnt of that statement."""

    statement: bytes = field(repr=False)
    etag: str | None = None
    digest: str = ""
    learnt: Learnt = NOTHING_LEARNT


class Memory(Protocol):
    """Where servers are remembered. Losing it costs requests, and nothing else."""

    def recall(self, base: str) -> Remembered | None: ...
    def keep(self, base: str, remembered: Remembered) -> None: ...


class NoMemory:
    """Forgets everything."""

    def recall(self, base: str) -> Remembered | None:  # noqa: ARG002
        """Nothing."""
        return None

    def keep(self, base: str, remembered: Remembered) -> None:
        """Nothing is kept."""


class Server:
    """One server while a batch runs; shared by its threads."""

    def __init__(self, base: str, offer: Capability, remembered: Remembered, memory: Memory) -> None:
        self.base = base
        self.offer = offer
        self.vendor: Vendor = vendor_of(base, offer)
        self._remembered = remembered
        self._memory = memory
        self._lock = threading.Lock()
        self._probes: dict[str, threading.Lock] = {}

    @property
    def knowledge(self) -> Knowledge:
        """What a plan may rest on, as it is known by now."""
        return Knowledge(self.vendor, self._remembered.learnt)

    def probed(self, queries: Iterable[Query], ask: Callable[[str], Answer]) -> Knowledge:
        """What is known once each type that is about to be asked for by date has been tried, where nobody knows.

        The first link that needs to know asks, and the others wait for it. A type of which no answer tells anything is
        taken for one that does not work, for this time.

        Raises:
            LinkStoppedError: as `ask`.
        """
        asked = {query.type: query for query in reversed(list(queries)) if query.incremental}
        unsure: dict[str, bool] = {}
        for kind, query in asked.items():
            with self._lock:
                lock = self._probes.setdefault(kind, threading.Lock())
            with lock:
                if self.knowledge.filters_by_date(kind) is not None:
                    continue
                works = _filters(self.base, query, ask)
                if works is None:
                    unsure[kind] = False
                else:
                    self._learn(partial(Learnt.with_last_updated, resource_type=kind, works=works))
        known = self.knowledge
        return replace(known, learnt=known.learnt.doubting(unsure)) if unsure else known

    def splits(self, resource_type: str) -> None:
        """A type was refused whole, and had by its parts."""
        self._learn(partial(Learnt.with_parts, resource_type=resource_type))

    def _learn(self, change: Callable[[Learnt], Learnt]) -> None:
        with self._lock:
            self._remembered = replace(self._remembered, learnt=change(self._remembered.learnt))
            self._memory.keep(self.base, self._remembered)


class Servers:
    """The servers of a batch. `/metadata` is read once a base; one that cannot be read is not asked by every link."""

    def __init__(self, client: HttpClient, memory: Memory | None = None) -> None:
        self._client = client
        self._memory: Memory = memory or NoMemory()
        self._known: dict[str, Server | FetchError] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def of(self, base_url: str, token: str) -> Server:
        """The server at a base.

        Raises:
            FetchError: as `fetch_statement`; CH112 if what came is no CapabilityStatement of R4.
        """
        with self._lock:
            lock = self._locks.setdefault(base_url, threading.Lock())
        with lock:
            known = self._known.get(base_url)
            if known is None:
                try:
                    known = self._read(base_url, token)
                except FetchError as error:
                    if error.code in _LOCKED:
                        raise  # it is this link's token that the server did not like
                    known = error
                self._known[base_url] = known
                if isinstance(known, Server):
                    self._pace(known)
        if isinstance(known, FetchError):
            raise FetchError(known.code, where=known.where, what=known.what)
        return known

    def _pace(self, server: Server) -> None:
        """Keep to the rate that the vendor is known to permit."""
        rate, home = server.vendor.requests_per_minute, origin(server.base)
        if rate is not None and home is not None:
            self._client.hosts.pace(host_of(home), rate.value / 60)

    def _read(self, base: str, token: str) -> Server:
        before = self._memory.recall(base)
        answer = fetch_statement(self._client, base, token=token, etag=before.etag if before else None)
        if before is not None and answer.unchanged:
            return Server(base, parse_capability(before.statement), before, self._memory)
        offer = parse_capability(answer.body)
        digest = digest_of(offer)
        learnt = before.learnt if before is not None and before.digest == digest else NOTHING_LEARNT
        now = Remembered(answer.body, answer.etag, digest, learnt)
        self._memory.keep(base, now)
        return Server(base, offer, now, self._memory)


def _filters(base: str, query: Query, ask: Callable[[str], Answer]) -> bool | None:
    """Whether a search for what changed in the far future is empty; None where the answer tells nothing."""
    future = replace(query, watermark=FAR_FUTURE, options=(("_count", "1"),))
    try:
        page = next(iter(walk(ask, base, future, 1)))
    except FetchError as error:
        return None if error.code in _SAYS_NOTHING else False
    return not page.resources and not page.broken
