"""What goes into an export, in which order. Run again over what an earlier try finished, it goes on behind that."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from charthouse import faults
from charthouse.privacy.export import attachments, cells, ips, manifest
from charthouse.privacy.export.book import Book, base_of, write_pages
from charthouse.privacy.export.names import Names
from transforms.checking.rules import RULES
from transforms.tables import dictionary_markdown, other_tables, tables

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from charthouse.privacy.export.archive import Archive, Stream
    from charthouse.privacy.export.holdings import Holdings
    from charthouse.privacy.export.scope import Scope
    from charthouse.privacy.export.sheets import Sheet
    from charthouse.settings import Settings
    from transforms.tables import Table

NDJSON: Final = "application/fhir+ndjson"
FHIR: Final = "application/fhir+json"
JSON: Final = "application/json"
CSV: Final = "text/csv"
PARQUET: Final = "application/vnd.apache.parquet"
PARQUET_ROWS: Final = 1024
_SOURCES = (
    "type",
    "id",
    "provider",
    "link_id",
    "version",
    "line",
    "file",
    "last_updated",
    "received_at",
    "sha256",
    "remarks",
)
_REASONS = ("file", "line", "type", "id", "provider", "received_at", "sha256", "rules", "reasons")


@dataclass(frozen=True, slots=True)
class Work:
    """One export: what it reads, what it writes, and what it says of itself. `alive` raises when it was called off."""

    request_id: str
    person_key: str
    scope: Scope
    at: datetime
    held: Holdings
    archive: Archive
    documents: Mapping[str, Any]
    sources: Mapping[str, str]
    settings: Settings
    alive: Callable[[], None]


def write_all(work: Work) -> None:
    """Write everything, the manifest last."""
    attached = _named_attachments(work)
    work.archive.file("README.txt", "text/plain", _readme(work).encode())
    book = Book(work.archive, base_of(work.settings.service_name, work.at), work.sources)
    write_pages(book, work.held, attached, work.documents, _narrowed(work.scope))
    for name, document in work.documents.items():
        work.archive.file(f"account/{name}.json", JSON, _json(document))
    work.archive.file("account/withheld_rows.json", JSON, _json(_withheld(work)))
    faults.point("export.pages")
    if not work.archive.has("ips.json"):
        bundle = ips.summary(work.held, work.request_id, work.at, work.settings.service_name)
        work.archive.file("ips.json", FHIR, bundle)
    work.archive.file("tables/dictionary.md", "text/markdown", dictionary_markdown().encode())
    for table in (*tables(), *(each for each in other_tables() if each.parent is None)):
        if work.held.count(table):
            work.alive()
            sheet = work.held.sheet(table)
            _write_csv(work, table, sheet)
            _write_parquet(work, table, sheet)
    for kind in work.held.types():
        _write_resources(work, kind, earlier=False)
    for kind in work.held.types(earlier=True):
        _write_resources(work, kind, earlier=True)
    _write_sources(work)
    _write_quarantine(work)
    faults.point("export.records")
    _write_attachments(work, {(*each.key, each.number): each for each in attached})
    _write_manifest(work)
    work.archive.close()


def _write_resources(work: Work, kind: str, *, earlier: bool) -> None:
    """The resources of a type, a line each, byte for byte; those with line breaks in them as files of their own."""
    stream = work.archive.stream(f"{_folder(earlier)}/{kind}", ".ndjson", NDJSON)
    if not stream.is_done:
        for number, each in enumerate(work.held.resources(kind, earlier=earlier, after=_behind(stream))):
            if number % 1000 == 0:
                work.alive()
            stream.write(each.text.encode() + b"\n", [each.place])
        stream.close()
    for each in work.held.resources(kind, earlier=earlier, broken=True):
        work.archive.file(_whole(earlier, each.key), FHIR, each.text.encode())


def _write_sources(work: Work) -> None:
    """Which line of which file came from whom, and when."""
    stream = work.archive.stream("fhir/sources", ".csv", CSV, head=cells.header(_SOURCES))
    if stream.is_done:
        return
    counts: dict[tuple[str, bool], int] = {}
    for number, each in enumerate(work.held.sources()):
        kind, link_id, name, sequence, is_current, updated, received, digest, remarks, broken = each
        if broken:
            file, line = _whole(not is_current, (kind, link_id, name, sequence)), ""
        else:
            counted = counts[kind, is_current] = counts.get((kind, is_current), 0) + 1
            file, line = f"{_folder(not is_current)}/{kind}.ndjson", str(counted)
        if stream.key is not None and number <= stream.key[0]:
            continue
        version = "current" if is_current else "earlier"
        told = (
            kind,
            name,
            work.sources.get(link_id, ""),
            link_id,
            version,
            line,
            file,
            updated,
            received,
            digest,
            remarks,
        )
        stream.write(cells.line(told), [number])
    stream.close()


def _write_quarantine(work: Work) -> None:
    """What could not be used, byte for byte, and the reasons beside it."""
    if not work.held.quarantined():
        return
    stream = work.archive.stream("quarantine/records", ".ndjson", "application/octet-stream")
    if not stream.is_done:
        for each in work.held.quarantine(after=_behind(stream)):
            stream.write(each.content + b"\n", [each.place])
        stream.close()
    for each in work.held.quarantine(broken=True):
        work.archive.file(_apart(each.link_id, each.content_hash), "application/octet-stream", each.content)
    reasons = work.archive.stream("quarantine/reasons", ".csv", CSV, head=cells.header(_REASONS))
    if reasons.is_done:
        return
    line = 0
    for broken in (False, True):
        for each in work.held.quarantine(content=False, broken=broken):
            line += not broken
            file = _apart(each.link_id, each.content_hash) if broken else "quarantine/records.ndjson"
            titles = "; ".join(RULES[rule].title for rule in each.rules if rule in RULES)
            told = (
                file, "" if broken else line, each.resource_type, each.resource_id, work.sources.get(each.link_id, ""),
                each.stored_at, each.content_hash, " ".join(each.rules), titles,
            )  # fmt: skip
            key = [int(broken), each.place]
            if reasons.key is None or key > reasons.key:
                reasons.write(cells.line(told), key)
    reasons.close()


def _write_csv(work: Work, table: Table, sheet: Sheet) -> None:
    names = sheet.columns
    stream = work.archive.stream(f"tables/{table.name}", ".csv", CSV, head=cells.header(names))
    if stream.is_done:
        return
    for key, row in sheet.written(stream.key):
        stream.write(cells.line(row), key)
    stream.close()


def _write_parquet(work: Work, table: Table, sheet: Sheet) -> None:
    stream = work.archive.stream(f"tables/{table.name}", ".parquet", PARQUET)
    if stream.is_done:
        return
    pa.set_memory_pool(pa.system_memory_pool())  # Arrow's own one keeps what it frees
    writer: pq.ParquetWriter | None = None
    for key, batch in sheet.batches(stream.key, PARQUET_ROWS):
        if writer is not None and not stream.fits(batch.nbytes):
            writer.close()
            writer = None
            stream.end_file()
        if writer is None:
            out = pa.PythonFile(stream.ready(batch.nbytes), mode="w")
            writer = pq.ParquetWriter(out, batch.schema, compression="zstd")
        writer.write_batch(batch)
        stream.mark(key)
    if writer is not None:
        writer.close()
    stream.close()


def _named_attachments(work: Work) -> list[attachments.Attached]:
    """All attachments with the names that they get. Done again, they get the same ones."""
    names, found = Names(), []
    for each in work.held.with_data():
        for one in attachments.attachments_of(each.text):
            content = attachments.decoded(one.data)
            if content is not None:
                found.append(attachments.named(one, each.text, each.key, names, len(content)))
    return found


def _write_attachments(work: Work, attached: Mapping[tuple[Any, ...], attachments.Attached]) -> None:
    if not attached:
        return
    for each in work.held.with_data():
        for one in attachments.attachments_of(each.text):
            said = attached.get((*each.key, one.number))
            if said is not None and not work.archive.has(said.path):
                work.archive.file(said.path, said.media_type, attachments.decoded(one.data) or b"")


def _write_manifest(work: Work) -> None:
    """The list of all files, in the last part, with its signature. Its own three files are not in it."""
    work.archive.seal(
        lambda listed, parts: _signed(
            listed,
            {
                "request_id": work.request_id,
                "made_at": work.at.isoformat(timespec="seconds"),
                "service": work.settings.service_name,
                "parts": parts,
                "narrowed_to": work.scope.options(),
                "notes": [
                    "fhir/<Type>.ndjson holds each resource byte for byte as received, followed by one line feed.",
                    "What was received with line breaks in it is a file of its own under as-received/, byte for byte.",
                    "fhir/sources.csv says which line or file came from which provider, and when.",
                ],
            },
            work.settings,
        )
    )


def _signed(listed: list[Any], said: dict[str, Any], settings: Settings) -> list[tuple[str, str, bytes]]:
    content, keys = manifest.manifest(listed, said), manifest.keys(settings)
    told = {"request_id": said["request_id"], "parts": said["parts"]}
    proof = manifest.signature(content, keys, told, settings)
    return [
        (manifest.KEYS, JSON, keys),
        (manifest.MANIFEST, JSON, content),
        (manifest.SIGNATURE, "application/jose", proof),
    ]


def _behind(stream: Stream) -> int:
    return int(stream.key[0]) if stream.key else -1


def _withheld(work: Work) -> list[dict[str, str]]:
    return [
        {"table": name, "row_key": key, "rule": rule, "means": "The rule kept the row out of the table."}
        for name, key, rule in work.held.withheld()
    ]


def _folder(earlier: bool) -> str:
    return "fhir/earlier" if earlier else "fhir"


def _whole(earlier: bool, key: tuple[str, str, str, int]) -> str:
    """Where a resource with line breaks is: a name that is the same whenever it is asked for."""
    return f"{_folder(earlier)}/as-received/{key[0]}-{_short(*key)}.json"


def _apart(link_id: str, content_hash: str) -> str:
    return f"quarantine/as-received/{_short(link_id, content_hash)}.bin"


def _short(*parts: object) -> str:
    return hashlib.sha256("/".join(str(part) for part in parts).encode()).hexdigest()[:24]


def _json(document: Any) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS, default=str) + b"\n"


def _narrowed(scope: Scope) -> str:
    said = []
    if scope.categories:
        said.append("the categories " + ", ".join(name.replace("_", " ") for name in scope.categories))
    if scope.providers:
        said.append("the providers " + ", ".join(scope.providers))
    if scope.since:
        said.append(f"what came or changed since {scope.since.isoformat()}")
    return "; ".join(said)


def _readme(work: Work) -> str:
    narrowed = _narrowed(work.scope)
    return _README.format(
        service=work.settings.service_name,
        at=f"{work.at:%Y-%m-%d %H:%M} UTC",
        what=f"narrowed to {narrowed}" if narrowed else "everything that was held",
        request=work.request_id,
    )


_README: Final = """Your health records from {service}
Made on {at}: {what}. Export {request}.

