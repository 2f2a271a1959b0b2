"""Counterparties: a receiver of webhooks that verifies them as its makers' library does, and an SMTP server."""

# ruff: noqa: ARG002, N802 - the names and arguments are aiosmtpd's

from __future__ import annotations

import json
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from email import message_from_bytes
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from aiosmtpd.controller import Controller
from standardwebhooks import Webhook, WebhookVerificationError

if TYPE_CHECKING:
    from email.message import EmailMessage


class Receiver:
    """An app's push service. `answer` is what it says next: a status, or a function of the call's number."""

    def __init__(self, secret: str = "") -> None:
        self.secret = secret
        self.calls: list[dict[str, Any]] = []
        self.seen: Counter[str] = Counter()
        self.forged = 0
        self.answer: Any = 204
        self.headers: dict[str, str] = {}
        self.delay = 0.0
        self.body = b""
        self.lock = threading.Lock()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                time.sleep(receiver.delay)
                with receiver.lock:
                    status = receiver.take(body, dict(self.headers.items()))
                self.send_response(status)
                for name, value in receiver.headers.items():
                    self.send_header(name, value)
                if status != 204:
                    self.send_header("content-length", str(len(receiver.body)))
                self.end_headers()
                if status != 204:
                    self.wfile.write(receiver.body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign]  # who called may have been killed
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/push"

    def take(self, body: bytes, headers: dict[str, str]) -> int:
        if self.secret:
            try:
                Webhook(self.secret).verify(body, headers)
            except WebhookVerificationError:
                self.forged += 1
                return 401
        lower = {name.lower(): value for name, value in headers.items()}
        status = self.answer(len(self.calls)) if callable(self.answer) else self.answer
        self.calls.append({"headers": lower, "body": json.loads(body), "raw": body, "status": status})
        if status < 300:
            self.seen[lower["webhook-id"]] += 1
        return int(status)

    @property
    def told(self) -> list[dict[str, Any]]:
        """What was accepted, each message once, as a receiver that knows ids counts it."""
        first: dict[str, dict[str, Any]] = {}
        for call in self.calls:
            if call["status"] < 300:
                first.setdefault(call["headers"]["webhook-id"], call["body"])
        return list(first.values())

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@dataclass
class MailServer:
    """A mail server. `refuse` maps a recipient to the answer that it gets."""

    mails: list[EmailMessage] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    refuse: dict[str, str] = field(default_factory=dict)
    recipients: list[str] = field(default_factory=list)
    logins: list[bytes] = field(default_factory=list)
    connections: int = 0
    drop_after: int = 0
    drop_in_data: bool = False

    async def handle_EHLO(self, server, session, envelope, hostname, responses):
        self.connections += 1
        session.host_name = hostname
        return responses

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address in self.refuse:
            return self.refuse[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        self.recipients += envelope.rcpt_tos
        self.raw.append(envelope.original_content)
        self.mails.append(message_from_bytes(envelope.original_content, policy=default))  # type: ignore[arg-type]
        if self.drop_in_data:
            server.transport.close()
        return "250 taken"

    async def handle_NOOP(self, server, session, envelope, argument):
        if self.drop_after and len(self.mails) % self.drop_after == 0:
            server.transport.close()
        return "250 here"

    def text(self, number: int = -1) -> str:
        part = self.mails[number].get_body(("plain",))
        assert part is not None
        return str(part.get_content())

    def html(self, number: int = -1) -> str:
        part = self.mails[number].get_body(("html",))
        assert part is not None
        return str(part.get_content())


def mail_controller(server: MailServer, **options: Any) -> Controller:
    """A mail server that runs, on a port that was free."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    controller = Controller(server, hostname="127.0.0.1", port=port, **options)
    controller.start()
    return controller
