"""The mail itself: headers that machines read, and two forms of the text (RFC 5322, 2045, 6531, 8058, 3834)."""

from __future__ import annotations

from dataclasses import dataclass, field
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime, parseaddr
from typing import TYPE_CHECKING, Final

from charthouse.clock import now
from charthouse.errors import NoticeError
from charthouse.notify.contacts import mail_address

if TYPE_CHECKING:
    from email_validator import ValidatedEmail

    from charthouse.notify.render import Page
    from charthouse.settings import Settings

_NO_FOLD: Final = 900
"""Longest line of a header. Python folds a long address into encoded words, which nobody could click (RFC 5322 allows
998)."""


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail ready to leave. `international` ones need a server that speaks SMTPUTF8 (RFC 6531)."""

    name: str
    sender: str
    recipient: str = field(repr=False)
    content: bytes = field(repr=False)
    international: bool


def sender_of(settings: Settings) -> Address:
    """Whom mails are from.

    Raises:
        NoticeError: CH720 when the setting holds no address.
    """
    display, address = parseaddr(settings.mail_from)
    try:
        known = mail_address(address, ours=True)
    except NoticeError:
        raise NoticeError("CH720", where="CHARTHOUSE_MAIL_FROM") from None
    return Address(display or settings.service_name, known.ascii_local_part or known.local_part, known.ascii_domain)


def compose(page: Page, recipient: str, delivery_id: str, leave_url: str, settings: Settings) -> Mail:
    """A mail to `recipient`. Its Message-ID is made of the delivery's id, so that a second copy is known as one.

    Raises:
        NoticeError: CH702 for a recipient that is no address, CH720 when the sender is not set.
    """
    sender, to = sender_of(settings), mail_address(recipient)
    international = not (to.local_part.isascii() and sender.username.isascii())
    message = EmailMessage(policy=(SMTPUTF8 if international else SMTP).clone(max_line_length=_NO_FOLD))
    message["From"] = sender
    message["To"] = _without_name(to)
    message["Subject"] = page.subject
    message["Date"] = format_datetime(now())
    message["Message-ID"] = f"<{delivery_id}@{sender.domain}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no vacation notes come back
    message["X-Auto-Response-Suppress"] = "All"
    if leave_url:
        message["List-Unsubscribe"] = f"<{leave_url}>"
    if leave_url.startswith("https://"):  # RFC 8058 §3.1: one-click is https alone
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message.set_content(page.plain, cte="quoted-printable")
    message.add_alternative(page.html, subtype="html", cte="quoted-printable")
    return Mail(delivery_id, sender.addr_spec, envelope_of(to), message.as_bytes(), international)


def envelope_of(to: ValidatedEmail) -> str:
    """An address as it stands in mails: its domain in ASCII (RFC 5891), whatever it was given in."""
    return f"{to.local_part}@{to.ascii_domain}"


def _without_name(to: ValidatedEmail) -> Address:
    return Address("", to.local_part, to.ascii_domain)
