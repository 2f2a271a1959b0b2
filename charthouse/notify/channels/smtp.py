"""Mail by SMTP (RFC 5321): one connection a thread, kept over many mails, encrypted where anybody could listen.

A mail server's answers quote addresses. None of them leaves this module; their codes do.
"""

from __future__ import annotations

import smtplib
import ssl
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from charthouse.errors import NoticeError
from charthouse.notify.channels.outcomes import SENT, Fuse, Outcome
from charthouse.partners.addresses import is_near

if TYPE_CHECKING:
    from charthouse.notify.mail import Mail
    from charthouse.settings import Settings

_PORTS: Final = {"smtp": 587, "smtp+starttls": 587, "smtps": 465}
_MAILS_A_CONNECTION: Final = 100
"""Servers end a connection after so many mails or so; postfix's own limit of recipients is a hundred, too."""


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where mail leaves. `scheme` is smtp, smtp+starttls or smtps."""

    scheme: str
    host: str
    port: int
    user: str = field(repr=False)
    password: str = field(repr=False)

    @property
    def is_near(self) -> bool:
        """Whether it is on this machine, where nobody listens on the way."""
        return is_near(self.host)


def server_of(url: str) -> MailServer:
    """The server that an URL names; user and password percent-encoded.

    Raises:
        NoticeError: CH720 for an URL that names none.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS[parts.scheme]
    except (ValueError, KeyError):
        raise NoticeError("CH720", where="CHARTHOUSE_SMTP_URL") from None
    if not parts.hostname:
        raise NoticeError("CH720", where="CHARTHOUSE_SMTP_URL")
    return MailServer(parts.scheme, parts.hostname, port, unquote(parts.username or ""), unquote(parts.password or ""))


class SmtpChannel:
    """Sends mails to one server. For all threads of a drain; each has a connection of its own."""

    def __init__(self, settings: Settings) -> None:
        self._server = server_of(settings.smtp_url)
        self._timeout = settings.notice_timeout
        self._local = threading.local()
        self._open: set[smtplib.SMTP] = set()
        self.fuse = Fuse()

    def send(self, mail: Mail) -> Outcome:
        """Hand one mail to the server, which then answers for it."""
        if self.fuse.blown:
            return self.fuse.blown
        return self.fuse.note(self._send(mail))

    def close(self) -> None:
        """Say good-bye on all connections."""
        for connection in list(self._open):
            self._drop(connection)

    def _send(self, mail: Mail) -> Outcome:
        try:
            return self._hand_over(self._connection(), mail)
        except (smtplib.SMTPNotSupportedError, smtplib.SMTPAuthenticationError, ssl.SSLError):
            return Outcome("again", "CH718", down=True)
        except smtplib.SMTPResponseException as error:
            # Not about this mail: of the greeting or of EHLO.
            return Outcome("again", "CH718" if error.smtp_code >= 500 else "CH715", down=True)
        except (smtplib.SMTPException, OSError, UnicodeError):
            self._forget()
            return Outcome("again", "CH715", down=True)

    def _hand_over(self, connection: smtplib.SMTP, mail: Mail) -> Outcome:
        options = []
        if mail.international:
            if not connection.has_extn("smtputf8"):
                return Outcome("undeliverable", "CH716")
            options = ["SMTPUTF8", "BODY=8BITMIME"]
        try:
            connection.sendmail(mail.sender, [mail.recipient], mail.content, mail_options=options)
        except smtplib.SMTPServerDisconnected:
            raise
        except smtplib.SMTPRecipientsRefused as error:
            return _refused(next(answer[0] for answer in error.recipients.values()))
        except smtplib.SMTPSenderRefused as error:
            # 530 and 535: it wants a login. Otherwise it does not like who we are, which is the operator's to mend.
            return Outcome("again", "CH717" if error.smtp_code < 500 else "CH718", down=True)
        except smtplib.SMTPResponseException as error:
            return _refused(error.smtp_code)
        return SENT

    def _connection(self) -> smtplib.SMTP:
        """This thread's connection, a new one where the last has ended."""
        kept: smtplib.SMTP | None = getattr(self._local, "connection", None)
        if kept is not None and kept in self._open and self._local.mails < _MAILS_A_CONNECTION and _lives(kept):
            self._local.mails += 1
            return kept
        if kept is not None:
            self._drop(kept)
        made = self._connect()
        self._open.add(made)
        self._local.connection, self._local.mails = made, 1
        return made

    def _connect(self) -> smtplib.SMTP:
        server = self._server
        if server.scheme == "smtps":
            made: smtplib.SMTP = smtplib.SMTP_SSL(
                server.host, server.port, timeout=self._timeout, context=ssl.create_default_context()
            )
        else:
            made = smtplib.SMTP(server.host, server.port, timeout=self._timeout)
        try:
            made.ehlo_or_helo_if_needed()
            must = server.scheme == "smtp+starttls" or (bool(server.password) and not server.is_near)
            if server.scheme != "smtps" and (must or (made.has_extn("starttls") and not server.is_near)):
                made.starttls(context=ssl.create_default_context())
                made.ehlo()
            if server.user:
                made.login(server.user, server.password)
        except BaseException:
            made.close()
            raise
        return made

    def _forget(self) -> None:
        kept = getattr(self._local, "connection", None)
        if kept is not None:
            self._drop(kept)

    def _drop(self, connection: smtplib.SMTP) -> None:
        self._open.discard(connection)
        with suppress(smtplib.SMTPException, OSError):
            connection.quit()
        connection.close()


def _lives(connection: smtplib.SMTP) -> bool:
    """Whether the server is still there: what breaks off later may have been taken, and is not simply sent again."""
    try:
        return bool(connection.noop()[0] == 250)
    except (smtplib.SMTPException, OSError):
        return False


def _refused(status: int) -> Outcome:
    """What a refusal of a recipient or of a mail means: 4xx passes, 5xx stays (RFC 5321 §4.2.1)."""
    if status == 421:
        return Outcome("again", "CH717", down=True)
    return Outcome("again", "CH717") if status < 500 else Outcome("undeliverable", "CH716")
