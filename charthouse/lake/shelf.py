"""Shelves: for each person who agreed, one sealed file of their records, so that a question opens one small file.

A shelf is a copy, never the truth: it may be thrown away at any time, and is made from the records again. What keeps it
from being older than them is the order of steps, and a mark in the folder:

* Whoever changes people's rows says so first (`changing`): the mark becomes another, which says that rows are changing,
  and these people's shelves go. Then the change is committed, and the mark says that shelves may be put again.
* Whoever makes a shelf notes the mark before reading the records, and puts the shelf only if the mark is the same,
  under a lock that nobody changes it meanwhile.

A change that is killed leaves a mark that says that rows are changing: shelves that stand are right, and none is put
until somebody who gets hold of the records has seen that nobody is at work on them.

A file holds a key of its own, sealed by the installation's (`charthouse.state.seals`), and what that encrypted.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from charthouse.errors import SetupError, StateError
from charthouse.files import write_private
from charthouse.lake.buckets import bucket_of
from charthouse.lake.session import RECORDS
from charthouse.state.locks import exclusive
from charthouse.state.seals import Sealer, sealer_of
from transforms.coach.facts import PersonRecords

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from charthouse.settings import Settings

BUCKETS: Final = 256
VERSION: Final = b"shelf1"
"""What a file begins with. Another layout of `PersonRecords` gets another number, and is made anew."""
READY: Final = "ready"
CHANGING: Final = "changing"
_NONCE: Final = 12
_LOCK: Final = "shelf"


def folder_of(settings: Settings) -> Path:
    """Where shelves are."""
    return settings.home / "shelf"


def file_of(person_key: str, settings: Settings) -> Path:
    """Where a person's is."""
    return folder_of(settings) / f"{bucket_of(person_key, BUCKETS):02x}" / f"{person_key}.sealed"


def take(person_key: str, settings: Settings) -> PersonRecords | None:
    """What stands on a person's shelf; None where there is nothing that can be used."""
    try:
        raw = file_of(person_key, settings).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        version, length, rest = raw[:6], int.from_bytes(raw[6:8], "big"), raw[8:]
        if version != VERSION:
            return None
        key = _sealer(settings).open(rest[:length], _owner(person_key))
        nonce, body = rest[length : length + _NONCE], rest[length + _NONCE :]
        plain = AESGCM(bytes.fromhex(key)).decrypt(nonce, body, person_key.encode())
        return _DECODER.decode(_unpacked(plain))
    except (SetupError, InvalidTag, ValueError, msgspec.MsgspecError):
        return None  # of another key or layout, or cut off: it is made anew


def mark(settings: Settings) -> str:
    """The mark as it is: to be noted before the records are read. Empty: none may be put now."""
    said = _read_mark(settings)
    if said.startswith(READY):
        return said
    # Nothing yet, or a change that was killed: who holds the records knows that nobody is at work on them.
    try:
        with exclusive(f"lake {RECORDS}", settings, wait=0), exclusive(_LOCK, settings):
            return _set_mark(READY, settings)
    except StateError:
        return ""


def put(person_key: str, records: PersonRecords, seen: str, may: Callable[[], bool], settings: Settings) -> bool:
    """Put a person's records on their shelf, if the mark is still what was `seen`, and they `may` have one.

    `may` is asked under the lock under which shelves are taken away: who has just withdrawn gets none.
    """
    if not seen:
        return False
    sealed = _sealed(person_key, records, settings)
    with exclusive(_LOCK, settings):
        if _read_mark(settings) != seen or not may():
            return False
        file = file_of(person_key, settings)
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        scratch = write_private(file, sealed)
        scratch.replace(file)
    return True


def drop(people: Collection[str], settings: Settings) -> int:
    """Take these people's shelves away. Returns how many there were."""
    if not people or not folder_of(settings).is_dir():
        return 0
    gone = 0
    with exclusive(_LOCK, settings):
        for person_key in people:
            gone += _unlink(person_key, settings)
    return gone


def clear(settings: Settings) -> None:
    """Take every shelf away."""
    if folder_of(settings).is_dir():
        with exclusive(_LOCK, settings):
            shutil.rmtree(folder_of(settings), ignore_errors=True)


def people_with_one(settings: Settings) -> set[str]:
    """Whose shelf stands."""
    return {file.stem for file in folder_of(settings).glob("*/*.sealed")}


@contextmanager
def changing(people: Collection[str], settings: Settings) -> Iterator[None]:
    """Around a change of these people's rows, its commit included. Whoever enters holds the records (`writing`)."""
    with exclusive(_LOCK, settings):
        _set_mark(CHANGING, settings)
        for person_key in people:
            _unlink(person_key, settings)
    yield
    # Not in a `finally`: a change that failed half-way is looked at by whoever gets hold of the records next.
    with exclusive(_LOCK, settings):
        _set_mark(READY, settings)


_DECODER = msgspec.msgpack.Decoder(PersonRecords)
_ENCODER = msgspec.msgpack.Encoder()
_HELD: dict[str, Sealer] = {}


def _sealer(settings: Settings) -> Sealer:
    """Kept: opening the keys' file costs more than a shelf, and a sealer sees by itself when they change."""
    name = f"{settings.home}\n{settings.key_file}\n{settings.key_provider}"
    if name not in _HELD:
        _HELD[name] = sealer_of(settings)
    return _HELD[name]


def _sealed(person_key: str, records: PersonRecords, settings: Settings) -> bytes:
    key, nonce = secrets.token_bytes(32), secrets.token_bytes(_NONCE)
    body = AESGCM(key).encrypt(nonce, _packed(_ENCODER.encode(records)), person_key.encode())
    token = _sealer(settings).seal(key.hex(), _owner(person_key))
    return b"".join((VERSION, len(token).to_bytes(2, "big"), token, nonce, body))


def _packed(content: bytes) -> bytes:
    from backports import zstd

    return zstd.compress(content)


def _unpacked(content: bytes) -> bytes:
    from backports import zstd

    return zstd.decompress(content)


def _owner(person_key: str) -> str:
    return f"shelf {person_key}"


def _unlink(person_key: str, settings: Settings) -> int:
    try:
        file_of(person_key, settings).unlink()
    except (FileNotFoundError, NotADirectoryError):
        return 0
    return 1


def _mark_file(settings: Settings) -> Path:
    return folder_of(settings) / "mark"


def _read_mark(settings: Settings) -> str:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return _mark_file(settings).read_text(encoding="ascii", errors="replace")
    return ""


def _set_mark(word: str, settings: Settings) -> str:
    folder_of(settings).mkdir(parents=True, exist_ok=True, mode=0o700)
    said = f"{word} {secrets.token_hex(16)}"
    file = _mark_file(settings)
    scratch = write_private(file, said.encode())
    os.replace(scratch, file)  # noqa: PTH105 - atomic, in place of what stands
    return said
