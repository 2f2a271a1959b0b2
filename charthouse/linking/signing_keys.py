"""Key pairs of ours, sealed: they sign client assertions, service tokens of our REST API, receipts, identity tokens.

Public halves are published as a JWK set (RFC 7517). A new pair is published before it signs, and an old one after it
has signed last: those who verify keep the set for a while.
"""

from __future__ import annotations

import json
import secrets
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from joserfc.jwk import ECKey, OKPKey, RSAKey
from sqlalchemy import or_, select

from charthouse.errors import LinkError
from charthouse.partners import client_auth
from charthouse.state import audit
from charthouse.state import session as state_session
from charthouse.state.base import now
from charthouse.state.linking import SigningKey
from charthouse.state.locks import exclusive
from charthouse.state.seals import sealer_of

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session

    from charthouse.partners.client import Signer
    from charthouse.settings import Settings
    from charthouse.state.linking import KeyPurpose

    Private = ECKey | OKPKey | RSAKey

ALGORITHMS: Final[dict[str, tuple[str, ...]]] = {
    "client_assertion": ("ES384", "RS384"),
    "service_token": ("ES256",),
    "receipt": ("Ed25519",),
    "identity_token": ("RS256",),
}
"""What each purpose signs with, the first where nobody asks for another. SMART App Launch 2.2 (client authentication:
asymmetric) has servers know RS384 or ES384, so there is a pair of each; OpenID Connect has everybody know RS256."""
AHEAD: Final = {
    "client_assertion": timedelta(days=1),
    "service_token": timedelta(0),
    "receipt": timedelta(0),
    "identity_token": timedelta(days=1),
}
"""How long a new pair is published before it signs: providers may keep our set for a day; our own API keeps none."""
AFTER: Final = {
    "client_assertion": timedelta(days=1),
    "service_token": timedelta(hours=1),
    "receipt": timedelta(days=36_500),
    "identity_token": timedelta(days=1),
}
"""How long an old pair stays published after it has signed last. What it signs lives for minutes, receipts for good."""
_RSA_BITS: Final = 3072
_CURVES: Final = {"ES256": "P-256", "ES384": "P-384"}


def current(
    purpose: KeyPurpose, *, algorithm: str | None = None, settings: Settings | None = None
) -> tuple[str, Private]:
    """The pair that signs now, with its id; made where there is none yet.

    Raises:
        LinkError: CH645 for an algorithm that the purpose does not know.
        SetupError: CH006 when the key does not open it.
    """
    wanted = _algorithm(purpose, algorithm)
    with state_session(settings, read_only=True) as state:
        stored = _signing(state, purpose, wanted)
    if stored is None:
        stored = _first(purpose, wanted, settings)
    return stored.kid, _opened(stored, settings)


def public_jwks(purpose: KeyPurpose, *, settings: Settings | None = None) -> dict[str, list[dict[str, Any]]]:
    """The published halves as a JWK set: of pairs that sign, will sign soon, or have signed lately."""
    for algorithm in ALGORITHMS[purpose]:
        current(purpose, algorithm=algorithm, settings=settings)
    with state_session(settings, read_only=True) as state:
        return {"keys": [dict(stored.public) for stored in _published(state, purpose)]}


def list_keys(purpose: KeyPurpose, *, settings: Settings | None = None) -> list[dict[str, str | datetime | None]]:
    """The published pairs as an operator may see them, oldest first."""
    with state_session(settings, read_only=True) as state:
        return [
            {"kid": key.kid, "algorithm": key.algorithm, "begins_at": key.begins_at, "ends_at": key.ends_at}
            for key in _published(state, purpose)
        ]


def rotate(purpose: KeyPurpose, *, settings: Settings | None = None) -> str:
    """Make new pairs; the old ones sign until those begin, and stay published longer. Returns the first's id."""
    with exclusive(f"signing keys {purpose}", settings):
        at = now()
        begins = at + AHEAD[purpose]
        made = [_made(purpose, algorithm, begins, settings) for algorithm in ALGORITHMS[purpose]]
        with state_session(settings) as state:
            for old in _published(state, purpose):
                old.ends_at = old.ends_at or begins + AFTER[purpose]
            state.add_all(made)
            audit.record(state, "operator", "signing_key.rotated", "signing_key", made[0].kid, {"purpose": purpose})
    return made[0].kid


