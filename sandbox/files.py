"""What a SOURCE folder holds: FHIR Bundles, single resources, JSON arrays and NDJSON, plain or gzip, in any mix.

A file is cut into groups: a Bundle is one (its references belong together), an NDJSON line is one. What cannot be read
is a `Fault` with file and line, never with content, and the rest of the file goes through.
"""

from __future__ import annotations

import gzip
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SUFFIXES: Final = (".json", ".ndjson", ".jsonl", ".json.gz", ".ndjson.gz", ".jsonl.gz", ".gz")
_LINED: Final = (".ndjson", ".jsonl", ".ndjson.gz", ".jsonl.gz")
_BOM: Final = b"\xef\xbb\xbf"
_GZIP: Final = b"\x1f\x8b"
_DEEPEST: Final = 20
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


@dataclass(frozen=True, slots=True)
class Entry:
    """A resource as it stands in a file, and how its Bundle asks for it (`method`, `if_none_exist`, `full_url`)."""

    raw: bytes
    type: str
    id: str | None
    full_url: str | None = None
    method: str | None = None
    if_none_exist: str | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Resources that were sent together; `bundle` is the type of their Bundle, None outside of one."""

    file: str
    bundle: str | None
    entries: tuple[Entry, ...]
    deleted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that could not be read: file, line (from 1) and a reason without content."""

    file: str
    line: int
    reason: str


class _Head(msgspec.Struct):
    resourceType: msgspec.Raw = msgspec.Raw()  # noqa: N815
    type: msgspec.Raw = msgspec.Raw()
    entry: msgspec.Raw = msgspec.Raw()
    id: msgspec.Raw = msgspec.Raw()


class _Entry(msgspec.Struct):
    resource: msgspec.Raw = msgspec.Raw()
    fullUrl: Any = None  # noqa: N815
    request: Any = None
    search: Any = None


_HEAD: Final = msgspec.json.Decoder(_Head)
_ENTRY: Final = msgspec.json.Decoder(_Entry)
_PARTS: Final = msgspec.json.Decoder(list[msgspec.Raw])
_TEXT: Final = msgspec.json.Decoder(str)


