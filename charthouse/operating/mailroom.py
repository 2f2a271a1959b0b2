"""Mail where no mail server is named: into a folder of the home, a file each, so that one can see who is told what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from charthouse.notify.contacts import set_contact
from charthouse.notify.drain import DrainReport, drain
from charthouse.settings import get_settings

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.orm import Session

SENDER = "Charthouse <charthouse@sandbox.example>"


def folder() -> Path | None:
    """Where mails are kept; None where a mail server is named, which gets them."""
    settings = get_settings()
    return None if settings.smtp_url else settings.home / "mail"


def environment() -> dict[str, str]:
    """The variables by which Airflow's tasks deliver into the folder; none where a mail server is named."""
    kept = folder()
    if kept is None:
        return {}
    return {
        "CHARTHOUSE_SMTP_URL": kept.as_uri().replace("file:", "folder:", 1),
        "CHARTHOUSE_MAIL_FROM": get_settings().mail_from or SENDER,
    }


def give_address(session: Session, person_key: str) -> None:
    """A mail address for one of the sandbox's people. `.example` is nobody's (RFC 2606), so no server may get it."""
    if folder() is not None:
        set_contact(session, person_key, "email", f"{person_key}@sandbox.example")


def tell() -> DrainReport:
    """Send what is due, as the DAG `notify_people` does, in this process."""
    given = environment()
    changes = {name.removeprefix("CHARTHOUSE_").lower(): value for name, value in given.items()}
    return drain(settings=get_settings().model_copy(update=changes))
