"""HTTP towards a partner's own API, which is told things, beside its FHIR server, which is only read.

Answers are JSON, end and are small; nothing of them is quoted. Each host is asked at the partner's rate, whoever asks.
"""

from __future__ import annotations

import http.client
import math
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import urllib3
from urllib3.util import parse_url

from charthouse.errors import FetchError
from charthouse.partners.addresses import Reach, host_of, origin
from charthouse.partners.discovery import read_object
from charthouse.partners.host_book import MemoryBook
from charthouse.partners.hosts import Hosts
from charthouse.partners.pacing import pause, retry_after
from charthouse.partners.transport import NotReachedError, PrivateAddressError, bounded_pool, target_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from urllib3.connectionpool import HTTPConnectionPool

    from charthouse.partners.addresses import Origin
    from charthouse.settings import Settings

MOST: Final = 16 * 2**20
"""Most bytes of one answer."""
_TRY_AGAIN: Final = frozenset({408, 425, 429, *range(500, 600)} - {501})
_LOST: Final = (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: its status, and its body if that is a JSON object."""

    status: int
    said: Mapping[str, Any] = field(repr=False)


class PartnerHttp:
    """Sends to a partner's API. Safe between threads. `pace` is in requests a second, for each host.

    `only_read` is its FHIR base, below which nothing is sent from here; None where it has none.
    """

    def __init__(self, settings: Settings, pace: float, only_read: str | None, hosts: Hosts | None = None) -> None:
        self._only_read = None if only_read is None else only_read.rstrip("/")
        self._settings = settings
        self._pace = pace
        self.hosts = hosts or Hosts(MemoryBook(), settings)
        self._pools: dict[Origin, tuple[HTTPConnectionPool, bool]] = {}
        self._lock = threading.Lock()
        self.requests = 0

    def send(self, method: str, url: str, body: bytes, headers: Mapping[str, str], *, again: bool = True) -> Reply:
        """Send a request and read its answer, with as many tries as the settings permit; once, without `again`.

        Raises:
            FetchError: CH176 where no answer came that makes sense, CH140, CH141 for the host, CH179 for no address.
        """
        there = origin(url)
        if there is None:
            raise FetchError("CH179", what="an address of the partner's is none")
        if self._only_read is not None and _is_below(url, self._only_read):
            raise FetchError("CH179", what="its FHIR server is only read")
        host = host_of(there)
        self.hosts.pace(host, self._pace)
        tries = self._settings.request_tries if again else 1
        for attempt in range(1, tries + 1):
            self.hosts.enter(host, math.inf)
            status, asked = None, None
            try:
                answer = self._once(method, url, there, body, headers)
            except _LOST:
                pass
            else:
                status = answer.status
                if status not in _TRY_AGAIN:
                    self.hosts.answered(host)
                    return Reply(status, read_object(answer.data) or {})
                asked = retry_after(answer.headers.get("Retry-After"), answer.headers.get("Date"))
            self.hosts.failed(host)
            if attempt < tries:
                wait = pause(attempt, status, asked)
                seconds = min(wait.seconds, self._settings.retry_wait_max)
                if wait.all:
                    self.hosts.busy(host, seconds)
                else:
                    time.sleep(seconds)
        raise FetchError("CH176", where=host)

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            for pool, _ in self._pools.values():
                pool.close()
            self._pools.clear()

    def _once(self, method: str, url: str, there: Origin, body: bytes, headers: Mapping[str, str]) -> _Answer:
        with self._lock:
            self.requests += 1
        try:
            pool, proxied = self._pool(url, there)
            answer = pool.urlopen(
                method,
                target_in(url, proxied=proxied),
                body=body or None,
                headers={"User-Agent": "charthouse", "Accept": "application/json", **headers},
                timeout=urllib3.Timeout(self._settings.connect_timeout, self._settings.request_timeout),
                retries=False,
                redirect=False,
                preload_content=False,
            )
        except (NotReachedError, PrivateAddressError):
            raise FetchError("CH141", where=host_of(there)) from None
        except (urllib3.exceptions.LocationValueError, UnicodeError, ValueError):
            raise FetchError("CH179", what="an address of the partner's is none") from None
        said = answer.read(MOST + 1, decode_content=True)
        answer.release_conn()
        if len(said) > MOST:
            raise FetchError("CH176", where=host_of(there), what="its answer has no end")
        return _Answer(answer.status, answer.headers, said)

    def _pool(self, url: str, there: Origin) -> tuple[HTTPConnectionPool, bool]:
        with self._lock:
            if there not in self._pools:
                threads, whole = self._settings.fetch_threads, self._settings.page_timeout
                pool, target = bounded_pool(url, threads, whole=whole, reach=Reach.of(self._settings))
                self._pools[there] = pool, target == url
            return self._pools[there]


class _Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    data: bytes


def _is_below(url: str, base: str) -> bool:
    """Whether a URL leads to a base or below it, however either is written (RFC 3986 §6.2.2)."""
    paths = [f"{(parse_url(one).path or '').rstrip('/')}/".lower() for one in (url, base)]
    return origin(url) == origin(base) and paths[0].startswith(paths[1])
