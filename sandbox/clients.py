"""The apps that a provider knows, and how they prove who they are at the token endpoint (RFC 6749 §2.3, RFC 7523 §2.2).

While none is registered, any public client may come. Members are named as in RFC 7591 (dynamic registration).
"""

from __future__ import annotations

import base64
import binascii
import hmac
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote_plus

import msgspec

from sandbox.assertions import TYPE as ASSERTION_TYPE
from sandbox.assertions import Assertions, issuer_of
from sandbox.oauth_error import OAuthError
from sandbox.profiles import AuthMethod

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.profiles import Profile

_SECRET_METHODS: Final = ("client_secret_basic", "client_secret_post")


class Client(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True, omit_defaults=True):
    """A registered app. With a secret and no method it may use Basic or the form; `provider` limits it to one."""

    client_id: str
    client_name: str = ""
    redirect_uris: tuple[str, ...] = ()
    token_endpoint_auth_method: AuthMethod | None = None
    client_secret: str | None = None
    jwks: dict[str, Any] | None = None
    jwks_uri: str | None = None
    persistent_access: bool = True
    provider: str | None = None

    def __post_init__(self) -> None:
        """Hold the registration together: the method and what it needs."""
        if not self.client_id:
            raise ValueError("client_id is empty")
        if self.token_endpoint_auth_method in _SECRET_METHODS and not self.client_secret:
            raise ValueError("client_secret is missing")
        if self.token_endpoint_auth_method == "private_key_jwt" and not (  # noqa: S105
            self.jwks or self.jwks_uri
        ):
            raise ValueError("jwks or jwks_uri is missing")

    @property
    def methods(self) -> tuple[AuthMethod, ...]:
        """How it may authenticate."""
        if self.token_endpoint_auth_method:
            return (self.token_endpoint_auth_method,)
        if self.jwks or self.jwks_uri:
            return ("private_key_jwt",)
        return ("client_secret_basic", "client_secret_post") if self.client_secret else ("none",)

    @property
    def confidential(self) -> bool:
        """Whether it has credentials (RFC 6749 §2.1)."""
        return self.methods != ("none",)


class ClientsError(Exception):
    """A registration that cannot be understood. The text is one sentence."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who speaks to the token endpoint. Without `client` it is a stranger of whom only the name is known, if that."""

    client_id: str | None
    client: Client | None = None

    @property
    def confidential(self) -> bool:
        """Whether it has proved who it is."""
        return self.client is not None and self.client.confidential


def read_clients(body: bytes) -> list[Client]:
    """Read one registration or a list of them, as JSON.

    Raises:
        ClientsError: the JSON is none.
    """
    try:
        found = msgspec.json.decode(body, type=Client | list[Client])
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise ClientsError(f"this is no registration of a client: {error}") from None
    return found if isinstance(found, list) else [found]


class Clients:
    """The register of one provider."""

    def __init__(self, provider: str) -> None:
        self.provider = provider
        self._lock = threading.Lock()
        self._known: dict[str, Client] = {}
        self._assertions = Assertions()

    def register(self, clients: list[Client]) -> None:
        """Add clients, in place of those of the same id."""
        with self._lock:
            self._known |= {client.client_id: client for client in clients if client.provider in (None, self.provider)}

    def forget(self) -> None:
        """Forget all clients; then any public client may come again."""
        with self._lock:
            self._known.clear()

    def listed(self) -> list[dict[str, Any]]:
        """The clients, without their secrets."""
        with self._lock:
            known = list(self._known.values())
        shown: list[dict[str, Any]] = [msgspec.to_builtins(client) for client in known]
        for one in shown:
            one.pop("client_secret", None)
        return shown

    def at_authorization(self, client_id: str, redirect_uri: str) -> Client | None:
        """The client of an authorization request; None for a stranger where strangers may come.

        Raises:
            OAuthError: it is not registered, or not with this redirect URI, which must be the same to the letter
                (RFC 9700 §2.1); the browser must not be sent there.
        """
        if not self._known:
            return None
        client = self._known.get(client_id)
        if client is None:
            raise OAuthError("invalid_client", "this app is not registered here")
        if redirect_uri not in client.redirect_uris:
            raise OAuthError("invalid_request", "redirect_uri is not one that this app has registered")
        return client

    def authenticate(
        self, form: Mapping[str, str], authorization: str, endpoint: str, profile: Profile, now: float
    ) -> Caller:
        """Who asks, by one of the methods of RFC 6749 §2.3 and RFC 7523 §2.2; `endpoint` is the audience of a JWT.

        Raises:
            OAuthError: `invalid_client`, or `invalid_request` for two methods at once.
        """
        method, client_id, proof = _presented(form, authorization)
        if not self._known:
            return Caller(client_id)
        client = self._known.get(client_id or "")
        if client is None:
            raise refused("the client is not known")
        if method not in client.methods or method not in profile.auth_methods:
            raise refused("the client may not authenticate in this way")
        if method in _SECRET_METHODS:
            if not hmac.compare_digest(proof.encode(), (client.client_secret or "").encode()):
                raise refused("the client's secret is another")
        elif method == "private_key_jwt":
            self._assertions.check(proof, client.client_id, client.jwks, client.jwks_uri, endpoint, now)
        return Caller(client.client_id, client)


def refused(description: str) -> OAuthError:
    """`invalid_client`, 401 (RFC 6749 §5.2)."""
    return OAuthError("invalid_client", description, status=401)


def _presented(form: Mapping[str, str], authorization: str) -> tuple[AuthMethod, str | None, str]:
    """The method that a request uses, the client it names, and its proof."""
    scheme, _, said = authorization.partition(" ")
    used: list[tuple[AuthMethod, str | None, str]] = []
    if scheme.lower() == "basic":
        try:
            name, _, secret = base64.b64decode(said.strip(), validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise refused("the Authorization header cannot be read") from None
        # Both parts are form-encoded before they are joined (RFC 6749 §2.3.1).
        used.append(("client_secret_basic", unquote_plus(name), unquote_plus(secret)))
    if "client_secret" in form:
        used.append(("client_secret_post", form.get("client_id"), form["client_secret"]))
    if "client_assertion" in form:
        if form.get("client_assertion_type") != ASSERTION_TYPE:
            raise OAuthError("invalid_request", "client_assertion_type is not that of a JWT")
        used.append(("private_key_jwt", issuer_of(form["client_assertion"]), form["client_assertion"]))
    if len(used) > 1:
        raise OAuthError("invalid_request", "a client authenticates in one way")
    if not used:
        return "none", form.get("client_id"), ""
    if form.get("client_id") not in (None, used[0][1]):
        raise refused("client_id names another client than the credentials do")
    return used[0]
