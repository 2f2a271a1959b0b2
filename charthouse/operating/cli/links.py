"""`charthouse links`: links of people to providers."""

from __future__ import annotations

from typing import Annotated

import typer

from charthouse.operating.cli import own_servers
from charthouse.operating.cli.tables import AsJson, show

app = typer.Typer(help="Links of people to providers.", no_args_is_help=True)
LinkId = Annotated[str, typer.Argument(metavar="LINK", help="The link's id, as `charthouse links list` shows it.")]


@app.command("list")
def links_list(
    provider: Annotated[str | None, typer.Option(help="Only this provider's.")] = None,
    person: Annotated[str | None, typer.Option(help="Only this person's, by key.")] = None,
    as_json: AsJson = False,
) -> None:
    """Every link, with its two states."""
    from dataclasses import asdict

    from charthouse.linking.links import list_links
    from charthouse.state import session

    with session() as state:
        rows = [asdict(view) for view in list_links(state, provider=provider, person_key=person)]
    show(rows, as_json=as_json, empty="No links yet. Start with: make nightly")


@app.command("add")
def links_add(
    url: Annotated[str, typer.Argument(metavar="URL", help="The base of a FHIR R4 server of your own.")],
    patients: own_servers.PatientsOption = None,
    token_file: own_servers.TokenFile = None,
    key_file: own_servers.KeyFile = None,
    client_id: own_servers.ClientId = None,
) -> None:
    """Link patients of a server of your own, as an operator: nobody signs in. The next night reads them.

    `charthouse nightly --provider URL` does this first, and then runs a night.
    """
    from charthouse.operating.home import prepare
    from charthouse.operating.own_server import link_own_server, look_at
    from charthouse.operating.terminal import console

    out = console()
    looked = look_at(own_servers.given(url, patients, token_file, key_file, client_id), out)
    prepare()
    done = link_own_server(looked, out)
    typer.echo(f"provider {done.provider}; its links: charthouse links list --provider {done.provider}")


@app.command("show")
def links_show(link: LinkId, as_json: AsJson = False) -> None:
    """One link: its states, its grant, and when that is used or ends next. No token, no patient."""
    from dataclasses import asdict

    from charthouse.linking.grants import grant_of
    from charthouse.state import session

    with session(read_only=True) as state:
        said = asdict(grant_of(state, link))
    rows = [said] if as_json else [{"what": name.replace("_", " "), "is": value} for name, value in said.items()]
    show(rows, as_json=as_json, empty="")


@app.command("events")
def links_events(link: LinkId, as_json: AsJson = False) -> None:
    """Every move of a link and what deadlines found, oldest first."""
    from charthouse.linking.links import get_link, list_events
    from charthouse.state import session

    with session(read_only=True) as state:
        get_link(state, link)
        rows = [
            {"at": event.at, "field": event.field, "from": event.from_state, "to": event.to_state}
            | {"reason": event.reason, "actor": event.actor}
            for event in list_events(state, link)
        ]
    show(rows, as_json=as_json, empty="No events.")


@app.command("disconnect")
def links_disconnect(link: LinkId) -> None:
    """Take a link's access away, here and at the provider where it listens. What was read stays."""
    from charthouse.linking.disconnect import disconnect
    from charthouse.linking.links import get_link
    from charthouse.state import session

    with session(read_only=True) as state:
        if get_link(state, link).status == "disconnected":
            typer.echo("it is disconnected already")
            return
    done = disconnect(link, actor="operator")
    if done.revoked:
        typer.echo("disconnected, and revoked at the provider")
        return
    typer.echo("disconnected; the provider was not told, and lets nothing out without the tokens deleted here")
    if done.portal_url:
        typer.echo(f"the person may take the access back there, too: {done.portal_url}")


@app.command("sync")
def links_sync(link: LinkId) -> None:
    """Ask for a link's records soon: the next hourly refresh_connections starts a run for it."""
    from charthouse.linking.links import request_sync
    from charthouse.state import session

    with session() as state:
        request_sync(state, link, actor="operator")
    typer.echo("asked for; to have it at once: charthouse airflow dags trigger refresh_connections")
