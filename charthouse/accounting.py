"""Where every resource of a source went: what the sandbox provider serves, held against vault and quarantine.

By type: read = repeated + served; served = in the vault + quarantined + not requested + missing. Not requested is what
no search for a person finds and no record of theirs points at; missing must be nothing.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from rich.table import Table

from charthouse import links
from charthouse.lake.session import open_vault
from charthouse.state import session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from charthouse.sandbox_process import Sandbox

_KEPT = """
WITH mine AS (SELECT unnest(?) AS link_id),
kept AS (
    SELECT DISTINCT resource_type, resource_id FROM vault.resources WHERE link_id IN (SELECT link_id FROM mine)
), refused AS (
    SELECT DISTINCT resource_type, coalesce(resource_id, content_hash) AS resource_id
    FROM vault.quarantine WHERE link_id IN (SELECT link_id FROM mine)
)
SELECT resource_type, count(*), 0 FROM kept GROUP BY ALL
UNION ALL
SELECT resource_type, 0, count(*) FROM (FROM refused ANTI JOIN kept USING (resource_type, resource_id)) GROUP BY ALL
"""


@dataclass(frozen=True, slots=True)
class Account:
    """The resources of one type: `read` from the source, and where each is now."""

    resource_type: str
    read: int
    repeated: int
    served: int
    in_vault: int
    quarantined: int
    not_requested: int
    missing: int


def account(sandbox: Sandbox, provider: str) -> list[Account]:
    """The account of a provider that the sandbox plays, by type."""
    with session(read_only=True) as state:
        mine = [link.link_id for link in links.list_links(state, provider=provider)]
    with open_vault(read_only=True) as connection:
        rows = connection.execute(_KEPT, [mine]).fetchall()
    kept: dict[str, int] = {}
    refused: dict[str, int] = {}
    for kind, accepted, quarantined in rows:
        kept[kind] = kept.get(kind, 0) + accepted
        refused[kind] = refused.get(kind, 0) + quarantined
    inventory = sandbox.ask(provider, "inventory")["types"]
    return [_of(kind, counts, kept.get(kind, 0), refused.get(kind, 0)) for kind, counts in inventory.items()]


def _of(kind: str, counts: dict[str, int], in_vault: int, quarantined: int) -> Account:
    unseen = max(counts["stored"] - in_vault - quarantined, 0)
    # What a search for its patient finds was asked for, so if it is nowhere it was lost.
    missing = min(unseen, max(counts["in_compartments"] - in_vault - quarantined, 0))
    return Account(
        resource_type=kind,
        read=counts["read"],
        repeated=counts["repeated"] + counts["older_versions"],
        served=counts["stored"],
        in_vault=in_vault,
        quarantined=quarantined,
        not_requested=unseen - missing,
        missing=missing,
    )


def render(accounts: Sequence[Account]) -> Table:
    """The account as a table, with a line of totals."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("\nEvery resource of the source", min_width=30)
    names = list(Account.__dataclass_fields__)[1:]
    for name in names:
        table.add_column("\n" + name.replace("_", " "), justify="right", no_wrap=True)
    for row in accounts:
        numbers = asdict(row)
        table.add_row(row.resource_type, *(f"{numbers[name]:,}" for name in names))
    table.add_section()
    table.add_row("all", *(f"{sum(getattr(row, name) for row in accounts):,}" for name in names), style="bold")
    return table
