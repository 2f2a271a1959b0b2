"""FHIR Bundles as pages: what came, cut into resources that keep their own bytes.

A resource is a slice of the page's bytes and is never written again by us, so decimals, key order and unknown fields
stay as the provider sent them. Reading costs one pass over the bytes (FHIR R4 §3.1.1.4 search, §2.36 Bundle).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

import msgspec

from transforms.ids import ID
from transforms.torn_json import items, members, whole_pairs

if TYPE_CHECKING:
    from collections.abc import Iterable

Mode = Literal["match", "include", "outcome"]
PageFault = Literal["empty", "html", "xml", "not_json", "operation_outcome", "not_a_bundle"]

_BOM: Final = b"\xef\xbb\xbf"
_ABSENT: Final = msgspec.Raw(b"")
_OUTCOME: Final = b'"OperationOutcome"'
_T = TypeVar("_T")


class PageError(Exception):
    """A body that is no page. It knows why and holds nothing of the body."""

    def __init__(self, reason: PageFault) -> None:
        self.reason: PageFault = reason
        super().__init__(reason)


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One resource of a page: its bytes as received, why it is there, and its `fullUrl` if it has one.

    What is no readable JSON is an entry too: the resource as far as it can be told from the rest, or else the whole.
    """

    raw: bytes
    mode: Mode
    full_url: str | None


@dataclass(frozen=True, slots=True)
class Page:
    """A Bundle, read.

    `next_url` is the link to the page that follows, `total` the server's count of matches over all pages,
    `last_updated` the Bundle's own `meta.lastUpdated`, `skipped` the number of entries that hold no resource, `torn`
    the number of those that are no JSON, and `type` the Bundle's type (`searchset` for a search).
    """

    entries: tuple[Entry, ...]
    next_url: str | None
    total: int | None
    last_updated: str | None
    skipped: int = 0
    type: str | None = None
    torn: int = 0


class _Fields(msgspec.Struct):
    """A Bundle whose parts are not looked at yet: one part of a wrong type must not cost the others."""

    resourceType: msgspec.Raw = _ABSENT  # noqa: N815
    type: msgspec.Raw = _ABSENT
    meta: msgspec.Raw = _ABSENT
    total: msgspec.Raw = _ABSENT
    link: msgspec.Raw = _ABSENT
    entry: msgspec.Raw = _ABSENT


class _Search(msgspec.Struct):
    mode: Any = None


class _Entry(msgspec.Struct):
    resource: msgspec.Raw = _ABSENT
    fullUrl: str | None = None  # noqa: N815
    search: _Search | None = None


class _LooseEntry(msgspec.Struct):
    resource: msgspec.Raw = _ABSENT
    fullUrl: Any = None  # noqa: N815
    search: Any = None


class _Link(msgspec.Struct):
    relation: Any = None
    url: Any = None


class _Meta(msgspec.Struct):
    lastUpdated: str | None = None  # noqa: N815


class _Bundle(msgspec.Struct):
    """A Bundle in which everything is of its type, as nearly all are: cut in one pass instead of several."""

    resourceType: Literal["Bundle"]  # noqa: N815
    type: str | None = None
    meta: _Meta | None = None
    total: int | None = None
    link: list[_Link] = []  # msgspec copies it
    entry: list[_Entry] = []


class _Stub(msgspec.Struct):
    resourceType: str | None = None  # noqa: N815
    id: str | None = None
    meta: _Meta | None = None


class _LooseStub(msgspec.Struct):
    resourceType: Any = None  # noqa: N815
    id: Any = None
    meta: Any = None


