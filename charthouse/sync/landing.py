"""The files of a landing: pages as received, a journal while the fetch runs, and a marker when it is over.

A link's folder holds `NNN.<label>.pages.gz` (one gzip member a page, each a whole Bundle), `journal.jsonl` (a line for
each finished query, so that a killed fetch knows what it has) and at the end `complete.json`, which replaces the
journal. Whoever reads a landing looks for the marker first. Nothing here knows a patient id, a URL or a token.
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from charthouse.files import put, scratch_of, sync, write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MARKER: Final = "complete.json"
JOURNAL: Final = "journal.jsonl"
PAGES: Final = ".pages.gz"
VERSION: Final = 1
LONGEST: Final = 120
"""Most characters of a label in a file's name: the categories in it are a server's words."""
_CHUNK: Final = 2**18

LinkStatus = Literal["complete", "partial", "failed"]
QueryStatus = Literal["complete", "partial", "failed", "not_permitted", "refused"]
Unit = Literal["resource", "type", "link"]


class QueryRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one query.

    `label` names it without its patient (`Observation?category=laboratory`) and keys its watermark. `file` is None
    when no resource came. `resources` counts the entries that hold one, `bytes` the bodies unpacked. `watermark` is
    the latest `meta.lastUpdated` among the matches, as sent; the previous one when the query did not complete.
    `remarks` counts what is worth telling although the query went on, by code.
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


_MANIFEST: Final = msgspec.json.Decoder(Manifest)
_RECORD: Final = msgspec.json.Decoder(QueryRecord)
_ENCODER: Final = msgspec.json.Encoder()


class PageWriter:
    """Pages to one file, which appears under its name when it is whole and on disk."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._scratch = scratch_of(file)
        self._stream = self._scratch.open("wb")

    def add(self, body: bytes, member: bytes | None = None) -> None:
        """Add a page; `member` is the gzip member it came as, which spares packing it again."""
        if member is None:
            packer = zlib.compressobj(level=1, wbits=31)
            member = packer.compress(body) + packer.flush()
        self._stream.write(member)

    def finish(self) -> None:
        """Bring the file to disk and give it its name."""
        self._stream.close()
        put(self._scratch, self.file)


def append_page(file: Path, body: bytes) -> None:
    """Add a page to what will be `file`: it gets its name (`charthouse.files.put`) once all of it is there.

    For many files that grow side by side: none is kept open.

    Raises:
        FileNotFoundError: the folder is gone.
    """
    packer = zlib.compressobj(level=1, wbits=31)
    with scratch_of(file).open("ab") as stream:
        stream.write(packer.compress(body) + packer.flush())


def read_pages(file: Path) -> Iterator[bytes]:
    """The bodies of a landed file, one at a time, byte for byte as they were received.

    Raises:
        EOFError: the file ends within a page.
    """
    with file.open("rb") as stream:
        rest = stream.read(_CHUNK)
        while rest:
            member = zlib.decompressobj(wbits=31)
            parts = []
            while not member.eof:
                if not rest:
                    raise EOFError(file.name)
                parts.append(member.decompress(rest))
                rest = member.unused_data or stream.read(_CHUNK)
            yield b"".join(parts)


def page_files(folder: Path) -> list[Path]:
    """The files of pages in a link's folder, in the order they were asked for."""
    return sorted(folder.glob(f"*{PAGES}"))


def file_name(number: int | str, label: str) -> str:
    """`000.Observation.category=laboratory.pages.gz` for query 0 of that label."""
    head = f"{number:03d}" if isinstance(number, int) else number
    return f"{head}.{re.sub(r'[^A-Za-z0-9=.,_-]+', '.', label)[:LONGEST]}{PAGES}"


def read_manifest(path: Path) -> Manifest | None:
    """The manifest of a link's folder (or the marker file itself); None while the landing is not complete."""
    marker = path if path.name == MARKER else path / MARKER
    try:
        return _MANIFEST.decode(marker.read_bytes())
    except FileNotFoundError:
        return None


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Close a landing: everything before it is on disk when the marker appears."""
    sync(folder)
    write_whole(folder / MARKER, msgspec.json.format(_ENCODER.encode(manifest), indent=1))
    (folder / JOURNAL).unlink(missing_ok=True)


def append_journal(folder: Path, record: QueryRecord) -> None:
    """Note a finished query. Its file has its name already; a line lost to a crash costs that query once more."""
    descriptor = os.open(folder / JOURNAL, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, _ENCODER.encode(record) + b"\n")
    finally:
        os.close(descriptor)


def resume(folder: Path) -> list[QueryRecord]:
    """Make a link's folder ready and say which queries need not be asked again.

    Kept are complete queries whose file is there, and those that the provider answered with a refusal. Everything
    else in the folder goes: halves, files that nothing vouches for, what partial, failed and reference queries left.
    """
    folder.mkdir(parents=True, exist_ok=True)
    journal = folder / JOURNAL
    kept: dict[str, QueryRecord] = {}
    for line in journal.read_bytes().splitlines() if journal.exists() else ():
        try:
            record = _RECORD.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        if record.status in {"complete", "not_permitted", "refused"} and not is_reference(record):
            kept[record.label] = record
    present = {file.name for file in page_files(folder)}
    records = [record for record in kept.values() if record.file is None or record.file in present]
    vouched = {record.file for record in records}
    for file in [*folder.glob("*.part"), *page_files(folder)]:
        if file.name not in vouched:
            file.unlink()
    journal.unlink(missing_ok=True)
    for record in records:
        append_journal(folder, record)
    return records


def is_reference(record: QueryRecord) -> bool:
    """Whether a query read what others point at (`Organization?_id`) rather than what is the person's."""
    return record.label.endswith("?_id")
