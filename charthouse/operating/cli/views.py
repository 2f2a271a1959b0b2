"""`charthouse views`: check, read and run ViewDefinitions; see docs/views.md.

What runs them is imported where a command runs: DuckDB and Arrow would more than double the time that help takes.
"""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from decimal import Decimal
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from charthouse.operating.terminal import page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import duckdb
    import pyarrow as pa

    from transforms.sql_on_fhir import Remark, SqlRelation

app = typer.Typer(help="Tables of your own: SQL on FHIR ViewDefinitions.", no_args_is_help=True)

SHOWN = 50
FORMATS = ("csv", "ndjson", "json", "parquet")

View = Annotated[Path, typer.Argument(metavar="VIEW.json", help="A ViewDefinition.")]
From = Annotated[str, typer.Option("--source", help="A folder, file or glob of NDJSON, a Bundle, or `vault`.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@app.command("compile")
def compile_command(view: View, source: From = "vault") -> None:
    """Print the DuckDB SQL of a view."""
    from transforms.sql_on_fhir import compile_view

    with _faults():
        typer.echo(compile_view(_read(view), _given(source)))


@app.command()
def check(views: Annotated[list[Path], typer.Argument(metavar="VIEW.json...")], as_json: AsJson = False) -> None:
    """Say what columns a view gives, or what is wrong with it."""
    from transforms.sql_on_fhir import ViewError, describe_view, view_remarks

    failed = False
    rows: list[dict[str, Any]] = []
    for file in views:
        try:
            definition = _read(file)
            columns = describe_view(definition)
        except ViewError as error:
            failed = True
            rows.append({"view": file.name, "fault": str(error), "code": error.code, "path": error.path})
            rows[-1] |= {"expression": error.expression, "position": error.position}
            continue
        for remark in view_remarks(definition):
            typer.echo(f"{file.name}: {remark}", err=True)
        for column in columns:
            kind = column.sql_type + ("[]" if column.collection else "")
            row = {"view": file.name, "column": column.name, "type": column.type, "sql_type": kind}
            rows.append(row | {"warning": column.warning or ""})
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
    else:
        for row in rows:
            if "fault" in row:
                typer.echo(f"{row['view']}: {row['fault']}", err=True)
        if found := [row for row in rows if "fault" not in row]:
            _show(found)
    if failed:
        raise typer.Exit(1)


Out = Annotated[
    Path | None,
    typer.Option("--out", help="A file to write: .parquet, .csv, .ndjson or .json, if --format says no other."),
]
Form = Annotated[
    str | None, typer.Option("--format", help="csv, ndjson, json or parquet; without --out to standard output.")
]
Header = Annotated[bool, typer.Option(help="Whether CSV begins with the names of the columns.")]
Patients = Annotated[
    list[str] | None, typer.Option("--patient", help="Only the compartment of this Patient/id. Repeatable.")
]
Groups = Annotated[
    list[str] | None, typer.Option("--group", help="Only the compartments of the members of this Group/id. Repeatable.")
]
Since = Annotated[str | None, typer.Option(help="Only what changed after this instant: 2024-01-31T00:00:00Z.")]
Limit = Annotated[int | None, typer.Option(help="The most rows.")]


@app.command()
def run(
    view: View,
    source: From = "vault",
    out: Out = None,
    form: Form = None,
    header: Header = True,
    patients: Patients = None,
    groups: Groups = None,
    since: Since = None,
    limit: Limit = None,
    as_json: AsJson = False,
) -> None:
    """Run a view, and show its rows or write them to a file."""
    from transforms.sql_on_fhir import Filters, describe_view, remarks_of, run_view, write_view

    with _faults():
        definition = _read(view)
        describe_view(definition)
        filters = Filters(tuple(patients or ()), tuple(groups or ()), since, limit)
        _check_target(out, form)
    with _faults(), _connection(source) as connection:
        given = _given(source)
        told: list[Remark] = []

        def write(target: Path, chosen: str | None) -> int:
            count, remarks = write_view(
                definition, given, target, connection, form=chosen, header=header, filters=filters
            )
            told.extend(remarks)
            return count

        if out is not None or form is not None or as_json:
            _deliver(write, out, form)
        else:
            table = run_view(definition, given, connection, filters=filters)
            told.extend(remarks_of(table))
            _show_some(table)
    _tell(told)


@app.command()
def query(
    library: Annotated[Path, typer.Argument(metavar="LIBRARY.json", help="A SQLQuery or SQLView Library.")],
    context: Annotated[
        list[str] | None,
        typer.Option(help="A view that the query reads: FILE, found by its url, or LABEL=FILE. Repeatable."),
    ] = None,
    parameters: Annotated[
        list[str] | None, typer.Option("--parameter", help="A value of the query: NAME=VALUE. Repeatable.")
    ] = None,
    source: From = "vault",
    out: Out = None,
    form: Form = None,
    header: Header = True,
    patients: Patients = None,
    groups: Groups = None,
    since: Since = None,
    limit: Limit = None,
    as_json: AsJson = False,
) -> None:
    """Run a SQL query over views, as the standard's SQLQuery Library writes it."""
    from transforms.sql_on_fhir import Filters, ViewError, remarks_of, run_query
    from transforms.sql_on_fhir.results import write_table

    with _faults():
        definition = _read(library)
        given = _context(context or [])
        pairs = [entry.partition("=") for entry in parameters or []]
        if wrong := next((name for name, equals, _ in pairs if not (name and equals)), None):
            raise ViewError("CH316", message=f"{wrong} is not NAME=VALUE")
        values = {name: value for name, _, value in pairs}
        filters = Filters(tuple(patients or ()), tuple(groups or ()), since, limit)
        _check_target(out, form)
    with _faults(), _connection(source) as connection:
        table = run_query(definition, given, _given(source), connection, parameters=values, filters=filters)
        if out is not None or form is not None or as_json:
            _deliver(partial(_write_table, write_table, table, header), out, form)
        else:
            _show_some(table)
    _tell(remarks_of(table))


def _write_table(write: Callable[..., int], table: pa.Table, header: bool, target: Path, form: str | None) -> int:
    from transforms.sql_on_fhir import ViewError

    try:
        return write(table, target, form or target.suffix.lower().removeprefix("."), header=header)
    except OSError as error:
        raise ViewError("CH312", message=error.strerror or "the file cannot be made") from None


def _check_target(out: Path | None, form: str | None) -> None:
    from transforms.sql_on_fhir import ViewError

    if form not in {None, *FORMATS}:
        raise ViewError("CH312", message=f"--format is one of {', '.join(FORMATS)}")
    if out is None:
        return
    if not out.parent.is_dir():
        raise ViewError("CH312", message=f"there is no folder {out.parent}")
    if form is None and out.suffix.lower().removeprefix(".") not in FORMATS:
        raise ViewError("CH312", message=f"the name of the file ends in none of .{', .'.join(FORMATS)}")


def _deliver(write: Callable[[Path, str | None], int], out: Path | None, form: str | None) -> None:
    """The rows in a file, or by way of one that is gone then on standard output: JSON, if no format is asked for."""
    if out is not None:
        typer.echo(f"{write(out, form):,} rows written to {out}", err=True)
        return
    with TemporaryDirectory(prefix="views-") as folder:
        part = Path(folder) / "rows"
        write(part, form or "json")
        with part.open("rb") as rows:
            shutil.copyfileobj(rows, typer.get_binary_stream("stdout"))


def _show_some(table: pa.Table) -> None:
    _show(table.slice(0, SHOWN).to_pylist())
    if table.num_rows > SHOWN:
        typer.echo(f"… {table.num_rows - SHOWN:,} more rows: write them to a file with --out", err=True)


def _tell(remarks: Iterable[Remark]) -> None:
    for remark in remarks:
        typer.echo(str(remark), err=True)


def _context(entries: list[str]) -> dict[str, dict[str, Any]]:
    """The artifacts that a query reads, by their labels, or where none is said by the names of their files."""
    found = {}
    for entry in entries:
        label, equals, file = entry.partition("=")
        found[label if equals else entry] = _read(Path(file if equals else entry))
    return found


def _given(source: str) -> SqlRelation | str:
    from transforms.sql_on_fhir import SqlRelation

    return SqlRelation("vault.current_resources") if source == "vault" else source


def _read(file: Path) -> dict[str, Any]:
    from transforms.sql_on_fhir import ViewError

    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError:
        raise ViewError("CH301", message=f"{file} cannot be read") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        begins = error.doc[error.pos : error.pos + 2].strip()
        why = ": JSON has no comments, leave them out" if begins in {"//", "/*"} else ""
        raise ViewError("CH301", message=f"{file} is no JSON: {place}{why}") from None
    except (ValueError, RecursionError):
        raise ViewError("CH301", message=f"{file} is no JSON") from None
    if not isinstance(content, dict):
        raise ViewError("CH301", message=f"{file} holds no JSON object")
    return content


@contextmanager
def _connection(source: str) -> Iterator[duckdb.DuckDBPyConnection | None]:
    if source != "vault":
        yield None
        return
    from charthouse.lake.session import open_vault

    with open_vault(read_only=True) as connection:
        yield connection


@contextmanager
def _faults() -> Iterator[None]:
    from transforms.sql_on_fhir import ViewError

    try:
        yield
    except ViewError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


def _show(rows: list[dict[str, Any]]) -> None:
    from rich.table import Table

    if not rows:
        typer.echo("no rows", err=True)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in rows[0]:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    page().print(table, markup=False)


def _cell(value: object) -> str:
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    return "" if value is None else str(value)