_BUNDLE: Final = msgspec.json.Decoder(_Bundle)
_FIELDS: Final = msgspec.json.Decoder(_Fields)
_ENTRIES: Final = msgspec.json.Decoder(list[_Entry])
_PARTS: Final = msgspec.json.Decoder(list[msgspec.Raw])
_LOOSE_ENTRY: Final = msgspec.json.Decoder(_LooseEntry)
_LINK: Final = msgspec.json.Decoder(_Link)
_META: Final = msgspec.json.Decoder(_Meta)
_PARTS_OF_PAGE: Final = tuple(name for name in _Fields.__struct_fields__ if name != "entry")
_RAW: Final = msgspec.json.Decoder(msgspec.Raw)
_ANY: Final = msgspec.json.Decoder()
_INTEGER: Final = msgspec.json.Decoder(int)
_TEXT: Final = msgspec.json.Decoder(str)
_STUB: Final = msgspec.json.Decoder(_Stub)
_LOOSE_STUB: Final = msgspec.json.Decoder(_LooseStub)


def read_page(body: bytes) -> Page:
    """Cut a Bundle into its entries.

    Tolerates a byte order mark, white space, a missing `entry`, entries without `resource` (counted in `skipped`) and
    parts of a wrong type (treated as absent; an `entry` that is no list counts as one skipped, a `link` as the only
    one). Half of a surrogate pair, as writers leave it that cut texts short, is read as U+FFFD. JSON that is broken
    within an entry costs that entry (counted in `torn`): the others, and the links, are read all the same. Any type of
    Bundle is read; `Page.type` says which it was.

    Raises:
        PageError: the body is no Bundle; `reason` says what it is instead.
    """
    text = body.removeprefix(_BOM)
    bundle = _lenient(_BUNDLE, text)
    if bundle is not None:
        return _sound_page(bundle, may_hold_outcomes=_OUTCOME in text)
    fields = _lenient(_FIELDS, text)
    torn: list[bytes] | None = None
    if fields is None:
        fields, torn = _torn_bundle(text)
    if fields is None:
        raise PageError(_what_it_is(whole_pairs(text)))
    kind = _lenient(_TEXT, fields.resourceType)
    if kind != "Bundle":
        raise PageError("operation_outcome" if kind == "OperationOutcome" else "not_a_bundle")
    entries, skipped, broken = _entries(fields.entry) if torn is None else _torn_entries(torn)
    meta = _lenient(_META, fields.meta)
    return Page(
        entries=entries,
        next_url=_next_url(fields.link),
        total=_lenient(_INTEGER, fields.total),
        last_updated=meta.lastUpdated if meta else None,
        skipped=skipped,
        type=_lenient(_TEXT, fields.type),
        torn=broken,
    )


def _sound_page(bundle: _Bundle, *, may_hold_outcomes: bool) -> Page:
    """A page without a fault in its form."""
    read = [_entry(part, may_be_outcome=may_hold_outcomes) for part in bundle.entry]
    kept = tuple(entry for entry in read if entry is not None)
    urls = (link.url for link in bundle.link if link.relation == "next" and isinstance(link.url, str) and link.url)
    return Page(
        entries=kept,
        next_url=next(urls, None),
        total=bundle.total,
        last_updated=bundle.meta.lastUpdated if bundle.meta else None,
        skipped=len(read) - len(kept),
        type=bundle.type,
    )


Stub = tuple[str | None, str | None, str | None]
"""resourceType, id and meta.lastUpdated of a resource."""


def resource_stub(raw: bytes) -> Stub:
    """Peek at a resource: (resourceType, id, meta.lastUpdated), each None where absent or not a string.

    Never raises: what is no JSON object has no stub, but one that is broken in one place has what can be told of it.
    """
    try:
        stub = _STUB.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _loose_stub(raw)
    return stub.resourceType, stub.id, stub.meta.lastUpdated if stub.meta else None


_REFERENCE: Final = re.compile(rb'"reference"\s*:\s*"([^"\\]*(?:\\.[^"\\]*)*)"')
_ATTACHED: Final = re.compile(rb'"url"\s*:\s*"([^"\\]*(?:\\.[^"\\]*)*)"')
_RESOURCE: Final = re.compile(rb'"resource"\s*:\s*(?=\{)')
_SCHEME: Final = re.compile(r"https?://", re.IGNORECASE)
_LITERAL: Final = re.compile(rf"([A-Z][A-Za-z]{{1,63}}/{ID})(?:/_history/{ID})?")


