"""Resources that a provider serves no longer, whether it says so or is silent: kept in the vault, and marked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, insert, select

from charthouse.lake.session import quoted
from charthouse.state import session as state_session
from charthouse.state.base import now
from charthouse.state.bulk import GoneResource
from charthouse.sync.bulk_landing import read_gone

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import duckdb
    from sqlalchemy.orm import Session

    from charthouse.state.bulk import GoneReason
    from charthouse.sync.batches import Batch

Key = tuple[str, str, str]
"""Link, type and id of a resource."""
_CHUNK = 500


def told(batch: Batch, link_ids: Sequence[str]) -> dict[Key, GoneReason]:
    """What the landing of these links says is deleted."""
    return {(link_id, *pair): "deleted" for link_id in link_ids for pair in read_gone(batch.folder / link_id)}


def served_again(connection: duckdb.DuckDBPyConnection, batch: Batch) -> set[Key]:
    """Of what is known to be served no longer, that which the batch has brought and which was accepted."""
    with state_session(read_only=True) as state:
        known = sorted(_known(state, batch.link_ids))
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


def note(state: Session, run_id: str, gone: Mapping[Key, GoneReason], served: Collection[Key]) -> None:
    """Write down what is served no longer, and that what is served again is not. What one night says twice is gone.

    What is known already keeps the instant since when it is, and the run that noticed.
    """
    known = _known(state, {key[0] for key in gone})
    for link_id, kind, name in sorted(set(served) - gone.keys()):
        state.execute(
            delete(GoneResource).where(
                GoneResource.link_id == link_id,
                GoneResource.resource_type == kind,
                GoneResource.resource_id == name,
            )
        )
    at = now()
    rows = [
        {"link_id": link_id, "resource_type": kind, "resource_id": name, "run_id": run_id, "at": at, "reason": reason}
        for (link_id, kind, name), reason in sorted(gone.items())
        if (link_id, kind, name) not in known
    ]
    for start in range(0, len(rows), _CHUNK):
        state.execute(insert(GoneResource), rows[start : start + _CHUNK])


def since_run(state: Session, run_id: str, link_ids: Sequence[str]) -> dict[tuple[str, str], int]:
    """How many resources of each link and type are served no longer since this run."""
    found: dict[tuple[str, str], int] = {}
    for start in range(0, len(link_ids), _CHUNK):
        query = (
            select(GoneResource.link_id, GoneResource.resource_type, func.count())
            .where(GoneResource.run_id == run_id, GoneResource.link_id.in_(link_ids[start : start + _CHUNK]))
            .group_by(GoneResource.link_id, GoneResource.resource_type)
        )
        found |= {(link_id, kind): count for link_id, kind, count in state.execute(query)}
    return found


def _known(state: Session, link_ids: Collection[str]) -> set[Key]:
    ordered = sorted(link_ids)
    found: set[Key] = set()
    for start in range(0, len(ordered), _CHUNK):
        query = select(GoneResource.link_id, GoneResource.resource_type, GoneResource.resource_id)
        rows = state.execute(query.where(GoneResource.link_id.in_(ordered[start : start + _CHUNK])))
        found.update((link_id, kind, name) for link_id, kind, name in rows)
    return found


def listed(state: Session, link_id: str) -> list[tuple[str, str]]:
    """Type and id of each resource of a link that its provider serves no longer."""
    query = select(GoneResource.resource_type, GoneResource.resource_id).where(GoneResource.link_id == link_id)
    return [(row[0], row[1]) for row in state.execute(query.order_by(*query.selected_columns))]
