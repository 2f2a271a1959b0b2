"""`charthouse explain`: what becomes of one resource, and why."""

from __future__ import annotations

import json
from dataclasses import asdict
from enum import StrEnum
from typing import Annotated

import typer

from charthouse.operating.cli.tables import AsJson  # noqa: TC001 - typer reads the annotations


class Route(StrEnum):
    """How a resource comes from outside."""

    DIRECT = "direct"
    VERIFIED = "verified"
    PHONE = "phone"


def explain(
    resource: Annotated[str, typer.Argument(help="A file, - for standard input, or LINK/TYPE/ID of the vault.")],
    route: Annotated[
        Route, typer.Option(help="How it comes; the phone's rules are Health Connect's alone.")
    ] = Route.DIRECT,
    as_json: AsJson = False,
) -> None:
    """Which category a resource belongs to, by which rule, in which table it is, and what the check finds in it."""
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
