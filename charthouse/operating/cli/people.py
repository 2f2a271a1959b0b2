"""`charthouse people`: account holders, by their random keys. Who they are is read from a file and never printed."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from charthouse.operating.cli.inputs import read_input
from charthouse.operating.cli.tables import AsJson, show

if TYPE_CHECKING:
    from charthouse.linking.identity import Identity

app = typer.Typer(help="Account holders, by their random keys.", no_args_is_help=True)

Key = Annotated[str, typer.Argument(metavar="KEY", help="The person's key.")]
IdentityFile = Annotated[
    str | None,
    typer.Option(
        "--identity",
        metavar="FILE",
        help='{"names": [{"given": ["Ann"], "family": "Lee"}], "birth_date": "1980-01-31"}; - reads standard input.',
    ),
]
Android = Annotated[int | None, typer.Option(min=1, max=99, help="The Android version of their phone.")]


@app.command("add")
def people_add(
    country: Annotated[str, typer.Option(help="Where they live (ISO 3166-1 alpha-2).")] = "US",
    identity: IdentityFile = None,
    android: Android = None,
    preview: Annotated[bool, typer.Option(help="Whether they are in the preview.")] = True,
    as_json: AsJson = False,
) -> None:
    """A new account holder; prints the key."""
    from charthouse.linking.keys import ensure_key
    from charthouse.linking.people import create_person
    from charthouse.state import session

    known = _identity(identity)
    ensure_key()
    with session() as state:
        key = create_person(state, country, identity=known, android_version=android, preview_member=preview).person_key
    typer.echo(json.dumps({"person_key": key}) if as_json else key)


@app.command("edit")
def people_edit(
    key: Key,
    country: Annotated[str | None, typer.Option(help="Where they live (ISO 3166-1 alpha-2).")] = None,
    identity: IdentityFile = None,
    android: Android = None,
    preview: Annotated[bool | None, typer.Option(help="Whether they are in the preview.")] = None,
) -> None:
    """Change what is given; the rest stays."""
    from charthouse.linking.people import update_person
    from charthouse.state import session

    known = _identity(identity)
    with session() as state:
        update_person(state, key, country=country, identity=known, android_version=android, preview_member=preview)
    typer.echo("changed")


@app.command("show")
def people_show(key: Key, as_json: AsJson = False) -> None:
    """One account holder: their links and consents, and whether we know who they are."""
    from charthouse.linking.consents import list_consents
    from charthouse.linking.links import list_links
    from charthouse.linking.people import view_person
    from charthouse.linking.verifications import list_verifications
    from charthouse.state import audit, session

    with session() as state:
        person = asdict(view_person(state, key))
        audit.record(state, "operator", "person.read", "person", key)
        links = [asdict(view) for view in list_links(state, person_key=key)]
        consents = [asdict(view) for view in list_consents(state, key)]
        verifications = [asdict(view) for view in list_verifications(state, key)]
    if as_json:
        said = person | {"links": links, "consents": consents, "verifications": verifications}
        typer.echo(json.dumps(said, default=str, indent=1))
        return
    show([person], as_json=False, empty="")
    typer.echo("\nLinks")
    show([{k: v for k, v in link.items() if k != "person_key"} for link in links], as_json=False, empty="none")
    typer.echo("\nConsents")
    show(consents, as_json=False, empty="none")
    typer.echo("\nVerifications of their identity")
    show(verifications, as_json=False, empty="none")


@app.command("list")
def people_list(as_json: AsJson = False) -> None:
    """Everyone who has an account."""
    from charthouse.linking.people import list_people
    from charthouse.state import session

    with session() as state:
        show(
            [asdict(view) for view in list_people(state)], as_json=as_json, empty="Nobody yet. Start with: make nightly"
        )


def _identity(file: str | None) -> Identity | None:
    from charthouse.linking.identity import read_identity

    return None if file is None else read_identity(read_input(file, "CH618"))
