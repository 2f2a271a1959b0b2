"""`charthouse syncs`: what nights asked, what came, and which links are behind."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

import typer

from charthouse.operating.cli.tables import AsJson, show

app = typer.Typer(help="Nights: what was asked, what came, what it took, and who is behind.", no_args_is_help=True)
NONE_YET = "No night yet. Start with: make nightly"


@app.command("list")
def syncs_list(
    behind: Annotated[bool, typer.Option("--behind", help="Links that lack something, in place of nights.")] = False,
    days: Annotated[int, typer.Option(min=1, help="With --behind: how old a complete night may be.")] = 2,
    limit: Annotated[int, typer.Option(min=1, help="How many nights.")] = 20,
    as_json: AsJson = False,
) -> None:
    """The last nights, newest first; with --behind, the links whose last night was not complete, or is long ago."""
    from dataclasses import asdict

    from charthouse.linking.states import DUE
    from charthouse.state import session, syncs

    with session(read_only=True) as state:
        if not behind:
            found = [asdict(night) for night in syncs.nights(state, limit)]
            show(found if as_json else [_brief(row) for row in found], as_json=as_json, empty=NONE_YET)
            return
        lacking = [asdict(link) for link in syncs.behind(state, sorted(DUE), timedelta(days=days))]
    show(lacking if as_json else [_words(row) for row in lacking], as_json=as_json, empty="No link is behind.")


@app.command("show")
def syncs_show(
    run: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="The night; the last one where none is named.")
    ] = None,
    link: Annotated[str | None, typer.Option(metavar="LINK", help="Only this link, type by type.")] = None,
    kind: Annotated[str | None, typer.Option("--type", metavar="TYPE", help="Only this type, link by link.")] = None,
    provider: Annotated[str | None, typer.Option(help="Only links with this provider.")] = None,
    every: Annotated[bool, typer.Option("--every-night", help="With --link or --type: of all nights.")] = False,
    as_json: AsJson = False,
) -> None:
    """One night, type by type; with --link or --type, a line for each link and type.

    `received` counts what came, repeated or not; `waited` are seconds: for the host's turn, and between tries.
    `vanished` is served no longer since that night, `returned` is again.
    """
    from dataclasses import asdict

    from charthouse.linking.links import get_link
    from charthouse.state import session, syncs
    from charthouse.sync import runs

    with session(read_only=True) as state:
        if link is not None:
            get_link(state, link)
        chosen = runs.get_run(state, run) if run is not None else runs.latest_run(state)
        if chosen is None:
            show([], as_json=as_json, empty=NONE_YET)
            return
        if link is None and kind is None:
            night = [asdict(each) for each in syncs.nights(state, run_id=chosen.id)]
            types = [asdict(each) for each in syncs.types_of(state, chosen.id, provider)]
        else:
            of = None if every else chosen.id
            rows = syncs.rows_of(state, run_id=of, link_id=link, resource_type=kind, provider=provider)
            found = [asdict(each) for each in rows]
            show(found, as_json=as_json, empty="Nothing was asked there.")
            return
    if as_json:
        import json

        typer.echo(json.dumps(night[0] | {"types": types}, default=str, indent=1))
        return
    show([_brief(row) for row in night], as_json=False, empty="")
    typer.echo()
    brief = [_without_zeros(row | {"codes": " ".join(row["codes"])}, types) for row in types]
    show(brief, as_json=False, empty="Nothing was asked there.")


def _brief(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in {"pages", "waited", "retries"}}


def _without_zeros(row: dict[str, Any], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """A row without the columns that are empty in all rows."""
    kept = {name for name in row if name in {"resource_type", "links", "complete"} or any(each[name] for each in rows)}
    return {name: value for name, value in row.items() if name in kept}


def _words(row: dict[str, Any]) -> dict[str, Any]:
    types = row.pop("types")
    return row | {"types": ", ".join(f"{kind} {code}".strip() for kind, code in types.items())}
