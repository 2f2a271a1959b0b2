"""The account of a link's fetch: what its manifest says of queries, outcomes, and of what was not asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from charthouse.sync import landing
from charthouse.sync.landing import Manifest, Outcome

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from charthouse.partners.search import LinkPlan
    from charthouse.sync.landing import QueryRecord

TURNED_AWAY: Final = frozenset({"refused", "not_permitted"})


def manifest(
    link_id: str, plan: LinkPlan, records: Sequence[QueryRecord], not_offered: Collection[str], stopped: str | None
) -> Manifest:
    """The marker of a link's landing. `stopped` is the code that ended the link before its queries."""
    trouble = bool(_types_of(records, frozenset({"refused"}))) or any(
        record.status in {"partial", "failed"} for record in records
    )
    if stopped is not None:
        status: landing.LinkStatus = "partial" if any(record.file for record in records) else "failed"
    elif not trouble:
        status = "complete"
    else:
        got = any(record.status in {"complete", "partial"} for record in records)
        status = "partial" if got else "failed"
    return Manifest(
        link_id=link_id,
        status=status,
        queries=tuple(records),
        outcomes=tuple(_outcomes(plan, records, stopped)),
        not_requested={**plan.not_requested, **dict.fromkeys(sorted(not_offered), "not_offered")},
    )


def had_by_parts(plan: LinkPlan, records: Mapping[str, QueryRecord]) -> Iterator[str]:
    """Types whose whole the server refused, and of which a part was had."""
    for entry in plan.types:
        whole = records.get(entry.type)
        parts = [records[part.label].status for part in entry.parts if part.label in records]
        if whole is not None and whole.status == "refused" and "complete" in parts:
            yield entry.type


def _types_of(records: Iterable[QueryRecord], statuses: frozenset[str]) -> set[str]:
    """Types of which every search ended in one of these."""
    found: dict[str, set[str]] = {}
    for record in records:
        if not landing.is_reference(record):
            found.setdefault(record.type, set()).add(record.status)
    return {kind for kind, ended in found.items() if ended <= statuses}


def _outcomes(plan: LinkPlan, records: Sequence[QueryRecord], stopped: str | None) -> Iterable[Outcome]:
    if stopped is not None:
        yield Outcome(code=stopped, unit="link", resource_type=None, label=None, count=1)
    not_had = _types_of(records, TURNED_AWAY)
    in_parts = {record.type for record in records if record.label == record.type and record.status in TURNED_AWAY}
    for record in records:
        # A whole type that was turned away, and then had by its parts, is no loss; one that was not is one loss.
        told = (record.label == record.type) == (record.type in not_had)
        silent = record.status in TURNED_AWAY and record.type in in_parts and not told
        if record.code is not None and not silent and not (record.code == stopped and not record.pages):
            yield Outcome(code=record.code, unit="type", resource_type=record.type, label=record.label, count=1)
        for code, count in record.remarks.items():
            unit: landing.Unit = "resource" if code in {"CH116", "CH125", "CH164"} else "type"
            yield Outcome(code=code, unit=unit, resource_type=record.type, label=record.label, count=count)
    for name, reason in plan.not_requested.items():
        if reason == "not_permitted":
            yield Outcome(code="CH103", unit="type", resource_type=name, label=name, count=1)
    for kind in plan.types:
        for label in kind.withheld:
            yield Outcome(code="CH103", unit="type", resource_type=kind.type, label=label, count=1)
