"""The front door: compile a view for any source, and run it."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pyarrow as pa

from transforms.sql_on_fhir import sql
from transforms.sql_on_fhir.compiler import Compiled, OutputColumn, compile_definition
from transforms.sql_on_fhir.errors import ViewError
from transforms.sql_on_fhir.sources import NdjsonFiles, Query, Source, SqlRelation

MEMORY_LIMIT = "512MB"

AnySource = SqlRelation | NdjsonFiles | str | Path | Sequence[Mapping[str, Any]] | duckdb.DuckDBPyRelation


def compile_view(view: Mapping[str, Any], source: AnySource, *, carry: Sequence[str] = ()) -> str:
    """The DuckDB SQL of a view: one SELECT, to be run as it is.

    `carry` names columns of the source relation that come in front of the view's own (a person's key, a link).
    Resources given as a sequence become literals in the SQL, so give few.

    Raises:
        ViewError: the first fault of the view, with its place.
    """
    return compile_definition(view, _as_source(source), carry).sql


def describe_view(view: Mapping[str, Any]) -> tuple[OutputColumn, ...]:
    """The columns that a view gives, in their order: what a table's DDL and its dictionary are made of.

    Raises:
        ViewError: the first fault of the view, with its place.
    """
    return compile_definition(view, SqlRelation("resources")).columns


def _as_source(source: AnySource) -> Source:
    match source:
        case SqlRelation() | NdjsonFiles():
            return source
        case str() | Path():
            return NdjsonFiles.of(source)
        case duckdb.DuckDBPyRelation():
            return _relation_source(source, source.sql_query())
        case _:
            lines = ", ".join(f"({sql.text(line.decode())})" for line in _lines(source)) or "(NULL)"
            return Query(f"SELECT * FROM (VALUES {lines}) AS given(resource)")


def _relation_source(relation: duckdb.DuckDBPyRelation, query: str) -> Query:
    if "resource" not in relation.columns:
        raise ViewError("CH309", message="the relation has no column `resource`")
    return Query(query, resource_type="resource_type" if "resource_type" in relation.columns else None)


def _lines(resources: Sequence[Mapping[str, Any]]) -> list[bytes]:
    """Each resource as JSON text; a Decimal with all its digits."""
    encoder = msgspec.json.Encoder(decimal_format="number")
    try:
        return [encoder.encode(resource) for resource in resources]
    except (TypeError, ValueError, msgspec.MsgspecError):
        raise ViewError("CH309", message="a resource cannot be written as JSON") from None


def run_view(
    view: Mapping[str, Any],
    source: AnySource,
    connection: duckdb.DuckDBPyConnection | None = None,
    *,
    carry: Sequence[str] = (),
) -> pa.Table:
    """The rows of a view as an Arrow table.

    Without a connection it runs in one of its own, with a memory limit of 512 MB, beyond which DuckDB spills to disk.

    Raises:
        ViewError: the view is wrong (CH301 to CH308, CH310), it gave several values for a column that takes one
            (CH307), or the source cannot be read (CH309).
    """
    if isinstance(source, duckdb.DuckDBPyRelation):
        compiled = compile_definition(view, _relation_source(source, "SELECT * FROM given"), carry)
        return _table(view, compiled, lambda text: source.query("given", text))
    own = connection or _connection()
    try:
        if isinstance(source, SqlRelation | NdjsonFiles | str | Path):
            compiled = compile_definition(view, _as_source(source), carry)
            return _table(view, compiled, own.sql)
        lines = pa.table({"resource": pa.array([line.decode() for line in _lines(source)], pa.large_string())})
        own.register("given_resources", lines)
        compiled = compile_definition(view, SqlRelation("given_resources", resource_type=None), carry)
        try:
            return _table(view, compiled, own.sql)
        finally:
            own.unregister("given_resources")
    finally:
        if connection is None:
            own.close()


def _connection() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(
        config={
            "memory_limit": MEMORY_LIMIT,
            "temp_directory": tempfile.gettempdir(),
            "autoload_known_extensions": False,
        }
    )


def _table(view: Mapping[str, Any], compiled: Compiled, query: Any) -> pa.Table:
    try:
        return query(compiled.sql).to_arrow_table()
    except duckdb.Error as error:
        raise _explained(view, error) from None


def _explained(view: Mapping[str, Any], error: duckdb.Error) -> ViewError:
    """DuckDB's error as ours: its text may hold a value of a resource, so only what we know of it goes on."""
    found = re.search(r"CH307 at (\$[\w.\[\]]*)", str(error))
    if found:
        at = found.group(1)
        return ViewError("CH307", at, _expression(view, at), 0, "more than one value at run time")
    if isinstance(error, duckdb.IOException):
        return ViewError("CH309", message="the files cannot be read")
    if isinstance(error, duckdb.CatalogException | duckdb.BinderException):
        return ViewError("CH309", message="the relation is not there, or has no such column")
    return ViewError("CH311", message=f"DuckDB stopped with {type(error).__name__}")


def _expression(view: Mapping[str, Any], at: str) -> str | None:
    part: Any = view
    for key, number in re.findall(r"\.(\w+)|\[(\d+)\]", at):
        part = part[int(number)] if number else part[key]
    return part if isinstance(part, str) else None
