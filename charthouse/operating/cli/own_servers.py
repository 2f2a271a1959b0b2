"""What commands take that speak to a FHIR server of the operator's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from charthouse.operating.own_server import OwnServer

PatientsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--patients",
        metavar="ID,ID|@FILE|all",
        help="Whose records: ids, a file of ids (@- is standard input), or all that the server lists.",
    ),
]
TokenFile = Annotated[
    str | None,
    typer.Option("--token-file", metavar="FILE", help="A file with an access token; - reads standard input."),
]


def given(url: str, patients: list[str] | None, token_file: str | None) -> OwnServer:
    """The server as it was given."""
    from charthouse.operating.own_server import OwnServer

    return OwnServer(url, tuple(patients or ()), token_file)
