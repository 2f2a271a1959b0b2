"""`charthouse notices`: what people were told, what could not be told, and the secret that signs webhooks."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from charthouse.operating.cli.tables import AsJson, show

if TYPE_CHECKING:
    from charthouse.notify.outbox import NoticeView

app = typer.Typer(help="What people are told, and what could not be told.", no_args_is_help=True)
secret = typer.Typer(help="The secret that signs webhooks.", no_args_is_help=True)
app.add_typer(secret, name="secret")


@app.command("list")
def notices_list(
    person: Annotated[str | None, typer.Option(help="Only this person's.")] = None,
    status: Annotated[
        str | None,
        typer.Option(help="Only with a delivery that is: waiting, sending, sent, undeliverable, suppressed."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, the newest first.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Notices, a line a delivery; those that were given up with --status undeliverable."""
    from charthouse.errors import NoticeError
    from charthouse.notify.outbox import list_notices
    from charthouse.state import session
    from charthouse.state.notices import DELIVERY_STATUSES

    if status is not None and status not in DELIVERY_STATUSES:
        raise NoticeError("CH700", where="--status", what=f"it is one of {', '.join(DELIVERY_STATUSES)}")
    with session(read_only=True) as state:
        found = list_notices(state, person, status=status, limit=limit)
    rows = [row for notice in found for row in _rows(notice) if status is None or row["status"] == status]
    show(rows, as_json=as_json, empty="No notices.")


@app.command("show")
def notices_show(notice_id: Annotated[str, typer.Argument(help="A notice or one of its deliveries.")]) -> None:
    """One notice, with every delivery and what the last error means."""
    from dataclasses import asdict

    from charthouse.errors import CATALOGUE
    from charthouse.notify.outbox import get_notice
    from charthouse.state import session

    with session(read_only=True) as state:
        said = asdict(get_notice(state, notice_id))
    for way in said["deliveries"]:
        entry = CATALOGUE.get(way["code"] or "")
        if entry is not None:
            way |= {"means": entry.title, "mend": entry.mend}
    typer.echo(json.dumps(said, default=str, indent=1))


@app.command("retry")
def notices_retry(notice_id: Annotated[str, typer.Argument(help="A notice or one of its deliveries.")]) -> None:
    """Send again what was given up, with the next run of notify_people."""
    from charthouse.notify.outbox import retry
    from charthouse.state import audit, session

    with session() as state:
        number = retry(state, notice_id)
        if number:
            audit.record(state, "operator", "notice.retried", "notice", notice_id, {"deliveries": number})
    if not number:
        typer.echo("nothing to send again: it was sent, or is not to be sent (charthouse notices show)", err=True)
        raise typer.Exit(1)
    typer.echo(f"to be sent again: {number:,}")


@app.command("send")
def notices_send() -> None:
    """Send what is due now, as notify_people does every few minutes."""
    from charthouse.notify.drain import drain

    report = drain()
    rows: list[dict[str, Any]] = [
        {"channel": channel, "result": result, "deliveries": number}
        for (channel, result), number in sorted(report.counts.items())
    ]
    show(rows, as_json=False, empty="Nothing was due.")


@secret.command("show")
def secret_show() -> None:
    """Print the secrets in force, the newest first. Whoever has one can write to your app in our name."""
    from charthouse.notify.secrets import webhook_secrets
    from charthouse.state import session

    with session() as state:
        for each in webhook_secrets(state):
            typer.echo(f"{each.text}  since {each.created_at:%Y-%m-%d %H:%M}Z" + _ends(each.ends_at))


@secret.command("rotate")
def secret_rotate(
    hours: Annotated[float, typer.Option(min=0, help="How long the old secrets sign beside the new one.")] = 24,
) -> None:
    """Make a new secret and print it. Give it to the receiver before the old one ends."""
    from charthouse.notify.secrets import rotate
    from charthouse.state import session

    with session() as state:
        typer.echo(rotate(state, overlap=timedelta(hours=hours)).text)


def _ends(at: Any) -> str:
    return f", until {at:%Y-%m-%d %H:%M}Z" if at else ""


def _rows(notice: NoticeView) -> list[dict[str, Any]]:
    told = {
        "notice": notice.notice_id,
        "person": notice.person_key,
        "kind": notice.kind,
        "reason": notice.reason,
        "created": f"{notice.created_at:%Y-%m-%d %H:%M}",
    }
    if not notice.deliveries:
        status = "no way to tell" if notice.planned_at else "not planned yet"
        return [told | {"channel": "", "status": status, "tries": 0, "code": "", "next try": ""}]
    return [
        told
        | {
            "channel": way.channel,
            "status": way.status,
            "tries": way.tries,
            "code": way.code or "",
            "next try": f"{way.next_try_at:%Y-%m-%d %H:%M}" if way.status == "waiting" else "",
        }
        for way in notice.deliveries
    ]
