"""How the command line prints rows: a table for people, JSON for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from charthouse.later import later
from charthouse.operating.terminal import page

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.table import Table

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
AsOf = Annotated[
    str | None,
    typer.Option(metavar="NIGHT", help="As the records were after a night: a run's id, a day, or an instant (in UTC)."),
]

out = later(page)
KEY_WIDTH = 40


def show(rows: Sequence[dict[str, Any]], *, as_json: bool, empty: str) -> None:
    """Print rows as a table for people, or as JSON for programs."""
    if as_json:
        typer.echo(json.dumps(list(rows), default=str, indent=1))
    elif not rows:
        typer.echo(empty)
    else:
        out.print(table_of(rows))


def table_of(rows: Iterable[dict[str, Any]]) -> Table:
    """A plain table: numbers to the right, grouped by thousands."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    listed = list(rows)
    for name in listed[0]:
        number = all(isinstance(row[name], int | float) and not isinstance(row[name], bool) for row in listed)
        short = max(len(_cell(row[name])) for row in listed) <= KEY_WIDTH
        justify: Literal["left", "right"] = "right" if number else "left"
        table.add_column(name.replace("_", " "), justify=justify, overflow="fold", no_wrap=short)
    for row in listed:
        table.add_row(*(_cell(value) for value in row.values()))
    return table


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return (
        f"{value:.1f}"
        if isinstance(value, float)
        else str(value).split(".")[0]
        if hasattr(value, "tzinfo")
        else str(value)
    )
