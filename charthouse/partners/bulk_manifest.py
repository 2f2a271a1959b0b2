"""The manifest of an export: which files there are, and how they may be had. Names of STU 1 to 4 are understood.

STU 4 calls `error` `outcome` and leaves `request` out; extensions are an object or a list. None of that is needed here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import unquote

from charthouse.errors import FetchError
from charthouse.partners.addresses import join
from charthouse.partners.discovery import read_object

if TYPE_CHECKING:
    from collections.abc import Iterator

FileKind = Literal["output", "deleted", "error"]
_NAMES: Final[dict[str, FileKind]] = {"output": "output", "deleted": "deleted", "error": "error", "outcome": "error"}
LONGEST_INSTANT: Final = 64
_KICK_OFF: Final = re.compile(r"(https?://[^\s?#]+?)/(?:Patient/|Group/[^/]+/)?\$export")


@dataclass(frozen=True, slots=True)
class ExportFile:
    """One file. `type` is empty where the server does not say; `count` are its lines, where it says so.

    `address` may be all that it takes to read the file, so it is kept out of `repr`.
    """

    kind: FileKind
    type: str
    address: str = field(repr=False)
    count: int | None
    needs_token: bool


@dataclass(frozen=True, slots=True)
class ManifestPage:
    """One page. `transaction_time` is the server's instant, as sent; None where it sent none that can be used.

    `own_base` is the FHIR base as the server itself sees it, where it repeats the request: behind a proxy that is
    another than ours, and absolute references of the export are rooted there.
    """

    transaction_time: str | None
    files: tuple[ExportFile, ...]
    next_address: str | None = field(repr=False)
    own_base: str | None = None


def read_manifest_page(body: bytes, url: str) -> ManifestPage:
    """Read a page of a manifest. `url` is where it came from: addresses should be absolute, and some are not.

    Raises:
        FetchError: CH153 when it is no manifest.
    """
    said = read_object(body)
    if said is None or not said.keys() & {"transactionTime", *_NAMES}:
        raise FetchError("CH153", what="it names no files" if said is not None else "it is no JSON object")
    needs_token = said.get("requiresAccessToken") not in (False, "false")
    files = tuple(file for name, kind in _NAMES.items() for file in _files(said.get(name), kind, url, needs_token))
    following = None
    for link in _objects(said.get("link")):
        if link.get("relation") == "next" and isinstance(link.get("url"), str):
            following = join(url, link["url"])
    request = said.get("request")
    own = _KICK_OFF.match(unquote(request)) if isinstance(request, str) else None
    return ManifestPage(_instant(said.get("transactionTime")), files, following, own[1] if own is not None else None)


def _files(listed: object, kind: FileKind, url: str, needs_token: bool) -> Iterator[ExportFile]:
    for item in _objects(listed):
        address = join(url, item["url"]) if isinstance(item.get("url"), str) else None
        if address is None:
            raise FetchError("CH153", what="a file has no address")
        named, count = item.get("type"), item.get("count")
        yield ExportFile(
            kind,
            named if isinstance(named, str) and named.isalpha() and len(named) <= LONGEST_INSTANT else "",
            address,
            count if isinstance(count, int) and not isinstance(count, bool) else None,
            needs_token,
        )


def _instant(sent: object) -> str | None:
    """An instant with its zone: without one, nobody knows when it is."""
    if not isinstance(sent, str) or len(sent) > LONGEST_INSTANT:
        return None
    try:
        moment = datetime.fromisoformat(sent)
    except ValueError:
        return None
    return sent if moment.tzinfo is not None else None


def _objects(items: object) -> Iterator[dict[str, Any]]:
    for item in items if isinstance(items, list) else [items]:
        if isinstance(item, dict):
            yield item