def references(raw: bytes, base_url: str = "") -> set[str]:
    """The literal references of a resource, as `Type/id` (FHIR R4 §2.3.0).

    Relative references count, and absolute ones below `base_url`, by `http` or `https`: servers behind a proxy write
    the one where they were asked by the other. Versions are dropped; fragments, `urn:` references, conditional
    references and those to other servers are left out.
    """
    return _literals(_REFERENCE.findall(raw), base_url)


def _literals(texts: Iterable[bytes], base_url: str) -> set[str]:
    """Those of some JSON strings that name a resource of the server at `base_url`, as `Type/id`."""
    found = set()
    below = re.compile(rf"https?://{re.escape(_SCHEME.sub('', base_url.rstrip('/')))}/", re.IGNORECASE)
    for match in set(texts):
        text = _unescaped(match)
        if base_url and (absolute := below.match(text)):
            text = text[absolute.end() :]
        literal = _LITERAL.fullmatch(text)
        if literal:
            found.add(literal[1])
    return found


def attachments(raw: bytes, base_url: str = "") -> set[str]:
    """The Binary resources of this server that a resource's attachments show, as `Binary/id` (R4 §2.24.0.5 Attachment).

    Any `url` counts that is relative to the server, or below `base_url`, and names a Binary: nothing else has such.
    """
    if b"Binary" not in raw:
        return set()
    return {name for name in _literals(_ATTACHED.findall(raw), base_url) if name.startswith("Binary/")}


def _unescaped(text: bytes) -> str:
    """A JSON string's content without its escapes; some writers escape every `/`."""
    if b"\\" in text:
        try:
            return _TEXT.decode(b'"' + text + b'"')
        except (msgspec.DecodeError, UnicodeDecodeError):
            return ""
    try:
        return text.decode()
    except UnicodeDecodeError:
        return ""


def _entries(raw: msgspec.Raw) -> tuple[tuple[Entry, ...], int, int]:
    """What the list of entries holds, how many hold no resource, and how many are no JSON: none."""
    if not len(memoryview(raw)) or bytes(memoryview(raw)[:4]) == b"null":
        return (), 0, 0
    try:
        # `null` in the list, or a part of a wrong type, makes the typed read fail: then each entry is read alone.
        parts: list[Any] = list(_ENTRIES.decode(raw))
    except (msgspec.DecodeError, UnicodeDecodeError):
        alone = _lenient(_PARTS, raw)
        parts = [None] if alone is None else [_lenient(_LOOSE_ENTRY, part) for part in alone]
    read = [_entry(part) for part in parts]
    kept = tuple(entry for entry in read if entry is not None)
    return kept, len(read) - len(kept), 0


def _torn_bundle(text: bytes) -> tuple[_Fields | None, list[bytes] | None]:
    """The fields of a Bundle that is no JSON as a whole, and its entries one by one; None where even that is in vain.

    A body that was cut short is not read: nobody knows what else was in it.
    """
    places, whole = members(text)
    if not whole:
        return None, None
    start, end = places.pop("entry", (0, 0))
    fields = _Fields(
        **{name: msgspec.Raw(whole_pairs(text[slice(*places[name])])) for name in _PARTS_OF_PAGE if name in places}
    )
    if text[start : start + 1] != b"[":
        fields.entry = msgspec.Raw(text[start:end])
        return fields, None
    return fields, [text[slice(*span)] for span in items(text, start)]


def _torn_entries(parts: list[bytes]) -> tuple[tuple[Entry, ...], int, int]:
    kept: list[Entry] = []
    skipped = torn = 0
    for part in parts:
        read = _lenient(_LOOSE_ENTRY, part) or _lenient(_LOOSE_ENTRY, whole_pairs(part))
        if read is None and not _is_json(part):
            entry, is_torn = _torn_entry(part)
            kept.append(entry)
            torn += is_torn
        elif sound := _entry(read):
            kept.append(sound)
        else:
            skipped += 1
    return tuple(kept), skipped, torn


