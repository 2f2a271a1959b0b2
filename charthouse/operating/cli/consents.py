"""`charthouse consents`: what people agreed to, set and taken back by an operator."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from charthouse.operating.cli.tables import AsJson, show

app = typer.Typer(help="What people agreed to: sync, personalisation, …", no_args_is_help=True)

Person = Annotated[str, typer.Argument(metavar="PERSON", help="The person's key.")]
Kind = Annotated[str, typer.Argument(metavar="KIND", help="What is agreed to, such as personalisation.")]


@app.command("grant")
def consents_grant(
    person: Person, kind: Kind, version: Annotated[str, typer.Option(help="The version of its text.")] = "1"
) -> None:
    """Note that a person agreed."""
    from charthouse.linking.consents import give
    from charthouse.state import session

    with session() as state:
        give(state, person, kind, version, actor="operator")
    typer.echo("granted")


@app.command("withdraw")
def consents_withdraw(person: Person, kind: Kind) -> None:
    """Note that a person took it back. With sync, all their links end; with personalisation, the coach sees nothing."""
    from charthouse.linking.disconnect import withdraw_consent

    ended = withdraw_consent(person, kind, actor="operator")
    typer.echo("withdrawn" + (f"; {ended} links were disconnected" if ended else ""))


@app.command("list")
def consents_list(person: Person, as_json: AsJson = False) -> None:
    """Everything a person agreed to, oldest first."""
    from charthouse.linking.consents import list_consents
    from charthouse.state import session

    with session(read_only=True) as state:
        rows = [asdict(view) for view in list_consents(state, person)]
    show(rows, as_json=as_json, empty="Nothing yet.")
