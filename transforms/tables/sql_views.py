"""Views over the tables, for analysts: SQL declared in `schemas/sql_views/<name>.sql`, stored by name in the records.

A file begins with comments that say what it is: first in words, then, after an empty comment line, a line for each
column (`-- name TYPE: meaning`, continued by lines that are indented). What follows is one SELECT, over the tables and
other views by their bare names, with exactly these columns in this order. A view costs a night nothing: it has no rows.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from transforms.duplicates.views import ADDED, best_about, best_sql
from transforms.tables.declaration import TableError
from transforms.tables.relation import Column, Relation
from transforms.tables.table import Table, tables
from transforms.tables.text import quoted
from transforms.tables.value_sets import COLUMNS, value_sets_sql

VALUE_SETS = "Which codes mean the same to an analyst, a row a code: join it by system and code, or by code alone."
_COLUMN = re.compile(r"([a-z][a-z0-9_]{0,62}) ([A-Z].*?): (.*)")
_HEAD = re.compile(r"(?:--.*\n)+")


@dataclass(frozen=True, slots=True)
class SqlView(Relation):
    """A view: its columns as declared, and the SELECT that gives them."""

    sql: str

    def create_sql(self, qualified_name: str) -> str:
        """`CREATE OR REPLACE VIEW` for it. The tables and views that it names must be there."""
        names = ", ".join(quoted(column.name) for column in self.columns)
        return f"CREATE OR REPLACE VIEW {qualified_name} ({names}) AS\n{self.sql}"

    @property
    def fingerprint(self) -> str:
        """Of all that is declared: it changes when the view is to be made anew."""
        return hashlib.sha256(repr((self.description, self.columns, self.sql)).encode()).hexdigest()[:12]


def read_sql_view(name: str, text: str) -> SqlView:
    """A declaration, read.

    Raises:
        TableError: where the words, the columns or the SELECT are missing.
    """
    head = _HEAD.match(text)
    lines = [line.removeprefix("--").removeprefix(" ") for line in (head[0].splitlines() if head else ())]
    words, listed = lines, list[str]()
    if "" in lines:
        words, listed = lines[: lines.index("")], lines[lines.index("") + 1 :]
    sql = text[head.end() if head else 0 :].strip().removesuffix(";").rstrip()
    folded: list[str] = []
    for line in listed:
        if line.startswith(" ") and folded:
            folded[-1] += f" {line.strip()}"
        else:
            folded.append(line)
    columns = [_COLUMN.fullmatch(line) for line in folded]
    if not (words and columns and all(columns) and sql):
        raise TableError(f"{name}: a view says what it is, then `name TYPE: meaning` for each column, then its SELECT")
    return SqlView(
        name=name,
        title=name.replace("_", " ").capitalize(),
        description=" ".join(word.strip() for word in words),
        columns=tuple(Column(*found.groups()) for found in columns if found),
        sql=sql,
    )


@cache
def sql_views() -> tuple[SqlView, ...]:
    """All views, by name: those of files, the value sets, and each table without its duplicates."""
    found = files("schemas").joinpath("sql_views").iterdir()
    texts = {entry.name.removesuffix(".sql"): entry.read_text(encoding="utf-8") for entry in found}
    of_files = (read_sql_view(name, text) for name, text in texts.items())
    codes = SqlView("value_sets", "Value sets", VALUE_SETS, COLUMNS, value_sets_sql())
    return tuple(sorted((*of_files, codes, *map(_best, tables())), key=lambda view: view.name))


def _best(table: Table) -> SqlView:
    """The view of a table that has one row of each group of duplicates."""
    return SqlView(
        name=f"{table.name}_best",
        title=f"{table.title}, each once",
        description=best_about(table.name),
        columns=(*table.columns, *(Column(name, *said) for name, said in ADDED.items())),
        sql=best_sql(table.name, [column.name for column in table.columns]),
    )
