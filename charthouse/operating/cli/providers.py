"""`charthouse providers`: who holds the records."""

from __future__ import annotations

import typer

from charthouse.operating.cli.tables import AsJson, show

app = typer.Typer(help="Who holds the records.", no_args_is_help=True)


@app.command("list")
def providers_list(as_json: AsJson = False) -> None:
    """Every provider, with its endpoint."""
    from dataclasses import asdict

    from charthouse.linking.providers import list_providers
    from charthouse.state import session

    with session() as state:
        show([asdict(view) for view in list_providers(state)], as_json=as_json, empty="No providers yet.")
