"""Whether a ZIP is to the byte one that we wrote: what stands between its files was not changed either.

The signed list covers what is in the files. Dates, rights, comments and gaps of the ZIP around them are of one form
only, and held against that. What is too large for the plain format (ZIP64) is not looked at like this.
"""

from __future__ import annotations

import stat
import struct
import zipfile
from datetime import datetime
from typing import IO, TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

RIGHTS: Final = (stat.S_IFREG | 0o600) << 16
VERSION: Final = 20
UNIX: Final = 3
LATER: Final = 0x08
"""The flag of sizes that are told behind the data: they are not known when a stream begins."""
UTF8: Final = 0x800
MOST_FILES: Final = 65_535
MOST_BYTES: Final = 2**31 - 1
_HEAD: Final = struct.Struct("<4s5H3L2H")
_TAIL: Final = struct.Struct("<4s3L")
_END: Final = struct.Struct("<4s4H2LH")


def is_as_written(file: Path, made_at: str) -> bool:
    """Whether nothing but files is in the ZIP, each as we write them, one behind the other, at one moment."""
    size = file.stat().st_size
    with zipfile.ZipFile(file) as archive, file.open("rb") as raw:
        entries = archive.infolist()
        if len(entries) > MOST_FILES or size > MOST_BYTES:
            return True
        at = datetime.fromisoformat(made_at)
        moment = (at.year, at.month, at.day, at.hour, at.minute, at.second // 2 * 2)
        position = directory = 0
        for entry in entries:
            name = entry.orig_filename.encode()
            if entry.header_offset != position or not _is_plain(entry, moment):
                return False
            after = _behind(raw, entry, name)
            if after is None:
                return False
            position = after
            directory += 46 + len(name)
        raw.seek(-_END.size, 2)
        end = (b"PK\x05\x06", 0, 0, len(entries), len(entries), directory, position, 0)
        return _END.unpack(raw.read(_END.size)) == end and size == position + directory + _END.size


def _is_plain(entry: zipfile.ZipInfo, moment: tuple[int, int, int, int, int, int]) -> bool:
    """Whether the directory says of a file what ours says."""
    said = (
        entry.date_time,
        entry.compress_type,
        entry.flag_bits,
        entry.create_system,
        (entry.create_version, entry.extract_version),
        (entry.reserved, entry.volume, entry.internal_attr),
        entry.external_attr,
        (entry.extra, entry.comment),
    )
    flags = LATER if entry.orig_filename.isascii() else LATER | UTF8
    return said == (
        *(moment, zipfile.ZIP_DEFLATED, flags, UNIX, (VERSION, VERSION)),
        *((0, 0, 0), RIGHTS, (b"", b"")),
    )


def _behind(raw: IO[bytes], entry: zipfile.ZipInfo, name: bytes) -> int | None:
    """Where a file ends, if what stands before and behind its data is as it must be."""
    year, month, day, hour, minute, second = entry.date_time
    clock, calendar = hour << 11 | minute << 5 | second // 2, (year - 1980) << 9 | month << 5 | day
    head = (b"PK\x03\x04", VERSION, entry.flag_bits, 8, clock, calendar, 0, 0, 0, len(name), 0)
    raw.seek(entry.header_offset)
    if raw.read(_HEAD.size) != _HEAD.pack(*head) or raw.read(len(name)) != name:
        return None
    end = entry.header_offset + _HEAD.size + len(name) + entry.compress_size
    raw.seek(end)
    if raw.read(_TAIL.size) != _TAIL.pack(b"PK\x07\x08", entry.CRC, entry.compress_size, entry.file_size):
        return None
    return end + _TAIL.size
