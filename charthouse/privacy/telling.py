"""The last thing that somebody is told: that it is done. Their contact is gone, but for what the request seals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from charthouse.clock import now
from charthouse.errors import CharthouseError
from charthouse.log import get_logger
from charthouse.notify.channels.apprise_service import Message
from charthouse.notify.channels.carriers import carrier_for
from charthouse.notify.channels.webhook import Call, body_of
from charthouse.notify.mail import compose
from charthouse.notify.outbox import tell
from charthouse.notify.preferences import Preferences
from charthouse.notify.render import Facts, letter, page
from charthouse.notify.secrets import webhook_secrets
from charthouse.privacy.erasers.files import mask_mail
from charthouse.state import session as state_session
from charthouse.state.models import Person

if TYPE_CHECKING:
    from charthouse.privacy.subjects import Subject
    from charthouse.settings import Settings

KIND: Final = "erased"
log = get_logger(__name__)


def told(subject: Subject, settings: Settings) -> bool:
    """Tell a subject's person, and the app, that it is done. Returns whether nothing is left to be told.

    What a killed process tells again carries the same id. Of a link alone, the person is told as usual, if they were
    not erased meanwhile: then that was the last thing they are told.
    """
    if not subject.whole:
        with state_session(settings) as state:
            if state.get(Person, subject.person_key) is None:
                return True
            dedupe = f"{KIND}:{subject.request_id}"
            tell(state, subject.person_key, KIND, link_id=subject.link_ids[0], reason="link_deleted", dedupe=dedupe)
        return True
    wish = Preferences(language=subject.language, time_zone=subject.time_zone)
    facts = Facts(KIND, "", None, {}, now())
    left = []
    ways = [contact for contact in subject.contacts if contact[0] != "push"]
    if settings.webhook_url and ["told", "push"] not in subject.contacts:
        ways.append(["push", ""])
    for channel, address in ways:
        if channel == "told":
            continue
        outcome = _sent(channel, address, facts, wish, subject, settings)
        if outcome == "again":
            left.append([channel, address])
        elif channel == "push":
            subject.contacts.append(["told", "push"])
    subject.contacts = [*left, *(contact for contact in subject.contacts if contact[0] == "told")]
    mask_mail(subject.request_id, subject.needles.hard | subject.needles.names, settings)
    return not left


def _sent(channel: Any, address: str, facts: Facts, wish: Preferences, subject: Subject, settings: Settings) -> str:
    """`sent`, or `again` where the receiver did not take it now; what can never be sent counts as told."""
    if channel == "email" and not (settings.smtp_url and settings.mail_from):
        return "undeliverable"
    secrets: list[str] = []
    if channel == "push":
        with state_session(settings) as state:
            secrets = [secret.text for secret in webhook_secrets(state, settings)]
    try:
        carrier = carrier_for(channel, settings, secrets)
        try:
            outcome = carrier.send(_parcel(channel, address, facts, wish, subject, settings))
        finally:
            carrier.close()
    except CharthouseError as error:
        log.warning("the last notice could not be written", code=error.code, channel=channel)
        return "undeliverable"
    return "again" if outcome.result in ("again", "later") else outcome.result


def _parcel(channel: str, address: str, facts: Facts, wish: Preferences, subject: Subject, settings: Settings) -> Any:
    said = letter(facts, wish, settings, named=False)
    if channel == "push":
        name = subject.request_id
        return Call(
            name, body_of(facts, said, notice_id=name, person_key=subject.person_key, link_id=None, provider=None)
        )
    if channel == "apprise":
        return Message(address, said.title, said.push)
    made = page([facts], wish, settings, leave_url="", digest=False)
    return compose(made, address, subject.request_id, "", settings)
