"""Questions to the records: one from the command line, or a prompt. Answers as a table, CSV or JSON."""

from __future__ import annotations

import csv
import re
import sys
from typing import TYPE_CHECKING

import duckdb

from charthouse.errors import SetupError
from charthouse.lake.analyst import analyst, ends, statements
from charthouse.lake.chart import draw
from transforms.failures import FAILURES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STYLES = ("table", "csv", "json")
MOST_ROWS = 200
WHOLE = 1_000_000
"""Columns of a table in a pipe: none is left out, and nothing is cut off."""
"""Rows that a table on the screen shows; CSV and JSON give all."""
AT_ONCE = 2048
LEAVE = frozenset({"exit", "quit", ".exit", ".quit"})

# JSON knows no such numbers. A text that looks like one is matched first, and stays.
_NO_NUMBER = re.compile(r'"(?:[^"\\]|\\.)*"|-?\b(?:NaN|Infinity)\b')


def ask(
    query: str,
    style: str,
    note: Callable[[str], object] | None = None,
    *,
    chart: bool = False,
    as_of: str | None = None,
) -> None:
    """Run a query and print its rows as `table`, `csv` or `json`; a query of `-` is read from standard input.

    `note` is told the text before it is run. `chart` draws the answer in place of a table. `as_of` is the night after
    which the records are asked.

    Tables are for reading: of several statements each prints its own. CSV and JSON are for programs: UTF-8 whatever the
    locale, all rows, written as they come; values are written as DuckDB writes them.

    Raises:
        SetupError: CH010 when it is refused, with DuckDB's words about the query; CH415 when it cannot be drawn.
    """
    if chart and style != "table":
        raise SetupError("CH415", what="a chart is for reading: it stands in place of a table")
    if style not in STYLES:
        raise SetupError("CH010", where="--format", what=f"it is one of {', '.join(STYLES)}")
    text = _text(query)
    if note is not None:
        note(text)
    with analyst(as_of) as connection:
        try:
            if chart:
                sys.stdout.write(draw(_only_answer(connection, text)))
            elif style == "table":
                _show(connection, text)
            else:
                _write(_only_answer(connection, text), style)
        except FAILURES as error:
            raise SetupError("CH010", what=_words(error).splitlines()[0]) from None
        except RuntimeError as error:  # DuckDB's answer to Ctrl-C
            raise KeyboardInterrupt from error


def prompt(note: Callable[[str], object] | None = None, *, as_of: str | None = None) -> int:
    """Read queries until the end of input; each ends with a semicolon. Returns the exit code.

    `note` is told each text before it is run. On a terminal what goes wrong is said and forgotten; otherwise the exit
    code remembers it.
    """
    interactive = sys.stdin.isatty()
    with analyst(as_of) as connection:
        if interactive:
            import readline  # noqa: F401 - gives input() its history

            sys.stdout.write("The records, read-only. A query ends with ; and Ctrl-D leaves.\n")
        pending, code = "", 0
        while True:
            try:
                pending += input(("      … " if pending else "charts> ") if interactive else "") + "\n"
                if pending.strip().rstrip(";") in LEAVE:
                    return 0 if interactive else code
                if ends(pending):
                    code = max(code, _answer(connection, pending, note))
                    pending = ""
            except EOFError:
                break
            except KeyboardInterrupt:
                if not interactive:
                    raise
                sys.stdout.write("\n")
                pending = ""
        if interactive:
            sys.stdout.write("\n")
            return 0
        return max(code, _answer(connection, pending, note))


def _answer(connection: duckdb.DuckDBPyConnection, text: str, note: Callable[[str], object] | None) -> int:
    if note is not None:
        note(text)
    try:
        if duckdb.tokenize(text):
            _show(connection, text)
    except (*FAILURES, SetupError) as error:
        sys.stderr.write(f"{_words(error)}\n")
        return 1
    except RuntimeError as error:
        raise KeyboardInterrupt from error
    return 0


def _words(error: Exception) -> str:
    """DuckDB's words about a query, which are for the analyst who asked it."""
    if isinstance(error, UnicodeDecodeError):
        return "a value does not fit; DuckDB's words about it quote a text that is cut within a character"
    return str(error)


def _text(query: str) -> str:
    return sys.stdin.read() if query == "-" else query


def _show(connection: duckdb.DuckDBPyConnection, text: str) -> None:
    for statement in statements(text):
        relation = _relation(connection, statement)
        if relation is None:
            continue
        if statement.type == duckdb.StatementType.EXPLAIN:
            sys.stdout.writelines(f"{plan}\n" for _, plan in relation.fetchall())
        else:
            if sys.stdout.isatty():
                relation.show(max_rows=MOST_ROWS)
            else:  # a pipe: all columns, with all that is in them
                relation.show(max_rows=MOST_ROWS, max_width=WHOLE, max_col_width=WHOLE)


def _only_answer(connection: duckdb.DuckDBPyConnection, text: str) -> duckdb.DuckDBPyRelation:
    *before, last = statements(text)
    for statement in before:
        if _relation(connection, statement) is not None:
            raise SetupError("CH010", what="CSV, JSON and a chart hold the answer of one query; there are several")
    relation = _relation(connection, last)
    if relation is None:
        raise SetupError("CH010", what="it gives no rows")
    return relation


def _write(relation: duckdb.DuckDBPyRelation, style: str) -> None:
    out = sys.stdout
    if hasattr(out, "reconfigure"):
        out.reconfigure(encoding="utf-8")
    if style == "csv":
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(relation.columns)
        for row in _rows(relation.project("CAST(COLUMNS(*) AS VARCHAR)")):
            writer.writerow(row)
        return
    separator = "[\n"
    for (line,) in _rows(relation.query("_row", "SELECT to_json(_row) FROM _row")):
        out.write(separator + _NO_NUMBER.sub(lambda found: found[0] if found[0][0] == '"' else "null", line))
        separator = ",\n"
    out.write("\n]\n" if separator == ",\n" else "[]\n")


def _rows(relation: duckdb.DuckDBPyRelation) -> Iterator[tuple[str, ...]]:
    while some := relation.fetchmany(AT_ONCE):
        yield from some


def _relation(connection: duckdb.DuckDBPyConnection, statement: duckdb.Statement) -> duckdb.DuckDBPyRelation | None:
    # A statement that returns no rows gives None, which DuckDB's own type hints leave out.
    return connection.sql(statement)
