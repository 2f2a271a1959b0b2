"""How links stand, told to the records at the end of a run: whom people are linked to, and what they granted.

Nothing of it can be built of the vault, and it moves without it: a link expires, or brings nothing new. So it is told
at the end of every run, after links are confirmed. Links that are deleted, or about to be, are left out.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy import select

from charthouse.lake import standing
from charthouse.lake.session import RECORDS, open_records, writing
from charthouse.linking.permissions import permitted
from charthouse.state import session
from charthouse.state.ledger import SyncTally
from charthouse.state.linking import Removal
from charthouse.state.models import Link, Provider
from transforms.tables import GRANTED, LINKS, other_tables, tables

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    import duckdb
    from sqlalchemy.orm import Session

    from transforms.tables import Table

_WORST_FIRST: Final = ("failed", "partial", "refused", "complete", "not_permitted")


def tell_standing(run_id: str) -> int:
    """Make the tables of links say how these stand now. Returns how many links differ from what was told before.

    Raises:
        LakeError: CH501, CH505 when the records cannot be written.
    """
    # Under the hold in which it commits: whoever is erased meanwhile waits, and takes away what is told here.
    with writing(RECORDS), open_records() as connection:
        before = _results_before(connection)
        with session(read_only=True) as state:
            links = _links(state)
            results = _results(state, run_id)
        told = [
            (person, link, name, permission, results.get(link, before.get(link, {})).get(name))
            for person, link, granted, _ in links
            for name, permission in _permissions(granted).items()
        ]
        return standing.replace(connection, {LINKS: [each.row for each in links], GRANTED: told}, run_id=run_id)


class _Told(NamedTuple):
    person_key: str
    link_id: str
    granted: str | None
    """The scopes; None where nobody said which."""
    row: tuple[object, ...]


def _links(state: Session) -> list[_Told]:
    """Each link with its row of `links`."""
    going = select(Removal.link_id).where(Removal.done_at.is_(None))
    query = (
        select(Link, Provider)
        .join(Provider, Provider.slug == Link.provider)
        .where(Link.status != "deleted", Link.id.not_in(going))
        .order_by(Link.id)
        .execution_options(yield_per=1_000)
    )
    return [
        _Told(
            link.person_key,
            link.id,
            None if link.route == "phone" else link.granted_scopes,
            (
                *(link.person_key, link.id, link.provider, provider.name, provider.region, link.route, link.status),
                *(link.status_at, link.failed_reason, link.created_at, link.confirmed_at, link.sync_status),
                *(link.last_synced_at, link.read_whole_at),
            ),
        )
        for link, provider in state.execute(query)
    ]


@lru_cache(maxsize=1_000)  # most people grant what others do
def _permissions(granted_scopes: str | None) -> dict[str, str | None]:
    """What a grant permits of each table; NULL where nobody said what was granted."""
    if granted_scopes is None:
        return {table.name: None for table in _filled()}
    found = permitted(granted_scopes)
    return {table.name: found.categories.get(table.name) or _of_types(table, found.types.keys()) for table in _filled()}


def _of_types(table: Table, readable: Collection[str]) -> str:
    known = [kind in readable for kind in _types(table)]
    return "permitted" if all(known) else "partly" if any(known) else "not_permitted"


def _results(state: Session, run_id: str) -> dict[str, dict[str, str]]:
    """For each link of the run: how asking ended for each table."""
    ended: dict[str, dict[str, str]] = {}
    query = select(SyncTally.link_id, SyncTally.resource_type, SyncTally.result, SyncTally.not_requested)
    for link, kind, result, reason in state.execute(query.where(SyncTally.run_id == run_id)):
        ended.setdefault(link, {})[kind] = result or reason
    return {
        link: {table.name: said for table in _filled() if (said := _worst(table, by_type))}
        for link, by_type in ended.items()
    }


def _worst(table: Table, by_type: Mapping[str, str]) -> str | None:
    """The worst result of a table's types: what was not granted or not asked for counts where nothing else was had."""
    said = [by_type[kind] for kind in _types(table) if by_type.get(kind)]
    return next((each for each in _WORST_FIRST if each in said), said[0] if said else None)


def _results_before(connection: duckdb.DuckDBPyConnection) -> dict[str, dict[str, str]]:
    """The results that were told before: a run that did not ask a link leaves its own standing."""
    found: dict[str, dict[str, str]] = {}
    query = "SELECT link_id, table_name, result FROM records.granted WHERE result IS NOT NULL"
    for link, name, result in connection.execute(query).fetchall():
        found.setdefault(link, {})[name] = result
    return found


def _filled() -> tuple[Table, ...]:
    """The tables that a link may fill."""
    return tuple(
        table for table in (*tables(), *other_tables()) if table.parent is None and not table.declaration.inner
    )


def _types(table: Table) -> tuple[str, ...]:
    """The types of a table's records; surveys come in two."""
    also = ("QuestionnaireResponse",) if table.name == "surveys" else ()
    return (*table.resource_types, *also)
