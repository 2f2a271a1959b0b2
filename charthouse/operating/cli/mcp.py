"""`charthouse mcp`: the coach's functions for an assistant on this machine, over standard input and output."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated

import typer


def mcp(
    person: Annotated[str | None, typer.Option(metavar="KEY", help="Read this one person's records.")] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Read those of whom the service token in this file acts for."),
    ] = None,
) -> None:
    """The coach's functions over MCP, for an assistant that starts this command itself.

    Whose records is said once, by an operator's --person or by a service token. The token is read anew at each call:
    write a new one into its file before the old one ends. Standard output is the protocol's; the log is a file.
    """
    from charthouse.operating.stdio import by_token, of_person, speak

    if (person is None) == (token_file is None):
        raise typer.BadParameter("say either --person KEY or --token-file FILE")
    speak(of_person(person) if person is not None else by_token(token_file))  # type: ignore[arg-type]
