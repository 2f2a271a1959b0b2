"""Pages of a link in, rows for the store out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
import pyarrow as pa

from transforms.bundles import read_page
from transforms.checking.verdict import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from transforms.checking.checker import Checker
    from transforms.checking.verdict import Owner, Verdict

CHECKED_SCHEMA: Final = pa.schema(
    [
        pa.field("person_key", pa.string(), nullable=False),
        pa.field("link_id", pa.string(), nullable=False),
        pa.field("resource_type", pa.string(), nullable=False),
        pa.field("resource_id", pa.string(), nullable=False),
        pa.field("content_hash", pa.string(), nullable=False),
        pa.field("last_updated", pa.string()),
        pa.field("remarks", pa.list_(pa.string()), nullable=False),
        pa.field("resource", pa.string(), nullable=False),
    ]
)

QUARANTINED_SCHEMA: Final = pa.schema(
    [
        pa.field("person_key", pa.string(), nullable=False),
        pa.field("link_id", pa.string(), nullable=False),
        pa.field("resource_type", pa.string()),
        pa.field("resource_id", pa.string()),
        pa.field("content_hash", pa.string(), nullable=False),
        pa.field("last_updated", pa.string()),
        pa.field("rules", pa.list_(pa.string()), nullable=False),
        pa.field("remarks", pa.list_(pa.string()), nullable=False),
        pa.field("resource", pa.binary(), nullable=False),
    ]
)


class CheckedRow(msgspec.Struct, frozen=True):
    """An accepted resource. Fields as in `CHECKED_SCHEMA`; `remarks` are texts such as `CH226 Observation.issued`."""

    person_key: str
    link_id: str
    resource_type: str
    resource_id: str
    content_hash: str
    last_updated: str | None
    remarks: list[str]
    resource: str


class QuarantinedRow(msgspec.Struct, frozen=True):
    """A resource that cannot be used. Fields as in `QUARANTINED_SCHEMA`.

    `rules` are ids of rules, `remarks` the same findings with their paths, and `resource` the bytes as received: they
    need be neither JSON nor UTF-8.
    """

    person_key: str
    link_id: str
    resource_type: str | None
    resource_id: str | None
    content_hash: str
    last_updated: str | None
    rules: list[str]
    remarks: list[str]
    resource: bytes


def check_pages(
    pages: Iterable[bytes],
    owner: Owner,
    *,
    person_key: str,
    link_id: str,
    checker: Checker,
) -> Iterator[CheckedRow | QuarantinedRow]:
    """Check every resource of a link's pages (Bundles as received), each content once.

    The same type, id and bytes come once, however many queries brought them. OperationOutcomes of the search are left
    out (`outcomes.issue_counts` counts them).

    Raises:
        PageError: a body is no Bundle; fetch lands none such.
    """
    seen: set[tuple[str | None, str | None, str]] = set()
    for body in pages:
        for entry in read_page(body).entries:
            if entry.mode == "outcome":
                continue
            verdict = checker.check(entry.raw, owner)
            key = (verdict.resource_type, verdict.resource_id, verdict.content_hash)
            if key not in seen:
                seen.add(key)
                yield row(verdict, entry.raw, person_key=person_key, link_id=link_id)


def row(verdict: Verdict, raw: bytes, *, person_key: str, link_id: str) -> CheckedRow | QuarantinedRow:
    """The row of one verdict."""
    if verdict.status is Status.QUARANTINED or verdict.resource_type is None or verdict.resource_id is None:
        return QuarantinedRow(
            person_key,
            link_id,
            verdict.resource_type,
            verdict.resource_id,
            verdict.content_hash,
            verdict.last_updated,
            verdict.rules,
            verdict.remarks,
            raw,
        )
    return CheckedRow(
        person_key,
        link_id,
        verdict.resource_type,
        verdict.resource_id,
        verdict.content_hash,
        verdict.last_updated,
        verdict.remarks,
        raw.decode(),
    )
