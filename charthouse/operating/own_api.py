"""The REST API on loopback, for as long as the sandbox's apps, pages and messages need it in an embedded night."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvicorn

from charthouse.api import MOUNT
from charthouse.api.app import make_server_app
from charthouse.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def serving() -> Iterator[str]:
    """The REST API on a free port of loopback, in a thread of this process. Gives its address, up to the version.

    Whoever is sent back to us comes here, whatever the operator's own public address is: nobody listens there tonight.
    """
    listening = socket.create_server(("127.0.0.1", 0))
    at = f"http://127.0.0.1:{listening.getsockname()[1]}"
    app = make_server_app(get_settings().model_copy(update={"public_url": at}))
    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=20)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        yield at + MOUNT
    finally:
        server.should_exit = True
        thread.join(30)
        listening.close()
