"""Resources that are given as Python dicts: as lines of JSON, and as files that exist in memory alone."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from transforms.sql_on_fhir.errors import ViewError

PIECE = 15 * 1024 * 1024
"""Bytes of a file in memory. Of a longer file DuckDB hands out parts of 16 MB to its threads, and the order is lost."""

_LONG_NUMBER = re.compile(rb'":-?[0-9.]{17}')


def lines(resources: Sequence[Mapping[str, Any]]) -> list[bytes]:
    """Each resource as JSON text; a Decimal with all its digits.

    Raises:
        ViewError: CH309 for what is no sequence of resources.
    """
    if isinstance(resources, Mapping | bytes | bytearray) or not hasattr(resources, "__iter__"):
        kind = type(resources).__name__
        raise ViewError("CH309", message=f"a source is files, a relation or a sequence of resources, not a {kind}")
    encoder = msgspec.json.Encoder(decimal_format="number")
    try:
        return [encoder.encode(resource) for resource in resources]
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError):
        raise ViewError("CH309", message="a resource cannot be written as JSON") from None


def pieces(texts: list[bytes]) -> Iterator[bytes]:
    """The lines as NDJSON, as much at a time as goes into a file in memory. A longer line stands alone."""
    piece: list[bytes] = []
    size = 0
    for text in texts:
        if piece and size + len(text) >= PIECE:
            yield _joined(piece)
            piece, size = [], 0
        piece.append(text)
        size += len(text) + 1
    yield _joined(piece)


def _joined(texts: list[bytes]) -> bytes:
    """Lines that all end; one that does not would be read by another thread than the rest."""
    return b"\n".join([*texts, b""])


@contextmanager
def file_in_memory(ndjson: bytes) -> Iterator[str | None]:
    """The path of a file that no disk ever sees.

    None where the system has no such files (they are Linux's), and where a number has more digits than DuckDB's reader
    of files is sure to keep.
    """
    if not hasattr(os, "memfd_create") or _LONG_NUMBER.search(ndjson):
        yield None
        return
    with os.fdopen(os.memfd_create("resources"), "wb") as file:
        file.write(ndjson)
        file.flush()
        path = f"/proc/self/fd/{file.fileno()}"
        yield path if Path(path).exists() else None
