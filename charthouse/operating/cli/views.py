"""`charthouse views`: check, read and run ViewDefinitions; see docs/views.md.

What runs them is imported where a command runs: DuckDB and Arrow would more than double the time that help takes.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from charthouse.operating.terminal import page

if TYPE_CHECKING:
    from collections.abc import Iterator

    import duckdb

    from transforms.sql_on_fhir import NdjsonFiles, Remark, SqlRelation

app = typer.Typer(help="Tables of your own: SQL on FHIR ViewDefinitions.", no_args_is_help=True)

SHOWN = 50

View = Annotated[Path, typer.Argument(metavar="VIEW.json", help="A ViewDefinition.")]
From = Annotated[str, typer.Option("--source", help="A folder, file or glob of NDJSON (plain or gzip), or `vault`.")]
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
    from transforms.sql_on_fhir import ViewError, describe_view

    failed = False
    rows: list[dict[str, Any]] = []
    for file in views:
        try:
            columns = describe_view(_read(file))
        except ViewError as error:
            failed = True
            rows.append({"view": file.name, "fault": str(error), "code": error.code, "path": error.path})
            rows[-1] |= {"expression": error.expression, "position": error.position}
            continue
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


@app.command()
def run(
    view: View,
    source: From = "vault",
    out: Annotated[Path | None, typer.Option("--out", help="A file to write: .parquet or .csv.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run a view, and show its rows or write them to a file."""
    from transforms.sql_on_fhir import ViewError, describe_view, remarks_of, run_view, write_view

    with _faults():
        definition = _read(view)
        describe_view(definition)
    with _faults(), _connection(source) as connection:
        given = _given(source)
        remarks: tuple[Remark, ...]
        if out is not None:
            if not out.parent.is_dir():
                raise ViewError("CH312", message=f"there is no folder {out.parent}")
            count, remarks = write_view(definition, given, out, connection)
            typer.echo(f"{count:,} rows written to {out}", err=True)
        else:
            table = run_view(definition, given, connection)
            remarks = remarks_of(table)
            rows = (table if as_json else table.slice(0, SHOWN)).to_pylist()
            if as_json:
                typer.echo(json.dumps(rows, default=_cell, indent=1))
            else:
                _show(rows)
                if table.num_rows > SHOWN:
                    typer.echo(f"… {table.num_rows - SHOWN:,} more rows: write them to a file with --out", err=True)
    for remark in remarks:
        what = "lines are no JSON object" if remark.code == "CH321" else "resources do not fit"
        typer.echo(f"{remark.code} {remark.path}: {remark.resources:,} {what}", err=True)


def _given(source: str) -> SqlRelation | NdjsonFiles:
    from transforms.sql_on_fhir import NdjsonFiles, SqlRelation

    return SqlRelation("vault.current_resources") if source == "vault" else NdjsonFiles.of(source)


def _read(file: Path) -> dict[str, Any]:
    from transforms.sql_on_fhir import ViewError

    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError:
        raise ViewError("CH301", message=f"{file} cannot be read") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise ViewError("CH301", message=f"{file} is no JSON: {place}") from None
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
