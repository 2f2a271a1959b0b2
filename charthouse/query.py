"""Questions to the records: read-only, in DuckDB, with the ten tables under their bare names."""

from __future__ import annotations

import csv
import json
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import duckdb

from charthouse.errors import SetupError
from charthouse.lake.records import bare_names
from charthouse.lake.session import open_records

if TYPE_CHECKING:
    from collections.abc import Iterator

STYLES = ("table", "csv", "json")


@contextmanager
def analyst() -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection as an analyst has it: the records read-only under bare names, and no way to files or networks."""
    with open_records(read_only=True) as connection:
        bare_names(connection)
        yield connection


def ask(query: str, style: str) -> None:
    """Run one query and print its rows as `table`, `csv` or `json`.

    Raises:
        SetupError: CH010 when DuckDB refuses it, with DuckDB's words about the query.
    """
    if style not in STYLES:
        raise SetupError("CH010", where="--format", what=f"it is one of {', '.join(STYLES)}")
    with analyst() as connection:
        try:
            relation = _relation(connection, query)
            if relation is None:
                return
            if style == "table":
                relation.show(max_rows=200)
                return
            names, rows = relation.columns, relation.fetchall()
        except duckdb.Error as error:
            raise SetupError("CH010", what=str(error).splitlines()[0]) from None
    if style == "json":
        listed: list[dict[str, Any]] = [dict(zip(names, row, strict=True)) for row in rows]
        sys.stdout.write(json.dumps(listed, default=str, indent=1) + "\n")
    else:
        writer = csv.writer(sys.stdout)
        writer.writerow(names)
        writer.writerows(rows)


def prompt() -> None:
    """Read queries line by line until the end of input; a query ends with a semicolon."""
    with analyst() as connection:
        interactive = sys.stdin.isatty()
        if interactive:
            import readline  # noqa: F401 - gives input() its history

            sys.stdout.write("The records, read-only. A query ends with ; and Ctrl-D leaves.\n")
        pending = ""
        while True:
            try:
                pending += input(("      … " if pending else "charts> ") if interactive else "") + "\n"
            except EOFError:
                break
            if pending.rstrip().endswith(";"):
                _answer(connection, pending)
                pending = ""
        if pending.strip():
            _answer(connection, pending)


def _answer(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    try:
        relation = _relation(connection, query)
        if relation is not None:
            relation.show(max_rows=200)
    except duckdb.Error as error:
        sys.stderr.write(f"{error}\n")


def _relation(connection: duckdb.DuckDBPyConnection, query: str) -> duckdb.DuckDBPyRelation | None:
    # A statement that returns no rows gives None, which DuckDB's own type hints leave out.
    return connection.sql(query)
