"""A scanner of its own, which knows nothing of how an erasure works: where in a home are these bytes?"""

from __future__ import annotations

import base64
import email
import gzip
import json
import sqlite3
import subprocess
import sys
import zipfile
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).resolve().parents[2]
LAKES = ("vault", "records")


class NobodysFileError(Exception):
    """A file of a lake that is of no snapshot any more: compaction leaves it for a day, for whoever reads it still.

    Nobody can open it to look, so it counts as a file in which something is: an erasure has to take it away.
    """


def forms(text: str) -> set[bytes]:
    """A text as it may stand in a file, base64 at every offset included."""
    plain = text.encode()
    found = {plain, plain.lower(), plain.upper()}
    for pad in range(3 if len(plain) > 12 else 0):  # of a short one, too little is left to tell it from others
        packed = base64.b64encode(b"\0" * pad + plain)
        found.add(packed[pad + 1 : -4] if pad else packed[:-4].rstrip(b"="))
    return {form for form in found if len(form) >= 6}


def where(home: Path, wanted: Iterable[str], *, nobodys: bool = True) -> set[str]:
    """The files of a home (without the sandbox, a counterparty's) in which something of `wanted` is.

    With `nobodys`, files that no snapshot names count, too: right after an erasure there are none.

    Looked for by a process of its own: one that closes a file of SQLite's gives up its locks on it.
    """
    told = json.dumps([str(home), sorted(wanted), nobodys])
    done = subprocess.run(
        [sys.executable, "-m", "tests.privacy.scanner"],
        input=told,
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    return set(json.loads(done.stdout))


def _where(home: Path, wanted: Iterable[str], nobodys: bool) -> set[str]:
    needles = {form for text in wanted for form in forms(text)}
    found = set()
    for file in sorted(home.rglob("*")):
        inside = file.relative_to(home)
        if inside.parts[0] == "sandbox":
            continue
        if any(needle in str(inside).encode() for needle in needles):
            found.add(str(inside))
        try:
            if file.is_file() and any(needle in content for content in contents(home, file) for needle in needles):
                found.add(str(inside))
        except NobodysFileError:
            found |= {str(inside)} if nobodys else set()
    return found


def contents(home: Path, file: Path) -> Iterator[bytes]:
    """A file as it stands, and what is in it."""
    raw = file.read_bytes()
    yield raw
    if raw[:2] == b"\x1f\x8b":
        yield gzip.decompress(raw)
    elif raw[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(file) as archive:
            for name in archive.namelist():
                yield name.encode()
                yield archive.read(name)
    elif raw[:16] == b"SQLite format 3\0":
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
            database.text_factory = bytes
            yield b"\n".join(
                b"\0".join(value for value in row if isinstance(value, bytes))
                for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
                for row in database.execute(f'SELECT * FROM "{name.decode()}"')
            )
    elif raw[:4] in (b"PAR1", b"PARE"):
        yield parquet(home, file)
    elif file.suffix == ".eml":
        for part in email.message_from_bytes(raw).walk():
            content = part.get_payload(decode=True)
            if isinstance(content, bytes):
                yield content


@cache
def reader() -> duckdb.DuckDBPyConnection:
    """One for all files: a home has hundreds, and to begin a database costs more than to read a small one."""
    return duckdb.connect()


def parquet(home: Path, file: Path) -> bytes:
    """Every value of a Parquet file as text, with its key from the lake's catalog where it is encrypted."""
    key = ""
    for lake in LAKES:
        if lake in file.relative_to(home).parts[:1]:
            with closing(sqlite3.connect(f"file:{home / lake / 'catalog.sqlite'}?mode=ro", uri=True)) as catalog:
                for table in ("ducklake_data_file", "ducklake_delete_file"):
                    row = catalog.execute(
                        f"SELECT encryption_key FROM {table} WHERE path LIKE ?", [f"%{file.name}"]
                    ).fetchone()
                    key = row[0] if row else key
            if not key:
                raise NobodysFileError
    opened = f", encryption_config = {{footer_key_value: from_base64('{key}')}}" if key else ""
    rows = reader().execute(f"SELECT * FROM read_parquet('{file}'{opened})").fetchall()
    return "\n".join(value if isinstance(value, str) else repr(value) for row in rows for value in row).encode(
        "utf-8", "replace"
    )


if __name__ == "__main__":
    folder, texts, counted = json.load(sys.stdin)
    json.dump(sorted(_where(Path(folder), texts, counted)), sys.stdout)
