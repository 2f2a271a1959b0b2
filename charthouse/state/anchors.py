"""Anchors of the audit trail: what its end was after each commit, noted in a file beside the keys.

Whoever can change the database can cut events off its end, or make the whole chain anew; this file tells of it. A line
is `<number of the event> <its digest>`, appended without waiting for the disk: it has to outlive a tamperer, and what a
power cut costs is one line.
"""

from __future__ import annotations

import fcntl
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from charthouse.files import write_whole
from charthouse.log import get_logger

if TYPE_CHECKING:
    from pathlib import Path

log = get_logger(__name__)

MOST: Final = 4096
"""Lines at which every second one is dropped: what an old one proves, its neighbour proves nearly as well."""
_LINE: Final = re.compile(r"([1-9]\d{0,18}) ([0-9a-f]{64})")
_LINE_BYTES: Final = 64 + 2 + 19


@dataclass(frozen=True, slots=True)
class Anchors:
    """What a file of anchors says: digests by number, and how many lines say nothing."""

    digests: dict[int, str] = field(default_factory=dict)
    unreadable: int = 0

    @property
    def last(self) -> int:
        """The number of the last event that was noted; 0 where none was."""
        return max(self.digests, default=0)


def note(file: Path, number: int, digest: str) -> None:
    """Note that the trail ends with this event. The deed is done by now: what cannot be noted is logged."""
    try:
        if _append(file, f"{number} {digest}\n".encode()) > MOST * _LINE_BYTES:
            _thin(file)
    except OSError as error:
        log.warning("the end of the audit trail could not be noted", what=error.strerror or type(error).__name__)


def read(file: Path) -> Anchors:
    """What is noted; nothing where there is no file."""
    try:
        lines = file.read_text("ascii", errors="replace").splitlines()
    except FileNotFoundError:
        return Anchors()
    found = [_LINE.fullmatch(line) for line in lines if line]
    said: dict[int, str] = {}
    for line in found:
        if line is not None:
            said.setdefault(int(line[1]), line[2])  # a second event of one number is of a trail that was cut before it
    return Anchors(said, sum(line is None for line in found))


def replace(file: Path, number: int, digest: str) -> None:
    """Begin anew with one anchor: the trail that goes on from here is another's, a restored one."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_whole(file, f"{number} {digest}\n".encode() if number else b"")
    file.chmod(0o600)


def _append(file: Path, line: bytes) -> int:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    try:
        descriptor = os.open(file, flags, 0o600)
    except FileNotFoundError:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(file, flags, 0o600)
    try:
        os.write(descriptor, line)
        return os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)


def _thin(file: Path) -> None:
    """Drop every second line, and keep the last. A line that another process appends meanwhile may be lost."""
    with file.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if os.fstat(held.fileno()).st_ino != file.stat().st_ino:
            return  # another process was faster
        said = sorted(read(file).digests.items())
        kept = said[::2] if len(said) % 2 else said[1::2]
        write_whole(file, "".join(f"{number} {digest}\n" for number, digest in kept).encode())
        file.chmod(0o600)
