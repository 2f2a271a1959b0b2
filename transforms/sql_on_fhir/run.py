"""The front door: compile a view for any source, and run it."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import duckdb
import pyarrow as pa

from transforms.failures import FAILURES
from transforms.sql_on_fhir import copies, database, definition, sql
from transforms.sql_on_fhir.compiler import NOT_STRICT, compile_definition
from transforms.sql_on_fhir.documents import in_lines, resources_of
from transforms.sql_on_fhir.errors import Remark, ViewError
from transforms.sql_on_fhir.remarks import attach, counting_queries
from transforms.sql_on_fhir.remarks import read as read_remarks
from transforms.sql_on_fhir.resources import file_in_memory, pieces
from transforms.sql_on_fhir.resources import lines as lines_of
from transforms.sql_on_fhir.results import FORMATS, written
from transforms.sql_on_fhir.sources import LINE_LIMIT, LONG_LINE_LIMIT, NdjsonFiles, Query, Source, SqlRelation

if TYPE_CHECKING:
    from transforms.sql_on_fhir.columns import OutputColumn
    from transforms.sql_on_fhir.compartment import Compartment
    from transforms.sql_on_fhir.definition import View
    from transforms.sql_on_fhir.filters import Filters

LONG_LINE = "a line is longer than the reader's limit"

OUT_OF_MEMORY = (
    "the memory is used up: leave out columns of long texts such as attachments, "
    "or run it from Python with a connection of a greater memory_limit"
)
TOO_LONG = (LONG_LINE, OUT_OF_MEMORY)

Result = TypeVar("Result")
Query_ = Callable[[str], duckdb.DuckDBPyRelation]
AnySource = SqlRelation | NdjsonFiles | str | Path | Sequence[Mapping[str, Any]] | duckdb.DuckDBPyRelation


def compile_view(
    view: Mapping[str, Any], source: AnySource, *, carry: Sequence[str] = (), lacking: frozenset[str] = frozenset()
) -> str:
    """The DuckDB SQL of a view: one SELECT, to be run as it is.

    `carry` names columns of the source relation that come in front of the view's own (a person's key, a link).
    `lacking` are JSON properties that no resource has in a complex element: structs are made without them.
    Resources given as a sequence become literals in the SQL, so give few.

    Raises:
        ViewError: the first fault of the view, with its place.
    """
    return compile_definition(view, _as_source(source), carry, lacking).sql


def describe_view(view: Mapping[str, Any]) -> tuple[OutputColumn, ...]:
    """The columns that a view gives, in their order: what a table's DDL and its dictionary are made of.

    Raises:
        ViewError: the first fault of the view, with its place.
    """
    return compile_definition(view, SqlRelation("resources")).columns


def view_remarks(view: Mapping[str, Any]) -> tuple[Remark, ...]:
    """What a view says in vain (CH322, CH323): such as properties that the standard does not have.

    Raises:
        ViewError: the first fault of the definition itself.
    """
    return definition.read(view).remarks


def _as_source(source: AnySource) -> Source:
    match source:
        case SqlRelation() | NdjsonFiles():
            return source
        case str() | Path():
            return NdjsonFiles.of(source)
        case duckdb.DuckDBPyRelation():
            return _relation_source(source, source.sql_query())
        case _:
            lines = ", ".join(f"({sql.text(line.decode())})" for line in lines_of(source)) or "(NULL)"
            return Query(f"SELECT * FROM (VALUES {lines}) AS given(resource)")


def _relation_source(relation: duckdb.DuckDBPyRelation, query: str) -> Query:
    columns = dict(zip(relation.columns, map(str, relation.types), strict=True))
    kind = columns.get("resource")
    if kind is None:
        raise ViewError("CH309", message="the relation has no column `resource`")
    if _is_structured("resource", kind):
        query = _as_json("resource", f"({query})")
    return Query(query, resource_type="resource_type" if "resource_type" in relation.columns else None)


def _named_source(named: SqlRelation, query: Query_) -> Source:
    """A relation of the connection, its resources as JSON whatever type they have there."""
    column = query(f"SELECT {sql.name(named.resource)} FROM {named.sql()}")
    if not _is_structured(named.resource, str(column.types[0])):
        return named
    return Query(_as_json(named.resource, named.sql()), named.resource, named.resource_type)


def _is_structured(column: str, kind: str) -> bool:
    """Whether to_json makes resources of such a column; what is neither that nor text holds none."""
    if kind in {"JSON", "VARCHAR", '"NULL"'}:
        return False
    if not kind.startswith(("STRUCT", "MAP")) or kind.endswith("]"):
        raise ViewError("CH309", message=f"the column `{column}` is {kind[:60]}, where JSON text is due")
    return True


def _as_json(column: str, relation: str) -> str:
    name = sql.name(column)
    return f"SELECT * REPLACE (to_json({name}) AS {name}) FROM {relation}"


def run_view(
    view: Mapping[str, Any],
    source: AnySource,
    connection: duckdb.DuckDBPyConnection | None = None,
    *,
    carry: Sequence[str] = (),
    remarks: bool = True,
    filters: Filters | None = None,
) -> pa.Table:
    """The rows of a view as an Arrow table.

    Without a connection it runs in a database of the process, with a memory limit of 512 MB, beyond which DuckDB spills
    to disk. What does not fit its type is NULL there; `remarks_of(table)` tells how many resources and where, and what
    of the view was passed over. Files are read by the fast strict reader first, and by the forgiving one if that meets
    anything strange; so are resources in a sequence, whose order the rows keep unless the view has a `repeat`. A Bundle
    stands for the resources in it, unless the view is of Bundles.

    Raises:
        ViewError: the view is wrong (CH301 to CH308, CH310), it gave several values for a column that takes one
            (CH307), the source cannot be read (CH309), or has no such patient or group (CH313).
    """
    typed = _narrowed(view, filters, source, connection)
    limit = filters.limit if filters is not None else None
    table, found = _table(typed, source, connection, carry, remarks, limit)
    return attach(table, [*typed.remarks, *found])


def _narrowed(
    view: Mapping[str, Any],
    filters: Filters | None,
    source: AnySource,
    connection: duckdb.DuckDBPyConnection | None,
) -> View:
    """The view, over what the filters leave."""
    typed = definition.read(view)
    if filters is None:
        return typed

    def ask(own: Mapping[str, Any], compartment: Compartment | None) -> pa.Table:
        limit = None if compartment is not None else 1
        asked = replace(definition.read(own), compartment=compartment)
        return _table(asked, source, connection, (), False, limit)[0]

    return filters.narrowed(typed, ask)


def _table(
    view: View,
    source: AnySource,
    connection: duckdb.DuckDBPyConnection | None,
    carry: Sequence[str],
    remarks: bool,
    limit: int | None,
) -> tuple[pa.Table, list[Remark]]:
    if isinstance(source, duckdb.DuckDBPyRelation):
        with _usable():
            given = _relation_source(source, "SELECT * FROM given_resources")
        run = _Run(view, carry, lambda text: source.query("given_resources", text), _to_arrow, remarks, limit=limit)
        return run.forgiving(given)
    if isinstance(source, SqlRelation | NdjsonFiles | str | Path):
        with _usable():
            return _run(view, carry, source, connection, _to_arrow, remarks, limit)
    texts = [line for text in lines_of(source) for line in _unwrapped(text, view.resource)]
    with _connected(connection) as own, _usable():
        run = _Run(view, carry, own.sql, _to_arrow, remarks, limit=limit)
        if any(len(text) > copies.LONG for text in texts):
            shape = compile_definition(run.typed, SqlRelation("resources")).shape
            texts = [copies.cut(text, shape) if len(text) > copies.LONG else text for text in texts]
        table = _strict_in_memory(run, texts) if connection is None and not carry else None
        if table is not None:
            return table.slice(0, limit), []
        lines = pa.table({"resource": pa.array([text.decode() for text in texts], pa.large_string())})
        name = f"given_resources_{id(lines)}"
        own.register(name, lines)
        try:
            return run.forgiving(SqlRelation(name, resource_type=None))
        finally:
            own.unregister(name)


def _unwrapped(text: bytes, kind: str) -> list[bytes]:
    """A resource; of a Bundle, the resources in it."""
    return resources_of(text, kind) if b'"Bundle"' in text else [text]


def _strict_in_memory(run: _Run[pa.Table], texts: list[bytes]) -> pa.Table | None:
    """The rows of resources that the strict reader can read, in the order of the resources; None where it cannot."""
    tables = []
    for piece in pieces(texts):
        with file_in_memory(piece) as path:
            # a line that is longer than usual stands alone
            limit = max(len(piece), LINE_LIMIT)
            try:
                table = run.strict(NdjsonFiles((path,), strict=True, line_limit=limit)) if path else None
            except ViewError as error:
                if error.message not in TOO_LONG:
                    raise
                table = None
        if table is None:
            return None
        tables.append(table)
    return pa.concat_tables(tables)


def write_view(
    view: Mapping[str, Any],
    source: SqlRelation | NdjsonFiles | str | Path,
    target: Path,
    connection: duckdb.DuckDBPyConnection | None = None,
    *,
    carry: Sequence[str] = (),
    form: str | None = None,
    header: bool = True,
    filters: Filters | None = None,
) -> tuple[int, tuple[Remark, ...]]:
    """Write the rows of a view to a file, however many they are: parquet, csv, ndjson or json, `form` or by its ending.

    The file appears when it is whole. `header` is of CSV. Returns the number of rows, and the remarks.

    Raises:
        ViewError: as `run_view`, and CH312 for another format, or a file that cannot be written.
    """
    form = form or target.suffix.lower().removeprefix(".")
    if form not in FORMATS:
        raise ViewError("CH312", message=f"the name of the file ends in none of .{', .'.join(FORMATS)}")
    if target.is_dir():
        raise ViewError("CH312", message="there is a folder of that name")
    part = target.with_name(f".{target.name}.part")

    def deliver(text: str, query: Query_) -> int:
        return written(text, query, part, form, header=header)

    typed = _narrowed(view, filters, source, connection)
    limit = filters.limit if filters is not None else None
    try:
        part.touch()
        with _usable():
            count, remarks = _run(typed, carry, source, connection, deliver, True, limit)
        part.replace(target)
    except OSError as error:
        raise ViewError("CH312", message=error.strerror or "the file cannot be made") from None
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
    return count, (*typed.remarks, *remarks)


def _to_arrow(text: str, query: Query_) -> pa.Table:
    return query(text).to_arrow_table()


def _scratch(left: ExitStack) -> Path:
    """A folder that is gone after the run."""
    return Path(left.enter_context(TemporaryDirectory(prefix="views-")))


@contextmanager
def _usable() -> Iterator[None]:
    """What DuckDB says of a connection or a relation that can be used no more, as ours."""
    try:
        yield
    except FAILURES as error:
        raise _explained(None, error) from None


def _run(
    view: View,
    carry: Sequence[str],
    source: SqlRelation | NdjsonFiles | str | Path,
    connection: duckdb.DuckDBPyConnection | None,
    deliver: Callable[[str, Query_], Result],
    remarks: bool,
    limit: int | None,
) -> tuple[Result, list[Remark]]:
    """The result and its remarks.

    Where lines are too long they are read again: first without what the view does not read of them; then, if they are
    still long, in a way that takes more memory.
    """
    with ExitStack() as left:
        files = source
        if isinstance(files, str | Path):
            try:
                files = in_lines(files, view.resource, lambda: _scratch(left))
            except (OSError, EOFError, zlib.error) as error:
                reason = getattr(error, "strerror", None) or type(error).__name__
                raise ViewError("CH309", message=f"a file cannot be read: {reason}") from None
        with _connected(connection) as own:
            run = _Run(view, carry, own.sql, deliver, remarks, left, limit)
            if isinstance(files, SqlRelation):
                return run.forgiving(_named_source(files, own.sql))
            try:
                return run.on(files)
            except ViewError as error:
                if error.message not in TOO_LONG:
                    raise
                shorter = run.shortened(files)
                if shorter is None and error.message != LONG_LINE:
                    raise
            if shorter is not None:
                files = shorter
                try:
                    return run.on(files)
                except ViewError as error:
                    if error.message not in TOO_LONG:
                        raise
        with database.for_long_lines() if connection is None else nullcontext(connection) as own:
            run = _Run(view, carry, own.sql, deliver, remarks, left, limit)
            return run.on(replace(files, line_limit=max(files.line_limit, LONG_LINE_LIMIT)))


def _connected(
    connection: duckdb.DuckDBPyConnection | None,
) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
    return database.connected() if connection is None else nullcontext(connection)


class _Run(Generic[Result]):
    """One run of a view: `query` takes SQL to a relation, `deliver` a relation's SQL to the result."""

    def __init__(
        self,
        view: View,
        carry: Sequence[str],
        query: Query_,
        deliver: Callable[[str, Query_], Result],
        remarks: bool,
        left: ExitStack | None = None,
        limit: int | None = None,
    ) -> None:
        self.typed = view
        self.limit = limit
        self.carry = carry
        self.query = query
        self.deliver = deliver
        self.remarks = remarks
        self.left = left or ExitStack()

    def limited(self, text: str) -> str:
        """SQL of the rows that are asked for."""
        return text if self.limit is None else f"SELECT * FROM ({text}) LIMIT {self.limit}"

    def on(self, files: NdjsonFiles) -> tuple[Result, list[Remark]]:
        """The result and its remarks, from files."""
        result = self.strict(replace(files, strict=True))
        if result is not None:
            return result, []
        unmarked = self.copied(files, copies.without_marks)
        return self.on(unmarked) if unmarked is not None else self.forgiving(replace(files, strict=False))

    def shortened(self, files: NdjsonFiles) -> NdjsonFiles | None:
        """The files with what the view reads of their long lines; None if no line is long."""
        shape = compile_definition(self.typed, replace(files, strict=False), self.carry).shape
        return self.copied(files, partial(copies.with_short_lines, shape=shape))

    def copied(self, files: NdjsonFiles, copy: copies.Copy) -> NdjsonFiles | None:
        """The files, some of them copied to a folder that is gone after the run; None if there is no need."""
        try:
            return copy(files, self.query, lambda: _scratch(self.left))
        except OSError as error:
            raise ViewError(
                "CH309", message=f"a copy cannot be made: {error.strerror or type(error).__name__}"
            ) from None

    def strict(self, files: NdjsonFiles) -> Result | None:
        """The result of the strict reader; None where the forgiving one is due."""
        try:
            compiled = compile_definition(self.typed, files, self.carry)
        except ViewError as error:
            if error.message == NOT_STRICT:
                return None
            raise
        try:
            return self.deliver(self.limited(compiled.sql), self.query)
        except FAILURES as error:
            explained = _explained(self.typed, error, files=True)
            if explained.code in {"CH307", "CH309"} or isinstance(error, duckdb.OutOfMemoryException):
                raise explained from None
            return None

    def forgiving(self, source: Source) -> tuple[Result, list[Remark]]:
        """The result of reading text, and what did not fit."""
        compiled = compile_definition(self.typed, source, self.carry)
        try:
            result = self.deliver(self.limited(compiled.sql), self.query)
            if not self.remarks:
                return result, []
            counting = counting_queries(compiled, source)
            rows = [self.query(text).fetchone() or () for text, _ in counting]
        except FAILURES as error:
            raise _explained(self.typed, error, files=isinstance(source, NdjsonFiles)) from None
        return result, read_remarks(rows, compiled, [paths for _, paths in counting])


