"""`charthouse sandbox`: whom the sandbox knows, so that one can sign in there as one of them."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from charthouse.operating.cli.tables import AsJson, show

app = typer.Typer(help="Whom the sandbox provider knows, to try linking with.", no_args_is_help=True)
Provider = Annotated[str, typer.Argument(metavar="PROVIDER", help="A provider that the sandbox plays.")]

NAMED_BY = ("text", "prefix", "given", "family", "suffix")


@app.command("people")
def sandbox_people(provider: Provider = "generated", as_json: AsJson = False) -> None:
    """Who can sign in at a provider of the sandbox: their ids there, names and birth dates."""
    from charthouse.operating.sandbox_process import people_of

    rows = people_of(provider)
    if not as_json:
        rows = [
            {"patient": row["patient"], "name": _named(row["name"]), "born": row["birthDate"], "adult": _is_adult(row)}
            for row in rows
        ]
    show(rows, as_json=as_json, empty="Nobody.")


@app.command("identity")
def sandbox_identity(
    provider: Provider = "generated",
    patient: Annotated[str | None, typer.Option(help="The id of one of them; otherwise the first adult.")] = None,
) -> None:
    """Print who one of them is, as `charthouse people add --identity` reads it, and say as whom to sign in."""
    from charthouse.errors import SetupError
    from charthouse.operating.sandbox_process import people_of

    rows = people_of(provider)
    fits = (row for row in rows if (row["patient"] == patient if patient else _is_adult(row)))
    found = next(fits, None)
    if found is None:
        raise SetupError("CH016", where=provider, what="it has nobody who fits")
    names = [{key: name[key] for key in NAMED_BY if key in name} for name in found["name"]]
    typer.echo(json.dumps({"names": names, "birth_date": found["birthDate"]}))
    typer.echo(f"On the sandbox's page, choose {_named(found['name'])} ({found['patient']}).", err=True)


def _is_adult(row: dict[str, Any]) -> bool:
    """Whether somebody can be linked: with a name and a birth date, and of age."""
    from charthouse.errors import LinkError
    from charthouse.linking.eligibility import is_of_age
    from charthouse.linking.identity import parse_identity

    try:
        return is_of_age(parse_identity({"name": row["name"], "birthDate": row["birthDate"]}).birth_date, "US")
    except LinkError:
        return False


def _named(names: Any) -> str:
    try:
        name = names[0]
        return str(name.get("text") or " ".join([*name.get("given", []), name.get("family", "")]).strip())
    except (AttributeError, IndexError, KeyError, TypeError):
        return ""
