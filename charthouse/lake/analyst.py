"""What an analyst may do: read the records, and work on what was read. No file, no other database, no network.

DuckDB closes files and networks itself, and lets nobody open them again on the same connection. Two doors it leaves
open, so they are closed here: statements that write into the folder of the lake, which has to stay readable; and the
functions of the catalog extensions, which open databases past DuckDB's own file access (tried on 1.5.5).
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

import duckdb
from duckdb import StatementType, token_type

from charthouse.errors import SetupError
from charthouse.lake import snapshots
from charthouse.lake.session import SPILL, data_of, open_records, quoted
from charthouse.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

PERMITTED = frozenset(
    {
        StatementType.SELECT,
        StatementType.EXPLAIN,
        StatementType.CREATE,  # the records are read-only, so what is made is temporary
        StatementType.INSERT,
        StatementType.UPDATE,
        StatementType.DELETE,
        StatementType.DROP,
        StatementType.ALTER,
        StatementType.SET,
        StatementType.TRANSACTION,
    }
)

BYTES = 2_000_000_000
"""What a question may use, if that is more than a task may: it is one of its kind, and tasks of a night are several.

What groups gather in lists cannot be spilled, and what can be takes longer: `blood_pressure` of 800,000 measurements
takes twice the processor time with 256 MB.
"""
_LEADS_OUT = re.compile(
    r"sqlite_\w+|postgres_\w+|read_postgres_\w+|pg_clear_cache"
    r"|ducklake_(?!(snapshots|current_snapshot|table_\w+|list_files|settings|options)$)\w+"
    # These run SQL that is hidden in a text, or reach into this process.
    r"|query(_table)?|json_execute_serialized_sql|(arrow|pandas)_scan\w*|python_map_function",
    re.IGNORECASE,
)
_WORD = re.compile(r'"((?:[^"]|"")*)"|\w+')
_NOT_EXPLAINED = frozenset({"call", "copy", "execute", "import", "install", "load", "pragma", "prepare"})


@contextmanager
def analyst(as_of: str | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection as an analyst has it: the records read-only under their bare names, and no way out of them.

    Pass every text through `statements` before it is run.

    Args:
        as_of: The night after which the records are shown: see `charthouse.lake.snapshots.find`.
    """
    settings = get_settings()
    snapshot = None if as_of is None else snapshots.find(as_of, settings).number
    readable = ", ".join(quoted(str(folder)) for folder in (data_of("records", settings), settings.home / SPILL))
    with open_records(read_only=True, trusting=True, snapshot=snapshot) as connection:
        # A literal: values given as parameters would make DuckDB import pandas.
        least = f"SELECT {BYTES} > parse_formatted_bytes({quoted(settings.duckdb_memory)})"
        if connection.execute(least).fetchone() == (True,):
            connection.execute(f"SET memory_limit = '{BYTES}B'")
        connection.execute(
            "USE records;"  # the tables answer to their bare names
            f"SET python_enable_replacements = false; SET allowed_directories = [{readable}];"
            "SET enable_external_access = false; SET lock_configuration = true"
        )
        yield connection


def statements(text: str) -> list[duckdb.Statement]:
    """The statements of a text, none of which leads out of the records.

    Raises:
        SetupError: CH010 for a text without one, and for a statement or function that is not permitted.
        duckdb.Error: for what is no SQL.
    """
    found = duckdb.extract_statements(text)
    if not found:
        raise SetupError("CH010", what="there is no query in it")
    words = _words(text)
    for statement in found:
        if statement.type not in PERMITTED:
            raise _refused(statement.type.name)
        if statement.type == StatementType.EXPLAIN and (named := _NOT_EXPLAINED & {word for word, _ in words}):
            raise _refused(f"EXPLAIN with {min(named).upper()}")
    for word, called in words:
        if called and _LEADS_OUT.fullmatch(word):
            raise _refused(f"{word}()")
    return found


def ends(text: str) -> bool:
    """Whether a text ends with a semicolon that closes a statement."""
    tokens = duckdb.tokenize(text)
    return bool(tokens) and text.encode()[tokens[-1][0] :].startswith(b";")


def _refused(what: str) -> SetupError:
    return SetupError("CH010", what=f"{what} is not permitted, for it leads out of the records")


def _words(text: str) -> list[tuple[str, bool]]:
    """Keywords and names of a text in lower case, each with whether a bracket follows it."""
    raw = text.encode()
    tokens = duckdb.tokenize(text)
    found = []
    for index, (start, kind) in enumerate(tokens):
        if kind in (token_type.identifier, token_type.keyword) and (match := _WORD.match(raw[start:].decode())):
            bracket = index + 1 < len(tokens) and raw[tokens[index + 1][0] :].startswith(b"(")
            found.append(((match[1] or match[0]).lower(), bracket))
    return found
