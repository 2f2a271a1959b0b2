"""HTTP towards FHIR servers: it can read, and nothing else.

Every failure becomes a `FetchError` (CH1xx) that names the host and never the path or query, which may say who a
patient is. The bytes of an answer are handed on as received; a body that came as one gzip member keeps that form too.
"""

from __future__ import annotations

import http.client
import logging
import math
import threading
import time
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import urllib3

from charthouse.errors import FetchError
from charthouse.partners import effort
from charthouse.partners.addresses import Reach, host_of, join, origin, within
from charthouse.partners.encodings import ACCEPTED, TooLargeError, TornError, UnknownEncodingError, unpacked
from charthouse.partners.host_book import MemoryBook
from charthouse.partners.hosts import Hosts
from charthouse.partners.pacing import asked_at, pause, retry_after
from charthouse.partners.transport import NotReachedError, PrivateAddressError, ReadOnlyLines

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from charthouse.partners.addresses import Origin
    from charthouse.settings import Settings

FHIR_JSON: Final = "application/fhir+json, application/json;q=0.9, application/json+fhir;q=0.8"
UNCACHED: Final = {"Cache-Control": "no-cache"}
"""A stored answer may be used only if the server vouches for it anew (RFC 9111 §5.2.1.4). HAPI FHIR answers a search,
or an export, that was asked for shortly before with what it found then, and so without what is new since."""
MAX_BODY: Final = 128 * 2**20
"""Most bytes of one answer, unpacked."""
MAX_ERROR_BODY: Final = 64 * 2**10
MAX_REDIRECTS: Final = 5
_CHUNK: Final = 2**18
_TRY_AGAIN: Final = frozenset({408, 425, 429, *range(500, 600)} - {501})
"""501 says that the server does not do this, now or later."""
_BUSY: Final = frozenset({429, 503})
"""Statuses that say nothing of the size of what was asked for."""
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_CODES: Final = {401: "CH102", 403: "CH103", 404: "CH104", 410: "CH104"}

# urllib3 writes whole URLs into its log lines, and a search URL says who the patient is.
logging.getLogger("urllib3").setLevel(logging.CRITICAL)


class _LineLostError(Exception):
    """The answer did not come, or not whole. Another try may help."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of status 2xx: the body, unpacked, and the frame it came as (`encodings`), if it came as exactly one.

    `unchanged` is the answer 304 to a question with an `etag`; there is no body then. `landed` tells that it was
    received, and landed, by a fetch that was killed. `media` is its Content-Type. `as_of` is the instant by the
    server's own clock before which it cannot have begun to answer; None where it named none.
    """

    body: bytes = field(repr=False)
    frame: bytes | None = field(default=None, repr=False)
    etag: str | None = None
    unchanged: bool = False
    landed: bool = False
    media: str | None = None
    as_of: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Received:
    status: int
    location: str | None
    retry_after: float | None
    answer: Answer


