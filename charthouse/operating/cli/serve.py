"""`charthouse serve`: the REST API as a server of its own."""

from __future__ import annotations

from typing import Annotated

import typer


def serve(
    host: Annotated[str, typer.Option(help="The address to listen at.")] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="The port; otherwise that of the settings, or a free one.")
    ] = None,
) -> None:
    """The REST API by itself, at /charthouse/v1, until Ctrl-C. Airflow's web server has it too, at the same path."""
    from charthouse.operating.serve import serve as run
    from charthouse.operating.terminal import stop_as_by_ctrl_c

    stop_as_by_ctrl_c()
    run(host, port)
