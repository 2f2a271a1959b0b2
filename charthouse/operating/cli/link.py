"""`charthouse link`: a direct link from a terminal, over a callback on this machine (RFC 8252 §7.3)."""

from __future__ import annotations

import json
import secrets
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from charthouse.operating.cli.tables import AsJson  # noqa: TC001 - typer reads the annotations

if TYPE_CHECKING:
    from charthouse.linking.sign_in import Finished

TIMED_OUT = 3
"""The exit code when nobody came back in time; 1 is a link that did not come about."""


def link(
    person: Annotated[str, typer.Argument(help="The person's key.")],
    provider: Annotated[str, typer.Argument(help="The provider's slug.")],
    link_id: Annotated[str | None, typer.Option("--link", help="Sign in again for this link.")] = None,
    browser: Annotated[bool, typer.Option(help="Open the address in a browser of this machine.")] = True,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait for the person to come back.")] = 900.0,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The callback's port; 0 is a free one.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Link a person to a provider: prints the address to sign in at, waits, and says what became of it.

    The provider has to know the callback http://127.0.0.1:PORT/callback; those that follow RFC 8252 take any port.
    """
    from charthouse.errors import LinkError
    from charthouse.linking.sign_in import start_sign_in
    from charthouse.operating.loopback import Callback
    from charthouse.operating.sandbox_process import refuse_while_down

    session = secrets.token_urlsafe(32)  # this process is the session that the sign-in is bound to
    with Callback(session, port) as callback:
        try:
            started = start_sign_in(
                person, provider, link_id=link_id, browser=session, redirect_uri=callback.redirect_uri
            )
        except LinkError as error:
            if error.code == "CH642":
                refuse_while_down(provider)
            raise
        if as_json:
            said = {"event": "open", "link_id": started.link_id, "authorize_url": started.authorize_url}
            typer.echo(json.dumps(said))
        else:
            typer.echo(f"Sign in here:\n\n  {started.authorize_url}\n")
            typer.echo("Waiting for you to come back (Ctrl-C gives up; nothing is lost) …")
        sys.stdout.flush()
        if browser:
            import webbrowser

            webbrowser.open(started.authorize_url)
        finished = callback.wait(timeout)
    if finished is None:
        typer.echo("Nobody came back in time. Run it again to go on with the same link.", err=True)
        raise typer.Exit(TIMED_OUT)
    _tell(finished, as_json=as_json)
    raise typer.Exit(0 if finished.code is None else 1)


def _tell(finished: Finished, *, as_json: bool) -> None:
    from charthouse.errors import CATALOGUE
    from charthouse.linking.links import get_link
    from charthouse.linking.permissions import permitted
    from charthouse.state import session

    with session(read_only=True) as state:
        granted = get_link(state, finished.link_id).granted_scopes
    linked = finished.code is None
    permissions = permitted(granted) if granted is not None and linked else None
    if as_json:
        said = {
            "event": "finished",
            "link_id": finished.link_id,
            "status": finished.status,
            "code": finished.code,
            "reason": finished.reason,
            "permissions": None if permissions is None else permissions.as_data(),
        }
        typer.echo(json.dumps(said))
        return
    typer.echo(f"link {finished.link_id}: {finished.status}" + (f" ({finished.reason})" if finished.reason else ""))
    if finished.code is not None:
        entry = CATALOGUE[finished.code]
        typer.echo(f"{entry.code} {entry.title}. {entry.mend}")
    elif finished.status == "pending":
        typer.echo("It is confirmed when its first records have come, within a day.")
    if permissions is not None:
        typer.echo(permissions.sentence())
