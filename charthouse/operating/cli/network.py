"""`charthouse network`: partners that search for people's providers, verified identities, and what was found."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime  # noqa: TC003 - typer reads the annotations
from typing import Annotated

import typer

from charthouse.operating.cli.inputs import read_input
from charthouse.operating.cli.tables import AsJson, show

app = typer.Typer(help="Partners that search for people's providers, and what they found.", no_args_is_help=True)

Partner = Annotated[str, typer.Argument(metavar="PARTNER", help="The partner's slug, as bwell.")]
Person = Annotated[str, typer.Argument(metavar="PERSON", help="The person's key.")]
FoundId = Annotated[str, typer.Argument(metavar="FOUND", help="The id that `charthouse network found` shows.")]


@app.command("set")
def network_set(
    partner: Partner,
    api: Annotated[str, typer.Option(help="The base of its API: tokens and queries.")],
    fhir: Annotated[str, typer.Option(help="The base of its FHIR server.")],
    client_key: Annotated[str, typer.Option(help="The key by which it knows us.")],
    secret_file: Annotated[str, typer.Option(metavar="FILE", help="The secret of that; - reads standard input.")],
    users: Annotated[str | None, typer.Option(help="Where whole people are deleted.")] = None,
    webhook_url: Annotated[str | None, typer.Option(help="Our address for its messages, as it has it.")] = None,
    webhook_secret_file: Annotated[
        str | None, typer.Option(metavar="FILE", help="What signs them; the one before holds on for a day.")
    ] = None,
    old_webhook_hours: Annotated[float, typer.Option(min=0, help="How long the one before holds on.")] = 24.0,
    rate: Annotated[float, typer.Option(help="Requests a second that each of its hosts takes.")] = 10.0,
) -> None:
    """Let a partner be asked, in place of what was set before."""
    from charthouse.linking.keys import ensure_key
    from charthouse.linking.network_accounts import set_account
    from charthouse.state import session

    secret = read_input(secret_file, "CH179").strip()
    signs = None if webhook_secret_file is None else read_input(webhook_secret_file, "CH179").strip()
    ensure_key()
    with session() as state:
        set_account(
            state,
            partner,
            api_url=api,
            fhir_base_url=fhir,
            client_key=client_key,
            secret=secret,
            users_url=users,
            webhook_url=webhook_url,
            webhook_secret=signs,
            old_webhook_hours=old_webhook_hours,
            requests_per_second=rate,
        )
    typer.echo("set")


@app.command("list")
def network_list(as_json: AsJson = False) -> None:
    """The partners that are set up; no secret."""
    from charthouse.linking.network_accounts import list_accounts
    from charthouse.state import session

    with session(read_only=True) as state:
        rows = [asdict(view) for view in list_accounts(state)]
    show(rows, as_json=as_json, empty="None is set up: charthouse network set")


@app.command("verify")
def network_verify(
    person: Person,
    session_id: Annotated[str, typer.Option("--session", help="The verifier's id of the session.")],
    level: Annotated[str, typer.Option(help="The assurance that was reached: IAL1, IAL2, IAL3.")] = "IAL2",
    verifier: Annotated[str, typer.Option(help="Who verified.")] = "operator",
    outcome: Annotated[str, typer.Option(help="verified or failed.")] = "verified",
    at: Annotated[datetime | None, typer.Option(help="When (UTC); now if not given.")] = None,
) -> None:
    """Note how the verification of a person's identity ended elsewhere. No document, no image, no number."""
    from datetime import UTC

    from charthouse.linking.verifications import record
    from charthouse.state import session
    from charthouse.state.base import now

    with session() as state:
        noted = record(
            state,
            person,
            verifier=verifier,
            session_id=session_id,
            outcome=outcome,
            at=now() if at is None else at.replace(tzinfo=at.tzinfo or UTC),
            level=level,
            actor="operator",
        )
    until = f", until {noted.holds_until:%Y-%m-%d}" if noted.holds_until is not None else ""
    typer.echo(f"{noted.outcome}{until}")


@app.command("find")
def network_find(
    person: Annotated[str | None, typer.Argument(metavar="[PERSON]", help="One person's key; else all due.")] = None,
    as_json: AsJson = False,
) -> None:
    """Look for providers now: of one person, or of everybody whose turn it is. The DAG find_providers does it daily."""
    from charthouse.linking import finding, searching

    if person is not None:
        rows = [asdict(finding.look_now(person))]
    else:
        rows = [{"partner": slug} | asdict(finding.find_providers(slug)) for slug in searching.partners_set_up()]
    show(rows, as_json=as_json, empty="No partner is set up: charthouse network set")


@app.command("found")
def network_found(
    person: Annotated[
        str | None, typer.Argument(metavar="[PERSON]", help="One person's key; else everybody's.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Those waved away, and those that are gone, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """What was found, with the partner's own words for each connection."""
    from charthouse.linking.found_providers import list_found
    from charthouse.state import session

    with session(read_only=True) as state:
        rows = [asdict(view) for view in list_found(state, person, all_of_them=everything)]
    show(rows, as_json=as_json, empty="Nothing was found.")


@app.command("people")
def network_people(as_json: AsJson = False) -> None:
    """How the searches stand, person by person; no name, and not who they are at the partner."""
    from charthouse.linking.searching import list_searches
    from charthouse.state import session

    with session(read_only=True) as state:
        rows = [asdict(view) for view in list_searches(state)]
    show(rows, as_json=as_json, empty="Nobody is searched for.")


@app.command("dismiss")
def network_dismiss(found: FoundId) -> None:
    """Wave a found provider away: it is told no more, and is not linked by itself."""
    from charthouse.linking.found_providers import dismiss
    from charthouse.state import session

    with session() as state:
        dismiss(state, found, actor="operator")
    typer.echo("dismissed")


@app.command("sign-in")
def network_sign_in(found: FoundId) -> None:
    """The address at which the person signs in at a found provider. It is theirs: hand it to nobody else."""
    from charthouse.linking.finding import sign_in_url

    typer.echo(sign_in_url(found, actor="operator"))
