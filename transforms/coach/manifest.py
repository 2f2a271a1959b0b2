"""What the feed has told of a person: for each fact, a keyed hash of its key, one of its content, and its number.

Nothing of a record can be read back from it without the key, which lies sealed elsewhere; 24 bytes a fact.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from transforms.coach.facts import Row

_ENTRY: Final = struct.Struct(">8s8sq")
_GONE: Final = bytes(8)
"""The content's hash of a fact that is there no more."""


@dataclass(frozen=True, slots=True)
class Told:
    """One fact as it was told last: `content` is empty where it was taken away; `seq` is the number of that change."""

    content: bytes
    seq: int

    @property
    def is_gone(self) -> bool:
        """Whether it was taken away."""
        return self.content == _GONE


@dataclass(frozen=True, slots=True)
class Hashed:
    """Facts by their ids: `rows` are what they are, `content` the hashes of that."""

    rows: Mapping[bytes, Row]
    content: Mapping[bytes, bytes] = field(repr=False)


def hashed(rows: Iterable[Row], key: bytes) -> Hashed:
    """The facts that count among rows: not what was entered in error."""
    found = {_hash(f"{row.table}\n{row.row_key}".encode(), key): row for row in rows if not row.entered_in_error}
    encode = msgspec.json.Encoder(order="deterministic").encode
    return Hashed(found, {fact: _hash(encode(row), key) for fact, row in found.items()})


def read(manifest: bytes | None) -> dict[bytes, Told]:
    """A manifest, by the ids of its facts."""
    return {fact: Told(content, seq) for fact, content, seq in _ENTRY.iter_unpack(manifest or b"")}


def write(told: Mapping[bytes, Told]) -> bytes:
    """A manifest as bytes, in an order that says nothing."""
    return b"".join(_ENTRY.pack(fact, each.content, each.seq) for fact, each in sorted(told.items()))


def changed(told: Mapping[bytes, Told], now: Mapping[bytes, bytes]) -> bool:
    """Whether facts are new, other or gone."""
    return {fact: each.content for fact, each in told.items() if not each.is_gone} != dict(now)


def moved_on(told: Mapping[bytes, Told], now: Mapping[bytes, bytes], seq: int, horizon: int) -> dict[bytes, Told]:
    """The manifest after a change of number `seq`. What went up to the horizon is forgotten."""
    kept = {fact: each for fact, each in told.items() if not each.is_gone or each.seq > horizon}
    for fact, each in told.items():
        if fact not in now and not each.is_gone:
            kept[fact] = Told(_GONE, seq)
    for fact, content in now.items():
        before = told.get(fact)
        if before is None or before.content != content:
            kept[fact] = Told(content, seq)
    return kept


def since(told: Mapping[bytes, Told], floor: int) -> Iterator[tuple[bytes, Told]]:
    """What changed after a number, in an order that stays as long as the manifest does."""
    return ((fact, each) for fact, each in sorted(told.items()) if each.seq > floor)


def _hash(content: bytes, key: bytes) -> bytes:
    found = hashlib.blake2b(content, digest_size=8, key=key).digest()
    return found if found != _GONE else found[:-1] + b"\x01"
