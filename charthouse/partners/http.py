"""HTTP towards FHIR servers: it can read, and nothing else.

Every failure becomes a `FetchError` (CH1xx) that names the host and never the path or query, which may say who a
patient is. The bytes of an answer are handed on as received; a body that came as one gzip member keeps that form too.
"""

from __future__ import annotations

import logging
import math
import threading
import time
import zlib
from contextlib import closing
from dataclasses import dataclass, field, replace
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, Final

import requests
import urllib3
from requests.auth import AuthBase

from charthouse.errors import FetchError
from charthouse.partners.addresses import host_of, join, origin, proxies_for, within
from charthouse.partners.pacing import TokenBucket, pause, retry_after
from charthouse.partners.transport import BoundedAdapter

if TYPE_CHECKING:
    from charthouse.partners.addresses import Origin
    from charthouse.settings import Settings

FHIR_JSON: Final = "application/fhir+json, application/json;q=0.9, application/json+fhir;q=0.8"
MAX_BODY: Final = 128 * 2**20
"""Most bytes of one answer, unpacked."""
MAX_ERROR_BODY: Final = 64 * 2**10
MAX_REDIRECTS: Final = 5
SILENT_AFTER: Final = 16
"""Requests in a row, of any link, that a host leaves unanswered or turns away in all their tries …"""
SILENT_FOR: Final = 300.0
"""… over so many seconds: longer than it takes to start anew. It is then asked no more."""
CONNECT_TIMEOUT: Final = 10.0
MAX_MEMBERS: Final = 64
"""Most gzip members of one answer: an honest one has one, and each costs a copy of those behind it."""
_CHUNK: Final = 2**18
_GZIP: Final = b"\x1f\x8b"
_TRY_AGAIN: Final = frozenset({408, 425, 429, *range(500, 600)} - {501})
"""501 says that the server does not do this, now or later."""
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_CODES: Final = {401: "CH102", 403: "CH103", 404: "CH104", 410: "CH104"}

# urllib3 writes whole URLs into its log lines, and a search URL says who the patient is.
logging.getLogger("urllib3").setLevel(logging.CRITICAL)


class ReadOnlyError(RuntimeError):
    """Somebody tried to send something else than a GET to a FHIR server. It is a fault of ours, not an outcome."""


class _LineLostError(Exception):
    """The answer did not come, or not whole. Another try may help."""


class _TooLargeError(Exception):
    """The answer is larger than `MAX_BODY`. Another try cannot help."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of status 2xx: the body, unpacked, and the gzip member it came as, if it came as exactly one.

    `unchanged` is the answer 304 to a question with an `etag`; there is no body then.
    """

    body: bytes = field(repr=False)
    member: bytes | None = field(default=None, repr=False)
    etag: str | None = None
    unchanged: bool = False


@dataclass(frozen=True, slots=True)
class _Received:
    status: int
    location: str | None
    retry_after: float | None
    answer: Answer


class BearerToken(AuthBase):
    """The access token of a request."""

    def __init__(self, token: str | None) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class ReadOnlySession(requests.Session):
    """A session that sends GET without a body and refuses anything else. It keeps no cookies and follows nobody."""

    def __init__(self) -> None:
        super().__init__()
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        for scheme in ("http://", "https://"):
            self.mount(scheme, BoundedAdapter())
        self._surroundings: dict[str, dict[str, Any]] = {}

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send a GET.

        Raises:
            ReadOnlyError: the request is no GET, or has a body.
        """
        if request.method != "GET" or request.body:
            raise ReadOnlyError("providers are only read: a FHIR base is sent nothing but GET")
        return super().send(request, **kwargs)

    def get_redirect_target(self, _response: requests.Response) -> str | None:
        """Nowhere. The library reads a redirect's whole body, however long, even where it is not to follow."""
        return None

    def surroundings(self, url: str, host: str) -> dict[str, Any]:
        """Proxies and certificates for a host, as the environment has them; looked up once."""
        known = self._surroundings.get(host)
        if known is None:
            known = dict(self.merge_environment_settings(url, proxies_for(url) or {}, None, None, None))
            known.pop("stream")
            self._surroundings[host] = known
        return known