def assertion_signer(
    session: Session, client_id: str, *, algorithm: str | None = None, settings: Settings | None = None
) -> Signer:
    """What makes client assertions (RFC 7523) for a client of ours: one for each request, for the token URL given.

    `session` reads the pair; a first one is made in a transaction of its own, so none that writes may be open.

    Raises:
        LinkError: CH645 for an algorithm that client assertions do not know.
        SetupError: CH006 when the key does not open the pair.
    """
    wanted = _algorithm("client_assertion", algorithm)
    stored = _signing(session, "client_assertion", wanted) or _first("client_assertion", wanted, settings)
    private = _opened(stored, settings).as_dict(private=True)
    return client_auth.assertion_signer(client_id, private, kid=stored.kid, algorithm=wanted)


def _algorithm(purpose: KeyPurpose, asked: str | None) -> str:
    known = ALGORITHMS[purpose]
    if asked is not None and asked not in known:
        raise LinkError("CH645", where=purpose, what="it signs with " + ", ".join(known))
    return asked or known[0]


def _signing(session: Session, purpose: KeyPurpose, algorithm: str) -> SigningKey | None:
    """The newest pair that has begun and not ended."""
    at = now()
    query = select(SigningKey).where(
        SigningKey.purpose == purpose,
        SigningKey.algorithm == algorithm,
        SigningKey.begins_at <= at,
        or_(SigningKey.ends_at.is_(None), SigningKey.ends_at > at),
    )
    return session.scalars(query.order_by(SigningKey.begins_at.desc(), SigningKey.kid).limit(1)).first()


def _published(session: Session, purpose: KeyPurpose) -> list[SigningKey]:
    query = select(SigningKey).where(
        SigningKey.purpose == purpose, or_(SigningKey.ends_at.is_(None), SigningKey.ends_at > now())
    )
    return list(session.scalars(query.order_by(SigningKey.begins_at, SigningKey.kid)))


def _first(purpose: KeyPurpose, algorithm: str, settings: Settings | None) -> SigningKey:
    """The first pair of a purpose. It signs at once: nobody has kept a set without it."""
    with exclusive(f"signing keys {purpose}", settings):
        with state_session(settings, read_only=True) as state:
            stored = _signing(state, purpose, algorithm)
        if stored is not None:
            return stored
        made = _made(purpose, algorithm, now(), settings)
        with state_session(settings) as state:
            state.add(made)
        return made


def _made(purpose: KeyPurpose, algorithm: str, begins_at: datetime, settings: Settings | None) -> SigningKey:
    kid = secrets.token_urlsafe(16)
    marks = {"kid": kid, "use": "sig", "alg": algorithm, "key_ops": ["verify"]}
    pair: Private
    if algorithm in _CURVES:
        pair = ECKey.generate_key(_CURVES[algorithm], private=True)
    elif algorithm == "Ed25519":
        pair = OKPKey.generate_key("Ed25519", private=True)
    else:
        pair = RSAKey.generate_key(_RSA_BITS, private=True)
    return SigningKey(
        kid=kid,
        purpose=purpose,
        algorithm=algorithm,
        sealed_private=sealer_of(settings).seal(json.dumps(pair.as_dict(private=True)), _owner(kid)),
        public={**pair.as_dict(private=False), **marks},
        begins_at=begins_at,
    )


def _opened(stored: SigningKey, settings: Settings | None) -> Private:
    return _imported(sealer_of(settings).open(stored.sealed_private, _owner(stored.kid)), stored.kid)


@lru_cache(maxsize=16)
def _imported(text: str, kid: str) -> Private:
    """A pair from its JWK. Kept: an RSA key is proven sound when it is read, which takes a tenth of a second."""
    private = json.loads(text)
    private["kid"] = kid
    kinds: dict[str, type[Private]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}
    return kinds[private["kty"]].import_key(private)


def _owner(kid: str) -> str:
    return f"private key {kid}"
