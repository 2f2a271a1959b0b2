"""HTTP for a Bulk Data export: kick-off and status by GET, files as streams, and the two things that are no GET.

These are the kick-off at servers that take it by POST alone, and DELETE of one's own job; no other can be sent.

Answers are handed on with their status and headers, for the protocol (`charthouse.partners.bulk`) reads them all. A
token goes to the origins that the provider's settings name, and to no other.
"""

from __future__ import annotations

import http.client
import math
import threading
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import urllib3

from charthouse.errors import FetchError
from charthouse.partners.addresses import Reach, host_of, join, origin, within
from charthouse.partners.encodings import TooLargeError, TornError, UnknownEncodingError, unpacked
from charthouse.partners.host_book import MemoryBook
from charthouse.partners.hosts import Hosts
from charthouse.partners.http import MAX_REDIRECTS, UNCACHED
from charthouse.partners.transport import (
    NotReachedError,
    PrivateAddressError,
    ReadOnlyError,
    ReadOnlyLines,
    bounded_pool,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from charthouse.partners.addresses import Origin
    from charthouse.settings import Settings

MAX_ANSWER: Final = 64 * 2**20
"""Most bytes of a manifest page, or of what a server says in its place, unpacked."""
FILE_SECONDS: Final = 3600.0
"""A part of a file may take so long, as long as its bytes keep coming; then the rest is asked for."""
_CHUNK: Final = 2**18
_LITTLE: Final = 2**16
"""Bytes that are read of what a server says to a kick-off: its headers are what matters."""
_FHIR_JSON: Final = "application/fhir+json"
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_LOST: Final = (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError)


class LineLostError(Exception):
    """The answer did not come, or not whole. Another try may help."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, whatever its status. Header names are those of the standard, in any case."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    url: str = field(repr=False)


class BulkHttp:
    """Asks one provider's export. Safe between threads.

    `base_url` is the base that exports; `more_origins` are those beside it that may have its token. `hosts` is what all
    workers know of the hosts: how fast they may be asked, and whether they answer.
    """

    def __init__(
        self, settings: Settings, base_url: str, more_origins: tuple[str, ...] = (), hosts: Hosts | None = None
    ) -> None:
        self._settings = settings
        home = origin(base_url)
        if home is None:
            raise FetchError("CH104")
        self.home: Origin = home
        self.homes = frozenset({home} | {made for made in map(origin, more_origins) if made is not None})
        self.hosts = hosts or Hosts(MemoryBook(), settings)
        self._lines = ReadOnlyLines(settings.bulk_threads, whole=FILE_SECONDS, reach=Reach.of(settings))
        self._lock = threading.Lock()
        self.requests = 0

    @property
    def where(self) -> str:
        """`host:port`, as errors name the provider."""
        return host_of(self.home)

    def at_home(self, url: str | None) -> str | None:
        """An address, if it is of an origin that may have the token; as the base is asked where that is by `https`."""
        return within(url, self.home, self.homes)

    def get(self, url: str, token: str | None, headers: Mapping[str, str]) -> Reply:
        """Read an address whole.

        Raises:
            LineLostError: nothing came, or not all of it.
            FetchError: CH104 for no address, CH105 for an encoding nobody asked for, CH120 for an answer without end,
                CH121 for a redirect elsewhere, CH140 for a host that is left alone, CH141 for a private address.
        """
        for _ in range(MAX_REDIRECTS):
            with self._opened(url, token, headers, self._settings.request_timeout) as response:
                location = response.headers.get("Location")
                if response.status in _REDIRECTS and location:
                    target = self.at_home(join(url, location))
                    if target is None:
                        break
                    url = target
                    continue
                return Reply(response.status, response.headers, self._body(response), url)
        raise FetchError("CH121", where=self.where)

    @contextmanager
    def stream(
        self, url: str, token: str | None, headers: Mapping[str, str], *, pause: float | None = None
    ) -> Iterator[urllib3.BaseHTTPResponse]:
        """A file's answer, open. File servers redirect to where a file lies; the token stays behind at the border.

        `pause` is how many seconds its next byte may take, where that is not what the settings say.

        Raises:
            LineLostError: nothing came.
            FetchError: as `get`; CH121 also for an address in clear text where the one before was not.
        """
        for _ in range(MAX_REDIRECTS):
            with self._opened(url, token, headers, pause or self._settings.request_timeout) as response:
                location = response.headers.get("Location")
                if response.status not in _REDIRECTS or not location:
                    yield response
                    return
                target, here = join(url, location), origin(url)
                there = origin(target) if target is not None else None
                if target is None or there is None or here is None or (here[0], there[0]) == ("https", "http"):
                    break
                if there not in self.homes:
                    token = None
                url = target
        raise FetchError("CH121", where=self.where)

    def close(self) -> None:
        """Close the connections."""
        self._lines.close()

    def __enter__(self) -> BulkHttp:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _opened(
        self, url: str, token: str | None, headers: Mapping[str, str], pause: float
    ) -> Iterator[urllib3.BaseHTTPResponse]:
        there = origin(url)
        if there is None:
            raise FetchError("CH104", where=self.where)
        host = host_of(there)
        if token is not None and there not in self.homes:
            raise FetchError("CH161", where=host)
        said = {"User-Agent": "charthouse", **UNCACHED, **headers}
        if token is not None:
            said["Authorization"] = f"Bearer {token}"
        self.hosts.enter(host, math.inf)
        with self._lock:
            self.requests += 1
        try:
            timeout = urllib3.Timeout(connect=self._settings.connect_timeout, read=pause)
            response = self._lines.ask(url, there, said, timeout)
        except (NotReachedError, PrivateAddressError):
            raise FetchError("CH141", where=host) from None
        except (urllib3.exceptions.LocationValueError, UnicodeError, ValueError):
            raise FetchError("CH104", where=host) from None
        except _LOST:
            self.hosts.failed(host)
            raise LineLostError from None
        self.hosts.answered(host)
        with closing(response):
            yield response

    def _body(self, response: urllib3.BaseHTTPResponse) -> bytes:
        parts, size = [], 0
        try:
            while chunk := response.read1(_CHUNK, decode_content=False):
                size += len(chunk)
                if size > MAX_ANSWER:
                    raise TooLargeError
                parts.append(chunk)
            return unpacked(b"".join(parts), response.headers.get("Content-Encoding", ""), MAX_ANSWER)[0]
        except TooLargeError:
            raise FetchError("CH120", where=self.where) from None
        except UnknownEncodingError:
            raise FetchError("CH105", where=self.where, what="an encoding that was not asked for") from None
        except (TornError, *_LOST):
            raise LineLostError from None


def remove_job(status_url: str, token: str | None, settings: Settings) -> int | None:
    """Tell the server that the files of an export of ours are no longer needed: the one DELETE of the house.

    Returns the status; None for no answer, or an address that may not be reached.
    """
    try:
        with _sending(status_url, "DELETE", token, settings) as answer:
            return int(answer.status)
    except (NotReachedError, PrivateAddressError, ValueError, *_LOST):
        return None


def ask_by_post(export_url: str, parameters: bytes, token: str | None, settings: Settings) -> Reply:
    """Ask for an export by a Parameters resource (Bulk Data Access 3.0, "kick-off"): the one POST to a FHIR base.

    Raises:
        ReadOnlyError: the address is none of an export.
        LineLostError: nothing came, or not all of it.
        FetchError: CH104 for no address, CH141 for a private one.
    """
    if not export_url.endswith("/$export"):
        raise ReadOnlyError("providers are only read: POST asks for an export, and for nothing else")
    there = origin(export_url)
    where = host_of(there) if there is not None else ""
    try:
        with _sending(export_url, "POST", token, settings, parameters) as answer:
            return Reply(int(answer.status), answer.headers, answer.read1(_LITTLE, decode_content=True), export_url)
    except (NotReachedError, PrivateAddressError):
        raise FetchError("CH141", where=where) from None
    except (urllib3.exceptions.LocationValueError, UnicodeError, ValueError):
        raise FetchError("CH104", where=where) from None
    except _LOST:
        raise LineLostError from None


@contextmanager
def _sending(
    url: str, verb: str, token: str | None, settings: Settings, body: bytes | None = None
) -> Iterator[urllib3.BaseHTTPResponse]:
    """The answer to a request that is no GET, once: nobody is followed."""
    headers = {"Accept": _FHIR_JSON, "User-Agent": "charthouse"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    if body is not None:
        headers |= {"Content-Type": _FHIR_JSON, "Prefer": "respond-async"}
    pool, target = bounded_pool(url, 1, whole=settings.request_timeout, reach=Reach.of(settings))
    with pool:
        timeout = urllib3.Timeout(connect=settings.connect_timeout, read=settings.request_timeout)
        answer = pool.urlopen(
            verb, target, body, headers, retries=False, redirect=False, timeout=timeout, preload_content=False
        )
        with closing(answer):
            yield answer
