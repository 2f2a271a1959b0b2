"""`charthouse plan`: what the next night asks for a link, and why."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from charthouse.operating.cli.tables import AsJson, out, show

if TYPE_CHECKING:
    from typing import Any

    from charthouse.partners.query_plan import Line

LinkId = Annotated[str, typer.Argument(metavar="LINK", help="The link's id, as `charthouse links list` shows it.")]


def plan(link: LinkId, as_json: AsJson = False) -> None:
    """What the next night asks of a link's server, type by type, and why; only `/metadata` is read for it."""
    from dataclasses import asdict

    from charthouse.operating.link_plan import plan_of, stream_of

    stream = stream_of(link)
    if stream is not None:
        asked = f"what changed since {stream.since}" if stream.since else "everything"
        words = (
            f"{stream.provider}: read through {stream.partner}, {asked}, with the person's other links in one stream"
        )
        typer.echo(json.dumps(asdict(stream), indent=1) if as_json else words)
        return
    told = plan_of(link)
    if as_json:
        typer.echo(json.dumps(asdict(told), indent=1))
        return

    def say(text: str) -> None:
        out.print(text, highlight=False, markup=False)

    said = told.plan
    whose = f", known as {said.vendor}" if said.vendor else ", of which nothing more is known"
    say(f"{told.provider}: {said.software or 'software not said'}{whose}\n{told.base}")
    if told.as_before:
        say(f"It did not answer ({told.as_before}); this is what it said last.")
    if told.exported_from is not None:
        say(f"From {told.exported_from:,} due links on, they are had by Bulk Data export; else by these searches.")
    nobodys = [line for line in said.lines if line.why == "it belongs to nobody"]
    show([_row(line) for line in said.lines if line not in nobodys], as_json=False, empty="Nothing is asked.")
    if nobodys:
        say(f"Not asked: {len(nobodys):,} more types that belong to nobody.")
    say(f"Patient/$everything is not asked. {said.everything}")
    for what, why, source, mark in said.known:
        say(f"{what}: {why} [{mark}] {source}")


def _row(line: Line) -> dict[str, Any]:
    since = line.since[0][1] if len(line.since) == 1 else f"{len(line.since)} of {len(line.queries)}"
    along = f"with {line.include}" if line.include else ""
    return {
        "type": line.type,
        "asked": line.how + (f" ({len(line.queries)})" if line.how == "by parts" else ""),
        "since": since if line.since else "",
        "page": line.page_size or "",
        "why": "; ".join(part for part in (line.why, along) if part),
    }
