"""The pages of a search: followed by the server's own `next` links, each as received (FHIR R4 §3.1.1.4 paging).

Every page counts as soon as it is yielded, so whoever walks keeps what came before a fault.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

import msgspec

from charthouse.errors import FetchError
from charthouse.partners.addresses import join, origin, within
from charthouse.partners.binaries import BINARY, as_resource
from charthouse.partners.http import Answer
from transforms.bundles import Page, PageError, read_page, resource_stub
from transforms.checking.outcomes import issue_counts
from transforms.torn_json import members

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from charthouse.partners.addresses import Origin
    from charthouse.partners.search import Query

_FAULTS: Final = {
    "empty": "CH105",
    "html": "CH105",
    "xml": "CH105",
    "not_json": "CH106",
    "operation_outcome": "CH111",
    "not_a_bundle": "CH107",
}
EMPTY_IN_A_ROW: Final = 100
"""Pages that may follow each other without a resource: servers that filter as they read send some."""
AGAIN_IN_A_ROW: Final = 3
"""Pages in a row that bring, under addresses of their own, what came before: then they run in a loop. One or two do
where records are added to a server that counts its pages by places, or where it repeats a page that it had given up."""
_BOM: Final = b"\xef\xbb\xbf"


class Peek(msgspec.Struct, frozen=True, gc=False):
    """What is known of one resource of a page without reading it: its type, id and `meta.lastUpdated`, where sent.

    A Struct, for a night makes one of each resource; it shows nothing of itself, for an id may say who a patient is.
    """

    type: str | None
    id: str | None
    last_updated: str | None
    match: bool

    def __repr__(self) -> str:
        return f"Peek({self.type!r})"


@dataclass(frozen=True, slots=True)
class ReceivedPage:
    """One page. `skipped` counts entries without a resource, `torn` those that are no JSON, `warnings` what the server
    says beside its results; `broken` tells that it spoke of errors. `total` is what it counts over all pages.
    """

    answer: Answer
    resources: tuple[Peek, ...]
    skipped: int
    warnings: int
    broken: bool
    torn: int = 0
    total: int | None = None


def walk(
    ask: Callable[[str], Answer], base_url: str, query: Query, max_pages: int, origins: Collection[Origin] = ()
) -> Iterator[ReceivedPage]:
    """Ask a query and follow its pages to the end, at the origin of the base or at one of `origins`.

    Raises:
        FetchError: whatever `ask` raises; CH105, CH106, CH107 for a body that is no page; CH108 for a loop; CH110 for
            too many pages; CH111 when the server refuses in a 200; CH114 for a next link to another origin; CH119
            when a page was empty although the server announced more.
    """
    if query.read:
        answer = ask(query.url(base_url))
        if query.type == BINARY:
            answer = as_resource(answer, unquote(query.path.partition("/")[2]), query.label)
        yield _received(_as_page(answer), query)[0]
        return
    home = origin(base_url)
    url = query.url(base_url)
    asked = {url}
    seen: set[bytes] = set()
    matches, hollow, empty, again = 0, False, 0, 0
    for number in range(max_pages):
        received, page = _received(ask(url), query)
        if number == 0 and received.broken and not received.resources:
            raise FetchError("CH111", where=query.label, what="an OperationOutcome came instead of results")
        repeated = False
        if received.resources and not (number == 0 and page.next_url is None):
            digest = _digest(received, page)
            repeated = digest in seen
            seen.add(digest)
        again = again + 1 if repeated else 0
        if again == AGAIN_IN_A_ROW:
            raise FetchError("CH108", where=query.label)
        if not repeated:
            yield received
            matches += sum(peek.match for peek in received.resources)
        hollow = hollow or not page.entries
        empty = 0 if received.resources else empty + 1
        if page.next_url is None:
            # Totals may be estimates, so one alone proves nothing; beside a page without entries it does.
            if hollow and page.total is not None and page.total > matches:
                raise FetchError("CH119", where=query.label)
            return
        target = within(join(url if page.next_url.startswith("?") else f"{base_url}/", page.next_url), home, origins)
        if target is None:
            raise FetchError("CH114", where=query.label)
        url = target
        if url in asked:
            raise FetchError("CH108", where=query.label)
        asked.add(url)
        if empty == EMPTY_IN_A_ROW:
            break
    raise FetchError("CH110", where=query.label)


def _received(answer: Answer, query: Query) -> tuple[ReceivedPage, Page]:
    try:
        page = read_page(answer.body)
    except PageError as error:
        raise FetchError(_FAULTS[error.reason], where=query.label) from None
    if page.type not in {"searchset", None}:
        raise FetchError("CH107", where=query.label)
    resources = []
    warnings = 0
    broken = False
    for entry in page.entries:
        if entry.mode == "outcome":
            issues = issue_counts(entry.raw)
            warnings += sum(count for severity, count in issues.items() if severity != "information")
            broken = broken or "error" in issues or "fatal" in issues
        else:
            resources.append(Peek(*resource_stub(entry.raw), match=entry.mode == "match"))
    return ReceivedPage(answer, tuple(resources), page.skipped, warnings, broken, page.torn, page.total), page


def _as_page(answer: Answer) -> Answer:
    """The answer to a read, in the form of a page: the resource's bytes as they came, within a searchset."""
    text = answer.body.removeprefix(_BOM)
    try:
        read_page(text)
    except PageError as error:
        # Anything but an object goes on as it is, and is refused for what it is. One that is no JSON, but whole and of
        # a type, is an entry that the check will refuse: nothing else of the page can be lost with it.
        is_object = error.reason == "not_a_bundle" and text.lstrip()[:1] == b"{"
        if is_object or (error.reason == "not_json" and _is_torn_resource(text)):
            head = b'{"resourceType":"Bundle","type":"searchset","entry":[{"resource":'
            return Answer(head + text + b',"search":{"mode":"match"}}]}')
    return answer


def _is_torn_resource(text: bytes) -> bool:
    return members(text)[1] and resource_stub(text)[0] not in {None, "Bundle", "OperationOutcome"}


def _digest(received: ReceivedPage, page: Page) -> bytes:
    """Which resources a page holds. Their bytes alone would not tell: a server may write the same ones anew."""
    named = all(peek.type and peek.id for peek in received.resources)
    if named:
        return hashlib.sha256("\0".join(f"{peek.type}/{peek.id}" for peek in received.resources).encode()).digest()
    return hashlib.sha256(b"\0".join(_name_or_text(entry.raw) for entry in page.entries)).digest()


def _name_or_text(raw: bytes) -> bytes:
    kind, name, _ = resource_stub(raw)
    return f"{kind}/{name}".encode() if kind and name else raw
