"""`charthouse explain`: what becomes of one resource, and why; or why nothing comes over a link, and what to do."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from enum import StrEnum
from typing import Annotated, Final

import typer

from charthouse.operating.cli.tables import AsJson  # noqa: TC001 - typer reads the annotations

_LINK: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class Route(StrEnum):
    """How a resource comes from outside."""

    DIRECT = "direct"
    VERIFIED = "verified"
    PHONE = "phone"


def explain(
    resource: Annotated[str, typer.Argument(help="A link; or a resource: a file, - for standard input, LINK/TYPE/ID.")],
    route: Annotated[
        Route, typer.Option(help="How it comes; the phone's rules are Health Connect's alone.")
    ] = Route.DIRECT,
    as_json: AsJson = False,
) -> None:
    """Why nothing comes over a link, and what to do. Or a resource's category, rule and table, and what is found."""
    if _LINK.fullmatch(resource):
        _explain_link(resource.lower(), as_json=as_json)
        return
    from charthouse.operating.explain import explain as explained

    said = explained(resource, route.value)
    if as_json:
        typer.echo(json.dumps(asdict(said), indent=1))
        return
    typer.echo(f"type      {said.resource_type or 'none that FHIR R4 knows'}")
    typer.echo(f"route     {said.route}")
    typer.echo(f"category  {said.category or 'none: it is additional data'}")
    typer.echo(f"rule      {said.rule} (mapping {said.mapping_version})")
    typer.echo(f"          {said.reason}")
    if said.quarantined:
        typer.echo("tables    none: it is quarantined")
    elif said.tables:
        typer.echo(f"tables    {', '.join(said.tables)}")
    else:
        typer.echo(f"tables    none{'' if said.category is None else ': other rows may name it'}")
    if said.no_longer_served:
        typer.echo(f"served    no longer, {said.no_longer_served}")
    for finding in said.findings:
        typer.echo(f"finding   {finding}")
    for remark in said.remarks:
        typer.echo(f"remark    {remark}")


def _explain_link(link_id: str, *, as_json: bool) -> None:
    import msgspec

    from charthouse.linking.troubleshooting import walk
    from charthouse.state import session

    with session(read_only=True) as state:
        walked = walk(state, link_id)
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(walked), indent=1).decode())
        return
    typer.echo(f"link      {walked.link_id}, {walked.route}: {walked.status}, last night {walked.sync_status}")
    for step in walked.steps:
        typer.echo(
            f"{'✗' if step.reason else '·'} {step.cause:<13} {step.asks}{f'  {step.reason}' if step.reason else ''}"
        )
    typer.echo(f"\n{walked.told.title}. {walked.told.text}")
    typer.echo(f"What to do: {walked.told.action}")
