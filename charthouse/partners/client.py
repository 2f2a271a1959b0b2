"""What we are to a provider's authorization server: our client id there, and how we prove that it is ours."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, Protocol

ClientAuth = Literal["none", "client_secret_basic", "client_secret_post", "private_key_jwt"]


class Signer(Protocol):
    """Makes a client assertion (RFC 7523) for a token endpoint whose clock is `ahead` of ours."""

    def __call__(self, token_endpoint: str, *, ahead: timedelta = timedelta(0)) -> str: ...


@dataclass(frozen=True, slots=True)
class Client:
    """A client registration, opened. Its repr shows no secret.

    `signer` is there with `private_key_jwt` alone, as `secret` is with the two `client_secret` ways.
    """

    client_id: str
    auth: ClientAuth = "none"
    secret: str | None = field(default=None, repr=False)
    signer: Signer | None = field(default=None, repr=False)
