"""The front door: compile a view for any source, and run it."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import msgspec
import pyarrow as pa

from transforms.sql_on_fhir import definition, sql
from transforms.sql_on_fhir.compiler import OutputColumn, compile_definition
from transforms.sql_on_fhir.errors import ViewError
from transforms.sql_on_fhir.remarks import attach, counting_sql
from transforms.sql_on_fhir.remarks import read as read_remarks
from transforms.sql_on_fhir.sources import NdjsonFiles, Query, Source, SqlRelation

if TYPE_CHECKING:
    from transforms.sql_on_fhir.definition import View

MEMORY_LIMIT = "512MB"

Query_ = Callable[[str], duckdb.DuckDBPyRelation]
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
    remarks: bool = True,
) -> pa.Table:
    """The rows of a view as an Arrow table.

    Without a connection it runs in one of its own, with a memory limit of 512 MB, beyond which DuckDB spills to disk.
    What does not fit its type is NULL there; `remarks_of(table)` tells how many resources and where. Files are read by
    the fast strict reader first, and by the forgiving one if that meets anything strange.

    Raises:
        ViewError: the view is wrong (CH301 to CH308, CH310), it gave several values for a column that takes one
            (CH307), or the source cannot be read (CH309).
    """
    typed = definition.read(view)
    if isinstance(source, duckdb.DuckDBPyRelation):
        given = _relation_source(source, "SELECT * FROM given_resources")
        return _forgiving(view, typed, given, carry, lambda text: source.query("given_resources", text), remarks)
    own = connection or _connection()
    try:
        if isinstance(source, SqlRelation):
            return _forgiving(view, typed, source, carry, own.sql, remarks)
        if isinstance(source, NdjsonFiles | str | Path):
            files = source if isinstance(source, NdjsonFiles) else NdjsonFiles.of(source)
            table = _strict(view, typed, files, own.sql)
            return _forgiving(view, typed, files.forgiving(), carry, own.sql, remarks) if table is None else table
        lines = pa.table({"resource": pa.array([line.decode() for line in _lines(source)], pa.large_string())})
        name = f"given_resources_{id(lines)}"
        own.register(name, lines)
        try:
            return _forgiving(view, typed, SqlRelation(name, resource_type=None), carry, own.sql, remarks)
        finally:
            own.unregister(name)
    finally:
        if connection is None:
            own.close()


def _connection() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(config={"memory_limit": MEMORY_LIMIT, "temp_directory": tempfile.gettempdir()})


def _strict(view: Mapping[str, Any], typed: View, files: NdjsonFiles, query: Query_) -> pa.Table | None:
    """The result of the strict reader; None where the forgiving one is due."""
    try:
        compiled = compile_definition(typed, NdjsonFiles(files.paths, strict=True))
    except ViewError as error:
        if error.code == "CH309":
            return None
        raise
    try:
        return query(compiled.sql).to_arrow_table()
    except duckdb.Error as error:
        explained = _explained(view, error)
        if explained.code in {"CH307", "CH309"} or isinstance(error, duckdb.OutOfMemoryException):
            raise explained from None
        return None


def _forgiving(
    view: Mapping[str, Any], typed: View, source: Source, carry: Sequence[str], query: Query_, remarks: bool
) -> pa.Table:
    compiled = compile_definition(typed, source, carry)
    try:
        table = query(compiled.sql).to_arrow_table()
        if not remarks:
            return table
        counting, paths = counting_sql(compiled, source)
        row = query(counting).fetchone() or ()
    except duckdb.Error as error:
        raise _explained(view, error) from None
    return attach(table, read_remarks(row, compiled, paths))


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
