"""Tombstones: keyed hashes of what was erased (keys of ours, patients of providers), for the day that it comes back.

They stand in the state and in a file apart from it (`Settings.tombstones`), for a restored backup brings an old state
with it. The file begins with the random key under which it hashes; nobody learns a key from it that they do not have.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from functools import partial
from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from charthouse.errors import PrivacyError
from charthouse.files import put_first, sync, write_private
from charthouse.settings import Settings, get_settings
from charthouse.state.base import now
from charthouse.state.locks import exclusive
from charthouse.state.privacy import Tombstone
from charthouse.state.transactions import session as state_session

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from sqlalchemy.orm import Session

    from charthouse.state.privacy import TombstoneKind

VERSION: Final = 1
_LOCK: Final = "tombstones"


class Tombstones:
    """The tombstones of this installation as they are now."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or get_settings()
        self._key, self.digests = _read(self.settings.tombstones)

    def __len__(self) -> int:
        return len(self.digests)

    def digest(self, kind: TombstoneKind, key: str) -> str:
        """The keyed hash of a key of ours."""
        return hmac.new(self._key, f"{kind} {key}".encode(), hashlib.sha256).hexdigest()

    def among(self, kind: TombstoneKind, keys: Iterable[str]) -> set[str]:
        """Those of `keys` that were erased."""
        if not self.digests:
            return set()
        digest = partial(self.digest, kind)
        return {key for key in keys if digest(key) in self.digests}

    def secret(self, words: str) -> bytes:
        """A secret of this installation for `words`, the same whenever it is asked for."""
        return hmac.new(self._key, f"secret {words}".encode(), hashlib.sha256).digest()


def patient_key(provider: str, patient_id: str) -> str:
    """What a tombstone of kind `patient` is the hash of."""
    return f"{provider} {patient_id}"


def held(settings: Settings | None = None) -> AbstractContextManager[None]:
    """Hold the tombstones alone while they are written. Raises StateError CH608 when they are not free in time."""
    return exclusive(_LOCK, settings)


def standing(settings: Settings | None = None) -> Tombstones | None:
    """The tombstones; None where there are none, and no file is made.

    Raises:
        PrivacyError: CH915 when their file cannot be read.
    """
    settings = settings or get_settings()
    if not settings.tombstones.exists():
        return None
    found = Tombstones(settings)
    return found if len(found) else None


def gone_patients(provider: str, patients: Iterable[str]) -> set[str]:
    """Those of a provider's patients whose tombstones stand.

    Raises:
        PrivacyError: CH915 when their file cannot be read.
    """
    stones = standing()
    keys = {patient_key(provider, patient): patient for patient in patients}
    return {keys[key] for key in stones.among("patient", keys)} if stones else set()


def bury(keys: Iterable[tuple[TombstoneKind, str]], settings: Settings | None = None) -> None:
    """Remember that these were erased: in the file first, then in the state. Safe to repeat.

    Raises:
        PrivacyError: CH915 when the file cannot be read.
        OSError: it cannot be written.
    """
    settings = settings or get_settings()
    with held(settings):
        known = opened(settings)
        added = {known.digest(kind, key): kind for kind, key in keys}
        _append(settings.tombstones, {digest: kind for digest, kind in added.items() if digest not in known.digests})
        with state_session(settings) as state:
            into_state(state, added)


def opened(settings: Settings | None = None) -> Tombstones:
    """The tombstones, their file made where there is none.

    Raises:
        PrivacyError: CH915 when it cannot be read.
    """
    settings = settings or get_settings()
    file = settings.tombstones
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        head = json.dumps({"version": VERSION, "key": secrets.token_hex(32)}) + "\n"
        put_first(write_private(file, head.encode()), file)
        sync(file.parent)
    return Tombstones(settings)


def into_state(state: Session, added: dict[str, TombstoneKind]) -> None:
    """Let the state know them as well."""
    known = set(state.scalars(select(Tombstone.digest).where(Tombstone.digest.in_(list(added)))))
    at = now()
    for digest, kind in added.items():
        if digest not in known:
            state.add(Tombstone(digest=digest, kind=kind, at=at))


def _append(file: Path, added: dict[str, TombstoneKind]) -> None:
    if not added:
        return
    at = now().isoformat(timespec="seconds")
    lines = "".join(json.dumps({"digest": digest, "kind": kind, "at": at}) + "\n" for digest, kind in added.items())
    descriptor = os.open(file, os.O_RDWR | os.O_APPEND)
    try:
        size = os.fstat(descriptor).st_size
        torn = size and os.pread(descriptor, 1, size - 1) != b"\n"  # a line that a crash cut off
        os.write(descriptor, ("\n" if torn else "").encode() + lines.encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(file: Path) -> tuple[bytes, dict[str, TombstoneKind]]:
    try:
        head, *lines = file.read_bytes().splitlines()
        said = json.loads(head)
        key = bytes.fromhex(said["key"])
        if said["version"] != VERSION:
            raise ValueError("version")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PrivacyError("CH915", where=str(file), what=type(error).__name__) from None
    found: dict[str, TombstoneKind] = {}
    for line in lines:
        try:
            stone = json.loads(line)
            found[stone["digest"]] = stone["kind"]
        except (ValueError, KeyError, TypeError):
            continue  # torn by a crash: it is written again, for its erasure has not ended
    return key, found
