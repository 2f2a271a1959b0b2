"""Small surgery on the JSON text of a resource, so that all other bytes stay as they were sent.

A server that stores a resource stamps it (`meta.versionId`, `meta.lastUpdated`, FHIR R4 §3.1.0.4), and gives it an id
on create (§3.1.0.8). Decimals such as `1.10` and the order of keys must survive that, so nothing is written anew.
"""

from __future__ import annotations

import re
from typing import Final

_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]]', re.DOTALL)
_SPACE: Final = b" \t\r\n"
_PLAIN: Final = re.compile(
    rb'\s*\{\s*"resourceType"\s*:\s*"[A-Za-z]+"(?:\s*,\s*"id"\s*:\s*"[^"\\]*")?(\s*,\s*"meta"\s*:\s*\{)?'
)
_SCALAR_END: Final = re.compile(rb"[,}\]\s]")


def members(raw: bytes) -> dict[str, tuple[int, int, int]]:
    """Where the members of a JSON object are: name → (start of the key, start of the value, end of the value).

    `raw` must be a valid JSON object. Of a repeated name the last counts, as readers do.
    """
    found: dict[str, tuple[int, int, int]] = {}
    depth = 0
    key: tuple[int, int] | None = None
    value = -1
    for match in _TOKEN.finditer(raw):
        start, end = match.span()
        mark = raw[start]
        if mark in b"{[":
            depth += 1
            if depth == 2 and key:
                value = start
        elif mark in b"}]":
            depth -= 1
            if depth == 1 and key:
                found[_name(raw, key)] = (key[0], value, end)
                key = None
        elif depth == 1:
            if key is None:
                key = (start, end)
                value, scalar_end = _scalar(raw, end)
                if value >= 0:
                    found[_name(raw, key)] = (key[0], value, scalar_end)
                    key = None
            else:
                found[_name(raw, key)] = (key[0], start, end)
                key = None
    return found


def with_member(raw: bytes, name: str, value: bytes) -> bytes:
    """The object with the member set: its value replaced where there is one, else put in front."""
    place = members(raw).get(name)
    if place:
        return raw[: place[1]] + value + raw[place[2] :]
    opening = raw.index(b"{") + 1
    rest = raw[opening:].lstrip(_SPACE)
    comma = b"" if rest.startswith(b"}") else b","
    return raw[:opening] + b'"' + name.encode() + b'":' + value + comma + raw[opening:]


def with_id(raw: bytes, identity: str) -> bytes:
    """The resource with this id: replaced where it has one, else put behind `resourceType`."""
    value = b'"' + identity.encode() + b'"'
    places = members(raw)
    if "id" in places or "resourceType" not in places:
        return with_member(raw, "id", value)
    end = places["resourceType"][2]
    return raw[:end] + b',"id":' + value + raw[end:]


def with_meta(raw: bytes, stamps: dict[str, str], *, has_meta: bool, replace: bool = False) -> bytes:
    """The resource with these members in its `meta`.

    Without `replace` the caller knows that `meta` lacks them all: then they are put in by one insertion.
    """
    if not stamps:
        return raw
    if replace and has_meta:
        place = members(raw)["meta"]
        meta = raw[place[1] : place[2]]
        for name, text in stamps.items():
            meta = with_member(meta, name, b'"' + text.encode() + b'"')
        return raw[: place[1]] + meta + raw[place[2] :]
    inner = ",".join(f'"{name}":"{text}"' for name, text in stamps.items()).encode()
    head = _PLAIN.match(raw)
    if has_meta:
        opening = head.end() if head and head[1] else members(raw)["meta"][1] + 1
        comma = b"" if raw[opening:].lstrip(_SPACE).startswith(b"}") else b","
        return raw[:opening] + inner + comma + raw[opening:]
    end = head.end() if head else members(raw)["resourceType"][2]
    return raw[:end] + b',"meta":{' + inner + b"}" + raw[end:]


def _name(raw: bytes, key: tuple[int, int]) -> str:
    return raw[key[0] + 1 : key[1] - 1].decode("utf-8", "replace")


def _scalar(raw: bytes, end: int) -> tuple[int, int]:
    """The number, true, false or null behind a key that ends at `end`; (-1, -1) when something else follows."""
    at = raw.index(b":", end) + 1
    while raw[at] in _SPACE:
        at += 1
    if raw[at] in b'"{[':
        return -1, -1
    match = _SCALAR_END.search(raw, at)
    return at, match.start() if match else len(raw)
