"""Where the keys that seal come from: a file, the environment, or a function that another program offers.

The function is how an Airflow connection serves (`plugins/sealing_keys.py`): this code does not know Airflow. Keys are
Fernet keys, the newest first.
"""

from __future__ import annotations

import stat
import time
from importlib import import_module
from typing import TYPE_CHECKING, Final, Protocol

from cryptography.fernet import Fernet

from charthouse.errors import SetupError
from charthouse.files import put_first, sync, write_private
from charthouse.settings import get_settings

if TYPE_CHECKING:
    from pathlib import Path

    from charthouse.settings import Settings

KEPT_SECONDS: Final = 60.0
"""For how long the answer of a function is used: it may be a request to another process."""


class KeySource(Protocol):
    """A place that holds keys. `where` names it; `mark()` changes when they may have; `keys()` reads them."""

    @property
    def where(self) -> str: ...
    def mark(self) -> object: ...
    def keys(self, *, again: bool = False) -> list[bytes]: ...


def source_of(settings: Settings | None = None) -> KeySource:
    """The place that the settings name: CHARTHOUSE_KEYS, else CHARTHOUSE_KEY_PROVIDER, else the key file."""
    settings = settings or get_settings()
    if settings.keys.get_secret_value():
        return KeyVariable(settings.keys.get_secret_value())
    if settings.key_provider:
        return KeyFunction(settings.key_provider)
    return KeyFile(settings.credentials_key)


class KeyFile:
    """A file of one key a line, which only this user can read."""

    def __init__(self, file: Path) -> None:
        self.file = file

    @property
    def where(self) -> str:
        return str(self.file)

    def mark(self) -> object:
        """What changes with the file.

        Raises:
            SetupError: CH006 when it is missing, unreadable, or readable by everyone.
        """
        try:
            found = self.file.stat()
        except OSError as error:
            raise SetupError("CH006", where=self.where, what=type(error).__name__) from None
        if found.st_mode & stat.S_IRWXO:
            raise SetupError("CH006", where=self.where, what="others may read it: chmod 600")
        return found.st_mtime_ns, found.st_ino, found.st_size

    def keys(self, *, again: bool = False) -> list[bytes]:  # noqa: ARG002  # a file is always read
        """The lines of the file.

        Raises:
            SetupError: CH006 when it cannot be read.
        """
        try:
            return [line.encode() for line in self.file.read_text(encoding="ascii").split()]
        except (OSError, UnicodeDecodeError) as error:
            raise SetupError("CH006", where=self.where, what=type(error).__name__) from None


class KeyVariable:
    """The keys of CHARTHOUSE_KEYS, separated by commas."""

    where = "CHARTHOUSE_KEYS"

    def __init__(self, text: str) -> None:
        self._keys = [key.strip().encode() for key in text.split(",") if key.strip()]

    def mark(self) -> object:
        """An environment does not change while a process lives."""
        return "environment"

    def keys(self, *, again: bool = False) -> list[bytes]:  # noqa: ARG002
        """The keys named."""
        return self._keys


class KeyFunction:
    """What a function `module:name` returns: texts, the newest key first."""

    _answers: dict[str, tuple[float, list[bytes]]] = {}  # noqa: RUF012  # shared by all sealers of the process

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def where(self) -> str:
        return self._name

    def mark(self) -> object:
        """The keys it gave last, asked again after a while."""
        return tuple(self.keys())

    def keys(self, *, again: bool = False) -> list[bytes]:
        """What the function says.

        Raises:
            SetupError: CH006 when there is no such function, or it fails; its own words may hold a key.
        """
        told = self._answers.get(self._name)
        if told is not None and not again and time.monotonic() - told[0] < KEPT_SECONDS:
            return told[1]
        module, _, name = self._name.partition(":")
        try:
            keys = [str(key).encode() for key in getattr(import_module(module), name)()]
        except Exception as error:
            raise SetupError("CH006", where=self.where, what=type(error).__name__) from None
        self._answers[self._name] = time.monotonic(), keys
        return keys


def make_key(file: Path) -> None:
    """Write a new key that only this user can read. Where another process was quicker, its key stays."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    put_first(write_private(file, _lines([Fernet.generate_key()])), file)


def replace_keys(file: Path, keys: list[bytes]) -> None:
    """Put these keys, the newest first, in the place of those in the file: either all of them are there or none."""
    write_private(file, _lines(keys)).replace(file)
    sync(file.parent)


def _lines(keys: list[bytes]) -> bytes:
    return b"".join(key + b"\n" for key in keys)
