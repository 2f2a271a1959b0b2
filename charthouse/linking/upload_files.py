"""The bytes of an upload on disk: a file that grows from the front, encrypted, each under a key of its own.

AES-256 in counter mode: a cut leaves a beginning that can be gone on with at any byte, and nothing readable touches the
disk. What keeps it honest is the SHA-256 of the whole, which is compared whenever it is read.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from charthouse.errors import PhoneError
from charthouse.files import sync

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cryptography.hazmat.primitives.ciphers import CipherContext

    from charthouse.settings import Settings

PIECE: Final = 1 << 20
"""Bytes that are encrypted, written or read at once: what an upload takes of memory, however long it is."""
_BLOCK: Final = 16


def new_key() -> str:
    """A key for one upload, as text."""
    return secrets.token_hex(32)


def file_of(link_id: str, upload_id: str, settings: Settings) -> Path:
    """Where an upload's bytes are."""
    return settings.uploads / link_id / f"{upload_id}.sealed"


def offset(file: Path) -> int:
    """How many bytes of it came."""
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


class Appending:
    """Bytes appended behind those that are there, up to `most`; `sha256` is that of what came. Used as a context.

    Raises:
        OSError: the file takes no more.
    """

    def __init__(self, file: Path, key: str, *, most: int) -> None:
        file.parent.parent.mkdir(exist_ok=True, mode=0o700)
        file.parent.mkdir(exist_ok=True, mode=0o700)
        self._descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.begin = self.end = os.fstat(self._descriptor).st_size
        self._cipher, self.most = _at(key, self.begin), most
        self._hash, self._sealed = hashlib.sha256(), bytearray()

    def write(self, data: bytes) -> None:
        """Append a piece.

        Raises:
            PhoneError: CH978 beyond `most` bytes of the whole; nothing of what was appended is kept then.
        """
        if self.end + len(data) > self.most:
            self.take_back()
            raise PhoneError("CH978")
        if len(self._sealed) < len(data) + _BLOCK:
            self._sealed = bytearray(len(data) + _BLOCK)  # kept: fresh memory for each piece costs more than its cipher
        sealed = memoryview(self._sealed)[: self._cipher.update_into(data, self._sealed)]
        while sealed:
            sealed = sealed[os.write(self._descriptor, sealed) :]
        self._hash.update(data)
        self.end += len(data)

    def take_back(self) -> None:
        """Leave nothing of what was appended."""
        os.ftruncate(self._descriptor, self.begin)
        self.end = self.begin

    @property
    def sha256(self) -> bytes:
        """Of what was appended."""
        return self._hash.digest()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


def lines(file: Path, key: str, *, length: int, sha256: str, longest: int) -> Iterator[bytes]:
    """The lines of a whole upload, one at a time, without their ends; blank ones are passed over.

    Raises:
        PhoneError: CH982 at the end when it is not what its length and SHA-256 say, CH984 at a line beyond `longest`
            bytes: what was read until then is not to be believed.
    """
    if offset(file) != length:
        raise PhoneError("CH982")
    seen, rest, cipher = hashlib.sha256(), b"", _at(key, 0)
    with file.open("rb") as stream:
        while piece := stream.read(PIECE):
            plain = cipher.update(piece)
            seen.update(plain)
            *whole, rest = (rest + plain).split(b"\n")
            if len(rest) > longest:
                raise PhoneError("CH984")
            yield from filter(bytes.strip, whole)
    if rest.strip():
        yield rest
    if seen.hexdigest() != sha256:
        raise PhoneError("CH982")


def keep(file: Path) -> None:
    """Bring an upload to disk, once all of it is there. What a power cut takes before is sent again, or the whole is no
    longer what its SHA-256 says.
    """
    if file.exists():
        sync(file)


def verify(file: Path, key: str, *, length: int, sha256: str) -> bool:
    """Whether the whole upload is what its length and SHA-256 say."""
    if offset(file) != length:
        return False
    seen, cipher = hashlib.sha256(), _at(key, 0)
    with file.open("rb") as stream:
        while piece := stream.read(PIECE):
            seen.update(cipher.update(piece))
    return seen.hexdigest() == sha256


def remove(file: Path) -> None:
    """Take an upload's bytes away, and its link's folder when it is empty."""
    file.unlink(missing_ok=True)
    with suppress(OSError):  # others are in it, or it is gone
        file.parent.rmdir()


def remove_of_link(link_id: str, settings: Settings) -> bool:
    """Take away everything that a link has under way. Returns whether there was anything."""
    folder = settings.uploads / link_id
    there = folder.exists()
    shutil.rmtree(folder, ignore_errors=True)
    return there


def _at(key: str, position: int) -> CipherContext:
    """The cipher for the bytes from a position on."""
    block, within = divmod(position, _BLOCK)
    cipher = Cipher(algorithms.AES(bytes.fromhex(key)), modes.CTR(block.to_bytes(_BLOCK, "big"))).encryptor()
    cipher.update(bytes(within))
    return cipher
