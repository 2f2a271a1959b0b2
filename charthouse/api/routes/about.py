"""What anybody may know: whether we are well, and the public keys by which what we sign is verified."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field
from sqlalchemy import text

from charthouse.api.callers import settings_of
from charthouse.api.guard import Open, Probed
from charthouse.api.problems import Problem
from charthouse.linking import signing_keys
from charthouse.state import session

router = APIRouter(route_class=Open, tags=["about"])
_PUBLIC: dict[int | str, dict[str, Any]] = {
    429: {"model": Problem, "description": "Too many requests: see Retry-After."},
    503: {"model": Problem, "description": "Not now: see Retry-After."},
}


class Health(BaseModel):
    """Well, if it answers at all."""

    status: str = Field(examples=["ok"])


class KeySet(BaseModel):
    """A JWK set (RFC 7517): public keys alone."""

    keys: list[dict[str, Any]]


probes = APIRouter(route_class=Probed, tags=["about"])


@probes.get("/health", operation_id="getHealth", summary="Whether the API can answer", responses=_PUBLIC)
def health(request: Request) -> Health:
    """Asks the state database; 503 where it does not answer."""
    with session(settings_of(request), read_only=True) as state:
        state.execute(text("SELECT 1"))
    return Health(status="ok")


@router.get("/jwks.json", operation_id="getKeys", summary="Our public keys as a client of providers", responses=_PUBLIC)
def keys(request: Request, response: Response) -> KeySet:
    """What a provider verifies our `private_key_jwt` assertions with. A new key is here before it signs."""
    response.headers["Cache-Control"] = "public, max-age=300"
    return KeySet(keys=list(signing_keys.public_jwks("client_assertion", settings=settings_of(request))["keys"]))


@router.get(
    "/receipts.jwks.json",
    operation_id="getReceiptKeys",
    summary="Our public keys that sign receipts, exports and backups",
    responses=_PUBLIC,
)
def receipt_keys(request: Request, response: Response) -> KeySet:
    """What `charthouse verify --keys` takes. They stay for good: keep them with what they signed."""
    response.headers["Cache-Control"] = "public, max-age=300"
    return KeySet(keys=list(signing_keys.public_jwks("receipt", settings=settings_of(request))["keys"]))


@router.get(
    "/identity.jwks.json",
    operation_id="getIdentityKeys",
    summary="Our public keys that sign identity tokens of people",
    responses=_PUBLIC,
)
def identity_keys(request: Request, response: Response) -> KeySet:
    """What a partner network verifies our identity tokens with. A new key is here before it signs."""
    response.headers["Cache-Control"] = "public, max-age=300"
    return KeySet(keys=list(signing_keys.public_jwks("identity_token", settings=settings_of(request))["keys"]))
