"""A category table: its columns, its DDL, and the SELECT that builds it from resources."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from transforms.sql_on_fhir import SqlRelation, compile_view
from transforms.tables.declaration import Column, TableError, View, read_views
from transforms.tables.rules import FIRST, LAST, earliest_instant, quoted, raw_expression, table_expressions

_CARRIED = ("person_key", "link_id", "resource_type", "resource_id", "last_updated")


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
        rows = "\nUNION ALL\n".join(_view_sql(view, source) for view in self.views)
        filled = {column.name for helper in self.helpers for each in helper.shown for column in each.expanded()}
        chosen = []
        for column in self.columns:
            name = quoted(column.name)
            chosen.append(
                f"rows.{name}" if column.name not in filled else f"coalesce(rows.{name}, helper.{name}) AS {name}"
            )
        if not self.helpers:
            return f"SELECT {', '.join(quoted(column.name) for column in self.columns)}\nFROM (\n{rows}\n)"
        key = quoted(self._look_up()[0])
        return (
            f"SELECT {', '.join(chosen)}\nFROM (\n{rows}\n) AS rows\n"
            f"LEFT JOIN (\n{self._helper_sql(source)}\n) AS helper ON rows.{key} = helper.{key}"
        )

    def _look_up(self) -> tuple[str, str]:
        look_up = self.views[0].look_up
        if look_up is None:
            raise TableError(f"{self.name}: no column looks anything up")
        return look_up

    def _helper_sql(self, source: str) -> str:
        # A malformed record may contain the same id twice: one row a key, the same one every night.
        key = quoted(self._look_up()[0])
        names = [quoted(column.name) for each in self.helpers[0].shown for column in each.expanded()]
        parts = "\nUNION ALL\n".join(_view_sql(helper, source) for helper in self.helpers)
        return f"SELECT DISTINCT ON ({key}) {', '.join(names)} FROM (\n{parts}\n) ORDER BY {', '.join([key, *names])}"


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


def _view_sql(view: View, source: str) -> str:
    compiled = compile_view(view.with_digits(), SqlRelation(source), carry=_CARRIED)
    raw = ",\n    ".join(
        f"{raw_expression(column, *view.stand_ins(column.name))} AS {quoted(column.name)}" for column in view.shown
    )
    number = quoted(view.row_number) if view.row_number else "0"
    columns = [
        f"resource_key || '/' || {number} AS row_key",
        "person_key",
        "link_id",
        "resource_key",
    ]
    for each in view.shown:
        expressions = table_expressions(each)
        columns += [f"{sql} AS {quoted(column.name)}" for sql, column in zip(expressions, each.expanded(), strict=True)]
    columns.append(f"{earliest_instant('carried_update')} AS last_updated")
    listed = ",\n    ".join(columns)
    return (
        f"SELECT\n    {listed}\nFROM (\nSELECT\n    person_key, link_id,\n"
        "    link_id || '/' || resource_type || '/' || resource_id AS resource_key,\n"
        f"    last_updated AS carried_update,\n    {raw}\nFROM (\n{compiled}\n)\n)"
    )
