"""The files of a landing: pages as received, a journal while the fetch runs, and a marker when it is over.

A link's folder holds `NNN.<label>.pages` (a frame a page, each a whole Bundle: the gzip member or Zstandard frame as
which it came, or one that we packed), `journal.jsonl` (a line for each query that was begun or finished, so that a
killed fetch knows what it has) and at the end `complete.json`, which replaces the journal. Whoever reads a landing
looks for the marker first. Nothing here knows a patient id, a URL or a token.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from charthouse.files import scratch_of, sync, write_whole
from charthouse.partners.encodings import TornError, opened, packed, pieced
from transforms.bundles import PageError, read_page

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MARKER: Final = "complete.json"
JOURNAL: Final = "journal.jsonl"
PAGES: Final = ".pages"
VERSION: Final = 1
LONGEST: Final = 120
"""Most characters of a label in a file's name: the categories in it are a server's words."""
_CHUNK: Final = 2**18
_HEAD: Final = 4
"""Bytes that tell what a frame is."""

LinkStatus = Literal["complete", "partial", "failed"]
QueryStatus = Literal["complete", "partial", "failed", "not_permitted", "refused"]
Unit = Literal["resource", "type", "link"]


class QueryRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one query.

    `label` names it without its patient (`Observation?category=laboratory`) and keys its watermark. `file` is None
    when no resource came. `resources` counts the entries that hold one, `bytes` the bodies unpacked. `watermark` is
    the latest `meta.lastUpdated` among the matches, as sent; the previous one when the query did not complete.
    `remarks` counts what is worth telling although the query went on, by code. `requests` were sent for it, `retries`
    of them after one in vain, and `waited` are the seconds before them. `exhaustive` tells that everything was asked
    for, and that nothing of it is held back: what did not come is served no longer.
    """

    label: str
    type: str
    file: str | None
    mode: Literal["full", "incremental"]
    status: QueryStatus
    code: str | None
    pages: int
    resources: int
    bytes: int
    watermark: str | None
    remarks: Mapping[str, int] = {}
    requests: int = 0
    retries: int = 0
    waited: float = 0.0
    exhaustive: bool = False


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that did not go as it should: its code, the smallest unit it stands for, and how often."""

    code: str
    unit: Unit
    resource_type: str | None
    label: str | None
    count: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a landing holds, as `complete.json` says. `not_requested` gives a reason for each type not asked for."""

    link_id: str
    status: LinkStatus
    queries: tuple[QueryRecord, ...]
    outcomes: tuple[Outcome, ...]
    not_requested: Mapping[str, str]
    version: int = VERSION

    @property
    def resources(self) -> int:
        """Entries received that hold a resource, repeated ones counted again."""
        return sum(query.resources for query in self.queries)

    @property
    def bytes(self) -> int:
        """Bytes of all bodies received, unpacked."""
        return sum(query.bytes for query in self.queries)

    @property
    def watermarks(self) -> dict[str, str]:
        """The watermarks to start from next time, by label."""
        return {query.label: query.watermark for query in self.queries if query.watermark}


class Begun(msgspec.Struct, frozen=True):
    """A query of which pages have landed, in the scratch of this file. It was not asked before `as_of`, by the server's
    clock.
    """

    begun: str
    file: str
    as_of: datetime | None = None


_MANIFEST: Final = msgspec.json.Decoder(Manifest)
_RECORD: Final = msgspec.json.Decoder(QueryRecord)
_BEGUN: Final = msgspec.json.Decoder(Begun)
_ENCODER: Final = msgspec.json.Encoder()


class PageWriter:
    """Pages to one file, which appears under its name when it is whole. `write_manifest` brings it to disk.

    With `after`, the pages that a killed fetch left in the scratch stay, up to that byte.
    """

    def __init__(self, file: Path, *, after: int = 0) -> None:
        self.file = file
        self._scratch = scratch_of(file)
        self._stream = self._scratch.open("r+b" if after else "wb", buffering=0)
        if after:
            self._stream.truncate(after)
            self._stream.seek(after)

    def add(self, body: bytes, frame: bytes | None = None) -> None:
        """Add a page; `frame` is the one that it came as, which spares packing it again."""
        rest = memoryview(packed(body) if frame is None else frame)
        while rest:  # a raw write may take less than all of it
            rest = rest[self._stream.write(rest) :]

    def finish(self) -> None:
        """Give the file its name.

        Its bytes are on disk with the marker: waiting for the disk here would keep a query's thread from asking on.
        """
        self._stream.close()
        self._scratch.replace(self.file)

    def drop(self) -> None:
        """Give the pages up."""
        self._stream.close()
        self._scratch.unlink()


class Leftover:
    """The whole pages of a scratch: `end` is the byte behind those that were read so far."""

    def __init__(self, file: Path) -> None:
        self._scratch = scratch_of(file)
        self.end = 0

    def pages(self) -> Iterator[bytes]:
        """The bodies, as long as they are whole."""
        try:
            for body, end in _pages(self._scratch):
                self.end = end
                yield body
        except EOFError:
            return


