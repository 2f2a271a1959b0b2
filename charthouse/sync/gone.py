"""Resources that a provider says are deleted: kept in the vault, and known to be served no longer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select

from charthouse.lake.session import quoted
from charthouse.state import session as state_session
from charthouse.state.base import now
from charthouse.state.bulk import GoneResource
from charthouse.sync.bulk_landing import read_gone

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb
    from sqlalchemy.orm import Session

    from charthouse.sync.batches import Batch

Key = tuple[str, str, str]
"""Link, type and id of a resource."""
_CHUNK = 500


def told(batch: Batch, link_ids: Sequence[str]) -> set[Key]:
    """What the landing of these links says is deleted."""
    return {(link_id, *pair) for link_id in link_ids for pair in read_gone(batch.folder / link_id)}


def served_again(connection: duckdb.DuckDBPyConnection, batch: Batch) -> set[Key]:
    """Of what is known to be deleted, that which the batch has brought and which was accepted."""
    with state_session(read_only=True) as state:
        known = list(
            state.execute(
                select(GoneResource.link_id, GoneResource.resource_type, GoneResource.resource_id).where(
                    GoneResource.link_id.in_(batch.link_ids)
                )
            )
        )
    if not known:
        return set()
    columns: list[list[Any]] = [list(column) for column in zip(*known, strict=True)]
    rows = connection.execute(
        f"""
        SELECT DISTINCT link_id, resource_type, resource_id FROM read_parquet({quoted(str(batch.checked))})
        SEMI JOIN (SELECT unnest(?::VARCHAR[]) AS link_id, unnest(?::VARCHAR[]) AS resource_type,
                          unnest(?::VARCHAR[]) AS resource_id)
            USING (link_id, resource_type, resource_id)
        """,
        columns,
    ).fetchall()
    return {(link_id, kind, name) for link_id, kind, name in rows}


def note(state: Session, run_id: str, deleted: set[Key], served: set[Key]) -> None:
    """Write down what is gone since, and that what is served again is not. What one night says twice is deleted."""
    for link_id, kind, name in sorted(served | deleted):
        state.execute(
            delete(GoneResource).where(
                GoneResource.link_id == link_id,
                GoneResource.resource_type == kind,
                GoneResource.resource_id == name,
            )
        )
    at = now()
    rows = [
        {"link_id": link_id, "resource_type": kind, "resource_id": name, "run_id": run_id, "at": at}
        for link_id, kind, name in sorted(deleted)
    ]
    for start in range(0, len(rows), _CHUNK):
        state.execute(insert(GoneResource), rows[start : start + _CHUNK])


def listed(state: Session, link_id: str) -> list[tuple[str, str]]:
    """Type and id of each resource of a link that its provider says is deleted."""
    query = select(GoneResource.resource_type, GoneResource.resource_id).where(GoneResource.link_id == link_id)
    return [(row[0], row[1]) for row in state.execute(query.order_by(*query.selected_columns))]
