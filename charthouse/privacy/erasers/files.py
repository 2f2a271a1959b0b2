"""Files of the home that hold something of a subject: taken away, written anew without them, or masked in place."""

from __future__ import annotations

import email
import email.policy
import gzip
import mmap
import os
import shutil
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from charthouse.errors import PrivacyError, StateError
from charthouse.files import write_whole
from charthouse.lake import shelf
from charthouse.lake.session import sweep_spilled
from charthouse.notify.channels.folder import folder_of
from charthouse.privacy import requests
from charthouse.privacy.erasers.airflow import masked_text, names
from charthouse.privacy.export.job import drop_exports_of
from charthouse.privacy.matching import Matcher
from charthouse.privacy.registry import places
from charthouse.privacy.subjects import keys_of
from charthouse.state import session
from charthouse.state.notices import Delivery

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from email.message import EmailMessage
    from pathlib import Path

    from charthouse.privacy.subjects import Subject
    from charthouse.settings import Settings

TRIES: Final = 50
ABANDONED_SECONDS: Final = 3600.0
"""Age at which a scratch file belongs to nobody any more."""


def remove_tree(folder: Path) -> bool:
    """Take a folder away, whatever a worker still puts into it. Returns whether there was one.

    Raises:
        PrivacyError: CH911 when it cannot be.
    """
    if not folder.exists():
        return False
    for _ in range(TRIES):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return True
        time.sleep(0.05)
    raise PrivacyError("CH911", where=folder.parent.name, what="a folder cannot be taken away")


def erase_uploads(subjects: Sequence[Subject], settings: Settings) -> dict[str, int]:
    """Take away what the subjects' phones have under way.

    Raises:
        PrivacyError: CH911 when a folder cannot be taken away.
    """
    if not places("files", "uploads"):
        return {}
    _, links = keys_of(subjects)
    return {"uploads": sum(remove_tree(settings.uploads / link_id) for link_id in links)}


def erase_shelves(subjects: Sequence[Subject], settings: Settings) -> dict[str, int]:
    """Take the shelves of the subjects' people away: of a link alone, too, for its records are on it."""
    if not places("files", "shelves"):
        return {}
    people, _ = keys_of(subjects)
    return {"shelves": shelf.drop(people, settings)}


def mail_folders(settings: Settings) -> list[Path]:
    """Where mails are kept as files."""
    kept = {settings.home / "mail"}
    if settings.smtp_url.startswith("folder:"):
        kept.add(folder_of(settings.smtp_url))
    return sorted(folder for folder in kept if folder.is_dir())


def erase_mails(subjects: Sequence[Subject], settings: Settings) -> dict[str, int]:
    """Take away the mails to people who go. Found by their delivery's name, or by what is in them."""
    if not places("files", "mails"):
        return {}
    people = [subject for subject in subjects if subject.whole]
    named = {name for subject in people for name in subject.mails}
    told = {address.encode() for subject in people for _, address in subject.contacts if len(address) > 5}
    keys = {needle for subject in people for needle in subject.needles.hard}
    anybodys, livings, theirs = Matcher(told | keys), Matcher(keys), mails_of_the_living(settings) - named
    gone = 0
    for folder in mail_folders(settings):
        for file in sorted(folder.iterdir()):
            name = name_of_mail(file)
            matcher = livings if name in theirs else anybodys  # who share an address keep what they were told
            if name in named or any(matcher.found(part) for part in mail_parts(file)):
                file.unlink(missing_ok=True)
                gone += 1
    return {"mails": gone}


def mails_of_the_living(settings: Settings) -> set[str]:
    """Names of the mails that are to somebody who is known: once the erased are gone, everybody else's."""
    with session(settings, read_only=True) as state:
        return set(state.scalars(select(Delivery.id).where(Delivery.channel == "email")))


def name_of_mail(file: Path) -> str:
    """The id of the delivery that a mail is of."""
    return file.name.removeprefix(".").removesuffix(".eml")


def mask_mail(name: str, needles: Collection[bytes], settings: Settings) -> None:
    """Leave of one mail what it says, and not to whom: the last one, that somebody was erased."""
    for folder in mail_folders(settings):
        file = folder / f"{name}.eml"
        if file.exists():
            mask_file(file, Matcher(needles))


