"""A person's records as one stream of lines (`charthouse.partners.network.Stream`), gone on with where it was lost.

The server answers 200 before it knows whether it can send everything: one that fails appends an OperationOutcome, so
the end of a stream is looked at. What came is kept in a spool, byte for byte; whoever goes on with it, in this process
or after a kill, asks for what is behind the last id, if ids came in order, and passes over what it has.
"""

from __future__ import annotations

import http.client
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol
from urllib.parse import quote

import urllib3

from charthouse import faults
from charthouse.errors import FetchError
from charthouse.partners.bulk_http import LineLostError
from charthouse.partners.pacing import asked_at, pause, retry_after
from transforms.bundles import resource_stub
from transforms.checking.outcomes import issue_counts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from pathlib import Path

    from charthouse.partners.bulk_http import BulkHttp
    from charthouse.partners.network import Stream
    from charthouse.settings import Settings

LONGEST_LINE: Final = 128 * 2**20
"""Most bytes of one resource."""
PATIENCE: Final = 150.0
"""Seconds that the next byte may take: b.well's server gives its first query two minutes (streaming.md)."""
_CHUNK: Final = 2**18
_OUTCOME: Final = b"OperationOutcome"
_HEAD: Final = 512
"""Bytes of a line in which the type of an OperationOutcome is looked for before anything is parsed."""
_TRY_AGAIN: Final = frozenset({408, 425, 429, *range(500, 600)} - {501})
_CODES: Final = {401: "CH175", 403: "CH103", 404: "CH104", 410: "CH104"}


class Sink(Protocol):
    """Whoever takes the lines."""

    def take(self, line: bytes) -> None:
        """One resource, without the end of its line."""


@dataclass(frozen=True, slots=True)
class Streamed:
    """What came: lines and bytes, those of an earlier process included, and the requests of this one.

    `code` is why it is not whole; None where it is. `warnings` counts the server's own. `as_of` is the instant by the
    server's clock before which it was not asked; None where it named none.
    """

    lines: int
    size: int
    requests: int
    code: str | None
    warnings: int = 0
    as_of: datetime | None = field(default=None)


def receive(
    http: BulkHttp,
    stream: Stream,
    sink: Sink,
    spool: Path,
    settings: Settings,
    *,
    ends: Callable[[], bool] = lambda: False,
) -> Streamed:
    """Read a stream to its end, from where `spool` has it. Tries are counted from the last line that came.

    Raises:
        FetchError: CH103, CH104, CH111, CH175 as answered before a line came; CH105, CH120 for what cannot be read;
            CH141, CH161 for the address.
        OSError: the spool cannot be written.
    """
    return _Reading(http, stream, sink, spool, settings).to_the_end(ends)


class _FailedError(Exception):
    """The server ended its stream with an error."""


