"""A provider whose authorization server follows the standards, and can be told to depart from them at any point."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote_plus, urlsplit

from joserfc import jwk, jws, jwt
from joserfc.errors import JoseError

from tests.partners.odd_server import Asked, OddServer, Reply, as_json

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = jwk.RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256"}, private=True, auto_kid=True)
OTHER_KEY = jwk.RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256"}, private=True, auto_kid=True)
ANN: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "ann-canary",
    "name": [{"family": "Canaryfamily", "given": ["Annacanary"]}],
    "birthDate": "1980-02-29",
}


class OddProvider(OddServer):
    """One person's provider. What it grants and says are attributes; `odd` gives other answers for a path."""

    def __init__(self) -> None:
        super().__init__(self._route)
        self.odd: dict[str, Reply | Callable[[Asked], Reply | None]] = {}
        self.configuration: dict[str, Any] = {
            "issuer": f"{self.url}/as",
            "authorization_endpoint": f"{self.url}/as/authorize",
            "token_endpoint": f"{self.url}/as/token",
            "revocation_endpoint": f"{self.url}/as/revoke",
            "jwks_uri": f"{self.url}/as/jwks",
            "scopes_supported": ["launch/patient", "openid", "fhirUser", "offline_access", "patient/*.rs"],
            "capabilities": ["permission-v2", "sso-openid-connect"],
        }
        self.granted: dict[str, Any] = {"scope": "launch/patient patient/*.rs", "patient": "ann-canary"}
        self.claims: dict[str, Any] = {}
        self.signed_with: Any = KEY
        self.published: list[Any] = [KEY]
        self.algorithm = "RS256"
        self.client: dict[str, str] = {"auth": "none", "id": "charthouse"}
        self.assertion_keys: Any = {"keys": []}
        self.patient: dict[str, Any] | None = dict(ANN)
        self.codes: dict[str, dict[str, str]] = {}
        self.revoked: list[str] = []
        self.spent: list[str] = []

    @property
    def base(self) -> str:
        """Its FHIR base."""
        return f"{self.url}/fhir"

    def agree(self, authorize_url: str, **changes: str | None) -> dict[str, str]:
        """What a person's agreement sends back: the callback's parameters, changed as told (None takes one out)."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(authorize_url).query).items()}
        code = f"canary-code-{len(self.codes)}"
        self.codes[code] = asked
        told: dict[str, str | None] = {"code": code, "state": asked["state"]}
        return {name: value for name, value in (told | changes).items() if value is not None}

    def asked_for_tokens(self) -> int:
        """How many times the token endpoint was asked."""
        return len([asked for asked in self.asked if asked.path == "/as/token"])

    def _route(self, asked: Asked) -> Reply:
        odd = self.odd.get(asked.path)
        reply = odd(asked) if callable(odd) else odd
        if reply is not None:
            return reply
        match asked.path:
            case "/fhir/.well-known/smart-configuration":
                return as_json(self.configuration)
            case "/as/.well-known/openid-configuration":
                return as_json(self.configuration)
            case "/as/jwks":
                return as_json({"keys": [{"kty": "nonsense"}, *(key.as_dict(private=False) for key in self.published)]})
            case "/as/token":
                return self._token(asked)
            case "/as/revoke":
                self.revoked.append(asked.form["token"])
                return Reply(200)
            case "/fhir/metadata":
                rest = [{"mode": "server", "resource": [{"type": "Patient"}, {"type": "Observation"}]}]
                return as_json({"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": rest})
        if asked.path.startswith("/fhir/Patient/"):
            if asked.headers.get("Authorization") != "Bearer canary-access":
                return as_json({}, 401)
            return as_json(self.patient) if self.patient is not None else as_json({}, 403)
        return Reply(404)

    def _token(self, asked: Asked) -> Reply:
        form = asked.form
        if not self._is_the_client(asked):
            return as_json({"error": "invalid_client"}, 401)
        begun = self.codes.get(form.get("code", ""))
        proof = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=").decode()
        fine = begun and form["code"] not in self.spent and begun["redirect_uri"] == form["redirect_uri"]
        if not begun or not fine or begun["code_challenge"] != proof or begun["client_id"] != self.client["id"]:
            return as_json({"error": "invalid_grant", "error_description": "canary"}, 400)
        self.spent.append(form["code"])
        said = {"access_token": "canary-access", "token_type": "Bearer", "expires_in": 3600}
        said |= {"refresh_token": "canary-refresh", **self.granted}
        if self.claims:
            said["id_token"] = self.id_token(begun)
        return as_json({name: value for name, value in said.items() if value is not None})

    def id_token(self, begun: dict[str, str]) -> str:
        """An ID token for a sign-in, with the claims as told; None takes one out."""
        at = int(time.time())
        claims = {"iss": f"{self.url}/as", "sub": "canary-sub", "aud": self.client["id"], "iat": at, "exp": at + 300}
        claims |= {"nonce": begun.get("nonce"), **self.claims}
        claims = {name: value for name, value in claims.items() if value is not None}
        if self.algorithm == "none":
            parts = [b'{"alg":"none"}', json.dumps(claims).encode()]
            return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts) + "."
        header = {"alg": self.algorithm, "kid": getattr(self.signed_with, "kid", None) or "k", "x-odd": "1"}
        registry = jws.JWSRegistry(algorithms=[self.algorithm], strict_check_header=False)
        return jwt.encode(header, claims, self.signed_with, algorithms=[self.algorithm], registry=registry)

    def _is_the_client(self, asked: Asked) -> bool:
        form, wanted = asked.form, self.client
        match wanted["auth"]:
            case "none":
                return form.get("client_id") == wanted["id"]
            case "client_secret_post":
                return (form.get("client_id"), form.get("client_secret")) == (wanted["id"], wanted["secret"])
            case "private_key_jwt":
                if "client_secret" in form or not form.get("client_assertion"):
                    return False
                keys = jwk.KeySet.import_key_set(self.assertion_keys)
                try:
                    said = jwt.decode(form["client_assertion"], keys, algorithms=["RS384", "ES384"])
                except JoseError:
                    return False
                claims = said.claims
                return (
                    claims["iss"] == claims["sub"] == wanted["id"]
                    and claims["aud"] == f"{self.url}/as/token"
                    and 0 < claims["exp"] - time.time() <= 300
                    and bool(said.header["kid"] and claims["jti"])
                )
        scheme, _, sent = asked.headers.get("Authorization", "").partition(" ")
        if scheme != "Basic":
            return False
        words = base64.b64decode(sent).decode().split(":")
        if wanted["auth"] == "client_secret_basic":
            words = [unquote_plus(word) for word in words]
        return words == [wanted["id"], wanted["secret"]]


def sent_back(url: str) -> dict[str, str]:
    """The parameters of an address."""
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
