"""Leaving by the link of a mail, with one click and no sign-in (RFC 8058): what the link says, signed by us.

A link has no end: a mail may be read years later. It works as often as it is used.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from charthouse.errors import NoticeError
from charthouse.notify.secrets import ensure_unsubscribe_key, unsubscribe_keys
from charthouse.state.models import Person
from charthouse.state.notices import CHANNELS, NOTICE_KINDS, Unsubscription

if TYPE_CHECKING:
    from typing import TypeAlias

    from sqlalchemy.orm import Session

    from charthouse.settings import Settings
    from charthouse.state.notices import Channel, NoticeKind

    KindOrAll: TypeAlias = NoticeKind | Literal["all"]

PATH: Final = "/charthouse/v1/unsubscribe/"
"""Where the REST API takes tokens, under `public_url`."""
_MAC: Final = 16
"""Bytes of the signature: half of an HMAC-SHA256, which is what keeps a link short (RFC 2104 §5)."""


@dataclass(frozen=True, slots=True)
class Leaving:
    """What a link is about: `kind` on `channel`, or all kinds."""

    channel: Channel
    kind: KindOrAll

    @property
    def kinds(self) -> tuple[NoticeKind, ...]:
        """The kinds that it names."""
        return NOTICE_KINDS if self.kind == "all" else (self.kind,)


def unsubscribe_token(
    session: Session, person_key: str, channel: Channel, kind: KindOrAll, *, settings: Settings | None = None
) -> str:
    """The token of a link by which this person leaves."""
    return sign(ensure_unsubscribe_key(session, settings), person_key, channel, kind)


def sign(key: bytes, person_key: str, channel: Channel, kind: KindOrAll) -> str:
    """The same with the key at hand."""
    claim = json.dumps([person_key, channel, kind], separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(_mac(key, claim) + claim).rstrip(b"=").decode()


def read_token(session: Session, token: str, *, settings: Settings | None = None) -> Leaving:
    """What a link is about, for the page that asks whether it is meant. Changes nothing.

    Raises:
        NoticeError: CH704 when it is not ours, or not whole.
    """
    return _read(session, token, settings)[1]


def apply_unsubscribe(session: Session, token: str, *, settings: Settings | None = None) -> Leaving:
    """Do what a link says. Once done it is done; for a person who is gone there is nothing left to do.

    Raises:
        NoticeError: CH704 when it is not ours, or not whole.
    """
    person_key, leaving = _read(session, token, settings)
    person = session.get(Person, person_key, with_for_update=True)  # two clicks at once
    for kind in leaving.kinds if person is not None else ():
        if session.get(Unsubscription, (person_key, leaving.channel, kind)) is None:
            session.add(Unsubscription(person_key=person_key, channel=leaving.channel, kind=kind))
    session.flush()
    return leaving


def _read(session: Session, token: str, settings: Settings | None) -> tuple[str, Leaving]:
    try:
        signed = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raise NoticeError("CH704") from None
    mac, claim = signed[:_MAC], signed[_MAC:]
    if not any(hmac.compare_digest(mac, _mac(key, claim)) for key in unsubscribe_keys(session, settings)):
        raise NoticeError("CH704")
    person_key, channel, kind = json.loads(claim)  # ours, as the signature says
    if channel not in CHANNELS or kind not in (*NOTICE_KINDS, "all"):
        raise NoticeError("CH704")
    return person_key, Leaving(channel, kind)


def _mac(key: bytes, claim: bytes) -> bytes:
    return hmac.new(key, claim, hashlib.sha256).digest()[:_MAC]