class HttpClient:
    """Reads from FHIR servers; one for all threads of a batch.

    Each thread has its own connections; all share one token bucket a host, and what they learn of a host that has
    fallen silent. `requests` counts what was sent. With `seconds` it asks for so long, and then nothing more.
    """

    def __init__(self, settings: Settings, *, seconds: float = math.inf) -> None:
        self._settings = settings
        self._ends = time.monotonic() + seconds
        self._local = threading.local()
        self._buckets: dict[str, TokenBucket] = {}
        self._in_vain: dict[str, tuple[int, float, str]] = {}  # requests in a row, since when, and the last one's code
        self._sessions: list[ReadOnlySession] = []
        self._lock = threading.Lock()
        self.requests = 0

    def get(self, url: str, *, token: str | None = None, accept: str = FHIR_JSON, etag: str | None = None) -> Answer:
        """Read one URL, with as many tries as the settings permit. Redirects are followed within the origin only.

        With `etag`, only what has changed since (`If-None-Match`).

        Raises:
            FetchError: CH101, CH102 (401), CH103 (403), CH104 (404, 410, no such URL), CH109, CH111 (other 4xx),
                CH120 (too large), CH121 (redirected elsewhere), CH124 (the client's time ran out).
        """
        home = origin(url)
        if home is None or (token is not None and not _is_token(token)):
            raise FetchError("CH104" if home is None else "CH102")
        host = host_of(home)
        for _ in range(MAX_REDIRECTS):
            received = self._with_tries(url, home, token, accept, etag)
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
        """Close the connections of all threads."""
        with self._lock:
            for session in self._sessions:
                session.close()
            self._sessions.clear()
            self._local = threading.local()

    def __enter__(self) -> HttpClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _with_tries(self, url: str, home: Origin, token: str | None, accept: str, etag: str | None) -> _Received:
        host = host_of(home)
        bucket = self._bucket(host)
        tries = self._settings.request_tries
        in_vain, since, code = self._in_vain.setdefault(host, (0, time.monotonic(), "CH101"))
        if in_vain >= SILENT_AFTER and time.monotonic() - since >= SILENT_FOR:
            raise FetchError(code, where=host)
        for attempt in range(1, tries + 1):
            bucket.take()
            if time.monotonic() > self._ends:
                raise FetchError("CH124", where=host)
            status, asked = None, None
            try:
                received = self._once(url, home, token, accept, etag)
            except _LineLostError:
                code = "CH101"
            else:
                if received.status not in _TRY_AGAIN:
                    self._in_vain[host] = (0, time.monotonic(), code)
                    return received
                code, status, asked = "CH109", received.status, received.retry_after
            if attempt == tries:
                break
            wait = pause(attempt, status, asked)
            seconds = min(wait.seconds, self._settings.retry_wait_max)
            if wait.all:
                bucket.close_for(seconds)
            time.sleep(seconds)
        with self._lock:
            in_vain, since, _ = self._in_vain[host]
            self._in_vain[host] = (in_vain + 1, since, code)
        raise FetchError(code, where=host)

    def _once(self, url: str, home: Origin, token: str | None, accept: str, etag: str | None) -> _Received:
        with self._lock:
            self.requests += 1
        host = host_of(home)
        timeout = self._settings.request_timeout
        headers = {"Accept": accept, "Accept-Encoding": "gzip", "User-Agent": "charthouse"}
        if etag is not None and etag.isascii() and etag.isprintable():
            headers["If-None-Match"] = etag
        session = self._session()
        try:
            # Prepared without the session: neither cookies nor .netrc may carry one link's identity into another's.
            request = requests.Request("GET", url, headers=headers, auth=BearerToken(token)).prepare()
            if origin(request.url or "") != home:
                raise FetchError("CH104", where=host)  # preparing rewrites an address; it must not move it
            response = session.send(
                request,
                timeout=(min(CONNECT_TIMEOUT, timeout), timeout),
                allow_redirects=False,
                stream=True,
                **session.surroundings(url, host),
            )
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, UnicodeError):
            raise FetchError("CH104", where=host) from None
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError):
            raise _LineLostError from None
        with closing(response):
            fine = response.status_code < 300
            try:
                packed = _read_body(response, MAX_BODY if fine else MAX_ERROR_BODY)
                answer = _unpack(packed, response.headers.get("Content-Encoding", ""), host) if fine else Answer(b"")
            except _TooLargeError:
                if fine:
                    raise FetchError("CH120", where=host) from None
                answer = Answer(b"")
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError):
                raise _LineLostError from None
            if fine:
                answer = replace(answer, etag=response.headers.get("ETag"))
            return _Received(
                status=response.status_code,
                location=response.headers.get("Location"),
                retry_after=retry_after(response.headers.get("Retry-After"), response.headers.get("Date")),
                answer=answer,
            )

    def _session(self) -> ReadOnlySession:
        session: ReadOnlySession | None = getattr(self._local, "session", None)
        if session is None:
            session = ReadOnlySession()
            self._local.session = session
            with self._lock:
                self._sessions.append(session)
        return session

    def _bucket(self, host: str) -> TokenBucket:
        with self._lock:
            return self._buckets.setdefault(host, TokenBucket(self._settings.requests_per_second))


def _is_token(token: str) -> bool:
    """Whether a header can carry it; an error about one that cannot would quote it."""
    return bool(token) and token.isascii() and token.isprintable() and " " not in token


def _read_body(response: requests.Response, most: int) -> bytes:
    """The body, still packed."""
    parts: list[bytes] = []
    size = 0
    while chunk := response.raw.read1(_CHUNK, decode_content=False):
        size += len(chunk)
        if size > most:
            raise _TooLargeError
        parts.append(chunk)
    return b"".join(parts)


def _unpack(packed: bytes, encoding: str, host: str) -> Answer:
    kind = encoding.strip().lower()
    if kind in {"", "identity"} or not packed:
        return Answer(packed)
    if kind not in {"gzip", "x-gzip"}:
        raise FetchError("CH105", where=host, what="an encoding that was not asked for")
    bodies: list[bytes] = []
    rest, left = packed, MAX_BODY
    while rest.startswith(_GZIP) or not bodies:
        if len(bodies) == MAX_MEMBERS:
            raise _TooLargeError
        member = zlib.decompressobj(wbits=31)
        try:
            bodies.append(member.decompress(rest, left + 1))
        except zlib.error:
            raise _LineLostError from None
        left -= len(bodies[-1])
        if left < 0:
            raise _TooLargeError
        if not member.eof:
            raise _LineLostError
        rest = member.unused_data
    return Answer(b"".join(bodies), packed if len(bodies) == 1 and not rest else None)
