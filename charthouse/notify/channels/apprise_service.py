"""Services that people name by an Apprise URL (https://appriseit.com). It writes nothing to disk and logs nothing."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from charthouse.errors import NoticeError
from charthouse.notify.channels.apprise_urls import check_url
from charthouse.notify.channels.outcomes import SENT, Fuse, Outcome

if TYPE_CHECKING:
    from charthouse.settings import Settings

# Its plugins quote addresses and answers.
logging.getLogger("apprise").setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True)
class Message:
    """A message to one service."""

    url: str = field(repr=False)
    title: str
    text: str = field(repr=False)


class AppriseChannel:
    """Sends messages, each to a service of its own: one that is down says nothing of the others."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.fuse = Fuse()

    def send(self, message: Message) -> Outcome:
        """Send one message."""
        try:
            check_url(message.url, self._settings)  # the operator may permit less by now
        except NoticeError:
            return Outcome("undeliverable", "CH720")
        import apprise

        service = _service(message.url)
        try:
            sent = service is not None and service.notify(
                title=message.title, body=message.text, body_format=apprise.NotifyFormat.TEXT
            )
        except Exception:  # a plugin may raise anything, and its text may quote the address
            sent = False
        return SENT if sent else Outcome("again", "CH719")

    def close(self) -> None:
        """Nothing is open."""


def is_usable(url: str) -> bool:
    """Whether Apprise can make something of a URL."""
    return _service(url) is not None


def _service(url: str) -> Any:
    import apprise

    made = apprise.Apprise(asset=_asset())
    return made if made.add(url) else None


@cache
def _asset() -> Any:
    import apprise

    return apprise.AppriseAsset(
        app_id="Charthouse", storage_mode=apprise.PersistentStoreMode.MEMORY, async_mode=False, secure_logging=True
    )
