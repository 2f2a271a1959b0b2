"""A small authorization server over HTTP that does as it is told: rotation, grace, lifetimes, refusals, silence."""

from __future__ import annotations

import json
import threading
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass
class AuthorizationServer:
    """Its grants are named by their first refresh token, `name.0`; a rotation makes `name.1` of it."""

    rotates: bool = True
    grace: bool = True
    lasts: int = 3600
    told: int | None = None
    """`refresh_expires_in` of every answer."""
    introspects: int | None = None
    """Seconds to the end that introspection tells."""
    takes_bearers: bool = True
    """Whether an access token authorizes the question."""
    revokes: bool = True
    revokes_access: bool = True
    error: tuple[int, str] | None = None
    """Refuse everybody like this."""
    ended: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Refuse these grants like this."""
    down: bool = False
    turn: dict[str, int] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    introspected: list[str] = field(default_factory=list)
    revoked: list[str] = field(default_factory=list)
    lost: int = 0
    """So many answers are lost on the way after the token was rotated."""
    on_the_way: Callable[[], None] | None = None
    """What happens between a rotation and its answer."""

    def __enter__(self) -> AuthorizationServer:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                home = f"http://127.0.0.1:{outer.port}"
                said: dict[str, Any] = {
                    "authorization_endpoint": f"{home}/authorize",
                    "token_endpoint": f"{home}/token",
                    "management_endpoint": f"{home}/manage",
                    "capabilities": [],
                }
                if outer.introspects is not None:
                    said["introspection_endpoint"] = f"{home}/introspect"
                if outer.revokes:
                    said["revocation_endpoint"] = f"{home}/revoke"
                self.say(200, said)

            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                form = {name: values[0] for name, values in parse_qs(self.rfile.read(length).decode()).items()}
                if outer.down:
                    self.say(503, {})
                elif self.path == "/token":
                    with outer.lock:
                        status, said = outer.token(form)
                        lost = status == 200 and outer.lost > 0
                        outer.lost -= lost
                    if outer.on_the_way is not None:
                        outer.on_the_way()
                    if lost:
                        self.close_connection = True
                        return
                    self.say(status, said)
                elif self.path == "/introspect" and "Authorization" in self.headers and not outer.takes_bearers:
                    self.say(400, {"error": "invalid_request"})
                elif self.path == "/introspect":
                    outer.introspected.append(form["token"])
                    self.say(200, {"active": True, "exp": outer.now() + (outer.introspects or 0)})
                elif form["token_type_hint"] == "access_token" and not outer.revokes_access:
                    self.say(400, {"error": "unsupported_token_type"})
                else:
                    outer.revoked.append(form["token"])
                    self.say(200, {})

            def say(self, status: int, said: object) -> None:
                body = json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.lock = threading.Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    @property
    def base(self) -> str:
        """Its FHIR base."""
        return f"http://127.0.0.1:{self.port}/fhir"

    @staticmethod
    def now() -> int:
        """The time on the test's clock."""
        from charthouse.clock import now

        return int(now().timestamp())

    def token(self, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """The answer to a refresh."""
        name, _, number = form["refresh_token"].rpartition(".")
        self.asked[name] += 1
        refusal = self.error or self.ended.get(name)
        if refusal is not None:
            return refusal[0], {"error": refusal[1], "error_description": f"canary {name}"}
        turn = self.turn.get(name, 0)
        if int(number) not in ((turn, turn - 1) if self.grace else (turn,)):
            return 400, {"error": "invalid_grant"}
        if self.rotates and int(number) == turn:
            turn += 1
        self.turn[name] = turn
        said: dict[str, Any] = {"access_token": f"access-canary.{name}.{turn}", "token_type": "bearer"}
        said |= {"expires_in": self.lasts, "scope": "patient/*.rs"}
        if self.rotates:
            said["refresh_token"] = f"{name}.{turn}"
        if self.told is not None:
            said["refresh_expires_in"] = self.told
        return 200, said
