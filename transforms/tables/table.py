"""A category table: its columns, its DDL, and the SELECT that builds it from resources."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from transforms.tables.declaration import Column, TableError, View, read_views
from transforms.tables.rules import FIRST, LAST, quoted
from transforms.tables.statement import select_sql


@dataclass(frozen=True, slots=True)
class Table:
    """One of the category tables.

    `columns` are in order, keys first; `resource_types` are all types that its rows are made from, looked-up ones too.
    """

    name: str
    title: str
    description: str
    columns: tuple[Column, ...]
    resource_types: tuple[str, ...]
    views: tuple[View, ...]
    helpers: tuple[View, ...] = ()

    def create_sql(self, qualified_name: str) -> str:
        """`CREATE TABLE` for this table. `qualified_name` is used as it stands."""
        columns = ",\n".join(f"    {quoted(column.name)} {column.sql_type}" for column in self.columns)
        return f"CREATE TABLE {qualified_name} (\n{columns}\n)"

    def select_sql(self, source: str) -> str:
        """The whole SELECT: exactly the table's columns, in order, of everyone in `source`.

        Args:
            source: a relation with `person_key, link_id, resource_type, resource_id, last_updated, resource`, all
                VARCHAR; `resource` is the JSON text of the current version, `last_updated` a FHIR instant.
        """
        return select_sql(self.columns, self.views, self.helpers, source)


@cache
def tables() -> tuple[Table, ...]:
    """All category tables, by name.

    Raises:
        TableError: for a file in `schemas/views` that cannot be a table.
    """
    helpers = read_views("views/helpers")
    return tuple(_table(name, views, helpers) for name, views in read_views().items())


def table(name: str) -> Table:
    """The table of that name. Raises KeyError for any other name."""
    return {each.name: each for each in tables()}[name]


def _table(name: str, views: tuple[View, ...], all_helpers: dict[str, tuple[View, ...]]) -> Table:
    look_up = views[0].look_up
    if look_up is not None and look_up[1] not in all_helpers:
        raise TableError(f"{name}: there is no helper {look_up[1]}")
    helpers = all_helpers[look_up[1]] if look_up else ()
    columns = [Column(*column) for column in FIRST]
    columns += [column for each in views[0].shown for column in each.expanded()]
    columns += [Column(*column) for column in LAST]
    if len({column.name for column in columns}) != len(columns):
        raise TableError(f"{name}: two columns expand to the same name")
    return Table(
        name=name,
        title=views[0].definition["title"],
        description=views[0].definition["description"],
        columns=tuple(columns),
        resource_types=tuple(sorted({view.resource for view in (*views, *helpers)})),
        views=views,
        helpers=helpers,
    )
