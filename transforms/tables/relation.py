"""What the tables of the records have in common: a name, what they are, their columns."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from transforms.tables.text import quoted

FREE_TEXT: Final = "Free text."
"""What the description of a column ends with that shows what somebody typed: it is as discreet as they were."""
_TYPED = re.compile(
    r"(?:.*_)?(?:text|display|unit|notes?|description|title|instruction|conclusion|words|group|drug|about|specialty|name)"
    r"|lot_number|what|details|body_site"
)
_NOT_TYPED = re.compile(r".*canonical_unit|(?:provider|table|file|column)_name")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table or view, with its DuckDB type. The description of free text ends with `FREE_TEXT`."""

    name: str
    sql_type: str
    description: str

    def __post_init__(self) -> None:
        if is_free_text(self) and not self.description.endswith(FREE_TEXT):
            object.__setattr__(self, "description", f"{self.description.rstrip()} {FREE_TEXT}")


def is_free_text(column: Column) -> bool:
    """Whether a column shows words that senders typed: by its name or type, or because its description says so.

    A display that stands beside a code, a unit and the text of a number are such words too: any text may be sent there.
    """
    if "VARCHAR" not in column.sql_type:
        return False
    by_name = _TYPED.fullmatch(column.name) and not _NOT_TYPED.fullmatch(column.name)
    return bool(by_name) or "STRUCT" in column.sql_type or column.description.endswith(FREE_TEXT)


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
