"""What the tables of the records have in common: a name, what they are, their columns."""

from __future__ import annotations

from dataclasses import dataclass

from transforms.tables.text import quoted


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table, with its DuckDB type."""

    name: str
    sql_type: str
    description: str


@dataclass(frozen=True, slots=True)
class Relation:
    """A table that is built for each person from the vault: of a category, a child of one, or a helper.

    `columns` are in order; `person_key` and `link_id` are among them.
    """

    name: str
    title: str
    description: str
    columns: tuple[Column, ...]

    @property
    def key(self) -> tuple[str, ...]:
        """The columns whose values name one row; none, where there are no such."""
        return ()

    def create_sql(self, qualified_name: str) -> str:
        """`CREATE TABLE` for this table. `qualified_name` is used as it stands."""
        columns = ",\n".join(f"    {quoted(column.name)} {column.sql_type}" for column in self.columns)
        return f"CREATE TABLE {qualified_name} (\n{columns}\n)"
