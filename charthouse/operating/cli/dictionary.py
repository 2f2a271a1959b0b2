"""`charthouse dictionary`: what every table, view and column of the records is."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from charthouse.operating.cli.tables import AsJson, out, show


def dictionary(
    table: Annotated[
        str | None, typer.Argument(metavar="[TABLE]", help="All tables and views, if none is named.")
    ] = None,
    as_json: AsJson = False,
    dbt: Annotated[bool, typer.Option("--dbt", help="Print sources.yml, for projects of dbt-duckdb.")] = False,
) -> None:
    """What every table, view and column of the records is; --json for programs, --dbt as a source of dbt.

    In SQL the same stands in duckdb_tables(), duckdb_views() and duckdb_columns(), as comments.
    """
    from charthouse.errors import SetupError
    from transforms.tables import dictionary_data, sources_text

    if dbt:
        if table is not None or as_json:
            raise typer.BadParameter("--dbt prints one whole file")
        typer.echo(sources_text(), nl=False)
        return
    said = dictionary_data(*([table] if table is not None else []))
    if not said["tables"]:
        raise SetupError("CH017", where=table or "")
    if as_json:
        typer.echo(json.dumps(said, indent=1, ensure_ascii=False))
    elif table is None:
        kinds = ("name", "kind", "description")
        show([{kind: each[kind] for kind in kinds} for each in said["tables"]], as_json=False, empty="")
    else:
        [entry] = said["tables"]
        out.print(f"{entry['name']}: {entry['description']}", highlight=False, markup=False)
        show(
            [{name: each[name] for name in ("name", "type", "description")} for each in entry["columns"]],
            as_json=False,
            empty="",
        )
