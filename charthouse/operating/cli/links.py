"""`charthouse links`: links of people to providers."""

from __future__ import annotations

from typing import Annotated

import typer

from charthouse.operating.cli.tables import AsJson, show

app = typer.Typer(help="Links of people to providers.", no_args_is_help=True)


@app.command("list")
def links_list(
    provider: Annotated[str | None, typer.Option(help="Only this provider's.")] = None, as_json: AsJson = False
) -> None:
    """Every link, with its two states."""
    from dataclasses import asdict

    from charthouse.linking.links import list_links
    from charthouse.state import session

    with session() as state:
        rows = [asdict(view) for view in list_links(state, provider=provider)]
    show(rows, as_json=as_json, empty="No links yet. Start with: make nightly")
