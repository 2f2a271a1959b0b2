"""A provider whose habits and clock a test can change, and apps with credentials."""

from __future__ import annotations

import secrets
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import orjson
from joserfc import jwk, jwt

from tests.sandbox.app import ALL, REDIRECT, App, redirected

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import requests

ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@dataclass
class Vendor(App):
    """An app at a provider that it can also operate."""

    clock: Path | None = None

    def become(self, name: str = "standard", **fields: Any) -> None:
        """Take on a profile, and read its configuration anew."""
        answer = self.http.post(f"{self.admin}/profile", json={"name": name, **fields}, timeout=10)
        assert answer.status_code == 200, answer.text
        self.smart = self.http.get(f"{self.base}/.well-known/smart-configuration", timeout=10).json()

    def reset(self) -> None:
        """As at the start."""
        self.later(0)
        for what in ("faults", "clients", "requests"):
            self.http.delete(f"{self.admin}/{what}", timeout=10)
        self.client_id = "an-app"
        self.become()

    def later(self, seconds: float) -> None:
        """Set the provider's clock so many seconds ahead of ours."""
        assert self.clock
        self.clock.write_text(str(seconds))

    def register(self, **client: Any) -> None:
        """Register a client, and be it."""
        self.client_id = client["client_id"]
        client = {"redirect_uris": [REDIRECT], **client}
        answer = self.http.post(f"{self.admin}/clients", json=client, timeout=10)
        assert answer.status_code == 200, answer.text

    def act(self, act: str, **which: str) -> int:
        """Do something with grants, as the person or the provider would."""
        return self.http.post(f"{self.admin}/grants", json={"act": act, **which}, timeout=10).json()["grants"]

    def counts(self) -> dict[str, Any]:
        """What the provider counted."""
        return self.http.get(f"{self.admin}/requests", timeout=10).json()

    def exchange(self, patient: str, scope: str = ALL, **more: str) -> requests.Response:
        """Sign in without a page and trade the code."""
        answer, verifier = self.authorize(patient, scope)
        code = redirected(answer)["code"]
        form = {"code": code, "redirect_uri": REDIRECT, "code_verifier": verifier, **more}
        return self.token(grant_type="authorization_code", **form)

    def refresh(self, token: str, **more: str) -> requests.Response:
        """Trade a refresh token."""
        return self.token(grant_type="refresh_token", refresh_token=token, **more)


def error_of(answer: requests.Response) -> tuple[int, str]:
    """The status and OAuth error of a refusal."""
    return answer.status_code, answer.json()["error"]


def new_key(algorithm: str = "RS384", kid: str = "one") -> jwk.RSAKey | jwk.ECKey:
    """A client's private key."""
    if algorithm.startswith("RS"):
        return jwk.RSAKey.generate_key(2048, {"kid": kid}, private=True)
    return jwk.ECKey.generate_key("P-384", {"kid": kid}, private=True)


def key_set(*keys: jwk.RSAKey | jwk.ECKey) -> dict[str, Any]:
    """Their public halves."""
    return {"keys": [dict(key.as_dict(private=False)) for key in keys]}


def assertion(key: jwk.RSAKey | jwk.ECKey, client_id: str, audience: str, **changes: Any) -> dict[str, str]:
    """The form fields of private_key_jwt; a change to None leaves the claim out."""
    algorithm = changes.pop("alg", "RS384" if key.key_type == "RSA" else "ES384")
    claims = {
        "iss": client_id,
        "sub": client_id,
        "aud": audience,
        "exp": int(time.time()) + 240,
        "jti": secrets.token_hex(16),
    }
    claims = {name: value for name, value in (claims | changes).items() if value is not None}
    header = {"alg": algorithm, "kid": key.kid, "typ": "JWT"}
    signed = jwt.encode(header, claims, key, algorithms=[algorithm])
    return {"client_assertion_type": ASSERTION, "client_assertion": signed}


@contextmanager
def publishing(document: dict[str, Any]) -> Iterator[str]:
    """A web server with one JSON document, which may change while it runs. Yields its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = orjson.dumps(document)
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/document"
    finally:
        server.shutdown()
        server.server_close()
