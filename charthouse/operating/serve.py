"""`charthouse serve`: the REST API as a server of its own, until Ctrl-C."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import typer
import uvicorn

from charthouse.api import MOUNT
from charthouse.api.app import make_server_app
from charthouse.errors import SetupError
from charthouse.log import log_file
from charthouse.settings import get_settings
from charthouse.state import session

if TYPE_CHECKING:
    from charthouse.settings import Settings


def serve(host: str, port: int | None) -> None:
    """Listen, say where, and answer until Ctrl-C or SIGTERM.

    Where `public_url` is not set, it is the address listened at: enough to try it on one machine.

    Raises:
        SetupError: CH004 when the port is in use.
        StateError: CH603, CH609 when the home is not ready.
    """
    settings = get_settings()
    with session(settings, read_only=True):
        pass  # a home that is not ready is told now, not to the first caller
    listening = _listen(host, settings.api_port or 0 if port is None else port)
    at = _address(listening)
    settings = _with_public_url(settings, at)
    app = make_server_app(settings)
    typer.echo(f"REST API:  {at}{MOUNT}")
    typer.echo(f"Document:  {at}{MOUNT}/openapi.json")
    if settings.public_url != at:
        typer.echo(f"Browsers:  {settings.public_url}{MOUNT}")
    typer.echo(f"Log:       {log_file(settings) or 'the error output'}")
    typer.echo("A token for trying: charthouse tokens issue --operator. Ctrl-C stops it.")
    config = uvicorn.Config(
        app,
        log_config=None,  # our own log, which keeps addresses with secrets out
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.api_proxies),
        forwarded_allow_ips=settings.api_proxies or None,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=20,
        h11_max_incomplete_event_size=32_768,
        lifespan="off",
    )
    uvicorn.Server(config).run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(128)
    except OSError as error:
        raise SetupError("CH004", where=f"{host}:{port}", what=error.strerror or "") from None
    return listening


def _address(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104  # said, not listened at
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _with_public_url(settings: Settings, at: str) -> Settings:
    return settings if settings.public_url else settings.model_copy(update={"public_url": at})
