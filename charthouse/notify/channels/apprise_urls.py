"""Which Apprise URLs a contact may hold: a person's contact must not lead into the operator's network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from charthouse.errors import NoticeError

if TYPE_CHECKING:
    from charthouse.settings import Settings


def check_url(url: str, settings: Settings) -> None:
    """Take a URL of a service that the operator permits.

    Raises:
        NoticeError: CH702 for any other.
    """
    schema = url.partition("://")[0].lower()
    allowed = settings.apprise_services.lower().split()
    if "://" not in url or schema not in allowed:
        raise NoticeError("CH702", where="apprise", what=f"it is an Apprise URL of: {', '.join(allowed)}")
    from charthouse.notify.channels.apprise_service import is_usable

    if not is_usable(url):
        raise NoticeError("CH702", where="apprise", what="Apprise cannot read it")
