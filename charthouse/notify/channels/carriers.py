"""Which carrier serves a channel, by the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from charthouse.errors import NoticeError
from charthouse.notify.channels.apprise_service import AppriseChannel
from charthouse.notify.channels.folder import FolderChannel
from charthouse.notify.channels.outcomes import Fuse, Outcome
from charthouse.notify.channels.smtp import SmtpChannel
from charthouse.notify.channels.webhook import WebhookChannel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from charthouse.settings import Settings
    from charthouse.state.notices import Channel


class Carrier(Protocol):
    """A channel at work, for all threads of a drain. `send` takes what `Packer.write` makes for the channel."""

    fuse: Fuse

    def send(self, parcel: Any, /) -> Outcome:
        """Send one, and say what became of it."""

    def close(self) -> None:
        """End all connections."""


class NoCarrier:
    """Stands in for a channel whose settings cannot be used."""

    def __init__(self) -> None:
        self.fuse = Fuse()

    def send(self, _parcel: Any) -> Outcome:
        """Nothing goes out."""
        return Outcome("undeliverable", "CH720")

    def close(self) -> None:
        """Nothing is open."""


def carrier_for(channel: Channel, settings: Settings, secrets: Sequence[str]) -> Carrier:
    """The carrier of a channel; `secrets` sign webhooks."""
    try:
        if channel == "push":
            return WebhookChannel(settings, secrets)
        if channel == "apprise":
            return AppriseChannel(settings)
        return FolderChannel(settings) if settings.smtp_url.startswith("folder:") else SmtpChannel(settings)
    except (NoticeError, ValueError):
        return NoCarrier()
