"""`charthouse erase`, `delete-link`, `disconnect`, `requests`: what people may ask for, done at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from charthouse.operating.cli.tables import AsJson, show

if TYPE_CHECKING:
    from charthouse.settings import Settings

Yes = Annotated[bool, typer.Option("--yes", help="Do it: it cannot be taken back.")]
LinkId = Annotated[str, typer.Argument(metavar="LINK", help="The link's id, as `charthouse links list` shows it.")]
requests_app = typer.Typer(
    help="Requests of people: exports and erasures, with their due dates.", no_args_is_help=False
)


def erase(
    person: Annotated[str, typer.Argument(metavar="PERSON", help="The person's key.")],
    yes: Yes = False,
) -> None:
    """Erase everything about a person, prove it, and print the receipt's place and the code that it is known by.

    Where there is a time to take it back (CHARTHOUSE_ERASURE_WAIT_DAYS), the request waits for it.
    """
    from charthouse.privacy import requests, subjects
    from charthouse.state import session, tombstones

    sure(yes, "It erases everything about the person, and nobody can bring it back.", f"erase {person}")
    if begun := subjects.begun_of(person):
        _work(begun)
        return
    if tombstones.opened().among("person", [person]) and not _is_there(person):
        typer.echo("erased already; the receipt was given then")
        return
    with session() as state:
        asked = requests.ask_erasure(state, person, actor="operator")
    _work(asked.request_id)


def delete_link(link: LinkId, yes: Yes = False) -> None:
    """Delete a link with everything that came by it, prove it, and print the receipt's place. Other links stay."""
    from charthouse.privacy import requests
    from charthouse.state import session

    sure(yes, "It deletes what came by the link, and nobody can bring it back.", f"delete-link {link}")
    with session() as state:
        asked = requests.ask_deletion(state, link, actor="operator")
    _work(asked.request_id)


def disconnect(link: LinkId) -> None:
    """Take a link's access away, here and at the provider where it listens. What was read stays."""
    from charthouse.operating.cli.links import links_disconnect

    links_disconnect(link)


@requests_app.callback(invoke_without_command=True)
def requests_list(
    context: typer.Context,
    person: Annotated[str | None, typer.Option(help="Only this person's, by key.")] = None,
    status: Annotated[str | None, typer.Option(help="waiting, running, done, cancelled or failed.")] = None,
    as_json: AsJson = False,
) -> None:
    """Requests of people, those first that are due first."""
    from dataclasses import asdict

    from charthouse.privacy.requests import list_requests
    from charthouse.state import session
    from charthouse.state.privacy import REQUEST_STATUSES

    if context.invoked_subcommand:
        return
    wanted = next((each for each in REQUEST_STATUSES if each == status), None)
    if status is not None and wanted is None:
        raise typer.BadParameter(f"it is one of {', '.join(REQUEST_STATUSES)}", param_hint="--status")
    with session(read_only=True) as state:
        rows = [asdict(found) for found in list_requests(state, person_key=person, status=wanted)]
    if not as_json:
        shown = (
            "request_id", "kind", "person_key", "link_id", "status", "step", "asked_at", "due_at", "tries", "code",
        )  # fmt: skip
        rows = [{name: row[name] for name in shown} for row in rows]
    show(rows, as_json=as_json, empty="No requests.")


@requests_app.command("cancel")
def requests_cancel(request: Annotated[str, typer.Argument(metavar="REQUEST", help="The request's id.")]) -> None:
    """Take a request back that has not begun."""
    from charthouse.privacy.requests import cancel
    from charthouse.state import session

    with session() as state:
        cancel(state, request, actor="operator")
    typer.echo("cancelled")


@requests_app.command("retry")
def requests_retry(request: Annotated[str, typer.Argument(metavar="REQUEST", help="The request's id.")]) -> None:
    """Work on an open request at once, in place of waiting for its DAG. Safe to repeat: what is done stays done."""
    from charthouse.privacy import requests
    from charthouse.privacy.export import job
    from charthouse.state import session

    with session(read_only=True) as state:
        found = requests.find(state, request)
    if found.status not in requests.OPEN:
        why = f" ({found.code})" if found.code else ""
        typer.echo(f"nothing to do: it is {found.status}{why}")
    elif found.kind != "export":
        _work(request)
    else:
        job.run(request)
        typer.echo("ready: its person can take it away (docs/api.md)")


def _is_there(person_key: str) -> bool:
    from charthouse.state import session
    from charthouse.state.models import Person

    with session(read_only=True) as state:
        return state.get(Person, person_key) is not None


def sure(yes: bool, what: str, command: str) -> None:
    """Do nothing without --yes: say what would be done, and how to say so."""
    if not yes:
        typer.echo(f"Nothing was done. {what} If that is meant: charthouse {command} --yes", err=True)
        raise typer.Exit(2)


def settings_with_mails() -> Settings:
    """The settings, with the folder into which mails go where no mail server is named."""
    from charthouse.operating import mailroom
    from charthouse.settings import get_settings

    given = {name.removeprefix("CHARTHOUSE_").lower(): value for name, value in mailroom.environment().items()}
    return get_settings().model_copy(update=given)


def _work(request_id: str) -> None:
    """Work a request off, and say what became of it.

    Raises:
        PrivacyError: what is in the way; the DAG run_erasures tries again.
    """
    from charthouse.errors import CharthouseError
    from charthouse.privacy import erase, receipts, requests
    from charthouse.privacy.audit_trail import events
    from charthouse.state import session
    from charthouse.state.base import now

    settings = settings_with_mails()
    typer.echo(f"request: {request_id}")
    typer.echo(
        f"code:    {receipts.code_of(request_id, settings)}   (whoever has it can show that the receipt is theirs)"
    )
    with session(read_only=True) as state:
        begins_at = requests.find(state, request_id).begins_at
    if begins_at > now():
        typer.echo(f"begins:  {begins_at:%Y-%m-%d %H:%M} UTC; until then: charthouse requests cancel {request_id}")
        return
    [ended] = erase.run([request_id], settings)
    if ended.code is not None:
        raise CharthouseError(ended.code, where=ended.where)
    if ended.receipt is None:
        typer.echo("The erasure of its person took it in; the receipt is that one's.")
    else:
        typer.echo(f"receipt: {ended.receipt}")
    if copies := [event["at"] for event in events(action="tables.exported")]:
        times = "once" if len(copies) == 1 else f"{len(copies):,} times"
        typer.echo(f"copies:  tables were exported {times}, last on {copies[-1]:%Y-%m-%d}; those are yours to delete")
