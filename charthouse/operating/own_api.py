"""The REST API on loopback, for as long as the sandbox's apps, pages and messages need it in an embedded night."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import uvicorn

from charthouse.api import MOUNT
from charthouse.api.app import make_server_app
from charthouse.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

UNBOUNDED: Final = "1000000/second"


@contextmanager
def serving() -> Iterator[str]:
    """The REST API on a free port of loopback, in a thread of this process. Gives its address, up to the version.

    Whoever is sent back to us comes here, whatever the operator's own public address is: nobody listens there tonight.
    All made-up people come from one address, as fast as they can: it may ask as often as it likes.
    """
    listening = socket.create_server(("127.0.0.1", 0))
    at = f"http://127.0.0.1:{listening.getsockname()[1]}"
    ours = {"public_url": at, "api_limit": UNBOUNDED, "api_page_limit": UNBOUNDED}
    app = make_server_app(get_settings().model_copy(update=ours))
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
