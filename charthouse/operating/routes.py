"""How people's records come, route by route: people, links and resources."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

from rich.table import Table
from sqlalchemy import func, select

from charthouse.lake.session import open_vault
from charthouse.state import session
from charthouse.state.models import ROUTES, Link

if TYPE_CHECKING:
    from collections.abc import Sequence

    from charthouse.state.models import Route


@dataclass(frozen=True, slots=True)
class RouteCount:
    """One way that links came to be: its people and links, and the resources that the vault has by them."""

    route: Route
    people: int
    links: int
    resources: int


def by_route() -> list[RouteCount]:
    """The routes that have links which are not deleted, in the order in which they are declared."""
    with session(read_only=True) as state:
        standing = (Link.status != "deleted",)
        counts = {
            row[0]: (row[1], row[2])
            for row in state.execute(
                select(Link.route, func.count(Link.person_key.distinct()), func.count())
                .where(*standing)
                .group_by(Link.route)
            )
        }
        route_of = {row[0]: row[1] for row in state.execute(select(Link.id, Link.route).where(*standing))}
    with open_vault(read_only=True) as connection:
        held = connection.execute(
            "SELECT link_id, count(DISTINCT (resource_type, resource_id)) FROM vault.resources GROUP BY link_id"
        ).fetchall()
    resources: dict[str, int] = {}
    for link_id, number in held:
        if link_id in route_of:
            resources[route_of[link_id]] = resources.get(route_of[link_id], 0) + number
    return [RouteCount(route, *counts[route], resources.get(route, 0)) for route in ROUTES if route in counts]


def render(counts: Sequence[RouteCount]) -> Table:
    """The same as a table."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("\nRoute", min_width=30)
    for name in ("people", "links", "resources"):
        table.add_column(f"\n{name}", justify="right", no_wrap=True)
    for count in counts:
        route, *numbers = astuple(count)
        table.add_row(route, *(f"{number:,}" for number in numbers))
    return table
