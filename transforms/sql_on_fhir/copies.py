"""Copies, for one run, of files that DuckDB's reader does not take as they are.

It takes a byte order mark, which Windows puts at the beginning of a file, for a part of the first line. And it needs
many times the length of a long line in memory: for its buffers, and for the document in each JSON function. What makes
a line long is seldom read (an attachment, a note), so the copy is without it.
"""

from __future__ import annotations

import codecs
import gzip
import zlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

import msgspec

from transforms.sql_on_fhir import sql
from transforms.sql_on_fhir.sources import LONG_LINE_LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable

    import duckdb

    from transforms.sql_on_fhir.shape import Shape
    from transforms.sql_on_fhir.sources import NdjsonFiles

    _Query = Callable[[str], duckdb.DuckDBPyRelation]
    Copy = Callable[[NdjsonFiles, _Query, Callable[[], Path]], NdjsonFiles | None]

UNREADABLE = (OSError, EOFError, zlib.error)
"""What Python says of a file that cannot be read or written."""

PIECE = 1024 * 1024

LONG = 1024 * 1024
"""Bytes of a line from which on it is cut."""

_MARK = codecs.BOM_UTF8
_GZIP = ".gz"


def without_marks(files: NdjsonFiles, query: _Query, folder: Callable[[], Path]) -> NdjsonFiles | None:
    """The files with copies for those that begin with a byte order mark; None if none does."""
    return _copied(files, query, folder, _is_marked, None)


def with_short_lines(files: NdjsonFiles, query: _Query, folder: Callable[[], Path], shape: Shape) -> NdjsonFiles | None:
    """The files with copies for those that have a long line, cut to what the shape reads of it."""
    return _copied(files, query, folder, _has_long_line, shape)


def _copied(
    files: NdjsonFiles, query: _Query, folder: Callable[[], Path], is_due: Callable[[Path], bool], shape: Shape | None
) -> NdjsonFiles | None:
    paths = [path for given in files.paths for path in _expanded(given, query)]
    # a pipe can be read once only, and what is not of this machine is DuckDB's to read
    due = [i for i, path in enumerate(map(Path, paths)) if path.is_file() and is_due(path)]
    if not due:
        return None
    made = folder()
    for i in due:
        source = Path(paths[i])
        paths[i] = str(_copy(source, made / f"{i}.ndjson{_GZIP if _is_gzip(source) else ''}", shape))
    return replace(files, paths=tuple(paths))


def _expanded(path: str, query: _Query) -> list[str]:
    if Path(path).is_file():
        return [path]
    return [name for (name,) in query(f"SELECT file FROM glob({sql.text(path)})").fetchall()]


def _is_gzip(path: Path) -> bool:
    return path.suffix.lower() == _GZIP


def _opened(path: Path, mode: Literal["rb", "wb"] = "rb") -> BinaryIO:
    return gzip.open(path, mode, compresslevel=1) if _is_gzip(path) else path.open(mode)  # type: ignore[return-value]


def _is_marked(path: Path) -> bool:
    try:
        with _opened(path) as file:
            return file.read(len(_MARK)) == _MARK
    except UNREADABLE:
        return False  # DuckDB will say so


def _has_long_line(path: Path) -> bool:
    if not _is_gzip(path) and path.stat().st_size <= LONG:
        return False
    with _opened(path) as file:
        while line := file.readline(LONG + 1):
            if len(line) > LONG:
                return True
    return False


def _copy(path: Path, target: Path, shape: Shape | None) -> Path:
    with _opened(path) as file, _opened(target, "wb") as written:
        marked = 0
        while file.read(len(_MARK)) == _MARK:
            marked += len(_MARK)
        file.seek(marked)
        if shape is None:
            while piece := file.read(PIECE):
                written.write(piece)
            return target
        while line := file.readline(LONG_LINE_LIMIT + 1):
            written.write(cut(line, shape) + b"\n" if LONG < len(line) <= LONG_LINE_LIMIT else line)
    return target


def cut(line: bytes, shape: Shape) -> bytes:
    """A line with only what is read of it; as it is where it is no JSON, which is the reader's to count."""
    try:
        return msgspec.json.encode(_cut(msgspec.Raw(line), [shape]))
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return line.rstrip(b"\r\n")


def _cut(value: msgspec.Raw, shapes: list[Shape]) -> msgspec.Raw | dict[str, object] | list[object]:
    """A JSON value with only the fields of the shapes, and of those that its text is parsed into."""
    if any(shape.leaf is not None for shape in shapes):
        return value
    match bytes(memoryview(value)[:64]).lstrip()[:1]:
        case b"[":
            return [_cut(item, shapes) for item in msgspec.json.decode(value, type=list[msgspec.Raw])]
        case b"{":
            read: dict[str, list[Shape]] = {}
            for shape in shapes:
                for part in (shape, *shape.readers):
                    for name, child in part.fields.items():
                        read.setdefault(name, []).append(child)
            fields = msgspec.json.decode(value, type=dict[str, msgspec.Raw])
            return {
                name: _cut(field, read[name]) if name in read else field
                for name, field in fields.items()
                if name in read or name == "resourceType"
            }
    return value