def source_files(folder: Path) -> list[Path]:
    """The files of a folder that may hold FHIR, at any depth, sorted; hidden ones are left out."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.name.endswith(SUFFIXES)
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )


def read_file(path: Path, name: str, types: frozenset[str]) -> Iterator[Group | Fault]:
    """Everything that a file holds. `name` is what faults call it, `types` are the resource types of R4."""
    try:
        with _opened(path) as stream:
            if path.name.endswith(_LINED):
                yield from _lines(stream, name, types)
                return
            body = _plain(stream.read())
    except (OSError, EOFError, zlib.error) as error:
        yield Fault(name, 1, _system_reason(error))
        return
    yield from _whole(body, name, types)


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    with path.open("rb") as stream:
        packed = stream.read(2) == _GZIP
        stream.seek(0)
        if packed:
            with gzip.GzipFile(fileobj=stream) as unpacked:
                yield unpacked  # type: ignore[misc]
        else:
            yield stream


def _plain(body: bytes) -> bytes:
    if body.startswith((b"\xff\xfe", b"\xfe\xff")):
        return body.decode("utf-16", "replace").encode()
    return body.removeprefix(_BOM)


def _whole(body: bytes, name: str, types: frozenset[str]) -> Iterator[Group | Fault]:
    if not body.strip():
        yield Fault(name, 1, "the file is empty")
        return
    try:
        msgspec.json.decode(body, type=msgspec.Raw)
    except _UNREADABLE as error:
        first = body.lstrip().partition(b"\n")[0]
        if _is_json(first) and b"\n" in body.strip():
            for number, line in enumerate(body.split(b"\n"), 1):
                yield from _line(line, name, number, types)
            return
        yield Fault(name, _line_of_error(body, error), _json_reason(error))
        return
    yield from _value(body, name, 1, types, body, 0)


def _lines(stream: IO[bytes], name: str, types: frozenset[str]) -> Iterator[Group | Fault]:
    number = 0
    try:
        for number, line in enumerate(stream, 1):
            if number == 1 and (line.startswith((b"\xff\xfe", b"\xfe\xff")) or _is_spread(line)):
                # Not lines at all: UTF-16, or one value spread over many lines under the wrong name.
                yield from _whole(_plain(line + stream.read()), name, types)
                return
            yield from _line(line, name, number, types)
    except (OSError, EOFError, zlib.error) as error:
        yield Fault(name, number + 1, _system_reason(error))


def _is_spread(line: bytes) -> bool:
    return line.removeprefix(_BOM).strip() in (b"{", b"[")


def _line(line: bytes, name: str, number: int, types: frozenset[str]) -> Iterator[Group | Fault]:
    text = line.strip().removeprefix(_BOM)
    if not text:
        return
    try:
        yield from _value(text, name, number, types, text, 0)
    except _UNREADABLE as error:
        yield Fault(name, number, _json_reason(error))


def _value(raw: bytes, name: str, line: int, types: frozenset[str], body: bytes, depth: int) -> Iterator[Group | Fault]:
    """One JSON value: a Bundle, a resource, or an array of those."""
    if depth > _DEEPEST:
        yield Fault(name, line, "Bundles are nested too deeply")
        return
    if raw.lstrip()[:1] == b"[":
        for part in _PARTS.decode(raw):
            yield from _value(bytes(part), name, _line_at(body, part, line), types, body, depth + 1)
        return
    entry = _resource(raw, types)
    if isinstance(entry, str):
        yield Fault(name, line, entry)
    elif entry.type == "Bundle":
        yield from _bundle(raw, name, line, types, body, depth)
    elif entry.type not in ("OperationOutcome", "Parameters"):
        yield Group(name, None, (entry,))


def _bundle(
    raw: bytes, name: str, line: int, types: frozenset[str], body: bytes, depth: int
) -> Iterator[Group | Fault]:
    head = _HEAD.decode(raw)
    kind = _text(head.type) or "collection"
    parts = list(_parts(head.entry))
    if kind == "history":
        parts.reverse()  # R4 §3.1.0.9: the newest comes first
    found: list[Entry] = []
    deleted: list[str] = []
    nested: list[bytes] = []
    for part in parts:
        try:
            wrapper = _ENTRY.decode(part)
        except _UNREADABLE:
            yield Fault(name, _line_at(body, part, line), "a Bundle entry is not an object")
            continue
        request = wrapper.request if isinstance(wrapper.request, dict) else {}
        method = request.get("method")
        content = bytes(wrapper.resource)
        if not content or content == b"null":
            if kind == "history" and method == "DELETE" and isinstance(request.get("url"), str):
                deleted.append(request["url"])
            continue
        entry = _resource(content, types)
        if isinstance(entry, str):
            yield Fault(name, _line_at(body, part, line), entry)
        elif entry.type == "Bundle":
            nested.append(content)
        elif entry.type not in ("OperationOutcome", "Parameters"):
            condition = request.get("ifNoneExist")
            found.append(
                Entry(
                    raw=content,
                    type=entry.type,
                    id=entry.id,
                    full_url=wrapper.fullUrl if isinstance(wrapper.fullUrl, str) else None,
                    method=method if isinstance(method, str) else None,
                    if_none_exist=condition if isinstance(condition, str) else None,
                )
            )
    if found or deleted:
        yield Group(name, kind, tuple(found), tuple(deleted))
    for inner in nested:
        yield from _value(inner, name, line, types, body, depth + 1)


def _parts(raw: msgspec.Raw) -> list[msgspec.Raw]:
    try:
        return _PARTS.decode(raw)
    except _UNREADABLE:
        return []


def _resource(raw: bytes, types: frozenset[str]) -> Entry | str:
    """The resource, or the reason why it is none."""
    if raw.lstrip()[:1] != b"{":
        msgspec.json.decode(raw, type=msgspec.Raw)
        return "this is JSON, but no FHIR resource"
    head = _HEAD.decode(raw)
    kind = _text(head.resourceType)
    if kind is None:
        return "resourceType is missing"
    if kind not in types:
        return "resourceType is not one of FHIR R4"
    return Entry(raw=raw, type=kind, id=_text(head.id) or None)


def _text(raw: msgspec.Raw) -> str | None:
    try:
        return _TEXT.decode(raw)
    except _UNREADABLE:
        return None


def _is_json(text: bytes) -> bool:
    try:
        msgspec.json.decode(text.strip().removeprefix(_BOM), type=msgspec.Raw)
    except _UNREADABLE:
        return False
    return True


def _line_at(body: bytes, part: msgspec.Raw, line: int) -> int:
    """The line on which a part of a file begins (the first such part, where two are equal)."""
    at = body.find(bytes(part))
    return line + body.count(b"\n", 0, at) if at > 0 else line


def _line_of_error(body: bytes, error: Exception) -> int:
    at = str(error).rpartition("(byte ")[2].rstrip(")")
    return 1 + body.count(b"\n", 0, int(at) if at.isdigit() else len(body))


def _json_reason(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "the text is not UTF-8"
    if isinstance(error, RecursionError):
        return "the JSON is nested too deeply"
    return "the JSON is cut short" if "truncated" in str(error) else "the JSON is not valid"


def _system_reason(error: Exception) -> str:
    if isinstance(error, gzip.BadGzipFile | zlib.error):
        return "the gzip stream is damaged"
    if isinstance(error, EOFError):
        return "the gzip stream ends too early"
    return f"the file cannot be read ({type(error).__name__})"