def _explained(view: View | None, error: Exception, *, files: bool = False) -> ViewError:
    """DuckDB's error as ours: its text may hold a value of a resource, so only what we know of it goes on."""
    found = re.search(r"CH307 at (\$[\w.\[\]]*)", str(error))
    if found:
        at = found.group(1)
        expression = view.expressions.get(at) if view is not None else None
        return ViewError("CH307", at, expression, 0, "more than one value at run time")
    if "maximum_object_size" in str(error):
        return ViewError("CH309", message=LONG_LINE)
    if isinstance(error, duckdb.OutOfMemoryException):
        return ViewError("CH311", message=OUT_OF_MEMORY)
    if "expression depth" in str(error):
        return ViewError("CH302", message="the expressions are nested more deeply than DuckDB can follow")
    if isinstance(error, duckdb.PermissionException):
        return ViewError("CH309", message="the connection may not read files")
    if isinstance(error, duckdb.ConnectionException | duckdb.TransactionException):
        return ViewError("CH309", message="the connection is closed, or its transaction has failed")
    if isinstance(error, duckdb.IOException):
        return ViewError("CH309", message="the files cannot be read")
    if isinstance(error, duckdb.CatalogException | duckdb.BinderException) and not files:
        return ViewError("CH309", message="the relation is not there, or has no such column")
    return ViewError("CH311", message=f"DuckDB stopped with {type(error).__name__}")
