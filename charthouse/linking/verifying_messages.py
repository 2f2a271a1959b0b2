"""Messages of verifiers: signed, lately, each taken once, and only about sessions of ours.

A message says that something changed, and nothing of what it says is believed further: the verifier is asked. So they
may come twice, late, and in any order.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from charthouse.errors import FetchError
from charthouse.linking.verifiers import client_of
from charthouse.log import get_logger
from charthouse.state import audit
from charthouse.state import session as state_session
from charthouse.state.base import now
from charthouse.state.identity import IdentityMessage, IdentitySession

if TYPE_CHECKING:
    from collections.abc import Mapping

    from charthouse.settings import Settings

log = get_logger(__name__)


def take(verifier: str, headers: Mapping[str, str], body: bytes, *, settings: Settings | None = None) -> str | None:
    """Take a message of a verifier's. Returns the id of the verification to look at; None if it was taken before.

    `headers` have names in lower case.

    Raises:
        LinkError: CH674 for a verifier that is not set up.
        FetchError: CH186, CH187, CH188 for what is not its message, or too old; CH189 for one about a session that is
            not known here, of which nothing is kept.
    """
    client = client_of(verifier, settings)
    try:
        message = client.message(headers, body)
    finally:
        client.close()
    digest = hashlib.sha256(f"{verifier}\n{message.message_id}".encode()).hexdigest()
    with state_session(settings) as state:
        if state.get(IdentityMessage, digest) is not None:
            return None
        row = state.scalars(
            select(IdentitySession).where(
                IdentitySession.verifier == verifier, IdentitySession.session_id == message.session_id
            )
        ).first()
        if row is None:
            raise FetchError("CH189", where=f"verifier {verifier}")
        try:
            with state.begin_nested():
                state.add(IdentityMessage(digest=digest, verifier=verifier, event=message.event))
        except IntegrityError:  # the same message, twice at once
            return None
        row.next_look_at = now()  # should this process end before it has looked
        audit.record(state, "partner", "identity.message", "person", row.person_key, {"event": message.event})
        verification_id = row.id
    log.info("a verifier's message was taken", verifier=verifier)
    return verification_id