def _torn_entry(part: bytes) -> tuple[Entry, bool]:
    """An entry that is no JSON, and whether its resource is none: the fault may be in what stands around it."""
    places, whole = members(part)
    said = {name: part[start:end] for name, (start, end) in places.items()}
    raw = said.get("resource", part) if whole else part
    search = _lenient(_ANY, said.get("search", b""))
    url = _lenient(_TEXT, said.get("fullUrl", b""))
    mode = search.get("mode") if isinstance(search, dict) else None
    return Entry(raw=raw, mode=_mode(mode, raw), full_url=url), not _is_json(raw)


def _is_json(raw: bytes) -> bool:
    return _lenient(_RAW, raw) is not None


def _entry(part: _Entry | _LooseEntry | None, *, may_be_outcome: bool = True) -> Entry | None:
    raw = bytes(part.resource) if part is not None else b""
    if part is None or not raw or raw == b"null":
        return None
    search = part.search
    mode = search.get("mode") if isinstance(search, dict) else search.mode if isinstance(search, _Search) else None
    url = part.fullUrl if isinstance(part.fullUrl, str) else None
    return Entry(raw, _mode(mode, raw) if may_be_outcome or mode != "match" else "match", url)


def _mode(sent: object, raw: bytes) -> Mode:
    if sent == "include":
        return "include"
    # Some servers put their OperationOutcome among the matches, without a search mode.
    if sent == "outcome" or (_OUTCOME in raw and resource_stub(raw)[0] == "OperationOutcome"):
        return "outcome"
    return "match"


def _next_url(raw: msgspec.Raw) -> str | None:
    parts: list[Any] | None = _lenient(_PARTS, raw)
    if parts is None and bytes(memoryview(raw)[:1]) == b"[":
        text = bytes(raw)
        parts = [text[start:end] for start, end in items(text, 0)]
    for part in parts or [raw]:
        link = _lenient(_LINK, part) or _torn_link(bytes(part))
        if link and link.relation == "next" and isinstance(link.url, str) and link.url:
            return link.url
    return None


def _torn_link(raw: bytes) -> _Link:
    places, _ = members(raw)
    return _Link(*(_lenient(_TEXT, raw[slice(*places.get(name, (0, 0)))]) for name in ("relation", "url")))


def _lenient(decoder: msgspec.json.Decoder[_T], raw: msgspec.Raw | bytes) -> _T | None:
    try:
        return decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _loose_stub(raw: bytes) -> tuple[str | None, str | None, str | None]:
    try:
        loose = _LOOSE_STUB.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _torn_stub(raw)
    updated = loose.meta.get("lastUpdated") if isinstance(loose.meta, dict) else None
    kind, name = (value if isinstance(value, str) else None for value in (loose.resourceType, loose.id))
    return kind, name, updated if isinstance(updated, str) else None


def _torn_stub(raw: bytes) -> tuple[str | None, str | None, str | None]:
    places, _ = members(raw)
    within = _RESOURCE.search(raw) if "resourceType" not in places else None
    if within:
        places, _ = members(raw, within.end())
    kind, name = (_lenient(_TEXT, raw[slice(*places.get(key, (0, 0)))]) for key in ("resourceType", "id"))
    meta = _lenient(_META, raw[slice(*places.get("meta", (0, 0)))])
    return kind, name, meta.lastUpdated if meta else None


def _what_it_is(text: bytes) -> PageFault:
    head = text.lstrip()[:64].lower()
    if not head:
        return "empty"
    if head.startswith(b"<"):
        return "xml" if head.startswith((b"<?xml", b"<bundle", b"<operationoutcome")) else "html"
    if head.startswith(b"{"):
        return "not_json"
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "not_json"
    return "not_a_bundle"
