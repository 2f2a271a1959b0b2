"""Who may be read: people with Premium who consented to personalisation. Asked in the state at every read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from charthouse.errors import CoachError
from charthouse.linking import consents
from charthouse.state import audit
from charthouse.state.models import Person

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from charthouse.state.models import Actor

PERSONALISATION: Final = consents.PERSONALISATION


def may_be_read(state: Session, person_key: str) -> bool:
    """Whether a person's records may be used for the coach now."""
    person = state.get(Person, person_key)
    return person is not None and person.premium and consents.in_force(state, person_key, PERSONALISATION)


def admit(state: Session, person_key: str, function: str, *, actor: Actor, through: str) -> None:
    """Let a read pass, and note it in the audit trail: which function, through what, and nothing that was asked.

    Raises:
        CoachError: CH680 when the person has no Premium, or has not consented; CH680 alike for nobody.
    """
    if not may_be_read(state, person_key):
        raise CoachError("CH680")
    audit.record(state, actor, "coach.read", "person", person_key, {"function": function, "through": through})
