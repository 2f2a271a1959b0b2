"""`charthouse tokens`: service tokens for trying the REST API, and the keys that sign them."""

from __future__ import annotations

from typing import Annotated

import typer

from charthouse.operating.cli.tables import AsJson, show

app = typer.Typer(help="Service tokens of the REST API, and the keys that sign them.", no_args_is_help=True)


@app.command()
def issue(
    person: Annotated[str | None, typer.Option(metavar="KEY", help="Act for this one person.")] = None,
    operator: Annotated[bool, typer.Option("--operator", help="Act as operator.")] = False,
    minutes: Annotated[
        int | None, typer.Option(min=1, help="How long it lives; otherwise as long as permitted.")
    ] = None,
    name: Annotated[str, typer.Option(help="Who calls: it stands in the token as `sub`.")] = "cli",
) -> None:
    """Print a token for trying: curl -H "Authorization: Bearer $(charthouse tokens issue --operator)" …"""
    from charthouse.api import tokens
    from charthouse.linking.people import get_person
    from charthouse.state import session

    if (person is None) == (not operator):
        raise typer.BadParameter("say either --person KEY or --operator")
    if person is not None:
        with session(read_only=True) as state:
            get_person(state, person)
    typer.echo(tokens.issue(person=person, operator=operator, minutes=minutes, name=name))


@app.command()
def keys(as_json: AsJson = False) -> None:
    """The keys that sign service tokens: which one signs now, and until when the others are still believed."""
    from charthouse.linking import signing_keys

    show(signing_keys.list_keys("service_token"), as_json=as_json, empty="No key yet: the first token makes one.")


@app.command()
def rotate(
    now: Annotated[bool, typer.Option("--now", help="End the old keys at once: their tokens are refused.")] = False,
) -> None:
    """Sign with a new key from now on. Tokens of the old one are believed until their time is over."""
    from charthouse.api import tokens

    typer.echo(f"signing with {tokens.rotate(at_once=now)}")
