"""JSON that is broken in one place, cut where it still can be: values, members and items by their brackets and quotes.

A strict reader gives up the whole text for one bad number in it. This one says where each part begins and ends, so that
the strict reader can take the parts one by one, and a broken one costs itself. It judges nothing: a part that it cuts
may be no JSON. Spans are offsets into the text, the end exclusive.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

Span = tuple[int, int]

_TOKEN: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[{}\[\]]', re.DOTALL)
_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_SCALAR: Final = re.compile(rb"[^,}\]\s]+")
_SPACE: Final = re.compile(rb"\s*")
_BETWEEN: Final = re.compile(rb"[\s,}]*")
_COLON: Final = re.compile(rb"\s*:\s*")
_TRAILING: Final = re.compile(r"trailing characters \(byte (\d+)\)")
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_INSIDE_OUT: Final = re.compile(rb'\}\s*,\s*\{\s*"\Z')
"""How a string ends that began where another should have ended: a quote is missing before it."""
_ENTRY: Final = re.compile(rb'\}\s*(,)\s*\{\s*"(?:fullUrl"\s*:\s*"|resource"\s*:\s*\{|search"\s*:\s*\{|link"\s*:\s*\[)')
"""How the next entry of a Bundle begins; the comma before it is where a broken one ends at the latest."""
_MOST_TAILS: Final = 200
_MOST_WITHIN: Final = 8

_ESCAPE: Final = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)"
)


def whole_pairs(text: bytes) -> bytes:
    """JSON text whose escaped surrogates come in pairs only: no parser takes a half, and no database could keep it."""
    return _ESCAPE.sub(lambda escape: b"\\ufffd" if escape[1] else escape[0], text)


def has_half_pair(text: bytes) -> bool:
    """Whether an escaped surrogate stands alone."""
    return any(escape[1] for escape in _ESCAPE.finditer(text))


def value_end(text: bytes, at: int) -> int | None:
    """Where the value that begins at `at` ends; None where brackets and quotes do not tell."""
    end = _strict_end(text, at)
    return _loose_end(text, at) if end is None else end


def members(text: bytes, at: int = 0) -> tuple[dict[str, Span], bool]:
    """The members of the object at `at`, name → span of the value, and whether it could be read to its end.

    Of a repeated name the last counts, as strict readers have it. What stands in `entry` may be broken worse than the
    rest: its items are told apart by how entries begin (see `items`).
    """
    found: dict[str, Span] = {}
    at = _after(_SPACE, text, at)
    if text[at : at + 1] != b"{":
        return found, False
    at = _after(_SPACE, text, at + 1)
    while text[at : at + 1] != b"}":
        key = _STRING.match(text, at)
        colon = _COLON.match(text, key.end()) if key else None
        if key is None or colon is None:
            return found, False
        start = colon.end()
        name = key[0][1:-1].decode("utf-8", "replace")
        end = value_end(text, start)
        if name == "entry" and (end is None or not _follows(text, end, b",}")) and text[start : start + 1] == b"[":
            end = _items(text, start)[1]
        if end is None or not _follows(text, end, b",}"):
            return found, False
        found[name] = (start, end)
        at = _after(_SPACE, text, end)
        if text[at : at + 1] == b",":
            at = _after(_SPACE, text, at + 1)
    return found, not text[at + 1 :].strip()


def items(text: bytes, at: int) -> list[Span]:
    """The items of the list at `at`, those of a Bundle's `entry`. A broken one goes to where the next entry begins."""
    return _items(text, at)[0]


def _items(text: bytes, at: int) -> tuple[list[Span], int | None]:
    found: list[Span] = []
    at = _after(_SPACE, text, at + 1)
    while text[at : at + 1] not in (b"]", b""):
        end = _strict_end(text, at)
        if end is None:
            end = _loose_end(text, at, _horizon(text, at))
        if end is None or (not _follows(text, end, b",]") and _strict_end(text, at) is None):
            end = _next_entry(text, at)
        if end is None:
            return found, None
        found.append((at, end))
        at = _after(_BETWEEN, text, end)
    return found, at + 1 if at < len(text) else None


def _next_entry(text: bytes, at: int) -> int | None:
    """The end of a broken item: where the next entry begins, or else where the list ends and the rest is sound."""
    following = _ENTRY.search(text, at + 1)
    if following:
        return following.start(1)
    best: int | None = None
    for end in _tails(text, at):
        try:
            msgspec.json.decode(b'{"_":[' + text[end:], type=msgspec.Raw)
        except _UNREADABLE:
            continue
        best = end
    return best


def _tails(text: bytes, at: int) -> Iterator[int]:
    """The last brackets of the text that close a list, from its end backwards."""
    end = len(text)
    for _ in range(_MOST_TAILS):
        end = text.rfind(b"]", at, end)
        if end < 0:
            return
        yield end


def _strict_end(text: bytes, at: int) -> int | None:
    try:
        msgspec.json.decode(memoryview(text)[at:], type=msgspec.Raw)
    except _UNREADABLE as error:
        trailing = _TRAILING.search(str(error))
        # msgspec counts the bytes that it has read, the first that is too many among them.
        return at + int(trailing[1]) - 1 if trailing else None
    return len(text)


def _horizon(text: bytes, at: int) -> int:
    """How far a broken item is followed: over a few beginnings of entries, which may be those of a Bundle within it."""
    for _ in range(_MOST_WITHIN):
        following = _ENTRY.search(text, at + 1)
        if following is None:
            return len(text)
        at = following.end()
    return at


def _loose_end(text: bytes, at: int, until: int | None = None) -> int | None:
    first = text[at : at + 1]
    if first not in (b"{", b"["):
        scalar = (_STRING if first == b'"' else _SCALAR).match(text, at)
        return scalar.end() if scalar else None
    closing: list[bytes] = []
    for token in _TOKEN.finditer(text, at, len(text) if until is None else until):
        mark = token[0]
        if mark in (b"{", b"["):
            closing.append(b"}" if mark == b"{" else b"]")
        elif mark in (b"}", b"]"):
            if closing.pop() != mark:
                return None
            if not closing:
                return token.end()
        elif mark[-2:-1] in b"{ \t\r\n" and _INSIDE_OUT.search(mark):
            return None
    return None


def _follows(text: bytes, at: int, marks: bytes) -> bool:
    after = _after(_SPACE, text, at)
    return text[after : after + 1] in marks if after < len(text) else False


def _after(pattern: re.Pattern[bytes], text: bytes, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match else at
