"""Documents that we sign (receipts, manifests of exports): JSON Web Signatures with Ed25519 (RFC 7515, RFC 9864).

Whoever has our public key set can check them, without asking us and without a secret.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from charthouse.errors import PrivacyError
from charthouse.linking import signing_keys

if TYPE_CHECKING:
    from collections.abc import Mapping

    from charthouse.settings import Settings

ALGORITHM = "Ed25519"


def sign(document: Mapping[str, Any], *, settings: Settings | None = None) -> str:
    """A document as a signed one: a compact JWS whose payload is its JSON.

    Raises:
        SetupError: CH006 when our key cannot be opened.
    """
    kid, key = signing_keys.current("receipt", settings=settings)
    header = {"alg": ALGORITHM, "kid": kid, "typ": "JOSE"}
    payload = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    return jws.serialize_compact(header, payload, key, algorithms=[ALGORITHM])


def verify(signed: str, jwks: Mapping[str, Any]) -> dict[str, Any]:
    """What a signed document says, if one of these public keys signed it.

    Raises:
        PrivacyError: CH904 when it does not hold.
    """
    try:
        found = jws.deserialize_compact(signed, KeySet.import_key_set({"keys": list(jwks["keys"])}), [ALGORITHM])
        said = json.loads(found.payload)
    except (JoseError, ValueError, KeyError, TypeError) as error:
        raise PrivacyError("CH904", what=type(error).__name__) from None
    if not isinstance(said, dict):
        raise PrivacyError("CH904", what="it is no JSON object")
    return said


def public_keys(settings: Settings | None = None) -> dict[str, list[dict[str, Any]]]:
    """Our public key set: what `verify` needs."""
    return signing_keys.public_jwks("receipt", settings=settings)
