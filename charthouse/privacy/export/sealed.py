"""Files encrypted while they are written, in the age format (age-encryption.org/v1), each under a key of its own.

Nothing readable touches the disk: what a killed process leaves is the beginning of an encrypted file.
"""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any

import pyrage
from pyrage import x25519

from charthouse import files
from charthouse.errors import PrivacyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CHUNK = 256 * 1024


def new_key() -> str:
    """A key for one file, as text."""
    return str(x25519.Identity.generate())


class SealedFile:
    """A file to write into, from the front to the end. `size` and `sha256` are those of what was written.

    It has its name once it is closed; until then it is absent.
    """

    def __init__(self, file: Path, key: str) -> None:
        self._file = file
        self._fault: BaseException | None = None
        self._hash = hashlib.sha256()
        self._abandoned = False
        self.size = 0
        read, write = os.pipe()
        self._thread = threading.Thread(target=self._encrypt, args=(read, key), daemon=True)
        self._pipe = os.fdopen(write, "wb", CHUNK)
        self._thread.start()

    def write(self, data: bytes) -> int:
        """Write on.

        Raises:
            OSError: when the file takes no more.
        """
        if self._abandoned:
            return len(data)  # what writes ZIPs closes them when it is collected
        try:
            self._pipe.write(data)
        except BrokenPipeError:
            self._end()
            raise
        self._hash.update(data)
        self.size += len(data)
        return len(data)

    def flush(self) -> None:
        """Nothing: what is not closed is not kept."""

    @property
    def sha256(self) -> str:
        """Of what was written so far."""
        return self._hash.hexdigest()

    def close(self) -> None:
        """Give the file its name, whole and on disk.

        Raises:
            OSError: when it cannot be written to its end.
        """
        try:
            self._pipe.close()
        finally:
            self._end()
        files.put(files.scratch_of(self._file), self._file)
        files.sync(self._file.parent)

    def abandon(self) -> None:
        """Leave nothing of it."""
        self._abandoned = True
        with suppress(OSError):
            self._pipe.close()
        self._thread.join()
        files.scratch_of(self._file).unlink(missing_ok=True)

    def _end(self) -> None:
        self._thread.join()
        if self._fault is not None:
            files.scratch_of(self._file).unlink(missing_ok=True)
            number = getattr(self._fault, "errno", None) or errno.EIO
            raise OSError(number, os.strerror(number), str(self._file)) from None

    def _encrypt(self, read: int, key: str) -> None:
        recipient = x25519.Identity.from_str(key).to_public()
        try:
            with os.fdopen(read, "rb") as plain, _private(files.scratch_of(self._file)) as file:
                out = _Watched(file)
                try:
                    pyrage.encrypt_io(plain, out, [recipient])
                except Exception as fault:
                    raise out.fault or fault from None
        except BaseException as fault:  # told to whoever writes
            self._fault = fault


def opened(file: Path, key: str, begin: int = 0) -> Iterator[bytes]:
    """What a file holds, from the byte `begin` on. Each piece was authenticated before it is given.

    Raises:
        PrivacyError: CH942 when it is not as it was written, or gone.
    """
    read, write = os.pipe()
    faults: list[BaseException] = []

    def decrypt() -> None:
        try:
            with file.open("rb") as source, os.fdopen(write, "wb", CHUNK) as out:
                pyrage.decrypt_io(source, _From(out, begin), [x25519.Identity.from_str(key)])
        except BaseException as fault:  # told to whoever reads
            faults.append(fault)

    if not file.exists():
        os.close(read)
        os.close(write)
        raise PrivacyError("CH942", where="export")
    thread = threading.Thread(target=decrypt, daemon=True)
    thread.start()
    with os.fdopen(read, "rb", CHUNK) as plain:
        while piece := plain.read(CHUNK):
            yield piece
    thread.join()
    if faults:
        raise PrivacyError("CH942", where="export", what=type(faults[0]).__name__)


class _Watched:
    """Remembers what kept a file from being written: the library tells of it in words alone."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self.fault: OSError | None = None

    def write(self, data: bytes) -> int:
        """As files do."""
        return self._told(lambda: self._out.write(data))

    def flush(self) -> None:
        """As files do."""
        self._told(lambda: self._out.flush() or 0)

    def _told(self, deed: Callable[[], int]) -> int:
        try:
            return deed()
        except OSError as fault:
            self.fault = fault
            raise


class _From:
    """Passes on what comes behind the first `skip` bytes."""

    def __init__(self, out: IO[bytes], skip: int) -> None:
        self._out, self._skip = out, skip

    def write(self, data: bytes) -> int:
        """As files do."""
        given = len(data)
        if self._skip:
            passed = min(self._skip, given)
            self._skip -= passed
            data = data[passed:]
        if data:
            self._out.write(data)
        return given

    def flush(self) -> None:
        """As files do."""
        self._out.flush()


def _private(file: Path) -> Any:
    return os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb", CHUNK)
