"""`charthouse people`: account holders, by their random keys, and how they verify who they are.

Who they are is read from a file, or told to the verifier, and never printed.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from charthouse.operating.cli.inputs import read_input
from charthouse.operating.cli.tables import AsJson, show
from charthouse.partners.identity import API_URL, PAGE_URL

if TYPE_CHECKING:
    from charthouse.linking.identity import Identity
    from charthouse.linking.verifying import VerificationView

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
    premium: Annotated[bool | None, typer.Option(help="Whether they have Premium, which the coach takes.")] = None,
) -> None:
    """Change what is given; the rest stays."""
    from charthouse.lake import shelf
    from charthouse.linking.people import update_person
    from charthouse.settings import get_settings
    from charthouse.state import session

    known = _identity(identity)
    with session() as state:
        update_person(
            state,
            key,
            country=country,
            identity=known,
            android_version=android,
            preview_member=preview,
            premium=premium,
        )
    if premium is False:
        shelf.drop([key], get_settings())
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


@app.command("verify")
def people_verify(
    key: Key,
    again: Annotated[bool, typer.Option("--again", help="Although a verification holds for a month or more.")] = False,
    as_json: AsJson = False,
) -> None:
    """Begin to verify who a person is; prints the address that they open. It is theirs alone."""
    from charthouse.api.returning import verified_url
    from charthouse.errors import ApiError
    from charthouse.linking.verifying import start
    from charthouse.settings import get_settings

    public_url = get_settings().public_url
    if not public_url:
        raise ApiError("CH823")
    begun = start(key, return_url=partial(verified_url, public_url), again=again, actor="operator")
    if as_json:
        show([_row(begun) | {"open_url": begun.address}], as_json=True, empty="")
    else:
        typer.echo(begun.address)


@app.command("verifications")
def people_verifications(
    key: Key,
    ask: Annotated[bool, typer.Option("--ask", help="Ask the verifier first how those stand that are open.")] = False,
    as_json: AsJson = False,
) -> None:
    """How a person's verifications stand, and what they can do where one failed."""
    from charthouse.linking.verifying import list_views, look
    from charthouse.state import session

    with session(read_only=True) as state:
        views = list_views(state, key)
    if ask:
        views = [look(one.verification_id) if one.status == "open" else one for one in views]
    show([_row(one) for one in views], as_json=as_json, empty="None yet: charthouse people verify KEY")


@app.command("set-verifier")
def people_set_verifier(
    project: Annotated[str, typer.Option(help="The id of our project at the verifier.")],
    key_file: Annotated[str, typer.Option(metavar="FILE", help="The API key; - reads standard input.")],
    webhook_secret_file: Annotated[
        str | None, typer.Option(metavar="FILE", help="What signs its messages; the one before holds on for two days.")
    ] = None,
    old_webhook_hours: Annotated[float, typer.Option(min=0, help="How long the one before holds on.")] = 48.0,
    api: Annotated[str, typer.Option(help="The base of its API.")] = API_URL,
    page: Annotated[str, typer.Option(help="Where people are sent.")] = PAGE_URL,
    level: Annotated[str, typer.Option(help="The assurance that the project reaches: IAL1, IAL2, IAL3.")] = "IAL2",
    rate: Annotated[float, typer.Option(help="Requests a second that it takes.")] = 10.0,
) -> None:
    """Let CLEAR be asked who people are, in place of what was set before."""
    from charthouse.linking.keys import ensure_key
    from charthouse.linking.verifiers import set_verifier
    from charthouse.state import session

    key = read_input(key_file, "CH676").strip()
    signs = None if webhook_secret_file is None else read_input(webhook_secret_file, "CH676").strip()
    ensure_key()
    with session() as state:
        set_verifier(
            state,
            project_id=project,
            key=key,
            webhook_secret=signs,
            old_webhook_hours=old_webhook_hours,
            api_url=api,
            page_url=page,
            level=level,
            requests_per_second=rate,
        )
    typer.echo("set")


@app.command("verifiers")
def people_verifiers(as_json: AsJson = False) -> None:
    """The verifiers that are set up; no secret."""
    from charthouse.linking.verifiers import list_verifiers
    from charthouse.state import session

    with session(read_only=True) as state:
        rows = [asdict(view) for view in list_verifiers(state)]
    show(rows, as_json=as_json, empty="None is set up: charthouse people set-verifier")


def _identity(file: str | None) -> Identity | None:
    from charthouse.linking.identity import read_identity

    return None if file is None else read_identity(read_input(file, "CH618"))


def _row(one: VerificationView) -> dict[str, Any]:
    from charthouse.errors import CATALOGUE

    hidden = ("address", "return_to", "person_key")
    row = {name: value for name, value in asdict(one).items() if name not in hidden}
    told = CATALOGUE[one.code] if one.code else None
    return row | {"why": told.title if told else "", "what to do": told.mend if told else ""}
