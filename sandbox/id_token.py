"""ID tokens: OpenID Connect Core §2, signed with RS256, and SMART's `fhirUser` (SMART App Launch 2.2 §scopes)."""

from __future__ import annotations

import threading
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

import orjson
from joserfc import jwk, jwt

if TYPE_CHECKING:
    from sandbox.store import Store
    from sandbox.tokens import Issued

LIVES_SECONDS: Final = 600
_SETTING: Final = "id_token_key"
_making: Final = threading.Lock()


def id_token(store: Store, issued: Issued, issuer: str, fhir_base: str, now: float) -> str:
    """Who signed in, for the client that asked with `openid`. With the scope `fhirUser` it names their Patient."""
    key = _key(store)
    claims: dict[str, Any] = {
        "iss": issuer,
        "sub": sha256(f"{issuer} {issued.patient}".encode()).hexdigest(),
        "aud": issued.client_id,
        "iat": int(now),
        "exp": int(now) + LIVES_SECONDS,
    }
    if issued.nonce:
        claims["nonce"] = issued.nonce
    if "fhirUser" in issued.scope.split():
        claims["fhirUser"] = f"{fhir_base}/Patient/{issued.patient}"
    return jwt.encode({"alg": "RS256", "kid": key.kid}, claims, key, algorithms=["RS256"])


def key_set(store: Store) -> dict[str, Any]:
    """The public keys (RFC 7517 §5), which `jwks_uri` leads to."""
    return {"keys": [_key(store).as_dict(private=False)]}


def _key(store: Store) -> jwk.RSAKey:
    """The provider's key, made at its first use and kept in the store."""
    with _making:
        held = store.setting(_SETTING)
        if held is None:
            made = jwk.RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256"}, private=True, auto_kid=True)
            held = orjson.dumps(made.as_dict(private=True)).decode()
            store.set(_SETTING, held)
    return _read(held)


@lru_cache(maxsize=64)
def _read(text: str) -> jwk.RSAKey:
    """A key from its text; kept, because checking that its numbers are primes takes longer than everything else."""
    return jwk.RSAKey.import_key(orjson.loads(text))
