"""`charthouse coach`: the facts that an assistant would be given about one person, as an operator reads them."""

from __future__ import annotations

import inspect
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from charthouse.coach.functions import FUNCTIONS, Function, function
from charthouse.operating.cli.tables import AsJson

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

app = typer.Typer(
    help="What the coach is told about a person: for general wellness only. Takes Premium and the consent.",
    no_args_is_help=True,
    subcommand_metavar="FUNCTION [ARGUMENTS]…",
)


@app.callback()
def _person(
    context: typer.Context, person: Annotated[str, typer.Argument(metavar="PERSON", help="The person's key.")]
) -> None:
    """Facts from a person's records, with their sources."""
    context.obj = person


def _command(called: Function) -> Callable[..., None]:
    def run(context: typer.Context, as_json: bool, **given: Any) -> None:
        from charthouse.coach.answering import answer

        said = answer(
            context.obj,
            called.name,
            {name: value for name, value in given.items() if value is not None},
            actor="operator",
            through="cli",
        ).model_dump(mode="json", exclude_none=True)
        if as_json:
            typer.echo(json.dumps(said, indent=1, ensure_ascii=False))
        else:
            typer.echo("\n".join(_lines(said)))

    kinds = inspect.Parameter
    parameters = [kinds("context", kinds.KEYWORD_ONLY, annotation=typer.Context)]
    for name, field in called.asked.model_fields.items():
        if field.is_required():
            kind: Any = Annotated[str, typer.Argument(metavar=name.upper(), help=field.description)]
            parameters.append(kinds(name, kinds.KEYWORD_ONLY, annotation=kind))
        else:
            kind = Annotated[str | None, typer.Option(help=field.description)]
            parameters.append(kinds(name, kinds.KEYWORD_ONLY, default=None, annotation=kind))
    parameters.append(kinds("as_json", kinds.KEYWORD_ONLY, default=False, annotation=AsJson))
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    run.__doc__ = called.description
    return run


for _each in FUNCTIONS:
    app.command(_each.name)(_command(_each))


def _lines(said: dict[str, Any]) -> Iterator[str]:
    """An answer as people read it: what was found, when, and from whom."""
    if verdict := said.get("verdict"):
        yield verdict["message"]
        return
    result = said["result"]
    yield f"{function(said['function']).title}: {'' if result['found'] else 'not found'}".rstrip(": ")
    if asked := result.get("looked_for"):
        meant = ", ".join(asked["meant"]) or "its words"
        spelled = f", read as {asked['spelled']}" if asked.get("spelled") else ""
        yield f"  looked for: {meant}{spelled}"
    for name, value in result.items():
        if name in ("found", "looked_for", "chart"):
            continue
        yield from _told(name, value)
    fresh = said.get("freshness", {})
    yield f"  as of: {fresh.get('last_synced_at', 'never synced')}"
    yield f"  {said['declares']}"


def _told(name: str, value: Any, indent: str = "  ") -> Iterator[str]:
    label = name.replace("_", " ")
    if isinstance(value, dict) and "sources" in value:
        yield f"{indent}{label}: {_fact(value)}"
        yield from _facts(value.get("parts", ()), indent + "  ")
    elif isinstance(value, dict):
        yield f"{indent}{label}: {_short(value)}"
    elif isinstance(value, list) and value:
        yield f"{indent}{label}:"
        for each in value:
            if "facts" in each:
                yield f"{indent}  {each['title']} ({each['total']})"
                yield from _facts((*each["facts"], *each["nothing_known"]), indent + "    ")
            else:
                yield f"{indent}  {_fact(each.get('fact', each))}"
    elif value not in ([], 0, None):
        yield f"{indent}{label}: {value}"


def _facts(several: Sequence[dict[str, Any]], indent: str) -> Iterator[str]:
    return (f"{indent}{_fact(each)}" for each in several)


def _fact(each: dict[str, Any]) -> str:
    if "sources" not in each:
        return _short(each)
    when = each.get("when", {}).get("value", "no date")
    value = each.get("value", {}).get("shown", "")
    flags = "/".join(said.get("display") or said.get("code", "") for said in each.get("interpretations", ()))
    ranges = "; ".join(usual["shown"] for usual in each.get("reference_ranges", ()))
    stage = each["stage"] if each["stage"] in ("preliminary", "corrected") else ""
    providers = ", ".join(dict.fromkeys(source["provider"] for source in each["sources"]))
    dosage = each.get("details", {}).get("dosage", "")
    told = (value, dosage, flags, f"range {ranges}" if ranges else "", stage)
    return " · ".join([when, each["name"], *(part for part in told if part), providers])


def _short(each: dict[str, Any]) -> str:
    """What has no entries of its own: plain values, and moments."""
    told = []
    for name, value in each.items():
        if isinstance(value, dict):
            value = value.get("value") or value.get("shown") or value.get("code") or _short(value)
        if value not in (None, [], ""):
            told.append(f"{name.replace('_', ' ')} {value}")
    return ", ".join(told)