def mail_parts(file: Path) -> Iterator[bytes]:
    """A mail as it stands, and its parts decoded."""
    try:
        raw = file.read_bytes()
    except OSError:
        return
    yield raw
    try:
        message: EmailMessage = email.message_from_bytes(raw, policy=email.policy.default)
        for part in message.walk():
            content = part.get_payload(decode=True)
            if isinstance(content, bytes):
                yield content
    except (ValueError, LookupError, AttributeError):
        return


def erase_exports(subjects: Sequence[Subject], settings: Settings) -> dict[str, int]:
    """Take away what was exported for the subjects' people; of a link alone, too, for it is in there.

    What is being exported is called off, and waited for.

    Raises:
        PrivacyError: CH912 when an export that is being written does not stop.
    """
    gone = 0
    for place in places("files", "exports"):
        try:
            for person_key in sorted({subject.person_key for subject in subjects}):
                gone += drop_exports_of(person_key, settings)
        except StateError:
            raise PrivacyError("CH912", where=place.name) from None
        for request_id in sorted({name for subject in subjects for name in subject.exports}):
            with ExitStack() as held:
                try:
                    held.enter_context(requests.working(request_id, settings))
                except PrivacyError:
                    raise PrivacyError("CH912", where=place.name) from None
                gone += remove_tree(settings.exports / request_id)
    return {"exports": gone}


def mask_logs(matcher: Matcher, settings: Settings) -> dict[str, int]:
    """Mask everything that `matcher` finds in logs, in place and at the same length: a task may be writing on.

    Raises:
        PrivacyError: CH911 when one cannot be written.
    """
    taken: dict[str, int] = {}
    for place in places("files", "mask"):
        for pattern in place.what:
            for file in sorted(settings.home.glob(pattern.removesuffix("*") + "**/*")):
                if file.is_file() and not file.is_symlink():
                    taken[place.name] = taken.get(place.name, 0) + mask_file(file, matcher)
            _rename(settings.home / pattern.removesuffix("/*"), matcher, settings)
    return taken


def _rename(folder: Path, matcher: Matcher, settings: Settings) -> None:
    """Give files and folders other names that are named for somebody: a run's logs are in a folder of its name."""
    mask = names(settings)
    for path in sorted(folder.rglob("*"), key=lambda path: -len(path.parts)):
        name = masked_text(os.fsencode(path.name), matcher, mask)
        if isinstance(name, bytes):
            target = path.with_name(os.fsdecode(name))
            while target.exists():  # an erasure that was cut off may have renamed a part
                target = target.with_name(target.name + "x")
            path.rename(target)


def mask_file(file: Path, matcher: Matcher) -> int:
    """Mask what is in one file. Returns how many places that were.

    Raises:
        PrivacyError: CH911 when it cannot be written.
    """
    try:
        if file.suffix == ".gz":
            return _mask_packed(file, matcher)
        if not file.stat().st_size:
            return 0
        with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
            spans = matcher.places(content)
        if spans:
            with file.open("r+b") as opened:
                for start, end in spans:
                    opened.seek(start)
                    opened.write(b"x" * (end - start))
        return len(spans)
    except OSError as error:
        raise PrivacyError("CH911", where=file.parent.name, what=type(error).__name__) from None


def _mask_packed(file: Path, matcher: Matcher) -> int:
    try:
        masked = masked_text(gzip.decompress(file.read_bytes()), matcher)
    except (EOFError, gzip.BadGzipFile):
        return 0  # the scan will say what it is
    if not isinstance(masked, bytes):
        return 0
    write_whole(file, gzip.compress(masked))
    return 1


def sweep(settings: Settings) -> None:
    """Take away what killed processes have left: spilled rows, scratch files."""
    if not places("files", "sweep"):
        return
    sweep_spilled(settings)
    before = time.time() - ABANDONED_SECONDS
    for file in settings.home.rglob("*.part"):
        if file.is_file() and file.stat().st_mtime < before:
            file.unlink(missing_ok=True)
