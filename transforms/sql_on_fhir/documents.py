"""Resources that do not come as lines: Bundles, and files of one JSON document.

The references of a Bundle are resolved within it (FHIR R4 §2.36.4.1): what points at the `urn:` fullUrl of an entry
points at that entry's key from then on, `Type/id`, by which the rows of views join. An entry without an id has that of
its fullUrl.
"""

from __future__ import annotations

import gzip
import re
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from transforms.bundles import PageError, read_page, resource_stub
from transforms.sql_on_fhir.sources import NdjsonFiles

if TYPE_CHECKING:
    from collections.abc import Callable

LARGEST: Final = 512 * 1024 * 1024
"""Bytes of a file that is looked at as one document; it is held in memory twice."""

ENDINGS: Final = (".json", ".json.gz")

_URN: Final = re.compile(r"urn:(?:uuid|oid):([^/?#|\s]+)\Z", re.IGNORECASE)
_REFERENCE: Final = re.compile(rb'("reference"\s*:\s*")(urn:(?:uuid|oid):[^"\\]+)"', re.IGNORECASE)
_BREAKS: Final = re.compile(rb"[\r\n]+")
_OPENING: Final = re.compile(rb"\s*\{")


def resources_of(text: bytes, kind: str) -> list[bytes]:
    """The resources of a type in a document, each on one line: itself, or if it is a Bundle, those in its entries.

    A Bundle within a Bundle is not opened: the standard unwraps one level.
    """
    if resource_stub(text)[0] != "Bundle" or kind == "Bundle":
        return [_BREAKS.sub(b" ", text)]
    try:
        entries = read_page(text).entries
    except PageError:
        return []
    keys: dict[bytes, bytes] = {}
    found: list[bytes] = []
    for entry in entries:
        named, own, _ = resource_stub(entry.raw)
        urn = _URN.match(entry.full_url or "")
        raw = entry.raw
        if own is None and urn is not None:
            own = urn[1]
            raw = _OPENING.sub(lambda at, key=own: at[0] + f'"id":"{key}",'.encode(), raw, count=1)  # type: ignore[misc]
        if urn is not None and own is not None:
            keys[urn[0].lower().encode()] = f"{named}/{own}".encode()
        if named == kind:
            found.append(raw)

    def resolved(reference: re.Match[bytes]) -> bytes:
        return reference[1] + keys.get(reference[2].lower(), reference[2]) + b'"'

    return [_BREAKS.sub(b" ", _REFERENCE.sub(resolved, raw)) for raw in found]


def in_lines(source: str | Path, kind: str, folder: Callable[[], Path]) -> NdjsonFiles:
    """The files of a source, the documents among them (`.json`, `.json.gz`) as NDJSON of the resources of that type.

    Of a folder, documents are read where it holds no NDJSON. A file that is named so but holds lines stays as it is.
    """
    place = Path(source)
    within = place.is_dir()
    if within:
        named = (
            [file for ending in ENDINGS for file in place.rglob(f"*{ending}")] if not NdjsonFiles.found(place) else []
        )
    else:
        named = [Path(file) for file in _matches(str(source))] if str(source).endswith(ENDINGS) else []
    if not named:
        return NdjsonFiles.of(source)
    target = folder() / "documents.ndjson"
    left: list[str] = []
    with target.open("wb") as lines:
        for file in sorted(named):
            text = _document(file)
            if text is not None:
                lines.writelines(resource + b"\n" for resource in resources_of(text, kind))
            elif not within:
                left.append(str(file))
    return NdjsonFiles((str(target), *left))


def _document(file: Path) -> bytes | None:
    """The text of a file that is one resource; None if it is not, or too large.

    A Bundle with a broken entry is one too. Lines are not, whatever the first of them is.
    """
    with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as stream:
        text = stream.read(LARGEST + 1).removeprefix(b"\xef\xbb\xbf")
    if len(text) > LARGEST:
        return None
    kind, _, _ = resource_stub(text)
    if _is_json(text):
        return text if kind is not None else None
    first, _, _ = text.lstrip().partition(b"\n")
    return text if kind == "Bundle" and not _is_json(first) else None


def _is_json(text: bytes) -> bool:
    """Whether the text is one JSON value."""
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _matches(pattern: str) -> list[str]:
    return glob(pattern, recursive=True)  # noqa: PTH207 - a Path goes through a folder only