def append_page(file: Path, body: bytes) -> None:
    """Add a page to what will be `file`: it gets its name (`charthouse.files.put`) once all of it is there.

    For many files that grow side by side: none is kept open.

    Raises:
        FileNotFoundError: the folder is gone.
    """
    with scratch_of(file).open("ab") as stream:
        stream.write(packed(body))


def read_pages(file: Path) -> Iterator[bytes]:
    """The bodies of a landed file, one at a time, byte for byte as they were received.

    Raises:
        EOFError: the file ends within a page, or a page is damaged.
    """
    for body, _ in _pages(file):
        yield body


def _pages(file: Path) -> Iterator[tuple[bytes, int]]:
    """The bodies, and for each the byte at which its frame ends."""
    with file.open("rb") as stream:
        rest, read = b"", 0

        def more() -> bytes:
            nonlocal read
            chunk = stream.read(_CHUNK)
            read += len(chunk)
            return chunk

        while True:
            if len(rest) < _HEAD:
                rest += more()
            if not rest:
                return
            frame = opened(rest)
            if frame is None:
                raise EOFError(file.name)
            parts = []
            while True:
                try:
                    parts.append(pieced(frame, rest, sys.maxsize))
                except TornError:
                    raise EOFError(file.name) from None
                if frame.eof:
                    break
                rest = more()
                if not rest:
                    raise EOFError(file.name)
            rest = frame.unused_data
            yield b"".join(parts), read - len(rest)


def page_files(folder: Path) -> list[Path]:
    """The files of pages in a link's folder, in the order they were asked for."""
    return sorted(folder.glob(f"*{PAGES}"))


def file_name(number: int | str, label: str) -> str:
    """`000.Observation.category=laboratory.pages` for query 0 of that label."""
    head = f"{number:03d}" if isinstance(number, int) else number
    return f"{head}.{re.sub(r'[^A-Za-z0-9=.,_-]+', '.', label)[:LONGEST]}{PAGES}"


def type_of(file: Path) -> str:
    """The type that a landed file of lines or of a query is of, as its name says it."""
    return file.name.split(".")[1]


def read_manifest(path: Path) -> Manifest | None:
    """The manifest of a link's folder (or the marker file itself); None while the landing is not complete."""
    marker = path if path.name == MARKER else path / MARKER
    try:
        return _MANIFEST.decode(marker.read_bytes())
    except FileNotFoundError:
        return None


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Close a landing: everything before it is on disk when the marker appears."""
    for file in page_files(folder):
        sync(file)
    sync(folder)
    write_whole(folder / MARKER, msgspec.json.format(_ENCODER.encode(manifest), indent=1))
    (folder / JOURNAL).unlink(missing_ok=True)


class Journal:
    """The journal of a link's folder: queries that have begun to land, or are finished, their files under their names.

    Each line is one write, in whatever thread; a line that a crash cuts off costs that query. Used as a context.
    """

    def __init__(self, folder: Path) -> None:
        self._descriptor = os.open(folder / JOURNAL, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def note(self, line: QueryRecord | Begun) -> None:
        """Add a line."""
        os.write(self._descriptor, _ENCODER.encode(line) + b"\n")

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


def resume(folder: Path) -> tuple[list[QueryRecord], dict[str, Begun]]:
    """Make a link's folder ready. Returns the queries that need not be asked again, and those half-way by their labels.

    Kept are complete queries whose file is there and whole, those that the provider answered with a refusal, and the
    pages of a query that was killed. Everything else in the folder goes: files that nothing vouches for, what partial,
    failed and reference queries left.
    """
    folder.mkdir(parents=True, exist_ok=True)
    journal = folder / JOURNAL
    kept: dict[str, QueryRecord] = {}
    begun: dict[str, Begun] = {}
    for line in journal.read_bytes().splitlines() if journal.exists() else ():
        known = _line(line)
        if isinstance(known, Begun):
            begun[known.begun] = known
        elif known is not None:
            begun.pop(known.label, None)
            if known.status in {"complete", "not_permitted", "refused"} and not is_reference(known):
                kept[known.label] = known
    records = [record for record in kept.values() if record.file is None or _is_whole(folder / record.file, record)]
    halves = {label: half for label, half in begun.items() if scratch_of(folder / half.file).exists()}
    vouched = {record.file for record in records} | {scratch_of(folder / half.file).name for half in halves.values()}
    for file in [*folder.glob("*.part"), *page_files(folder)]:
        if file.name not in vouched:
            file.unlink()
    journal.unlink(missing_ok=True)
    with Journal(folder) as anew:
        for record in records:
            anew.note(record)
        for half in halves.values():
            anew.note(half)
    return records, halves


def _is_whole(file: Path, record: QueryRecord) -> bool:
    """Whether a file holds what its record says: after a power cut, one may have its name and not its bytes."""
    try:
        return sum(len(read_page(body).entries) for body in read_pages(file)) >= record.resources
    except (OSError, EOFError, PageError):
        return False


def _line(line: bytes) -> QueryRecord | Begun | None:
    """A line of a journal; None for one that was cut off."""
    for decoder in (_RECORD, _BEGUN):
        try:
            return decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
    return None


def is_reference(record: QueryRecord) -> bool:
    """Whether a query read what others point at (`Organization?_id`) rather than what is the person's."""
    return record.label.endswith("?_id")
