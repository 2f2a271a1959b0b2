"""Where every resource of a source went: what the sandbox provider serves, held against vault and quarantine.

By type: read = repeated + served; served = in the vault + quarantined + not requested + missing. Each resource is
looked for by its name. Not requested is what no search for a person finds and no record of theirs points at; missing
must be nothing.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
from rich.table import Table

from charthouse.lake.session import open_vault
from charthouse.linking import links
from charthouse.state import session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from charthouse.operating.sandbox_process import Sandbox

_ACCOUNT = """
WITH mine AS (SELECT unnest(?) AS link_id),
kept AS (
    SELECT DISTINCT resource_type, resource_id AS name FROM vault.resources WHERE link_id IN (FROM mine)
), refused AS (
    SELECT DISTINCT resource_type, coalesce(resource_id, content_hash) AS name
    FROM vault.quarantine WHERE link_id IN (FROM mine)
), known AS (
    SELECT resource_type, name, 'in_vault' AS place FROM kept
    UNION ALL SELECT resource_type, name, 'quarantined' FROM refused ANTI JOIN kept USING (resource_type, name)
)
SELECT coalesce(served.resource_type, known.resource_type, ''),
       CASE WHEN served.name IS NULL THEN 'gone' WHEN known.place IS NOT NULL THEN known.place
            WHEN served.found THEN 'missing' ELSE 'not_requested' END AS place,
       count(*)
FROM served FULL JOIN known USING (resource_type, name) GROUP BY ALL
"""


@dataclass(frozen=True, slots=True)
class Account:
    """The resources of one type: `read` from the source, and where each is now; `gone` are those that the house keeps
    and the source no longer has."""

    resource_type: str
    read: int = 0
    repeated: int = 0
    served: int = 0
    in_vault: int = 0
    quarantined: int = 0
    not_requested: int = 0
    missing: int = 0
    gone: int = 0


def account(
    sandbox: Sandbox, provider: str, left_out: Sequence[str] = (), linked_as: str | None = None
) -> list[Account]:
    """The account of a provider that the sandbox plays, by type. Nobody asks for patients who are `left_out`.

    `linked_as` is the provider that its links are of, where a partner stands between.
    """
    with session(read_only=True) as state:
        mine = [link.link_id for link in links.list_links(state, provider=linked_as or provider)]
    resources = sandbox.ask(provider, "resources", list(left_out) or None)
    served = pa.table(
        {
            "resource_type": pa.array((kind for kind, _, _ in resources), pa.string()),
            "name": pa.array((name for _, name, _ in resources), pa.string()),
            "found": pa.array((found for _, _, found in resources), pa.bool_()),
        }
    )
    with open_vault(read_only=True) as connection:
        connection.register("served", served)
        rows = connection.execute(_ACCOUNT, [mine]).fetchall()
    inventory = sandbox.ask(provider, "inventory")["types"]
    places: dict[str, dict[str, int]] = {kind: {} for kind in inventory}
    for kind, place, number in rows:
        places.setdefault(kind, {})[place] = number
    return [_of(kind, inventory.get(kind), found) for kind, found in sorted(places.items())]


def merged(*accounts: Sequence[Account]) -> list[Account]:
    """The accounts of several providers as one."""
    found: dict[str, dict[str, int]] = {}
    for row in (row for rows in accounts for row in rows):
        sums = found.setdefault(row.resource_type, {})
        for name, number in asdict(row).items():
            if isinstance(number, int):
                sums[name] = sums.get(name, 0) + number
    return [Account(kind, **sums) for kind, sums in sorted(found.items())]


def _of(kind: str, counts: dict[str, int] | None, places: dict[str, int]) -> Account:
    if counts is None:
        return Account(kind, **places)
    repeated = counts["repeated"] + counts["older_versions"]
    return Account(kind, read=counts["read"], repeated=repeated, served=counts["stored"], **places)


def render(accounts: Sequence[Account]) -> Table:
    """The account as a table, with a line of totals."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("\nEvery resource of the source", min_width=30)
    names = list(Account.__dataclass_fields__)[1:]
    if not any(row.gone for row in accounts):
        names.remove("gone")
    for name in names:
        table.add_column("\n" + name.replace("_", " "), justify="right", no_wrap=True)
    for row in accounts:
        numbers = asdict(row)
        table.add_row(row.resource_type, *(f"{numbers[name]:,}" for name in names))
    table.add_section()
    table.add_row("all", *(f"{sum(getattr(row, name) for row in accounts):,}" for name in names), style="bold")
    return table
