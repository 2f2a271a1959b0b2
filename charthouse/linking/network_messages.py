"""Messages of partners: their signature held, their instant in the window, each taken once, and only of known people.

A message says that something changed, and nothing of what it says is believed further: it makes it the person's turn,
and the next look asks the partner. So messages may come twice, late, and in any order.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from sqlalchemy.exc import IntegrityError

from charthouse.errors import FetchError
from charthouse.linking import searching
from charthouse.linking.network_accounts import network_of
from charthouse.log import get_logger
from charthouse.state import audit
from charthouse.state import session as state_session
from charthouse.state.base import now
from charthouse.state.network import NetworkMessage, NetworkPerson

if TYPE_CHECKING:
    from collections.abc import Mapping

    from charthouse.partners.network import Message
    from charthouse.settings import Settings

log = get_logger(__name__)


ONCE: Final = timedelta(days=1)
"""How long a message of the same id about the same person is the same message."""


def take(partner: str, headers: Mapping[str, str], body: bytes, *, settings: Settings | None = None) -> Message:
    """Take a message of a partner's. One that was taken before changes nothing.

    `headers` have names in lower case.

    Raises:
        LinkError: CH624 for a partner that nobody speaks to.
        FetchError: CH178 for one that is not set up; CH186, CH187, CH188 for what is not its message, or too old; CH189
            for one about nobody who is known here, of which nothing is kept.
    """
    network = network_of(partner, settings)
    try:
        message = network.message(headers, body)
    finally:
        network.close()
    # An id that names a kind of event, as b.well's published example does, comes again: for others, and on other days.
    known_by = "\n".join((partner, message.message_id, message.person_key or ""))
    digest = hashlib.sha256(known_by.encode()).hexdigest()
    with state_session(settings) as state:
        taken = state.get(NetworkMessage, digest, with_for_update=True)
        if taken is not None and taken.received_at > now() - ONCE:
            return message
        person = None if message.person_key is None else state.get(NetworkPerson, message.person_key)
        if person is None or person.partner != partner:
            raise FetchError("CH189", where=f"partner {partner}")
        try:
            with state.begin_nested():
                state.merge(NetworkMessage(digest=digest, partner=partner, event=message.event, received_at=now()))
        except IntegrityError:  # the same message, twice at once
            return message
        searching.look_soon(state, person.person_key)
        audit.record(state, "partner", "network.message", "person", person.person_key, {"event": _word(message.event)})
    log.info("a partner's message was taken", partner=partner)
    return message


def _word(event: str) -> str:
    """An event as it may stand in the trail: a word, or none."""
    return event if event.isascii() and event.replace("-", "").replace(".", "").isalnum() else "other"