HOW TO READ IT
Unpack all ZIPs of this export into one folder, then open index.html in a browser. It works without the internet and
sends nothing anywhere.

WHAT IS IN IT
index.html, pages/   for reading
tables/              each category, and reports, documents and surveys beside them, as CSV and Parquet; dictionary.md
                     explains the columns. In CSV, a text that a spreadsheet would take for a formula is preceded by an
                     apostrophe.
fhir/                every resource exactly as received, FHIR R4, one a line. sources.csv says which line is whose: its
                     numbers count through all files of a type (Observation.ndjson, Observation.2.ndjson, ...).
fhir/earlier/        versions that providers have replaced
quarantine/          what could not be used, as it came, and reasons.csv
attachments/         documents and pictures from inside the resources. What could run a program or a script ends in
                     .txt or .bin: rename it if you trust it.
ips.json             an International Patient Summary (FHIR document), made by a program, not by a doctor
account/             what the service itself knows: connections, consents, notices, requests, its log about you
manifest.json        every file with its SHA-256; manifest.jws is its signature (Ed25519), keys.json the public keys

HOW TO CHECK IT
charthouse verify FILE.zip [MORE.zip ...]      names every file that was changed, removed or added
With --keys FILE the keys are those that you got from the service itself, and not those in the ZIP.
Whoever has this folder can read it: it is not encrypted. Keep it in a safe place.
"""
