"""A callback on this machine: one small web server that takes a provider's answer and shows a plain page."""

from __future__ import annotations

import html
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlsplit

from charthouse.errors import CATALOGUE, CharthouseError, SetupError
from charthouse.linking.sign_in import finish_sign_in

if TYPE_CHECKING:
    from types import TracebackType

    from charthouse.linking.sign_in import Finished

PATH: Final = "/callback"
HEADERS: Final = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
MOST_LINE: Final = 32_768
"""Most characters of a request's path: an answer is far shorter."""
TRY_AGAIN: Final = "CH642"


class Callback:
    """Listens on loopback while the block lasts. `session` is the session that the sign-in was bound to.

    Raises:
        SetupError: CH004 when the port is in use.
    """

    def __init__(self, session: str, port: int = 0) -> None:
        self._session = session
        self._finished: Finished | None = None
        self._done = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 10  # seconds for a request to come whole

            def log_message(self, *_: object) -> None:
                """Nothing: the address holds a code."""

            def version_string(self) -> str:
                return "charthouse"

            def do_GET(self) -> None:
                outer._answer(self)

        class Server(ThreadingHTTPServer):
            daemon_threads = False  # an answer that is being written is written to its end

            def handle_error(self, *_: object) -> None:
                """Nothing: a browser that went away is no matter."""

        try:
            self._server = Server(("127.0.0.1", port), Handler)
        except OSError:
            raise SetupError("CH004", where=str(port)) from None
        self.redirect_uri = f"http://127.0.0.1:{self._server.server_address[1]}{PATH}"

    def __enter__(self) -> Callback:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def wait(self, seconds: float) -> Finished | None:
        """What became of the sign-in; None when no answer came in time."""
        self._done.wait(seconds)
        return self._finished

    def _answer(self, handler: Any) -> None:
        host = handler.headers.get("Host", "")
        if len(handler.path) > MOST_LINE or urlsplit(f"//{host}").hostname not in ("127.0.0.1", "localhost"):
            _send(handler, HTTPStatus.BAD_REQUEST, "That is no answer to a sign-in", "")
            return
        parts = urlsplit(handler.path)
        if parts.path != PATH:
            _send(handler, HTTPStatus.NOT_FOUND, "There is nothing here", "")
            return
        pairs = parse_qsl(parts.query, keep_blank_values=True)
        parameters = dict(pairs)
        if len(parameters) != len(pairs):  # RFC 6749 §3.1: no parameter comes twice
            parameters = {}
        try:
            finished = finish_sign_in(parameters, browser=self._session)
        except CharthouseError as error:
            _send(handler, HTTPStatus.BAD_REQUEST, error.entry.title, f"{error.entry.mend} ({error.code})")
            return
        if finished.code is None:
            _send(handler, HTTPStatus.OK, "You are signed in", "You can close this page and go back to the terminal.")
        elif finished.code == TRY_AGAIN:
            entry = CATALOGUE[finished.code]
            _send(handler, HTTPStatus.BAD_GATEWAY, entry.title, "Load this page again in a moment. (CH642)")
            return
        else:
            entry = CATALOGUE[finished.code]
            _send(handler, HTTPStatus.OK, entry.title, f"{entry.mend} ({entry.code})")
        if not self._done.is_set():
            self._finished = finished
            self._done.set()


def _send(handler: Any, status: HTTPStatus, title: str, text: str) -> None:
    title, text = html.escape(title), html.escape(text)
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>body{{font:1.1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:3rem auto;"
        f"padding:0 1rem}}</style></head><body><main><h1>{title}</h1><p>{text}</p></main></body></html>"
    ).encode()
    handler.send_response(status)
    for name, value in HEADERS.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(page)))
    handler.end_headers()
    handler.wfile.write(page)
