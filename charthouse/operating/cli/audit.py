"""`charthouse audit`: the trail of who did what to whose things, and whether it holds."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated

import typer

from charthouse.errors import SetupError
from charthouse.operating.cli.tables import AsJson, out, show

app = typer.Typer(help="Who did what to whose things, and whether that trail holds.", no_args_is_help=True)

ROWS = 200


@app.command("verify")
def audit_verify(
    head: Annotated[
        str | None, typer.Option(metavar="NUMBER:DIGEST", help="An end of the trail that you noted elsewhere.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Walk along the whole trail; find what was changed, taken out, moved, put in or cut off, and say where."""
    from charthouse.privacy.audit_trail import require, verify

    noted = None
    if head is not None:
        said = re.fullmatch(r"([1-9]\d{0,18}):([0-9a-f]{64})", head)
        if said is None:
            raise SetupError("CH001", where="--head", what="it is NUMBER:DIGEST, as audit verify prints it")
        noted = (int(said[1]), said[2])
    verdict = verify(head=noted)
    if as_json:
        broken = [asdict(found) for found in verdict.breaks]
        told = {"holds": verdict.holds, "events": verdict.events, "head": f"{verdict.end[0]}:{verdict.end[1]}"}
        typer.echo(
            json.dumps(told | {"anchored": verdict.anchored, "breaks": broken, "more_breaks": verdict.more}, indent=1)
        )
    else:
        out.print(
            f"{verdict.events:,} events; the trail {'holds' if verdict.holds else 'does not hold'}", highlight=False
        )
        for found in verdict.breaks:
            out.print(f"[red]{found}[/]", highlight=False)
        if verdict.more:
            out.print(f"[red]and {verdict.more:,} more[/]", highlight=False)
        if verdict.events:
            out.print(f"Its end: {verdict.end[0]}:{verdict.end[1]}", highlight=False, soft_wrap=True)
            vouched = f"up to event {verdict.anchored:,}" if verdict.anchors else "for nothing: there are none"
            out.print(f"Anchors vouch {vouched}.", highlight=False)
    require(verdict)


@app.command("show")
def audit_show(
    person: Annotated[str | None, typer.Option(metavar="KEY", help="Of this person, their links and requests.")] = None,
    link: Annotated[str | None, typer.Option(metavar="ID", help="Of this link.")] = None,
    since: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="Since this instant (UTC).")
    ] = None,
    action: Annotated[str | None, typer.Option(help="Of this kind: export, or export.asked.")] = None,
    as_json: AsJson = False,
) -> None:
    """What the trail says, oldest first; --json gives one object a line, without end."""
    from charthouse.privacy.audit_trail import events
    from charthouse.privacy.reads import note_reads

    note_reads(f"{person or ''} {link or ''}", "audit.read")
    told = events(
        person=person, link=link, since=since.replace(tzinfo=UTC) if since is not None else None, action=action
    )
    if as_json:
        for event in told:
            typer.echo(json.dumps(event, default=str))
        return
    rows = list(islice(told, ROWS + 1))
    shown = [{**row, "detail": ", ".join(f"{k}={v}" for k, v in row["detail"].items())} for row in rows[:ROWS]]
    show(shown, as_json=False, empty="Nothing.")
    if len(rows) > ROWS:
        out.print(f"The first {ROWS}; narrow it, or ask for --json.", highlight=False)
