"""Where a provider's authorization server is and what it says of itself: SMART App Launch 2.2 §8, read leniently.

Configurations in the field lack fields that the standard requires (b.well's has no `capabilities`), so all but two
addresses may be absent. Without a usable one, what the CapabilityStatement names is taken (the `oauth-uris` extension).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from charthouse.errors import FetchError, StateError
from charthouse.partners.addresses import host_of, join, origin
from charthouse.partners.capability import fetch_capability
from charthouse.partners.http import HttpClient
from charthouse.settings import get_settings

WELL_KNOWN: Final = ".well-known/smart-configuration"
OPENID_WELL_KNOWN: Final = ".well-known/openid-configuration"
_V2: Final = re.compile(r"(?:patient|user|system)/(?:\*|[A-Za-z]+)\.[cruds]+")
_PASSING: Final = frozenset({"CH101", "CH109"})


@dataclass(frozen=True, slots=True)
class AssociatedEndpoint:
    """Another endpoint for which the same authorization server's tokens may serve (SMART App Launch 2.2 §8.2)."""

    url: str
    capabilities: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class SmartConfiguration:
    """A provider's configuration; the fields have the names of the standard, and addresses are absolute."""

    authorization_endpoint: str
    token_endpoint: str
    revocation_endpoint: str | None = None
    introspection_endpoint: str | None = None
    management_endpoint: str | None = None
    scopes_supported: frozenset[str] = frozenset()
    capabilities: frozenset[str] = frozenset()
    issuer: str | None = None
    jwks_uri: str | None = None
    code_challenge_methods_supported: frozenset[str] = frozenset()
    token_endpoint_auth_methods_supported: frozenset[str] = frozenset()
    token_endpoint_auth_signing_alg_values_supported: frozenset[str] = frozenset()
    authorization_response_iss_parameter_supported: bool = False
    prompt_values_supported: frozenset[str] = frozenset()
    user_access_brand_bundle: str | None = None
    associated_endpoints: tuple[AssociatedEndpoint, ...] = ()

    @property
    def knows_v2(self) -> bool:
        """Whether it says that it takes scopes of version 2 (`.rs`): outright, or by listing one."""
        return "permission-v2" in self.capabilities or any(
            _V2.fullmatch(scope.partition("?")[0]) for scope in self.scopes_supported
        )


def discover(base_url: str) -> SmartConfiguration:
    """Find the OAuth endpoints of a FHIR base: its smart-configuration, else what its CapabilityStatement names.

    Raises:
        FetchError: the base cannot be read at all (CH101, CH109, …).
        StateError: CH604 when it names no place to sign in.
    """
    base = base_url.rstrip("/")
    with HttpClient(get_settings()) as client:
        try:
            found = read_configuration(client.get(f"{base}/{WELL_KNOWN}", accept="application/json").body, base)
        except FetchError as error:
            if error.code in _PASSING:
                raise
            found = None
        if found is not None:
            return found
        oauth = fetch_capability(client, base).oauth
    named = {name: _address(base, value) for name, value in oauth.items()}
    authorization, token = named.get("authorize"), named.get("token")
    if authorization is None or token is None:
        raise StateError("CH604", where=host(base), what="it names no address at which a person could sign in")
    return SmartConfiguration(
        authorization_endpoint=authorization,
        token_endpoint=token,
        revocation_endpoint=named.get("revoke"),
        introspection_endpoint=named.get("introspect"),
        management_endpoint=named.get("manage"),
    )


def read_configuration(body: bytes, base_url: str) -> SmartConfiguration | None:
    """A configuration's content; None for one that names no place to sign in. Parts of a wrong type are absent."""
    base = base_url.rstrip("/")
    said = read_object(body)
    if said is None:
        return None

    def address(name: str) -> str | None:
        return _address(base, said.get(name))

    def words(name: str) -> frozenset[str]:
        value = said.get(name)
        if isinstance(value, str):
            value = value.split()  # some write lists as OAuth writes scopes
        return frozenset(word for word in value if isinstance(word, str)) if isinstance(value, list) else frozenset()

    authorization, token = address("authorization_endpoint"), address("token_endpoint")
    if authorization is None or token is None:
        return None
    issuer = said.get("issuer")
    return SmartConfiguration(
        authorization_endpoint=authorization,
        token_endpoint=token,
        revocation_endpoint=address("revocation_endpoint"),
        introspection_endpoint=address("introspection_endpoint"),
        management_endpoint=address("management_endpoint"),
        scopes_supported=words("scopes_supported"),
        capabilities=words("capabilities"),
        issuer=issuer if isinstance(issuer, str) and issuer else None,
        jwks_uri=address("jwks_uri"),
        code_challenge_methods_supported=words("code_challenge_methods_supported"),
        token_endpoint_auth_methods_supported=words("token_endpoint_auth_methods_supported"),
        token_endpoint_auth_signing_alg_values_supported=words("token_endpoint_auth_signing_alg_values_supported"),
        authorization_response_iss_parameter_supported=said.get("authorization_response_iss_parameter_supported")
        is True,
        prompt_values_supported=words("prompt_values_supported"),
        user_access_brand_bundle=address("user_access_brand_bundle"),
        associated_endpoints=_associated(base, said.get("associated_endpoints")),
    )


def read_object(body: bytes) -> dict[str, Any] | None:
    """A JSON object; None for anything else."""
    try:
        said = msgspec.json.decode(body.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


def host(url: str) -> str:
    """`host:port` of an address, as errors name it."""
    home = origin(url)
    return host_of(home) if home else "no URL"


def _associated(base: str, named: object) -> tuple[AssociatedEndpoint, ...]:
    found = []
    for item in named if isinstance(named, list) else ():
        url = _address(base, item.get("url")) if isinstance(item, dict) else None
        if url is not None:
            offered = item.get("capabilities")
            words = [word for word in offered if isinstance(word, str)] if isinstance(offered, list) else []
            found.append(AssociatedEndpoint(url, frozenset(words)))
    return tuple(found)


def _address(base: str, named: object) -> str | None:
    """An endpoint made absolute: relative to the FHIR base, as SMART App Launch §8.2 permits; None for no web address.

    Neither is one that would send secrets in clear text although the base is encrypted.
    """
    target = join(f"{base}/", named) if isinstance(named, str) and named else None
    home, there = origin(base), origin(target) if target else None
    if there is None or (home is not None and home[0] == "https" and there[0] != "https"):
        return None
    return target
