"""Mail into a folder, a file each: for a night on one machine, and for looking at. Only their owner may read them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from charthouse.notify.channels.outcomes import SENT, Fuse, Outcome

if TYPE_CHECKING:
    from charthouse.notify.mail import Mail
    from charthouse.settings import Settings


def folder_of(url: str) -> Path:
    """The folder that a `folder:///…` URL names."""
    return Path(unquote(urlsplit(url).path))


class FolderChannel:
    """Writes mails as `.eml` files, named by delivery: one that is sent twice is one file."""

    def __init__(self, settings: Settings) -> None:
        self._folder = folder_of(settings.smtp_url)
        self.fuse = Fuse()

    def send(self, mail: Mail) -> Outcome:
        """Write one mail, whole or not at all."""
        if self.fuse.blown:
            return self.fuse.blown
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            scratch = self._folder / f".{mail.name}"
            descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            try:
                with os.fdopen(descriptor, "wb", closefd=False) as file:
                    file.write(mail.content)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            scratch.replace(self._folder / f"{mail.name}.eml")
        except OSError:
            return self.fuse.note(Outcome("again", "CH715", down=True))
        return self.fuse.note(SENT)

    def close(self) -> None:
        """Nothing is open."""
