"""HTTP for a Bulk Data export: kick-off and status by GET, files as streams, and DELETE of one's own job.

Answers are handed on with their status and headers, for the protocol (`charthouse.partners.bulk`) reads them all. A
token goes to the origins that the provider's settings name, and to no other.
"""

from __future__ import annotations

from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import requests
import urllib3

from charthouse.errors import FetchError
from charthouse.partners.addresses import host_of, join, origin, within
from charthouse.partners.http import CONNECT_TIMEOUT, MAX_REDIRECTS, BearerToken, ReadOnlySession
from charthouse.partners.transport import PATIENCE, BoundedAdapter, surroundings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from charthouse.partners.addresses import Origin
    from charthouse.settings import Settings

MAX_ANSWER: Final = 64 * 2**20
"""Most bytes of a manifest page, or of what a server says in its place, unpacked."""
FILE_SECONDS: Final = 3600.0
"""A part of a file may take so long, as long as its bytes keep coming; then the rest is asked for."""
_CHUNK: Final = 2**18
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


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
    """Asks one provider's export. Safe between threads: each request has a connection of its own pool.

    `base_url` is the base that exports; `homes` are the origins that may have its token: that of the base, and those
    that its settings declare.
    """

    def __init__(self, settings: Settings, base_url: str, more_origins: tuple[str, ...] = ()) -> None:
        self._settings = settings
        home = origin(base_url)
        if home is None:
            raise FetchError("CH104")
        self.home: Origin = home
        self.homes = frozenset({home} | {made for made in map(origin, more_origins) if made is not None})
        self._session = ReadOnlySession()
        self.requests = 0

    @property
    def where(self) -> str:
        """`host:port`, as errors name the provider."""
        return host_of(self.home)

    def at_home(self, url: str | None) -> str | None:
        """An address, if it is of an origin that may have the token; as the base is asked where that is by `https`."""
        return next((found for home in self.homes if (found := within(url, home)) is not None), None)

    def get(self, url: str, token: str | None, headers: Mapping[str, str]) -> Reply:
        """Read an address whole.

        Raises:
            LineLostError: nothing came, or not all of it.
            FetchError: CH104 for no address, CH120 for an answer without end, CH121 for a redirect elsewhere.
        """
        for _ in range(MAX_REDIRECTS):
            with self._opened(url, token, headers, self._settings.request_timeout) as response:
                location = response.headers.get("Location")
                if response.status_code in _REDIRECTS and location:
                    target = self.at_home(join(url, location))
                    if target is None:
                        break
                    url = target
                    continue
                return Reply(response.status_code, response.headers, self._body(response), url)
        raise FetchError("CH121", where=self.where)

    @contextmanager
    def stream(self, url: str, token: str | None, headers: Mapping[str, str]) -> Iterator[requests.Response]:
        """A file's answer, open. File servers redirect to where a file lies; the token stays behind at the border.

        Raises:
            LineLostError: nothing came.
            FetchError: CH104 for no address, CH121 for one in clear text where the one before was not, or too many.
        """
        for _ in range(MAX_REDIRECTS):
            with self._opened(url, token, headers, FILE_SECONDS / PATIENCE) as response:
                location = response.headers.get("Location")
                if response.status_code not in _REDIRECTS or not location:
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
        self._session.close()

    def __enter__(self) -> BulkHttp:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _opened(
        self, url: str, token: str | None, headers: Mapping[str, str], timeout: float
    ) -> Iterator[requests.Response]:
        there = origin(url)
        if there is None:
            raise FetchError("CH104", where=self.where)
        if token is not None and there not in self.homes:
            raise FetchError("CH161", where=host_of(there))
        self.requests += 1
        said = {"User-Agent": "charthouse", **headers}
        try:
            request = requests.Request("GET", url, headers=said, auth=BearerToken(token)).prepare()
            if origin(request.url or "") != there:
                raise FetchError("CH104", where=self.where)
            response = self._session.send(
                request,
                timeout=(min(CONNECT_TIMEOUT, timeout), timeout),
                allow_redirects=False,
                stream=True,
                **self._session.surroundings(url, host_of(there)),
            )
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, UnicodeError):
            raise FetchError("CH104", where=self.where) from None
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError):
            raise LineLostError from None
        with closing(response):
            yield response

    def _body(self, response: requests.Response) -> bytes:
        body = b""
        try:
            for chunk in response.iter_content(_CHUNK):
                body += chunk
                if len(body) > MAX_ANSWER:
                    raise FetchError("CH120", where=self.where)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError):
            raise LineLostError from None
        return body


class JobRemover(requests.Session):
    """A session that sends DELETE to the status address of one export of ours, and refuses anything else."""

    def __init__(self, status_url: str) -> None:
        super().__init__()
        self._status_url = status_url
        for scheme in ("http://", "https://"):
            self.mount(scheme, BoundedAdapter(most=2**16))

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send a DELETE to that address.

        Raises:
            ValueError: it is something else.
        """
        if request.method != "DELETE" or request.url != self._status_url or request.body:
            raise ValueError("an export's own status address is all that may be deleted")
        return super().send(request, **kwargs)

    def get_redirect_target(self, _response: requests.Response) -> str | None:
        """Nowhere."""
        return None


def remove_job(status_url: str, token: str | None, timeout: float) -> int | None:
    """Tell the server that the files of an export are no longer needed. Returns the status; None for no answer."""
    request = requests.Request("DELETE", status_url, auth=BearerToken(token)).prepare()
    request.headers.update({"Accept": "application/fhir+json", "User-Agent": "charthouse"})
    with JobRemover(request.url or "") as session:
        try:
            answer = session.send(request, timeout=timeout, allow_redirects=False, **surroundings(status_url))
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError):
            return None
        return int(answer.status_code)
