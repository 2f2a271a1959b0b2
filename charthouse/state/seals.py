"""Sealing: what is secret stands in the database only encrypted (Fernet: AES-128-CBC with HMAC-SHA256).

The first of several keys seals; all of them open, so that a new key can be put in front. What is sealed names what it
belongs to, so that it opens in its own row and in no other. The keys come from one of three places
(`charthouse.state.key_sources`); a sealer notices that they have changed.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from charthouse.errors import SetupError
from charthouse.state.key_sources import KeyFile, make_key, source_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from charthouse.settings import Settings
    from charthouse.state.key_sources import KeySource

__all__ = ["Sealer", "make_key", "sealer_of"]

LOOK_SECONDS: Final = 1.0


def sealer_of(settings: Settings | None = None) -> Sealer:
    """The sealer of this installation, with the keys of the place that the settings name.

    Raises:
        SetupError: CH006 when there are no usable keys there.
    """
    return Sealer(source_of(settings))


class Sealer:
    """Seals and opens texts with the keys of one place, a file or another. Its repr shows none. Safe between threads.

    Raises:
        SetupError: CH006 when the keys are missing, unreadable, malformed, or a file that everyone can read.
    """

    def __init__(self, source: KeySource | Path) -> None:
        self._source: KeySource = KeyFile(source) if isinstance(source, Path) else source
        self._seen = time.monotonic()
        self._held = self._read(self._source.mark())

    def __repr__(self) -> str:
        return f"Sealer({self._source.where})"

    @property
    def where(self) -> str:
        """Where the keys are: a file, a variable, a connection."""
        return self._source.where

    def seal(self, text: str, owner: str) -> bytes:
        """`text` encrypted under the newest key, bound to `owner`."""
        return self._now(look=True).newest.encrypt(json.dumps([owner, text]).encode())

    def open(self, sealed: bytes, owner: str) -> str:
        """What was sealed for `owner`.

        Raises:
            SetupError: CH006 when no key opens it, or it was sealed for another.
        """
        sealed_for, text = json.loads(self._tried(lambda keys: keys.all.decrypt(sealed)))
        if sealed_for != owner:
            raise SetupError("CH006", where=owner, what="a sealed text stands in a row that is not its own")
        return str(text)

    def reseal(self, sealed: bytes) -> bytes:
        """The same text under the newest key; whose it is stays as it is.

        Raises:
            SetupError: CH006 when no key opens it.
        """
        return self._tried(lambda keys: keys.all.rotate(sealed))

    def opens(self, sealed: bytes) -> bool:
        """Whether some key opens it."""
        try:
            self._tried(lambda keys: keys.all.decrypt(sealed))
        except SetupError:
            return False
        return True

    def is_newest(self, sealed: bytes) -> bool:
        """Whether it was sealed under the newest key."""
        try:
            self._now().newest.decrypt(sealed)
        except InvalidToken:
            return False
        return True

    def _tried(self, deed: Callable[[_Keys], bytes]) -> bytes:
        """Do it with the keys at hand; where none of them fits, with those that are at the source by now."""
        keys = self._now()
        try:
            return deed(keys)
        except InvalidToken:
            self._held = self._read(self._source.mark(), again=True)
        try:
            return deed(self._held)
        except InvalidToken:
            raise SetupError("CH006", where=self.where, what="it does not open what is stored") from None

    def _now(self, *, look: bool = False) -> _Keys:
        """The keys as they are, looked at once a second: thousands of tokens are opened in one.

        To seal is to `look` in any case: what a key seals that has been taken out meanwhile is lost.
        """
        at = time.monotonic()
        if look or at - self._seen > LOOK_SECONDS:
            mark = self._source.mark()
            if mark != self._held.mark:
                self._held = self._read(mark)
            self._seen = at
        return self._held

    def _read(self, mark: object, *, again: bool = False) -> _Keys:
        try:
            made = [Fernet(key) for key in self._source.keys(again=again)]
            return _Keys(mark, made[0], MultiFernet(made))
        except (ValueError, IndexError):
            raise SetupError("CH006", where=self.where, what="it does not hold Fernet keys") from None


class _Keys(NamedTuple):
    """The keys as they were at one moment. `mark` is the source's."""

    mark: object
    newest: Fernet
    all: MultiFernet