class HttpClient:
    """Reads from FHIR servers; one for all threads of a batch.

    Threads share kept connections, which carry nothing from one link to another: no cookie, no login of a `.netrc`, and
    nobody is followed by the library itself. All go by what `hosts` knows of how fast a host may be asked, and whether
    it answers at all. `requests` counts what was sent. With `seconds` it asks for so long, and then nothing more.
    """

    def __init__(self, settings: Settings, *, seconds: float = math.inf, hosts: Hosts | None = None) -> None:
        self._settings = settings
        self._ends = time.monotonic() + seconds
        self._timeout = urllib3.Timeout(connect=settings.connect_timeout, read=settings.request_timeout)
        self._lines = ReadOnlyLines(settings.fetch_threads, whole=settings.page_timeout, reach=Reach.of(settings))
        self._lock = threading.Lock()
        self.hosts = hosts or Hosts(MemoryBook(), settings)
        self.requests = 0

    def get(
        self,
        url: str,
        *,
        token: str | None = None,
        accept: str = FHIR_JSON,
        etag: str | None = None,
        instead: Callable[[], str | None] | None = None,
        most: int | None = None,
    ) -> Answer:
        """Read one URL, with as many tries as the settings permit. Redirects are followed within the origin only.

        With `etag`, only what has changed since (`If-None-Match`). After a try that failed for what was asked, and not
        for how busy the host is, `instead` may name an address of the same origin to ask in its place. `most` is the
        most bytes of the answer, unpacked, where that is less than `MAX_BODY`.

        Raises:
            FetchError: CH101, CH102 (401), CH103 (403), CH104 (404, 410, no such URL), CH109, CH111 (other 4xx),
                CH120 (too large), CH121 (redirected elsewhere), CH124 (the client's time ran out), CH140 (the host is
                left alone), CH141 (a private address).
        """
        home = origin(url)
        if home is None or (token is not None and not _is_token(token)):
            raise FetchError("CH104" if home is None else "CH102")
        host = host_of(home)
        for _ in range(MAX_REDIRECTS):
            received = self._with_tries(url, home, token, accept, etag, instead, min(most or MAX_BODY, MAX_BODY))
            if received.status in _REDIRECTS and received.location:
                target = within(join(url, received.location), home)
                if target is None:
                    break
                url = target
                continue
            if 200 <= received.status < 300:
                return received.answer
            if received.status == 304 and etag is not None:
                return Answer(b"", etag=etag, unchanged=True)
            if 300 <= received.status < 400:
                break
            raise FetchError(_CODES.get(received.status, "CH111"), where=host, what=f"HTTP {received.status}")
        raise FetchError("CH121", where=host)

    def close(self) -> None:
        """Close the connections."""
        self._lines.close()

    def __enter__(self) -> HttpClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _with_tries(
        self,
        url: str,
        home: Origin,
        token: str | None,
        accept: str,
        etag: str | None,
        instead: Callable[[], str | None] | None,
        most: int,
    ) -> _Received:
        host = host_of(home)
        tries = self._settings.request_tries
        code = "CH101"
        for attempt in range(1, tries + 1):
            with effort.waiting():
                self.hosts.enter(host, self._ends)
            if time.monotonic() > self._ends:
                raise FetchError("CH124", where=host)
            status, asked = None, None
            effort.sent(again=attempt > 1)
            try:
                received = self._once(url, home, token, accept, etag, most)
            except _LineLostError:
                code = "CH101"
            else:
                if received.status not in _TRY_AGAIN:
                    self.hosts.answered(host)
                    return received
                code, status, asked = "CH109", received.status, received.retry_after
            self.hosts.failed(host)
            if attempt == tries:
                break
            if instead is not None and status not in _BUSY:
                url = instead() or url
            wait = pause(attempt, status, asked)
            seconds = min(wait.seconds, self._settings.retry_wait_max)
            if wait.all:
                self.hosts.busy(host, seconds)
            else:
                with effort.waiting():
                    time.sleep(seconds)
        raise FetchError(code, where=host)

    def _once(self, url: str, home: Origin, token: str | None, accept: str, etag: str | None, most: int) -> _Received:
        with self._lock:
            self.requests += 1
        host = host_of(home)
        headers = {"Accept": accept, "Accept-Encoding": ACCEPTED, "User-Agent": "charthouse", **UNCACHED}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        if etag is not None and etag.isascii() and etag.isprintable():
            headers["If-None-Match"] = etag
        sent = time.monotonic()
        try:
            response = self._lines.ask(url, home, headers, self._timeout)
        except (NotReachedError, PrivateAddressError):
            raise FetchError("CH141", where=host) from None
        except (urllib3.exceptions.LocationValueError, UnicodeError):
            raise FetchError("CH104", where=host) from None
        except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError):
            raise _LineLostError from None
        as_of = asked_at(response.headers.get("Date"), time.monotonic() - sent)
        with closing(response):
            fine = response.status < 300
            answer = Answer(b"")
            try:
                packed = _read_body(response, most if fine else MAX_ERROR_BODY)
                if fine:
                    answer = Answer(*unpacked(packed, response.headers.get("Content-Encoding", ""), most))
            except TooLargeError:
                if fine:
                    raise FetchError("CH120", where=host) from None
            except UnknownEncodingError:
                raise FetchError("CH105", where=host, what="an encoding that was not asked for") from None
            except TornError:
                raise _LineLostError from None
            except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError):
                raise _LineLostError from None
            if fine:
                told = response.headers
                answer = replace(answer, etag=told.get("ETag"), media=told.get("Content-Type"), as_of=as_of)
            return _Received(
                status=response.status,
                location=response.headers.get("Location"),
                retry_after=retry_after(response.headers.get("Retry-After"), response.headers.get("Date")),
                answer=answer,
            )


def _is_token(token: str) -> bool:
    """Whether a header can carry it; an error about one that cannot would quote it."""
    return bool(token) and token.isascii() and token.isprintable() and " " not in token


def _read_body(response: urllib3.BaseHTTPResponse, most: int) -> bytes:
    """The body, still packed."""
    parts: list[bytes] = []
    size = 0
    while chunk := response.read1(_CHUNK, decode_content=False):
        size += len(chunk)
        if size > most:
            raise TooLargeError
        parts.append(chunk)
    return b"".join(parts)
