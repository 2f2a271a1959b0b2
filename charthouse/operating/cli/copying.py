"""`charthouse export-tables`: the published tables, in the clear."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated

import typer

from charthouse.operating.cli.tables import AsJson, AsOf  # noqa: TC001 - typer reads the annotations


def export_tables(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where it goes; absent until it is whole.")],
    as_of: AsOf = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it, knowing what it gives away.")] = False,
    as_json: AsJson = False,
) -> None:
    """Every published table and view as plain Parquet and one .duckdb file, for whoever has no key.

    It is not encrypted, and no erasure reaches it. The audit trail says that it was made.
    """
    from charthouse.privacy.tables_copy import DATABASE, GIVEN_AWAY, copy_out

    if not yes:
        typer.echo(f"Nothing was done.\n{GIVEN_AWAY}\nIf that is meant: charthouse export-tables DIR --yes", err=True)
        raise typer.Exit(2)
    copied = copy_out(folder, as_of)
    if as_json:
        said = {"folder": str(folder), "snapshot": copied.snapshot.number, "at": copied.snapshot.at.isoformat()}
        typer.echo(json.dumps(said | {"rows": dict(copied.rows)}, indent=1))
        return
    typer.echo(f"{sum(copied.rows.values()):,} rows of {len(copied.rows)} tables and views: {folder}")
    typer.echo(f"Snapshot {copied.snapshot.number} of {copied.snapshot.at:%Y-%m-%d %H:%M:%S} UTC")
    typer.echo(f"As one file: {folder / DATABASE}")
    typer.echo(GIVEN_AWAY)
