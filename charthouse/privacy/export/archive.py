"""The ZIPs of an export: written from the front to the end, encrypted, going on in another where one is full.

Two kinds of things go in: files, which stand in one part, and streams, which go on in the next part under the same name
with a number. A finished part has an index beside it (encrypted, too): which files it holds and how far each stream
has come. A job that was killed reads the indexes and goes on behind them.
"""

from __future__ import annotations

import hashlib
import stat
import zipfile
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import IO, TYPE_CHECKING, Any

from charthouse import faults
from charthouse.privacy.export.sealed import SealedFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime
    from pathlib import Path

RESERVE = 128 * 1024
"""What the compressor may hold back, and what ends a ZIP beside its directory."""
ENTRY_BYTES = 1_000_000_000
"""At this size a stream goes on in another file: readers without ZIP64 stop at twice that."""
_PER_NAME = 150


@dataclass(frozen=True, slots=True)
class Listed:
    """A file of the export."""

    path: str
    sha256: str
    size: int
    media_type: str
    part: int


@dataclass(slots=True)
class Reached:
    """How far a stream has come: its files so far, and the key of the last thing in it."""

    files: int = 0
    key: list[Any] | None = None
    done: bool = False


@dataclass(slots=True)
class Index:
    """What a finished part holds, and how far the streams had come with it. `notes` are the job's own."""

    number: int
    listed: list[Listed]
    streams: dict[str, Reached]
    notes: dict[str, Any] = field(default_factory=dict)

    def as_data(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


def index_of(data: dict[str, Any]) -> Index:
    """The index that `as_data` wrote."""
    return Index(
        data["number"],
        [Listed(**each) for each in data["listed"]],
        {stem: Reached(**reached) for stem, reached in data["streams"].items()},
        data["notes"],
    )


@dataclass(frozen=True, slots=True)
class Finished:
    """A part that is whole, under its own name."""

    index: Index
    file: Path
    size: int
    sha256: str
    key: str


class Archive:
    """All parts of one export.

    Args:
        begin: makes the file of a part: its number -> (where, its key).
        finished: what becomes of a part that is whole.
        limit: bytes at which a part ends.
        at: the moment that all entries bear.
        indexes: those of the parts that an earlier try finished.
    """

    def __init__(
        self,
        begin: Callable[[int], tuple[Path, str]],
        finished: Callable[[Finished], None],
        *,
        limit: int,
        at: datetime,
        indexes: Sequence[Index] = (),
    ) -> None:
        self._begin, self._finished, self._limit = begin, finished, limit
        self._at = (at.year, at.month, at.day, at.hour, at.minute, at.second)
        self.listed = [each for index in indexes for each in index.listed]
        self._before = {each.path for each in self.listed}
        last = indexes[-1] if indexes else None
        self.streams = dict(last.streams) if last else {}
        self.notes: dict[str, Any] = dict(last.notes) if last else {}
        self._number = last.number if last else 0
        self._part: _Part | None = None

    @property
    def parts(self) -> int:
        """How many parts there are, the open one included."""
        return self._number

    def has(self, path: str) -> bool:
        """Whether an earlier try put this file into a part that it finished."""
        return path in self._before

    def file(self, path: str, media_type: str, content: bytes | Iterable[bytes]) -> None:
        """Put a file in, unless it is there. What is no stream stands in one part, however large."""
        if self.has(path):
            return
        pieces = [content] if isinstance(content, bytes) else content
        size = len(content) if isinstance(content, bytes) else 0
        part = self._room(size)
        with part.entry(path, media_type) as entry:
            for piece in pieces:
                entry.write(piece)

    def stream(self, stem: str, suffix: str, media_type: str, *, head: bytes = b"") -> Stream:
        """A stream of that name, behind what it had reached. `head` begins each of its files."""
        return Stream(self, stem, suffix, media_type, head)

    def close(self) -> None:
        """Finish the last part."""
        if self._part is not None:
            self._finish(self._part)

    def seal(self, made: Callable[[list[Listed], int], list[tuple[str, str, bytes]]]) -> None:
        """Put in what lists everything else: `made` of all files and the number of parts. It is in the last."""
        if any(self.has(path) for path, _, _ in made([], 1)):
            return  # an earlier try came to its end, and died before it could say so
        listed = [*self.listed, *(self._part.listed if self._part else ())]
        room = sum(len(content) for _, _, content in made(listed, self._number + 1))
        part = self._room(room + 4096)  # what is made now differs in the number of parts alone
        for path, media_type, content in made(listed, self._number):
            with part.entry(path, media_type) as entry:
                entry.write(content)

    def abandon(self) -> None:
        """Leave nothing of the part that is open."""
        if self._part is not None:
            self._part.abandon()
            self._part = None

    def _room(self, size: int) -> _Part:
        """The open part, or a new one where `size` more bytes do not fit."""
        if self._part is not None and self._part.is_full(size, self._limit):
            self._finish(self._part)
        if self._part is None:
            self._number += 1
            file, key = self._begin(self._number)
            self._part = _Part(self._number, file, key, self._at)
        return self._part

    def _fits(self, size: int) -> bool:
        return self._part is not None and not self._part.is_full(size, self._limit)

    def _finish(self, part: _Part) -> None:
        self._part = None
        part.close()
        streams = {stem: Reached(each.files, each.key, each.done) for stem, each in self.streams.items()}
        index = Index(part.number, part.listed, streams, dict(self.notes))
        self.listed += part.listed
        self._finished(Finished(index, part.file, part.sealed.size, part.sealed.sha256, part.key))
        faults.point("export.part")


class Stream:
    """Things of one kind, one after the other, in as many files as the parts make of it."""

    def __init__(self, archive: Archive, stem: str, suffix: str, media_type: str, head: bytes) -> None:
        self._archive, self._stem, self._suffix, self._media_type = archive, stem, suffix, media_type
        self._head = head
        self._reached = archive.streams.setdefault(stem + suffix, Reached())
        self._entry: _Entry | None = None

    @property
    def key(self) -> list[Any] | None:
        """The key of the last thing that is in; None at the beginning."""
        return self._reached.key

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to do."""
        return self._reached.done

    def fits(self, size: int) -> bool:
        """Whether `size` more bytes go into the file that is open."""
        return self._entry is not None and self._entry.size + size <= ENTRY_BYTES and self._archive._fits(size)

    def ready(self, size: int) -> IO[bytes]:
        """The file that takes `size` more bytes: the open one, or the next."""
        if not self.fits(size):
            self.end_file()
        if self._entry is None:
            part = self._archive._room(size)
            self._reached.files += 1
            number = "" if self._reached.files == 1 else f".{self._reached.files}"
            self._entry = part.entry(f"{self._stem}{number}{self._suffix}", self._media_type)
            self._entry.write(self._head)
        return self._entry  # type: ignore[return-value]

    def write(self, data: bytes, key: list[Any]) -> None:
        """Add one thing."""
        self.ready(len(data)).write(data)
        self._reached.key = key

    def mark(self, key: list[Any]) -> None:
        """Note how far it has come."""
        self._reached.key = key

    def end_file(self) -> None:
        """Close the file that is open: the next thing begins another."""
        if self._entry is not None:
            self._entry.close()
            self._entry = None

    def close(self) -> None:
        """Note that everything is in."""
        self.end_file()
        self._reached.done = True


class _Part:
    """One ZIP."""

    def __init__(self, number: int, file: Path, key: str, at: tuple[int, int, int, int, int, int]) -> None:
        self.number, self.file, self.key, self._at = number, file, key, at
        self.listed: list[Listed] = []
        self._entries = self._directory = 0
        self._open: IO[bytes] | None = None
        self.sealed = SealedFile(file, key)
        self._zip = zipfile.ZipFile(self.sealed, "w", zipfile.ZIP_DEFLATED, compresslevel=5)

    def is_full(self, size: int, limit: int) -> bool:
        """Whether `size` more bytes, in the worst case, do not fit beside what is in. An empty part takes anything."""
        room = RESERVE if limit > 4 * RESERVE else limit // 8
        return self._entries > 0 and self.sealed.size + size + self._directory + room > limit

    def entry(self, path: str, media_type: str) -> _Entry:
        """A file in it, to be written to its end before the next."""
        self._entries += 1
        self._directory += _PER_NAME + 2 * len(path.encode())
        said = zipfile.ZipInfo(path, self._at)
        said.compress_type = zipfile.ZIP_DEFLATED
        said._compresslevel = 5  # type: ignore[attr-defined]
        said.external_attr = (stat.S_IFREG | 0o600) << 16
        self._open = self._zip.open(said, "w")
        return _Entry(self, self._open, path, media_type)

    def abandon(self) -> None:
        """Leave nothing; what is open is closed into the void, or it would complain when it is collected."""
        self.sealed.abandon()
        for each in (self._open, self._zip):
            with suppress(Exception):
                if each is not None:
                    each.close()

    def close(self) -> None:
        self._zip.close()
        self.sealed.close()


class _Entry:
    """A file of a ZIP while it is written. Looks like a file to those who write tables."""

    def __init__(self, part: _Part, out: IO[bytes], path: str, media_type: str) -> None:
        self._part, self._out, self._path, self._media_type = part, out, path, media_type
        self._hash = hashlib.sha256()
        self.size = 0
        self.closed = False

    def __enter__(self) -> _Entry:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.close()

    def write(self, data: bytes) -> int:
        self._out.write(data)
        self._hash.update(data)
        self.size += len(data)
        return len(data)

    def flush(self) -> None:
        """Nothing to do."""

    def tell(self) -> int:
        return self.size

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._out.close()
            part = self._part
            part.listed.append(Listed(self._path, self._hash.hexdigest(), self.size, self._media_type, part.number))
