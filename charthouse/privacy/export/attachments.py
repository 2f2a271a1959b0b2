"""Attachments inside records: base64 of Binary, DocumentReference, DiagnosticReport, Media, Communication and others.

They become files of their own. What is no base64 stays where it is, in the resource, and is said to.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from charthouse.privacy.export.names import Names, ending, media_type, safe_stem

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER: Final = "attachments"
MOST_DEPTH: Final = 24


@dataclass(frozen=True, slots=True)
class Found:
    """An attachment where it stands. `number` counts those of one resource."""

    number: int
    title: str | None
    content_type: str | None
    data: str


@dataclass(frozen=True, slots=True)
class Attached:
    """An attachment as a file. `date`, `title` are the record's words; `path` is ours."""

    key: tuple[str, str, str, int]
    number: int
    path: str
    media_type: str
    title: str
    date: str
    link_id: str
    size: int


def attachments_of(text: str) -> list[Found]:
    """All attachments of one resource that hold data."""
    if '"data"' not in text:
        return []
    resource = orjson.loads(text)
    return [Found(number, *found) for number, found in enumerate(_walk(resource, 0), 1)]


def _walk(value: Any, depth: int) -> Iterator[tuple[str | None, str | None, str]]:
    if depth > MOST_DEPTH:
        return
    if isinstance(value, list):
        for each in value:
            yield from _walk(each, depth + 1)
    elif isinstance(value, dict):
        data, content_type = value.get("data"), value.get("contentType")
        whole = value.get("resourceType") == "Binary"
        if isinstance(data, str) and data and (whole or isinstance(content_type, str) or "title" in value):
            title = value.get("title")
            declared = content_type if isinstance(content_type, str) else None
            yield (title if isinstance(title, str) else None), declared, data
        for name, each in value.items():
            if isinstance(each, dict | list) and name != "sampledData":
                yield from _walk(each, depth + 1)


def decoded(data: str) -> bytes | None:
    """The bytes of base64; None where it is none. Line breaks within are FHIR's to permit."""
    try:
        return base64.b64decode("".join(data.split()), validate=True)
    except (binascii.Error, ValueError):
        return None


def named(found: Found, text: str, key: tuple[str, str, str, int], names: Names, size: int) -> Attached:
    """An attachment with a name of its own."""
    resource = orjson.loads(text)
    title = found.title or _words(resource)
    path = names.take(FOLDER, safe_stem(title, key[0].lower()), ending(found.content_type))
    return Attached(
        key, found.number, path, media_type(found.content_type), title or key[0], _date(resource), key[1], size
    )


def _words(resource: dict[str, Any]) -> str | None:
    for name in ("type", "code", "category"):
        value = resource.get(name)
        value = value[0] if isinstance(value, list) and value else value
        if isinstance(value, dict):
            coding = value.get("coding")
            first = coding[0] if isinstance(coding, list) and coding and isinstance(coding[0], dict) else {}
            said = value.get("text") or first.get("display")
            if isinstance(said, str):
                return said
    said = resource.get("description")
    return said if isinstance(said, str) else None


def _date(resource: dict[str, Any]) -> str:
    for name in ("date", "effectiveDateTime", "issued", "createdDateTime", "sent", "recordedDate"):
        said = resource.get(name)
        if isinstance(said, str):
            return said[:40]
    return ""
