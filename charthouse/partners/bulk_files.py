"""The files of an export, read as streams of lines: unpacked as they come, gone on with where the line was lost.

A file that stops half-way is gone on with by `Range` (RFC 9110 §14) where the server does that, and read anew where it
does not. What had come by then is forgotten in that case: `Sink.begin` says so.
"""

from __future__ import annotations

import http.client
import re
import time
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

import urllib3

from charthouse.errors import FetchError
from charthouse.partners.bulk_http import LineLostError
from charthouse.partners.pacing import pause, retry_after

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from charthouse.partners.bulk import BulkClient
    from charthouse.partners.bulk_manifest import ExportFile
    from charthouse.settings import Settings

NDJSON: Final = "application/fhir+ndjson"
LONGEST_LINE: Final = 128 * 2**20
"""Most bytes of one resource."""
_CHUNK: Final = 2**18
_PIECE: Final = 2**20
_BOM: Final = b"\xef\xbb\xbf"
_GZIP: Final = b"\x1f\x8b"
_RANGE: Final = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
_TRY_AGAIN: Final = frozenset({408, 425, 429, *range(500, 600)} - {501})
_CODES: Final = {403: "CH103", 404: "CH104", 410: "CH104"}


class Sink(Protocol):
    """Whoever takes the lines of a file."""

    def begin(self) -> None:
        """The file begins, perhaps anew: what came before does not count."""

    def take(self, line: bytes) -> None:
        """One line, without its end; never an empty one."""


@dataclass(frozen=True, slots=True)
class Received:
    """What came: lines, `size` in bytes unpacked, requests sent, and whether the last line had no end."""

    lines: int
    size: int
    requests: int
    open_end: bytes = field(repr=False)


class _RestartError(Exception):
    """What came so far cannot be gone on with."""


def receive(
    client: BulkClient,
    file: ExportFile,
    sink: Sink,
    settings: Settings,
    *,
    ends: Callable[[], bool] = lambda: False,
) -> Received:
    """Read a file to its end.

    `ends` says that time has run out. Tries are counted from the last byte that came, so a file that grows is read on.

    Raises:
        FetchError: CH101 and CH109 after the last try, CH103, CH104, CH111 as answered, CH105 for an encoding nobody
            asked for, CH120 for a line without end, CH124 when the time is over, CH150 when no token is good for it,
            CH161 when it wants the token on a host that may not have it.
    """
    reading = _Reading(client, file, sink)
    attempt = 0
    while True:
        before = reading.offset
        asked, status, code = None, None, "CH101"
        try:
            status, asked = reading.go_on()
            if status is None:
                return reading.received()
            code = "CH109"
        except LineLostError:
            pass
        except _RestartError:
            reading.restart()
        attempt = 1 if reading.offset > before else attempt + 1
        if attempt >= settings.request_tries + (reading.restarts > 0):
            raise FetchError(code, where=client.http.where)
        if ends():
            raise FetchError("CH124", where=client.http.where)
        time.sleep(min(pause(attempt, status, asked).seconds, settings.retry_wait_max))


class _Reading:
    """One file, as far as it has come."""

    def __init__(self, client: BulkClient, file: ExportFile, sink: Sink) -> None:
        self._client = client
        self._file = file
        self._sink = sink
        self._tag: str | None = None
        self.offset = 0
        self.restarts = -1
        self.requests = 0
        self.restart()

    def restart(self) -> None:
        """Forget what came."""
        self.restarts += 1
        self.offset = 0
        self._tag = None
        self._unpacker: zlib._Decompress | None = None
        self._encoding: str | None = None
        self._rest = b""
        self._lines = self._bytes = 0
        self._sink.begin()

    def go_on(self) -> tuple[int | None, float | None]:
        """Ask for what is missing, and read it. Returns the status and Retry-After of an answer to be had again later.

        Raises:
            LineLostError: it stopped half-way.
        """
        for token in self._client.file_tokens(self._file):
            headers = {"Accept": NDJSON, "Accept-Encoding": "gzip"}
            if self.offset:
                headers["Range"] = f"bytes={self.offset}-"
                if self._tag is not None:
                    headers["If-Range"] = self._tag
            self.requests += 1
            with self._client.http.stream(self._file.address, token, headers) as response:
                if response.status == 401 and token is not None:
                    continue
                return self._answered(response)
        raise FetchError("CH150", where=self._client.http.where, what="the files want another token")

    def received(self) -> Received:
        """The account of a file that is whole."""
        return Received(self._lines, self._bytes, self.requests, self._rest)

    def _answered(self, response: urllib3.BaseHTTPResponse) -> tuple[int | None, float | None]:
        status = response.status
        if status in _TRY_AGAIN:
            return status, retry_after(response.headers.get("Retry-After"), response.headers.get("Date"))
        if status == 416:
            raise _RestartError
        if status not in {200, 206}:
            code = "CH150" if status == 401 else _CODES.get(status, "CH111")
            raise FetchError(code, where=self._client.http.where, what=f"HTTP {status}")
        encoding = (response.headers.get("Content-Encoding") or "").strip().lower()
        if status == 206:
            begins = _RANGE.match(response.headers.get("Content-Range") or "")
            if begins is None or int(begins[1]) != self.offset or encoding != self._encoding:
                raise _RestartError
        elif self.offset:
            self.restart()
        if status == 200:
            self._open(encoding)
            tag = response.headers.get("ETag")
            self._tag = tag if tag is not None and not tag.startswith("W/") and tag.isascii() else None
        for chunk in _raw(response):
            if not self.offset and self._unpacker is None and chunk.startswith(_GZIP):
                self._unpacker = zlib.decompressobj(wbits=31)  # a file that lies packed, and is sent as it lies
            self.offset += len(chunk)
            self._unpack(chunk)
        self._finish()
        return None, None

    def _open(self, encoding: str) -> None:
        if encoding not in {"", "identity", "gzip", "x-gzip"}:
            raise FetchError("CH105", where=self._client.http.where, what="an encoding that was not asked for")
        self._encoding = encoding
        self._unpacker = zlib.decompressobj(wbits=31) if "gzip" in encoding else None

    def _unpack(self, chunk: bytes) -> None:
        if self._unpacker is None:
            self._cut(chunk)
            return
        try:
            while chunk:
                self._cut(self._unpacker.decompress(chunk, _PIECE))
                chunk = self._unpacker.unconsumed_tail
                if self._unpacker.eof:  # another member may follow
                    chunk = self._unpacker.unused_data
                    if chunk:
                        self._unpacker = zlib.decompressobj(wbits=31)
        except zlib.error:
            raise _RestartError from None

    def _cut(self, text: bytes) -> None:
        """Hand on the lines that have ended."""
        if not self._bytes:
            text = text.removeprefix(_BOM)
        self._bytes += len(text)
        *whole, rest = (self._rest + text).split(b"\n") if b"\n" in text else (self._rest + text,)
        if len(rest) > LONGEST_LINE:
            raise FetchError("CH120", where=self._client.http.where)
        self._rest = rest
        for line in whole:
            self._hand_on(line)

    def _finish(self) -> None:
        if self._unpacker is not None and not self._unpacker.eof and self.offset:
            raise LineLostError
        self._hand_on(self._rest)

    def _hand_on(self, line: bytes) -> None:
        line = line.strip()
        if line:
            self._lines += 1
            self._sink.take(line)


def _raw(response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    """The bytes of an answer as they are on the line; fewer than it announced are no end of it."""
    try:
        while chunk := response.read1(_CHUNK, decode_content=False):
            yield chunk
    except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError):
        raise LineLostError from None
