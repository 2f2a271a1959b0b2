"""What became of each type of a link: one account out of the records of its queries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from charthouse.sync.account import TURNED_AWAY
from charthouse.sync.bulk_marks import ALL, EVERYTHING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from charthouse.sync.landing import Manifest, QueryRecord


class TypeOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """How asking for a type ended, why it did not end well, and what it took."""

    result: str
    code: str = ""
    requests: int = 0
    retries: int = 0
    pages: int = 0
    received: int = 0
    bytes: int = 0
    waited: float = 0.0


def by_type(manifest: Manifest) -> dict[str, TypeOutcome]:
    """The outcome of every type that was asked for, or of which something was read by reference.

    A whole that was turned away and then had by its parts is no loss, as in the link's own account.
    """
    of_type: dict[str, list[QueryRecord]] = {}
    for record in manifest.queries:
        # An export's record without a page is a mark that moves: nobody asked for anything.
        if record.type != EVERYTHING and (record.pages or not record.label.startswith(ALL)):
            of_type.setdefault(record.type, []).append(record)
    found = {kind: _outcome(kind, records) for kind, records in of_type.items()}
    for said in manifest.outcomes:  # exports tell what failed by outcomes alone
        if said.unit == "type" and said.resource_type and (said.label or "").startswith(ALL):
            known = found.get(said.resource_type, TypeOutcome(result="failed"))
            result = "partial" if known.received else "failed"
            found[said.resource_type] = msgspec.structs.replace(known, result=result, code=said.code)
    return found


def _outcome(kind: str, records: list[QueryRecord]) -> TypeOutcome:
    counted = records if all(each.status in TURNED_AWAY for each in records) else _asked(kind, records)
    statuses = {each.status for each in counted}
    if statuses <= TURNED_AWAY:
        result = "refused" if "refused" in statuses else "not_permitted"
    elif statuses & {"partial", "failed"}:
        result = "partial" if any(each.pages for each in counted) else "failed"
    else:
        result = "complete"
    faulty = (each.code for each in _worst_first(counted) if each.code is not None)
    return TypeOutcome(
        result=result,
        code="" if result == "complete" else next(faulty, ""),
        requests=sum(each.requests for each in records),
        retries=sum(each.retries for each in records),
        pages=sum(each.pages for each in records),
        received=sum(each.resources for each in records),
        bytes=sum(each.bytes for each in records),
        waited=round(sum(each.waited for each in records), 3),
    )


def _asked(kind: str, records: list[QueryRecord]) -> list[QueryRecord]:
    """Without the whole that was turned away."""
    return [each for each in records if not (each.label == kind and each.status in TURNED_AWAY)]


def _worst_first(records: Iterable[QueryRecord]) -> list[QueryRecord]:
    order = ("failed", "partial", "refused", "not_permitted", "complete")
    return sorted(records, key=lambda each: order.index(each.status))
