"""What is served no longer, shown on the rows that are made of it: the remark `no-longer-served`.

A row stays what it was; the remark says that its provider does not show it any more. Since when, and why, the state
knows (`charthouse.sync.gone`). Whose marks have changed is due for a build: what rows were built from, the version of
the vault and the declaration of the tables, is remembered together with a hash of the marks.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from charthouse.state import session
from charthouse.state.bulk import GoneResource
from charthouse.state.models import Link

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    import duckdb

    from transforms.tables import Relation

REMARK: Final = "no-longer-served"
RELATION: Final = "unserved"
_CHUNK: Final = 1_000


def digests(keys: Iterable[tuple[str, str]] | None = None) -> dict[str, str]:
    """For each person some of whose resources are served no longer: a hash of which; of all people, or of `keys`."""
    marks: dict[str, hashlib._Hash] = {}
    for person, key in _keys() if keys is None else keys:
        marks.setdefault(person, hashlib.sha256()).update(key.encode() + b"\0")
    return {person: mark.hexdigest()[:16] for person, mark in marks.items()}


def stage_unserved(connection: duckdb.DuckDBPyConnection, people: Collection[str]) -> dict[str, str]:
    """Make the in-memory relation of these people's resources that are served no longer. Returns their `digests`."""
    keys = list(_keys(sorted(people)))
    listed = [key for _, key in keys]
    connection.execute(f"CREATE OR REPLACE TABLE {RELATION} AS SELECT unnest(?::VARCHAR[]) AS resource_key", [listed])
    return digests(keys)


def marked(select_sql: str, relation: Relation) -> str:
    """The SELECT of a table's rows with the remark on those that are made of what is `unserved`."""
    if not {"resource_key", "remarks"} <= {column.name for column in relation.columns}:
        return select_sql
    return (
        f"SELECT * REPLACE (CASE WHEN resource_key IN (FROM {RELATION})"
        f" THEN list_append(remarks, '{REMARK}') ELSE remarks END AS remarks) FROM ({select_sql})"
    )


def _keys(people: list[str] | None = None) -> Iterator[tuple[str, str]]:
    """(person, resource key) of what is served no longer, in one order; of these people, or of all."""
    query = (
        select(Link.person_key, GoneResource.link_id, GoneResource.resource_type, GoneResource.resource_id)
        .join(Link, Link.id == GoneResource.link_id)
        .order_by(GoneResource.link_id, GoneResource.resource_type, GoneResource.resource_id)
    )
    with session(read_only=True) as state:
        chosen = [query]
        if people is not None:
            some = (people[start : start + _CHUNK] for start in range(0, len(people), _CHUNK))
            chosen = [query.where(Link.person_key.in_(chunk)) for chunk in some]
        for each in chosen:
            for person, link_id, kind, name in state.execute(each.execution_options(yield_per=_CHUNK)):
                yield person, f"{link_id}/{kind}/{name}"
