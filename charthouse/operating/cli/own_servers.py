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
KeyFile = Annotated[
    str | None,
    typer.Option("--key-file", metavar="FILE", help="A private key (JWK, JWK set, PEM) for SMART Backend Services."),
]
ClientId = Annotated[
    str | None, typer.Option("--client-id", help="With --key-file: the client id by which the server knows us.")
]


def given(
    url: str, patients: list[str] | None, token_file: str | None, key_file: str | None, client_id: str | None
) -> OwnServer:
    """The server as it was given."""
    from charthouse.operating.own_server import OwnServer

    if token_file and key_file:
        raise typer.BadParameter("a token, or a key that gets one: not both")
    if client_id and not key_file:
        raise typer.BadParameter("--client-id goes with --key-file")
    return OwnServer(url, tuple(patients or ()), token_file, key_file, client_id)
