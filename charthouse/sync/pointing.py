"""What belongs to nobody (Practitioner, Organization …) goes to the links whose resources point at it.

For ways that bring the resources of many links as lines: exports, and streams of partners.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from charthouse.files import put, scratch_of
from charthouse.partners.search import REFERENCED_TYPES
from charthouse.sync import landing
from charthouse.sync.bulk_landing import Landed
from charthouse.sync.landing import QueryRecord
from transforms import ndjson
from transforms.bundles import read_page, references, resource_stub

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from charthouse.sync.bulk_landing import ExportFolder
    from charthouse.sync.bulk_shared import SharedResources

MOST_AT_ONCE: Final = 500
"""Resources of one page of what is pointed at."""


class Pointing:
    """Lands what links point at. `read_missing` may get, one by one, what did not come (`Type/id`)."""

    def __init__(
        self,
        folder: ExportFolder,
        shared: SharedResources,
        bases: Iterable[str],
        read_missing: Callable[[Iterable[str]], None] = lambda _: None,
    ) -> None:
        self._folder = folder
        self._shared = shared
        self._bases = frozenset(bases)
        self._read_missing = read_missing

    def point_at(self, link_id: str) -> dict[str, tuple[Landed, int]]:
        """Land what a link's resources point at, and what that points at. By type: what came, and how many did not."""
        folder = self._folder.of(link_id)
        received: set[str] = set()
        wanted: set[str] = set()
        for file in landing.page_files(folder):
            nobodys = landing.type_of(file) in REFERENCED_TYPES
            for body in landing.read_pages(file):
                wanted |= self._pointed_at(body)
                if nobodys:
                    received |= {f"{kind}/{name}" for kind, name, _ in _stubs(body)}
        landed: dict[str, list[bytes]] = {}
        missing: set[str] = set()
        while todo := wanted - received - missing:
            self._read_missing(key for key in todo if self._shared.get(key) is None)
            for key in sorted(todo):
                kind = key.partition("/")[0]
                resource = self._shared.get(key)
                if resource is None or not self._permitted(link_id, kind):
                    missing.add(key)
                    continue
                received.add(key)
                landed.setdefault(kind, []).append(resource)
                wanted |= self._pointed_at(resource)
        found = {}
        for kind in REFERENCED_TYPES:
            bodies = landed.get(kind, [])
            if bodies:
                file = folder / landing.file_name("referenced", kind)
                scratch_of(file).unlink(missing_ok=True)
                for start in range(0, len(bodies), MOST_AT_ONCE):
                    landing.append_page(file, ndjson.page(bodies[start : start + MOST_AT_ONCE]))
                put(scratch_of(file), file)
            lost = sum(1 for key in missing if key.startswith(f"{kind}/")) if self._permitted(link_id, kind) else 0
            if bodies or lost:
                found[kind] = (Landed(len(bodies), sum(map(len, bodies))), lost)
        return found

    def _permitted(self, link_id: str, kind: str) -> bool:
        access = self._folder.access(link_id, kind)
        return access.read or access.search

    def _pointed_at(self, body: bytes) -> set[str]:
        found = set().union(*(references(body, base) for base in self._bases))
        return {key for key in found if key.partition("/")[0] in REFERENCED_TYPES}


def referenced_records(nobodys: Mapping[str, tuple[Landed, int]]) -> Iterator[QueryRecord]:
    """The account of what was landed for a link of what belongs to nobody."""
    for kind, (landed, lost) in nobodys.items():
        yield QueryRecord(
            label=f"{kind}?_id",
            type=kind,
            file=landing.file_name("referenced", kind) if landed.resources else None,
            mode="full",
            status="complete",
            code=None,
            pages=1,
            resources=landed.resources,
            bytes=landed.bytes,
            watermark=None,
            remarks={"CH116": lost} if lost else {},
        )


def _stubs(body: bytes) -> Iterator[tuple[str | None, str | None, str | None]]:
    for entry in read_page(body).entries:
        yield resource_stub(entry.raw)
