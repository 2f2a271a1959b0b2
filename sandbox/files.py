"""What a file of a SOURCE holds: FHIR Bundles, single resources, arrays, and any number of those one after another
(NDJSON, or pretty-printed), plain or gzip, in UTF-8, UTF-16 or UTF-32.

A file is cut into groups: a Bundle is one (its references belong together), an NDJSON line is one. What cannot be read
is a `Fault` with file and line, never with content, and the rest of the file goes through. What is no record of anybody
is an `Aside`. Every part of a file becomes one of the three.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Final

import msgspec

from transforms import torn_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LINED: Final = (".ndjson", ".jsonl", ".ndjson.gz", ".jsonl.gz")
_NAMED_JSON: Final = (*_LINED, ".json", ".json.gz")
_BOM: Final = b"\xef\xbb\xbf"
_GZIP: Final = b"\x1f\x8b"
_DEEPEST: Final = 20
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_BROKEN: Final = (OSError, EOFError, zlib.error)
_NO_RECORDS: Final = frozenset({"OperationOutcome", "Parameters"})
_CREATING: Final = frozenset({None, "POST", "PUT"})
_TRAILING: Final = re.compile(r"trailing characters \(byte (\d+)\)")
_OBJECT: Final = re.compile(rb"[\[\s]*\{")
_KNOWN_CONTENT: Final = ((b"PK\x03\x04", "a zip archive"), (b"<", "XML"), (b"PAR1", "Parquet"), (b"%PDF", "PDF"))


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
    """Something that could not be read: file, line, a reason without content, and which entry of a Bundle, from 1."""

    file: str
    line: int
    reason: str
    entry: int | None = None

    @property
    def where(self) -> str:
        """`people.json:1`, or `people.json:1 entry 3`."""
        return f"{self.file}:{self.line}" + (f" entry {self.entry}" if self.entry else "")


@dataclass(frozen=True, slots=True)
class Aside:
    """Something that is no record and no fault: `what` it is, as a plural."""

    what: str


Part = Group | Fault | Aside


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


def read_file(path: Path, name: str, types: frozenset[str]) -> Iterator[Part]:
    """Everything that a file holds. `name` is what faults call it, `types` are the resource types of R4."""
    lower = path.name.lower()
    number = 1
    try:
        with _opened(path) as stream:
            start = _start(stream)
            if start and not _OBJECT.match(start) and not lower.endswith(_NAMED_JSON):
                known = [kind for magic, kind in _KNOWN_CONTENT if start.startswith(magic)]
                yield Fault(name, 1, f"{known[0]} is not read, only JSON") if known else Aside("files without JSON")
            elif lower.endswith(_LINED):
                for number, chunk in _chunks(stream):
                    yield from _values(chunk, name, number, types)
            else:
                body = _plain(stream.read())
                if lower.endswith(_NAMED_JSON) or _end_of_value(memoryview(body))[1] is None:
                    yield from _whole(body, name, types)
                elif start:
                    yield Fault(name, 1, "it begins like JSON, but is none")
            if not start:
                yield Fault(name, 1, "the file is empty")
    except _BROKEN as error:
        yield Fault(name, number, _system_reason(error))


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


def _start(stream: IO[bytes]) -> bytes:
    """The first bytes that are no white space, as UTF-8; the stream stands where it stood."""
    try:
        return _plain(stream.read(4096)).lstrip()
    except EOFError:
        return b"{"  # Cut off so early that only reading it on tells where.
    finally:
        stream.seek(0)


def _plain(body: bytes) -> bytes:
    """UTF-8 without a byte order mark."""
    encoding = json.detect_encoding(body)
    if encoding.startswith(("utf-16", "utf-32")):
        return body.decode(encoding, "replace").removeprefix("\ufeff").encode()
    return body.removeprefix(_BOM)


def _whole(body: bytes, name: str, types: frozenset[str]) -> Iterator[Part]:
    """One value, or else several one after another."""
    if _is_json(body):
        yield from _value(body, name, 1, types, _Lines(body, 1), 0)
        return
    for number, chunk in _chunks(io.BytesIO(body)):
        yield from _values(chunk, name, number, types)


def _chunks(stream: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """Line numbers and texts, cut where a line starts with `{` or `[`: a line of NDJSON each, or one of its values that
    is spread over lines."""
    lines: list[bytes] = []
    began = 1
    try:
        for number, line in enumerate(stream, 1):
            if number == 1 and json.detect_encoding(line) not in ("utf-8", "utf-8-sig"):
                yield from _chunks(io.BytesIO(_plain(line + stream.read())))
                return
            text = line.removeprefix(_BOM)
            if text[:1] in (b"{", b"[") and lines:
                yield began, b"".join(lines)
                lines = []
            if lines or text.strip():
                began = began if lines else number
                lines.append(text)
    except _BROKEN:
        if _is_json(b"".join(lines)):
            yield began, b"".join(lines)
        raise
    if lines:
        yield began, b"".join(lines)


def _values(text: bytes, name: str, line: int, types: frozenset[str]) -> Iterator[Part]:
    """The values of a chunk, one after another; after one that cannot be read, those of the lines below it."""
    text = text.rstrip()
    view = memoryview(text)
    at = 0
    while at < len(text):
        end, error = _end_of_value(view[at:])
        below = line + text.count(b"\n", 0, at)
        if error is None:
            yield from _guarded(text[at : at + end], name, below, types)
            at += end
            continue
        bundle = _torn_bundle(text[at:])
        if bundle is not None:
            kind, parts = bundle
            yield from _entries(kind, parts, name, below, types, _Lines(text[at:], below), 0)
            return
        yield Fault(name, _line_of_error(text, at, error, below), _json_reason(error, text))
        lines = text[at:].split(b"\n")[1:]
        if at or (lines and _is_json(lines[0])):
            for number, one in enumerate(lines, below + 1):
                yield from _values(one, name, number, types)
        return


def _end_of_value(view: memoryview) -> tuple[int, Exception | None]:
    """Where the first JSON value of a text ends; or what is wrong with it."""
    try:
        msgspec.json.decode(view, type=msgspec.Raw)
    except _UNREADABLE as error:
        trailing = _TRAILING.search(str(error))
        # msgspec counts the bytes that it has read, the first of the next value among them.
        return (int(trailing[1]) - 1, None) if trailing else (0, error)
    return len(view), None


def _guarded(raw: bytes, name: str, line: int, types: frozenset[str]) -> Iterator[Part]:
    try:
        yield from _value(raw, name, line, types, _Lines(raw, line), 0)
    except _UNREADABLE as error:
        yield Fault(name, line, _json_reason(error))


def _value(raw: bytes, name: str, line: int, types: frozenset[str], lines: _Lines, depth: int) -> Iterator[Part]:
    """One JSON value: a Bundle, a resource, or an array of those."""
    if depth > _DEEPEST:
        yield Fault(name, line, "Bundles are nested too deeply")
        return
    if raw.lstrip()[:1] == b"[":
        for part in _PARTS.decode(raw):
            yield from _value(bytes(part), name, lines.of(part), types, lines, depth + 1)
        return
    entry = _resource(raw, types)
    if isinstance(entry, str):
        yield Fault(name, line, entry)
    elif entry.type == "Bundle":
        yield from _bundle(raw, name, line, types, lines, depth)
    elif entry.type in _NO_RECORDS:
        yield Aside(f"{entry.type} resources")
    else:
        yield Group(name, None, (entry,))


def _bundle(raw: bytes, name: str, line: int, types: frozenset[str], lines: _Lines, depth: int) -> Iterator[Part]:
    head = _HEAD.decode(raw)
    kind = _text(head.type) or "collection"
    parts = _parts(head.entry)
    if parts is None:
        yield Fault(name, line, "the Bundle's entry is not a list")
        return
    yield from _entries(kind, parts, name, line, types, lines, depth)


def _torn_bundle(text: bytes) -> tuple[str, list[msgspec.Raw]] | None:
    """The type and the entries of a Bundle that is no JSON only for a fault within an entry; else None.

    Half a surrogate pair is no fault: servers read it as U+FFFD.
    """
    places, whole = torn_json.members(text)
    start = places.get("entry", (0, 0))[0]
    if not whole or _text(_part(text, places, "resourceType")) != "Bundle" or text[start : start + 1] != b"[":
        return None
    parts = [torn_json.whole_pairs(text[slice(*span)]) for span in torn_json.items(text, start)]
    return _text(_part(text, places, "type")) or "collection", [msgspec.Raw(part) for part in parts]


def _part(text: bytes, places: dict[str, torn_json.Span], name: str) -> msgspec.Raw:
    return msgspec.Raw(text[slice(*places.get(name, (0, 0)))])


def _entries(
    kind: str, parts: list[msgspec.Raw], name: str, line: int, types: frozenset[str], lines: _Lines, depth: int
) -> Iterator[Part]:
    """What the entries of a Bundle bring."""
    places = [(lines.of(part), number, part) for number, part in enumerate(parts, 1)]
    if kind == "history":
        places.reverse()  # R4 §3.1.0.9: the newest comes first
    found: list[Entry] = []
    deleted: list[str] = []
    nested: list[bytes] = []
    for at, number, part in places:
        try:
            wrapper = _ENTRY.decode(part)
        except _UNREADABLE:
            torn = not _is_json(bytes(part))
            yield Fault(name, at, f"a Bundle entry is {'no valid JSON' if torn else 'not an object'}", number)
            continue
        request = wrapper.request if isinstance(wrapper.request, dict) else {}
        method = request.get("method")
        content = bytes(wrapper.resource)
        if not content or content == b"null":
            if kind == "history" and method == "DELETE" and isinstance(request.get("url"), str):
                deleted.append(request["url"])
            elif method not in (None, "GET", "HEAD"):
                yield Aside("requests of a Bundle that bring no resource")
            continue
        entry = _resource(content, types)
        if isinstance(entry, str):
            yield Fault(name, at, entry, number)
        elif entry.type == "Bundle":
            nested.append(content)
        elif entry.type in _NO_RECORDS:
            yield Aside(f"{entry.type} resources")
        elif method not in _CREATING:
            yield Aside("requests of a Bundle that bring no resource")
        else:
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
        yield from _value(inner, name, line, types, lines, depth + 1)


def _parts(raw: msgspec.Raw) -> list[msgspec.Raw] | None:
    if bytes(raw) in (b"", b"null"):
        return []
    try:
        return _PARTS.decode(raw)
    except _UNREADABLE:
        return None


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
    if kind != "Bundle":
        try:
            raw.decode()
        except UnicodeDecodeError:
            return "the text is not UTF-8"
    return Entry(raw=raw, type=kind, id=_text(head.id) or None)


def _text(raw: msgspec.Raw) -> str | None:
    try:
        return _TEXT.decode(raw)
    except _UNREADABLE:
        return None


def _is_json(text: bytes) -> bool:
    try:
        msgspec.json.decode(text.strip() or b"?", type=msgspec.Raw)
    except _UNREADABLE:
        return False
    return True


class _Lines:
    """On which line the parts of a text begin. Asked in their order, the text is looked through once."""

    def __init__(self, text: bytes, line: int) -> None:
        self._text = text
        self._first = self._line = line
        self._at = 0

    def of(self, part: msgspec.Raw) -> int:
        """The line of a part (the next such part, where several are equal)."""
        at = self._text.find(bytes(part), self._at)
        if at < 0:
            self._at, self._line = 0, self._first
            at = max(self._text.find(bytes(part)), 0)
        self._line += self._text.count(b"\n", self._at, at)
        self._at = at
        return self._line


def _line_of_error(text: bytes, at: int, error: Exception, line: int) -> int:
    """The line of an error in the value that begins at `at`, on `line`; the last line where it is cut short."""
    byte = str(error).rpartition("(byte ")[2].rstrip(")")
    return line + text.count(b"\n", at, at + int(byte) if byte.isdigit() else len(text))


def _json_reason(error: Exception, text: bytes = b"") -> str:
    if isinstance(error, UnicodeDecodeError):
        return "the text is not UTF-8"
    if isinstance(error, RecursionError):
        return "the JSON is nested too deeply"
    # msgspec also says so of half a surrogate pair, in a value that is whole.
    cut = "truncated" in str(error) and not text.endswith((b"}", b"]"))
    return "the JSON is cut short" if cut else "the JSON is not valid"


def _system_reason(error: Exception) -> str:
    if isinstance(error, gzip.BadGzipFile | zlib.error):
        return "the gzip stream is damaged"
    if isinstance(error, EOFError):
        return "the gzip stream ends too early"
    return f"the file cannot be read ({type(error).__name__})"
