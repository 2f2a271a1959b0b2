"""A real HTTP server in a thread whose every answer a test decides, and a small FHIR server built on it."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urlsplit

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Mapping


@dataclass(frozen=True)
class Asked:
    """A request as the server saw it."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes = b""

    def one(self, name: str) -> str | None:
        """The first value of a query parameter."""
        return self.query.get(name, [None])[0]

    @property
    def form(self) -> dict[str, str]:
        """The body of a form."""
        return {name: values[0] for name, values in parse_qs(self.body.decode()).items()}


@dataclass(frozen=True)
class Reply:
    """What to answer. `cut` sends that many bytes and hangs up; `drip` sends a byte each so many seconds.

    `raw` is sent piece by piece in place of an HTTP answer, `drip` seconds apart, and then the line is cut.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None
    drip: float = 0.0
    raw: Iterable[bytes] | None = None


def as_json(content: Any, status: int = 200, **headers: str) -> Reply:
    """A JSON answer."""
    named = {"Content-Type": "application/fhir+json"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    return Reply(status, json.dumps(content).encode(), named)


def packed(reply: Reply) -> Reply:
    """The same as one gzip member."""
    return Reply(reply.status, gzip.compress(reply.body), {**reply.headers, "Content-Encoding": "gzip"})


class OddServer:
    """Listens on a free port of loopback for as long as the `with` block lasts."""

    def __init__(self, answer: Callable[[Asked], Reply], tls: ssl.SSLContext | None = None) -> None:
        self.answer = answer
        self.asked: list[Asked] = []
        self.connections = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1

            def setup(self) -> None:
                super().setup()
                outer.connections += 1

            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                outer._serve(self)

        for verb in ("POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"):
            setattr(Handler, f"do_{verb}", Handler.do_GET)

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> OddServer:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        length = int(handler.headers.get("Content-Length") or 0)
        asked = Asked(
            handler.command, parts.path, parse_qs(parts.query), dict(handler.headers), handler.rfile.read(length)
        )
        self.asked.append(asked)
        reply = self.answer(asked)
        if reply.raw is not None:
            self._send_raw(handler, reply.raw, reply.drip)
            return
        handler.send_response(reply.status)
        for name, value in reply.headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(reply.body)))
        handler.end_headers()
        if reply.drip:
            for byte in reply.body:
                handler.wfile.write(bytes([byte]))
                handler.wfile.flush()
                time.sleep(reply.drip)
        elif reply.cut is not None:
            handler.wfile.write(reply.body[: reply.cut])
            handler.wfile.flush()
            handler.connection.shutdown(socket.SHUT_RDWR)
            handler.close_connection = True
        else:
            handler.wfile.write(reply.body)
            handler.wfile.flush()

    @staticmethod
    def _send_raw(handler: BaseHTTPRequestHandler, pieces: Iterable[bytes], pause: float) -> None:
        handler.close_connection = True
        for piece in pieces:
            try:
                handler.connection.sendall(piece)
            except OSError:
                return
            time.sleep(pause)


class FhirServer(OddServer):
    """Serves resources by type with search, paging and read. `rules` are asked first: a Reply, or None to go on.

    `pages` is the most entries of a page; `offers` says for each type what /metadata declares (None: everything that
    the compartment needs).
    """

    def __init__(self, resources: Iterable[dict[str, Any]], *, page: int = 2) -> None:
        super().__init__(self._route)
        self.resources = list(resources)
        self.page = page
        self.token = "good"
        self.rules: list[Callable[[Asked], Reply | None]] = []
        self.offers: dict[str, dict[str, Any]] = {}
        self.base = f"{self.url}/fhir"

    def rule(self, answer: Callable[[Asked], Reply | None]) -> None:
        """Let this answer first."""
        self.rules.insert(0, answer)

    def searches(self, kind: str) -> list[Asked]:
        """The requests for a type, searches and reads."""
        return [asked for asked in self.asked if asked.path.split("/")[2] == kind]

    def metadata(self) -> dict[str, Any]:
        """Its CapabilityStatement."""
        listed = []
        for kind in sorted({resource["resourceType"] for resource in self.resources} | set(self.offers)):
            offer = {
                "params": ["patient", "_id", "_lastUpdated"],
                "interactions": ["read", "search-type"],
                "includes": [],
            }
            offer |= self.offers.get(kind, {})
            listed.append(
                {
                    "type": kind,
                    "interaction": [{"code": code} for code in offer["interactions"]],
                    "searchParam": [{"name": name, "type": "token"} for name in offer["params"]],
                    "searchInclude": offer["includes"],
                }
            )
        rest = [{"mode": "server", "resource": listed}]
        return {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": rest}

    def _route(self, asked: Asked) -> Reply:
        for rule in list(self.rules):
            reply = rule(asked)
            if reply is not None:
                return reply
        words = asked.path.strip("/").split("/")[1:]
        if words == ["metadata"]:
            return as_json(self.metadata())
        if asked.headers.get("Authorization") != f"Bearer {self.token}":
            return as_json({"resourceType": "OperationOutcome", "issue": []}, 401)
        if len(words) == 2:
            found = [r for r in self.resources if r["resourceType"] == words[0] and r.get("id") == words[1]]
            return as_json(found[0]) if found else as_json({"resourceType": "OperationOutcome"}, 404)
        return self._search(words[0], asked)

    def _search(self, kind: str, asked: Asked) -> Reply:
        found = [resource for resource in self.resources if resource["resourceType"] == kind]
        if ids := asked.one("_id"):
            found = [resource for resource in found if resource.get("id") in ids.split(",")]
        if category := asked.one("category"):
            found = [resource for resource in found if category in json.dumps(resource.get("category"))]
        if since := asked.one("_lastUpdated"):
            assert since.startswith("ge")
            found = [resource for resource in found if resource.get("meta", {}).get("lastUpdated", "9") >= since[2:]]
        start = int(asked.one("start") or 0)
        size = min(self.page, int(asked.one("_count") or self.page))
        bundle: dict[str, Any] = {
            "resourceType": "Bundle",
            "type": "searchset",
            "total": len(found),
            "entry": [
                {"fullUrl": f"{self.base}/{kind}/{item.get('id')}", "resource": item, "search": {"mode": "match"}}
                for item in found[start : start + size]
            ],
        }
        if start + size < len(found):
            more = {name: values[0] for name, values in asked.query.items()} | {"start": str(start + size)}
            bundle["link"] = [{"relation": "next", "url": f"{self.base}/{kind}?{urlencode(more)}"}]
        return packed(as_json(bundle)) if "gzip" in asked.headers.get("Accept-Encoding", "") else as_json(bundle)
