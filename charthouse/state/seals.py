"""Sealing: what is secret stands in the database only encrypted (Fernet: AES-128-CBC with HMAC-SHA256).

The key file holds one Fernet key a line. The first seals; all of them open, so that a new key can be put on top. What
is sealed names what it belongs to, so that it opens in its own row and in no other.
"""

from __future__ import annotations

import json
import os
import secrets
import stat
from typing import TYPE_CHECKING

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from charthouse.errors import SetupError

if TYPE_CHECKING:
    from pathlib import Path


class Sealer:
    """Seals and opens texts with the keys of one file. Its repr shows none.

    Raises:
        SetupError: CH006 when the file is missing, unreadable, malformed, or readable by everyone.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        try:
            mode = file.stat().st_mode
            lines = file.read_text(encoding="ascii").split()
        except (OSError, UnicodeDecodeError) as error:
            raise SetupError("CH006", where=str(file), what=type(error).__name__) from None
        if mode & stat.S_IRWXO:
            raise SetupError("CH006", where=str(file), what="others may read it: chmod 600")
        try:
            self._keys = MultiFernet([Fernet(line) for line in lines])
        except ValueError:
            raise SetupError("CH006", where=str(file), what="it does not hold Fernet keys, one a line") from None

    def __repr__(self) -> str:
        return f"Sealer({self._file})"

    def seal(self, text: str, owner: str) -> bytes:
        """`text` encrypted, bound to `owner`."""
        return self._keys.encrypt(json.dumps([owner, text]).encode())

    def open(self, sealed: bytes, owner: str) -> str:
        """What was sealed for `owner`.

        Raises:
            SetupError: CH006 when no key of the file opens it, or it was sealed for another.
        """
        try:
            sealed_for, text = json.loads(self._keys.decrypt(sealed))
        except InvalidToken:
            raise SetupError("CH006", where=str(self._file), what="it does not open what is stored") from None
        if sealed_for != owner:
            raise SetupError("CH006", where=owner, what="a sealed text stands in a row that is not its own")
        return str(text)

    def reseal(self, sealed: bytes) -> bytes:
        """The same text under the file's first key."""
        return self._keys.rotate(sealed)


def make_key(file: Path) -> None:
    """Write a new key that only this user can read. Where another process was quicker, its key stays."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    scratch = file.with_name(f"{file.name}.{secrets.token_hex(8)}")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, Fernet.generate_key() + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        os.link(scratch, file)  # unlike a rename, this never replaces a key
    except FileExistsError:
        pass
    finally:
        scratch.unlink()
