"""The end of a person's stream: each of their links gets what it points at, and the account of what came."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from charthouse import faults
from charthouse.partners.search import REFERENCED_TYPES
from charthouse.sync import landing, network_marks
from charthouse.sync.bulk_landing import Landed
from charthouse.sync.bulk_marks import EVERYTHING
from charthouse.sync.landing import Manifest, Outcome, QueryRecord
from charthouse.sync.network_sorting import FIRST, LATE
from charthouse.sync.pointing import Pointing, referenced_records
from transforms.ndjson import BY_TARGET

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Set

    from charthouse.linking.links import LinkWork
    from charthouse.sync.bulk_landing import ExportFolder
    from charthouse.sync.bulk_shared import SharedResources
    from charthouse.sync.fetch_link import Presence


@dataclass(frozen=True, slots=True)
class Brought:
    """What a stream brought. `code` is why it is not whole; `since` from when on it was asked for.

    `links`: what each link got, by type; `failed`: types of which a line could not be read; `withheld`: by link, what
    the partner says is not to be shown; `foreign`: resources of other people; `retrieved`: the links of which the
    partner has everything; `held_types`: by link, the types that the vault holds.
    """

    code: str | None
    since: str | None = None
    mark: str | None = None
    warnings: int = 0
    links: Mapping[str, Mapping[str, Landed]] = field(default_factory=dict)
    failed: Set[str] = frozenset()
    torn: int = 0
    withheld: Mapping[str, int] = field(default_factory=dict)
    not_permitted: Mapping[str, Set[str]] = field(default_factory=dict)
    foreign: int = 0
    retrieved: Set[str] = frozenset()
    held_types: Mapping[str, Set[str]] = field(default_factory=dict)


def close_links(
    export: ExportFolder,
    shared: SharedResources | None,
    brought: Brought,
    base: str,
    present: Presence,
    on_link: Callable[[int], None],
) -> int:
    """Give each link what it points at, and its marker. Returns the entries landed."""
    total = 0
    for place, (link_id, link) in enumerate(export.links.items()):
        folder = export.of(link_id)
        try:
            nobodys = Pointing(export, shared, (base,)).point_at(link_id) if shared is not None else {}
            manifest = _manifest(link, brought, nobodys, first=place == 0)
            faults.point("stream.closing")
            with present(link_id) as here:
                if here:
                    landing.write_manifest(folder, manifest)
                    total += manifest.resources
        except FileNotFoundError:
            if folder.exists():
                raise
            continue  # its person, or the link alone, was erased under our hands
        faults.point("stream.link")
        on_link(manifest.resources)
    return total


def _manifest(link: LinkWork, brought: Brought, nobodys: Mapping[str, tuple[Landed, int]], *, first: bool) -> Manifest:
    """The account of one link. What cannot be told apart by link (`foreign`, torn lines) is told with the `first`."""
    records = [*_queries(link, brought), *referenced_records(nobodys)]
    outcomes = list(_outcomes(link, brought, records, first=first))
    got = any(record.resources for record in records)
    status: landing.LinkStatus
    if brought.code is not None:
        status = "partial" if got else "failed"
    elif brought.since is None and not got and link.link_id in brought.retrieved:
        outcomes.append(Outcome(code="CH182", unit="link", resource_type=None, label=None, count=1))
        status = "failed"
    else:
        status = "partial" if brought.failed else "complete"
    if brought.code is None and not brought.failed and brought.mark is not None and status != "failed":
        records.append(_mark(link, brought.mark))
    withheld = dict.fromkeys(sorted(brought.not_permitted.get(link.link_id, ())), "not_permitted")
    return Manifest(
        link_id=link.link_id, status=status, queries=tuple(records), outcomes=tuple(outcomes), not_requested=withheld
    )


def _queries(link: LinkWork, brought: Brought) -> Iterator[QueryRecord]:
    """A record for each type that came, or of which the vault holds something where everything was asked for."""
    landed = dict(brought.links.get(link.link_id, {}))
    speaks = brought.code is None and not brought.warnings and EVERYTHING not in brought.failed
    whole = speaks and brought.since is None and link.link_id in brought.retrieved and bool(landed)
    if whole and not brought.withheld.get(link.link_id):
        for kind in brought.held_types.get(link.link_id, ()):
            if kind not in REFERENCED_TYPES:
                landed.setdefault(kind, Landed())
    for kind in sorted(landed):
        behind = brought.code is not None or kind in brought.failed
        yield QueryRecord(
            label=network_marks.label_of(kind),
            type=kind,
            file=landing.file_name(LATE if kind == BY_TARGET else FIRST, kind) if landed[kind].resources else None,
            mode="full" if brought.since is None else "incremental",
            status="partial" if behind else "complete",
            code=None,
            pages=1 if landed[kind].resources else 0,
            resources=landed[kind].resources,
            bytes=landed[kind].bytes,
            watermark=None,
            exhaustive=whole and not behind and not brought.withheld.get(link.link_id),
        )


def _mark(link: LinkWork, mark: str) -> QueryRecord:
    return QueryRecord(
        label=network_marks.ALL,
        type=EVERYTHING,
        file=None,
        mode="incremental" if network_marks.ALL in link.watermarks else "full",
        status="complete",
        code=None,
        pages=0,
        resources=0,
        bytes=0,
        watermark=mark,
    )


def _outcomes(link: LinkWork, brought: Brought, records: list[QueryRecord], *, first: bool) -> Iterator[Outcome]:
    def said(code: str, count: int, unit: landing.Unit = "type", kind: str | None = None) -> Outcome:
        return Outcome(code=code, unit=unit, resource_type=kind, label=network_marks.ALL, count=count)

    if brought.code is not None:
        got = any(record.resources for record in records)
        yield said(brought.code, 1, "type" if got else "link")
    if brought.warnings:
        yield said("CH115", brought.warnings)
    if brought.withheld.get(link.link_id):
        yield said("CH183", brought.withheld[link.link_id])
    if first and brought.torn:
        yield said("CH181", brought.torn)
    if first and brought.foreign:
        yield said("CH184", brought.foreign)
    for record in records:
        for code, count in record.remarks.items():
            yield Outcome(code=code, unit="resource", resource_type=record.type, label=record.label, count=count)
    for kind in sorted(brought.not_permitted.get(link.link_id, ())):
        yield said("CH103", 1, "type", kind)
