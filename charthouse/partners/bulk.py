"""The Bulk Data protocol of a client: kick-off, status, manifest pages, the end of a job (Bulk Data Access 2.0, 3.0).

Nothing here waits for an export: a status that is asked for says when to ask again, and whoever asked decides how.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import quote, urlencode

import orjson

from charthouse.errors import FetchError
from charthouse.partners.addresses import join
from charthouse.partners.bulk_http import LineLostError, ask_by_post, remove_job
from charthouse.partners.bulk_manifest import read_manifest_page
from charthouse.partners.discovery import read_object
from charthouse.partners.pacing import backoff, retry_after

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from charthouse.partners.bulk_http import BulkHttp, Reply
    from charthouse.partners.bulk_manifest import ExportFile, ManifestPage
    from charthouse.settings import Settings

FHIR_JSON: Final = "application/fhir+json"
"""Alone: the reference server compares the header as a text."""
UNSAID: Final = 60.0
"""Seconds to the next look for a server that was asked too often and does not say when to come."""
MAX_MANIFEST_PAGES: Final = 10_000
_BUSY: Final = frozenset({429, 503})
_TRY_AGAIN: Final = frozenset({408, 425, 429, *range(500, 600)} - {501})
_NOT_BY_GET: Final = frozenset({404, 405, 501})
"""How servers that take a kick-off by POST alone answer GET; one that does not export at all answers both so."""
_BARE: Final = {"resourceType": "Parameters"}
_GONE: Final = frozenset({404, 410})
_OUTAGE: Final = frozenset({"CH101", "CH105", "CH109"})
"""What a token endpoint that is down for now says: nothing, a page for people, 5xx."""
_EXPORT_STATUS: Final = "X-Export-Status"


class Tokens(Protocol):
    """Where the tokens of an export come from."""

    def token(self, refused: str | None = None) -> str:
        """A token; another than the `refused` one."""


class Shelf(Protocol):
    """Where pages of a manifest are kept until it is whole: their addresses and bodies, in order."""

    def pages(self) -> list[tuple[str, bytes]]: ...

    def add(self, url: str, body: bytes) -> None: ...

    def clear(self) -> None: ...


class JobGoneError(Exception):
    """The server does not know the job any more."""


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """What to export. `level` is `Patient`, `Group/<id>` or empty for the system; `types` empty for all.

    `since` is a server's own `transactionTime` of before.
    """

    level: str
    types: tuple[str, ...] = ()
    since: str | None = None

    def url(self, base_url: str, options: Mapping[str, str]) -> str:
        """The kick-off address. Values are joined by commas: servers take that, and some take nothing else."""
        given = dict(options)
        if self.types:
            given["_type"] = ",".join(self.types)
        if self.since is not None:
            given["_since"] = self.since
        return self.address(base_url) + (f"?{urlencode(given, safe=',')}" if given else "")

    def parameters(self, options: Mapping[str, str]) -> bytes:
        """The same as a Parameters resource, for servers that are asked by POST."""
        listed: list[dict[str, Any]] = []
        if self.since is not None:
            listed.append({"name": "_since", "valueInstant": self.since})
        if self.types:
            listed.append({"name": "_type", "valueString": ",".join(self.types)})
        listed += [{"name": name, "valueBoolean": value == "true"} for name, value in options.items()]
        return orjson.dumps({"resourceType": "Parameters", "parameter": listed} if listed else _BARE)

    def address(self, base_url: str) -> str:
        """Where the operation stands."""
        path = "/".join(quote(part, safe="") for part in self.level.split("/", 1) if part)
        return "/".join(part for part in (base_url.rstrip("/"), path, "$export") if part)


@dataclass(frozen=True, slots=True)
class Begun:
    """A job that the server has taken on. `after` are the seconds that it wants to pass before it is asked."""

    status_url: str = field(repr=False)
    after: float | None
    headers: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Waiting:
    """The job is not done. `after`: seconds to the next look, None where the server does not say.

    `stumbled` tells that it was no proper answer: the status could not be had this time. `outage` is the code of why it
    could not even be asked for: the token endpoint does not answer, and nothing is known of the job.
    """

    after: float | None
    percent: int | None = None
    stumbled: bool = False
    outage: str | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """All pages of a manifest as one. `transaction_time` and `own_base` are those of the first page."""

    transaction_time: str | None
    files: tuple[ExportFile, ...]
    pages: tuple[ManifestPage, ...]

    @property
    def own_base(self) -> str | None:
        """The FHIR base as the server sees it."""
        return self.pages[0].own_base


class BulkClient:
    """Speaks of one provider's exports. `tokens` None: the server is open, and no token is sent anywhere."""

    def __init__(self, http: BulkHttp, base_url: str, tokens: Tokens | None, settings: Settings) -> None:
        self.http = http
        self._base_url = base_url.rstrip("/")
        self._tokens = tokens
        self._settings = settings

    def kick_off(self, request: ExportRequest, options: Mapping[str, str] | None = None) -> Begun | Waiting:
        """Ask for an export; by POST where GET is not for that. `Waiting` where another one is still under way.

        Raises:
            FetchError: CH151 when it is refused; CH101, CH109 when nobody answers; CH150 and what else `tokens` raises.
        """
        url = request.url(self._base_url, options or {})
        said = {"Accept": FHIR_JSON, "Prefer": "respond-async"}
        reply = self._asked(lambda token: self.http.get(url, token, said))
        if reply.status in _NOT_BY_GET:
            url, parameters = request.address(self._base_url), request.parameters(options or {})
            posted = self._asked(lambda token: ask_by_post(url, parameters, token, self._settings))
            reply = posted if posted.status not in _NOT_BY_GET else reply
        if reply.status in _BUSY:
            return Waiting(_after(reply))
        named = reply.headers.get("Content-Location")
        if reply.status != 202 and not (200 <= reply.status < 300 and named):
            raise FetchError("CH151", where=self.http.where, what=f"HTTP {reply.status}")
        status_url = self.http.at_home(join(url, named)) if named else None
        if status_url is None:
            what = "its status would be on another host" if named else "it named no status address"
            raise FetchError("CH151", where=self.http.where, what=what)
        return Begun(status_url, _after(reply), reply.headers)

    def status(self, status_url: str, shelf: Shelf) -> Waiting | Manifest:
        """How an export stands. Where a page of its manifest could not be had, the next call goes on with that page.

        `shelf` keeps the pages of this job that came, so the next call may be another process's.

        Raises:
            JobGoneError: the server does not know it.
            FetchError: CH152 when it failed; CH153 for what is no manifest; CH150 when the token endpoint refuses us.
        """
        pages = [read_manifest_page(body, url) for url, body in shelf.pages()]
        had = len(pages)
        seen = {status_url}
        while not pages or pages[-1].next_address is not None:
            url = status_url if not pages else self._following(pages, seen)
            found = self._page(url, first=len(pages) == had)
            if isinstance(found, Waiting):
                # Servers that limit how often they are asked count pages, too. Getting on is no stumbling.
                return found if len(pages) == had else replace(found, stumbled=False)
            pages.append(read_manifest_page(found.body, found.url))
            if pages[-1].next_address is not None:
                shelf.add(found.url, found.body)
        shelf.clear()
        return Manifest(pages[0].transaction_time, tuple(file for page in pages for file in page.files), tuple(pages))

    def _following(self, pages: list[ManifestPage], seen: set[str]) -> str:
        """The address of the page after these. `seen` are those that were asked for in this call."""
        following = self.http.at_home(pages[-1].next_address)
        if following is None or following in seen or len(pages) >= MAX_MANIFEST_PAGES:
            raise FetchError("CH153", where=self.http.where, what="its pages lead elsewhere, or in a loop")
        seen.add(following)
        return following

    def remove(self, status_url: str) -> int | None:
        """Tell the server that a job's files are no longer needed, or that it is not wanted. Never raises."""
        try:
            token = self.token()
        except FetchError:
            return None
        return remove_job(status_url, token, self._settings)

    def file_tokens(self, file: ExportFile) -> Iterator[str | None]:
        """The token to read a file with, and one more to try where that is refused; None: it must not be sent one."""
        if not file.needs_token or self._tokens is None:
            yield None
            return
        token = self._tokens.token()
        yield token
        yield self._tokens.token(token)

    def _page(self, url: str, *, first: bool) -> Waiting | Reply:
        try:
            reply = self._once_more(lambda token: self.http.get(url, token, {"Accept": "application/json"}))
        except LineLostError:
            return Waiting(None, stumbled=True)
        except FetchError as error:
            if error.code not in _OUTAGE:
                raise
            return Waiting(UNSAID, stumbled=True, outage=error.code)
        status = _told(reply)
        if status == 202:
            return Waiting(_after(reply), _percent(reply))
        if status == 200:
            return reply
        if status == 429:
            after = _after(reply)
            return Waiting(UNSAID if after is None else after, stumbled=True)
        if status in _GONE:
            if first:
                raise JobGoneError
            raise FetchError("CH153", where=self.http.where, what="one of its pages is not there")
        if status in _TRY_AGAIN or _is_transient(reply):
            # An error that is not called transient is the job's end (3.0, status error); but what stands before a
            # server knows nothing of that, so it is the caller who loses patience.
            return Waiting(_after(reply), stumbled=True)
        raise FetchError("CH152", where=self.http.where, what=f"HTTP {status}")

    def _asked(self, ask: Callable[[str | None], Reply]) -> Reply:
        """An answer that is none of those which another try may better; 429 and 503 are handed on after the last."""
        tries = self._settings.request_tries
        for attempt in range(1, tries + 1):
            reply = None
            try:
                reply = self._once_more(ask)
            except LineLostError:
                if attempt == tries:
                    raise FetchError("CH101", where=self.http.where) from None
            if reply is not None and (reply.status not in _TRY_AGAIN or reply.status in _BUSY):
                return reply
            if reply is not None and attempt == tries:
                raise FetchError("CH109", where=self.http.where, what=f"HTTP {reply.status}")
            time.sleep(min(backoff(attempt), self._settings.retry_wait_max))
        raise AssertionError("the last try returns or raises")

    def _once_more(self, ask: Callable[[str | None], Reply]) -> Reply:
        """An answer; where the token was refused, that to another one."""
        token = self.token()
        reply = ask(token)
        if reply.status == 401 and self._tokens is not None:
            reply = ask(self._tokens.token(token))
        if reply.status == 401:
            raise FetchError("CH150", where=self.http.where, what="the export wants another token")
        return reply

    def token(self) -> str | None:
        """A token for the provider's own address; None where it is open."""
        return self._tokens.token() if self._tokens is not None else None


def _told(reply: Reply) -> int:
    """The status of the job: some servers put it into a header of its own (3.0, `separate-export-status`)."""
    separate = (reply.headers.get(_EXPORT_STATUS) or "").strip()[:3]
    if reply.status == 200 and separate.isascii() and separate.isdigit():
        return int(separate)
    return reply.status


def _after(reply: Reply) -> float | None:
    return retry_after(reply.headers.get("Retry-After"), reply.headers.get("Date"))


def _percent(reply: Reply) -> int | None:
    """How far the server is, where its X-Progress begins with a percentage; its other words are for people."""
    digits, sign, _ = (reply.headers.get("X-Progress") or "").partition("%")
    whole = digits.strip().partition(".")[0]
    return min(int(whole), 100) if sign and whole.isascii() and whole.isdigit() and len(whole) <= 3 else None


def _is_transient(reply: Reply) -> bool:
    said: dict[str, Any] = read_object(reply.body) or {}
    issues = said.get("issue")
    listed = issues if isinstance(issues, list) else [issues]
    return any(isinstance(issue, dict) and issue.get("code") == "transient" for issue in listed)