class _Reading:
    """One stream, as far as it has come."""

    def __init__(self, http: BulkHttp, stream: Stream, sink: Sink, spool: Path, settings: Settings) -> None:
        self._http = http
        self._stream = stream
        self._sink = sink
        self._spool = spool
        self._settings = settings
        self.lines = self.size = self.requests = self.warnings = 0
        self.as_of: datetime | None = None
        self._known: set[tuple[str | None, str | None]] = set()
        for line in spooled(spool):
            self._hand_on(line)

    def to_the_end(self, ends: Callable[[], bool]) -> Streamed:
        attempt, renew = 0, False
        while True:
            before, code, status, asked = self.lines, "CH101", None, None
            try:
                status, asked = self._go_on(renew=renew)
                if status is None:
                    return self._streamed(None)
                if status == 401 and not renew:
                    renew = True
                    continue
                if status not in _TRY_AGAIN:
                    refused = _CODES.get(status, "CH111")
                    if self.lines:
                        return self._streamed(refused)
                    raise FetchError(refused, where=self._http.where, what=f"HTTP {status}")
                code = "CH109"
            except LineLostError:
                pass
            except _FailedError:
                code = "CH180"
            renew = False
            attempt = 1 if self.lines > before else attempt + 1
            if attempt >= self._settings.request_tries or ends():
                return self._streamed("CH124" if ends() else code)
            time.sleep(min(pause(attempt, status, asked).seconds, self._settings.retry_wait_max))

    def _streamed(self, code: str | None) -> Streamed:
        return Streamed(self.lines, self.size, self.requests, code, self.warnings, self.as_of)

    def _go_on(self, *, renew: bool) -> tuple[int | None, float | None]:
        """Ask for what is missing. Returns the status and Retry-After of an answer that brings nothing."""
        url, self._known = self._address()
        self.requests += 1
        began = time.monotonic()
        headers = {"Accept": self._stream.accept, "Accept-Encoding": "gzip"}
        patience = max(PATIENCE, self._settings.request_timeout)
        with self._http.stream(url, self._stream.token(renew), headers, pause=patience) as response:
            if response.status != 200:
                return response.status, retry_after(response.headers.get("Retry-After"), response.headers.get("Date"))
            if self.as_of is None and not self.lines:
                self.as_of = asked_at(response.headers.get("Date"), time.monotonic() - began)
            with self._spool.open("ab") as kept:
                for some in self._whole_lines(response):
                    self._take(some, kept)
        return None, None

    def _address(self) -> tuple[str, set[tuple[str | None, str | None]]]:
        """Where to go on, and what came already, if a server may send it again."""
        if not self.lines:
            return self._stream.url, set()
        known, last, ordered = set(), "", True
        for line in spooled(self._spool):
            kind, name, _ = resource_stub(line)
            known.add((kind, name))
            ordered = ordered and name is not None and name >= last
            last = name or last
        if not ordered or self._stream.after is None:
            return self._stream.url, known
        join = "&" if "?" in self._stream.url else "?"
        return f"{self._stream.url}{join}{quote(self._stream.after)}={quote(last, safe='')}", known

    def _whole_lines(self, response: urllib3.BaseHTTPResponse) -> Iterator[list[bytes]]:
        rest = b""
        try:
            while chunk := response.read1(_CHUNK, decode_content=True):
                *whole, rest = (rest + chunk).split(b"\n") if b"\n" in chunk else (rest + chunk,)
                if len(rest) > LONGEST_LINE:
                    raise FetchError("CH120", where=self._http.where)
                if whole:
                    yield whole
        except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError):
            raise LineLostError from None
        if rest.strip():
            if not rest.rstrip().endswith(b"}"):
                raise LineLostError  # the stream stopped within a line
            yield [rest]

    def _take(self, lines: list[bytes], kept: BinaryIO) -> None:
        """Hand the lines on that did not come before, and keep them: both or neither of each."""
        fresh: list[bytes] = []
        try:
            for sent in lines:
                line = sent.strip()
                if not line or (_OUTCOME in line[:_HEAD] and self._is_outcome(line)):
                    continue
                if self._known and resource_stub(line)[:2] in self._known:
                    continue
                self._hand_on(line)
                fresh.append(line)
        finally:
            if fresh:
                kept.write(b"\n".join(fresh) + b"\n")
                kept.flush()
                faults.point("stream.chunk")

    def _hand_on(self, line: bytes) -> None:
        self.lines += 1
        self.size += len(line) + 1
        self._sink.take(line)

    def _is_outcome(self, line: bytes) -> bool:
        if resource_stub(line)[0] != "OperationOutcome":
            return False
        counts = issue_counts(line)
        if counts.get("error", 0) + counts.get("fatal", 0):
            raise _FailedError
        self.warnings += counts.get("warning", 0) + counts.get("unknown", 0)
        return True


def spooled(spool: Path) -> Iterator[bytes]:
    """The whole lines of a spool. One that a kill cut off goes from the file."""
    if not spool.exists():
        return
    with spool.open("r+b") as stream:
        for line in stream:
            if not line.endswith(b"\n"):
                stream.truncate(stream.seek(-len(line), 2))
                return
            yield line[:-1]
