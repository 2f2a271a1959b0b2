"""`charthouse people`: account holders, by their random keys."""

from __future__ import annotations

import typer

from charthouse.operating.cli.tables import AsJson, show

app = typer.Typer(help="Account holders, by their random keys.", no_args_is_help=True)


@app.command("list")
def people_list(as_json: AsJson = False) -> None:
    """Everyone who has an account."""
    from dataclasses import asdict

    from charthouse.linking.people import list_people
    from charthouse.state import session

    with session() as state:
        show(
            [asdict(view) for view in list_people(state)], as_json=as_json, empty="Nobody yet. Start with: make nightly"
        )
