"""What we are to a provider's authorization server: our client id there, and how we prove that it is ours."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

ClientAuth = Literal["none", "client_secret_basic", "client_secret_post", "private_key_jwt"]


@dataclass(frozen=True, slots=True)
class Client:
    """A client registration, opened. Its repr shows no secret.

    `signer` makes a client assertion (RFC 7523) for the token endpoint whose address it is given; it is there with
    `private_key_jwt` alone, as `secret` is with the two `client_secret` ways.
    """

    client_id: str
    auth: ClientAuth = "none"
    secret: str | None = field(default=None, repr=False)
    signer: Callable[[str], str] | None = field(default=None, repr=False)
