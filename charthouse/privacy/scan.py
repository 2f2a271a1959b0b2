"""The proof: every byte of the home is looked at for what was erased, packed and encrypted files opened.

Rows say whose they are. What stands in a row of somebody who lives (in the lakes, in what is landed and staged) is
theirs, and no trace of anybody; a hard needle there is one. Everywhere else nothing may be found at all. The store of a
counterparty (`sandbox`) is no place of ours.
"""

from __future__ import annotations

import gzip
import io
import json
import mmap
import subprocess
import sys
import zipfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import create_engine, inspect, make_url, select, text
from sqlalchemy.exc import SQLAlchemyError

from charthouse.lake.session import connect, data_of, quoted, writing
from charthouse.privacy.erasers.databases import Catalog, catalogs
from charthouse.privacy.erasers.files import mail_folders, mail_parts, mails_of_the_living, name_of_mail
from charthouse.privacy.matching import Matcher
from charthouse.privacy.overtaking import noted
from charthouse.privacy.registry import place_of, places
from charthouse.state import session
from charthouse.state.engine import engine
from charthouse.state.models import Link

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import duckdb

    from charthouse.privacy.subjects import Subject
    from charthouse.settings import Settings

NOT_OURS: Final = "sandbox"
ATTRIBUTED: Final = frozenset({"landing", "staging", "lake files"})
"""Places whose rows say whose they are."""
DATABASES: Final = frozenset({"state file", "catalog files", "airflow's file"})
JOURNALS: Final = ("-wal", "-shm", "-journal")
ROWS: Final = 2_048
DEEPEST: Final = 4
"""How many packings one inside the other are opened."""
LARGEST_PACKED: Final = 4_000_000_000
_SQLITE: Final = b"SQLite format 3\x00"


class Trace(NamedTuple):
    """Something that was found: where, and of which request. Never what."""

    place: str
    code: str
    request_id: str


@dataclass(slots=True)
class Proof:
    """What a scan looked at, and what it found."""

    files: int = 0
    bytes: int = 0
    databases: int = 0
    needles: int = 0
    shared: int = 0
    traces: set[Trace] = field(default_factory=set)

    def of(self, request_id: str) -> list[Trace]:
        """What was found of one request."""
        return sorted(trace for trace in self.traces if trace.request_id == request_id)


class _Scan:
    def __init__(self, subjects: Sequence[Subject], settings: Settings) -> None:
        self.settings = settings
        self.proof = Proof()
        self.owners: dict[bytes, set[str]] = defaultdict(set)
        self.hard: set[bytes] = set()
        self.soft: set[bytes] = set()
        self.kept: set[bytes] = set()
        self.words: set[bytes] = set()
        for subject in subjects:
            self.hard |= subject.needles.hard
            self.soft |= subject.needles.soft
            self.words |= subject.needles.words
            if not subject.whole:  # the link's own row and its events stay
                self.kept |= subject.needles.hard
            for needle in subject.needles.hard | subject.needles.soft | subject.needles.words:
                self.owners[needle].add(subject.request_id)
        self.soft = (self.soft | self.words) - self.hard
        self.everyone = {subject.request_id for subject in subjects}
        self.shared: set[bytes] = set()
        self.matcher = Matcher(self.hard | self.soft, self.words)
        self.lines = {place.name for place in places("files", "mask")}
        self.mails = mails_of_the_living(settings)
        self.proof.needles = len(self.matcher)

    def look(self, place: str, content: Any, *, attributed: bool = False, text: bool = False) -> None:
        """Look at some bytes of a place. Words say something in `text` alone: among bytes, they occur by chance."""
        self.proof.bytes += len(content)
        found = self.matcher.found(content, dropped=self.soft if attributed else ())
        if not found:
            return
        if attributed:
            self.shared |= found & self.soft
            found &= self.hard
        elif not text:
            found -= self.words
        if place in ("state file", "state"):
            found -= self.kept
        for needle in found:
            for request_id in self.owners[needle]:
                self.proof.traces.add(Trace(place, "CH910", request_id))

    def notes(self, request_id: str, content: bytes) -> None:
        """Look at what is sealed with a request: it may name whom that one is about, and nobody else who goes."""
        self.proof.bytes += len(content)
        for needle in self.matcher.found(content, dropped=self.soft) & self.hard:
            for other in self.owners[needle] - {request_id}:
                self.proof.traces.add(Trace("notes of requests", "CH910", other))

    def settle(self) -> None:
        """What others hold by right is looked for no more: in their rows, or as the patient of a link of theirs."""
        with session(self.settings, read_only=True) as state:
            patients = state.scalars(select(Link.patient_id).where(Link.patient_id.is_not(None)))
            known = "\n".join(map(str, patients)).encode()  # one may begin with another
        self.shared |= Matcher(self.soft - self.words).found(known)
        self.matcher.drop(self.shared)
        self.proof.shared = len(self.shared)

    def unreadable(self, place: str) -> None:
        """A file that proves nothing."""
        self.proof.traces |= {Trace(place, "CH913", request_id) for request_id in self.everyone}


def scan(subjects: Sequence[Subject], settings: Settings) -> Proof:
    """Look at everything for what was known of these subjects.

    Raises:
        LakeError, PrivacyError, StateError: a store could not be read.
    """
    work = _Scan(subjects, settings)
    for catalog in catalogs(settings):
        with writing(catalog.lake, settings):  # a file that nobody has committed yet would be nobody's
            _lake(work, catalog)
    files = sorted(_files(settings), key=lambda named: named[0] not in ATTRIBUTED)
    settled = False
    for place, file in files:
        if place not in ATTRIBUTED and not settled:
            work.settle()
            settled = True
        _file(work, place, file)
    if not settled:
        work.settle()
    with session(settings, read_only=True) as state:
        for request, notes in noted(state, settings):
            if notes is not None:
                work.notes(request.id, json.dumps(notes.said()).encode())
    _servers(work, settings)
    return work.proof


def _files(settings: Settings) -> Iterator[tuple[str, Path]]:
    """Every file of the home and of the folders beside it, but for the lakes' own Parquet files, with its place."""
    roots = [settings.home, *(folder for folder in mail_folders(settings) if settings.home not in folder.parents)]
    for root in roots:
        for file in root.rglob("*"):
            inside = file.relative_to(root)
            if inside.parts[0] == NOT_OURS or file.is_symlink() or not file.is_file():
                continue
            name = inside.as_posix() if root == settings.home else f"mail/{inside.as_posix()}"
            found = place_of("files", name)
            place = found.name if found else f"unregistered, in {inside.parts[0] if len(inside.parts) > 1 else 'home'}"
            if place == "lake files" and file.suffix == ".parquet":
                continue
            yield place, file


def _file(work: _Scan, place: str, file: Path) -> None:
    attributed = place in ATTRIBUTED or (place == "mails" and name_of_mail(file) in work.mails)
    work.look(place, str(file.name if attributed else file.relative_to(file.anchor)).encode("utf-8", "surrogateescape"))
    if attributed:
        for part in file.parts:
            if part.encode() in work.hard:
                work.look(place, part.encode())
    try:
        if not file.stat().st_size:
            work.proof.files += 1
            return
        if place in DATABASES or file.name.endswith(JOURNALS):
            work.look(place, _read_apart(file))
            work.proof.files += 1
            if not file.name.endswith(JOURNALS):
                _database(work, place, f"sqlite:///{file}")
            return
        with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
            work.look(place, content, attributed=attributed, text=place in work.lines)
            head = bytes(content[:16])
        work.proof.files += 1
        if head == _SQLITE:
            _database(work, place, f"sqlite:///{file}")
        elif head[:4] == b"PAR1":
            for batch in pq.ParquetFile(file).iter_batches(batch_size=ROWS):
                _batch(work, place, batch, attributed=attributed)
        elif file.suffix == ".eml":
            for said in mail_parts(file):
                work.look(place, said, attributed=attributed)
        elif head[:2] == b"\x1f\x8b" or head[:2] == b"PK":
            _packed(work, place, file.read_bytes(), attributed=attributed, depth=0)
    except FileNotFoundError:
        return  # it went while we looked
    except (OSError, EOFError, pa.ArrowException, zipfile.BadZipFile):
        if file.suffix != ".part" and not attributed:  # what is being written is looked at when it is whole
            work.unreadable(place)


def _read_apart(file: Path) -> bytes:
    """The bytes of a database file, read by a process of its own.

    A process that closes a file gives up all its POSIX locks on it, those of SQLite's connections, too: another one
    might then take the database for its own (https://www.sqlite.org/howtocorrupt.html, 2.2).

    Raises:
        OSError: it cannot be read.
    """
    code = "import shutil, sys; shutil.copyfileobj(open(sys.argv[1], 'rb'), sys.stdout.buffer)"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code, str(file)], capture_output=True, check=False)  # noqa: S603
    if done.returncode:
        if not file.exists():
            raise FileNotFoundError(file.name)
        raise OSError("unreadable")
    return done.stdout


def _packed(work: _Scan, place: str, raw: bytes, *, attributed: bool, depth: int) -> None:
    if depth > DEEPEST:
        work.unreadable(place)
        return
    if raw[:2] == b"\x1f\x8b":
        with gzip.open(io.BytesIO(raw)) as stream:
            inner = stream.read(LARGEST_PACKED)
        work.look(place, inner, attributed=attributed)
        if inner[:2] in (b"\x1f\x8b", b"PK"):
            _packed(work, place, inner, attributed=attributed, depth=depth + 1)
    elif raw[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            for entry in archive.infolist():
                work.look(place, entry.filename.encode())
                if entry.flag_bits & 1:
                    work.unreadable(place)
                    continue
                content = archive.read(entry)
                work.look(place, content, attributed=attributed)
                if content[:2] in (b"\x1f\x8b", b"PK"):
                    _packed(work, place, content, attributed=attributed, depth=depth + 1)


def _database(work: _Scan, place: str, url: str) -> None:
    """Look at the rows of a database: a text may lie over two pages of its file."""
    made = engine(work.settings) if url == work.settings.state_database else create_engine(url, hide_parameters=True)
    work.proof.databases += 1
    try:
        with made.execution_options(postgresql_readonly=True).connect() as connection:
            for table in inspect(connection).get_table_names():
                rows = connection.execution_options(yield_per=ROWS).execute(text(f'SELECT * FROM "{table}"'))
                for some in rows.partitions():
                    values = [value for row in some for value in row]
                    work.look(place, _joined(value for value in values if isinstance(value, str)), text=True)
                    work.look(place, _joined(value for value in values if not isinstance(value, str)))
    except SQLAlchemyError:
        work.unreadable(place)
    finally:
        if made is not engine(work.settings):
            made.dispose()


def _joined(values: Iterable[Any]) -> bytes:
    return b"\n".join(map(_stored, values))


def _stored(value: Any) -> bytes:
    """A value of a database as bytes; numbers and instants are nobody's."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    if isinstance(value, bytes | memoryview):
        return bytes(value)
    return repr(value).encode("utf-8", "replace") if isinstance(value, dict | list | tuple) else b""


def _servers(work: _Scan, settings: Settings) -> None:
    """Look at what servers hold, through their tables."""
    addresses = {"state": settings.state_database, "airflow": settings.airflow_metadata}
    addresses |= {f"catalog of {catalog.lake}": catalog.url for catalog in catalogs(settings)}
    for name, url in addresses.items():
        if make_url(url).get_backend_name() != "sqlite":
            _database(work, name, url)


def _lake(work: _Scan, catalog: Catalog) -> None:
    """Look at every data file of a lake, each opened with its own key from the catalog."""
    keys: dict[str, str | None] = {}
    with catalog.opened() as connection:
        for table in ("ducklake_data_file", "ducklake_delete_file"):
            for path, key in connection.execute(text(f"SELECT path, encryption_key FROM {table}")):
                keys[str(path).rpartition("/")[2]] = key
    folder = data_of(catalog.lake, work.settings)
    if "://" not in folder and not Path(folder).is_dir():
        return
    with connect(work.settings) as connection:
        found = connection.execute(f"SELECT file FROM glob({quoted(folder.rstrip('/') + '/**')})").fetchall()
        for (path,) in found:
            name = str(path).rpartition("/")[2]
            if name not in keys:
                work.unreadable("lake files")
                continue
            work.proof.files += 1
            for batch in _rows(connection, str(path), keys[name]):
                _batch(work, "lake files", batch, attributed=True)


def _rows(connection: duckdb.DuckDBPyConnection, path: str, key: str | None) -> Iterator[pa.RecordBatch]:
    opened = f", encryption_config = {{footer_key_value: from_base64({quoted(key)})}}" if key else ""
    source = f"read_parquet({quoted(path)}{opened})"
    described = connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
    texts = [name for name, kind, *_ in described if any(word in kind for word in ("VARCHAR", "BLOB", "JSON"))]
    if texts:
        columns = ", ".join('"' + name.replace('"', '""') + '"' for name in texts)
        yield from connection.execute(f"SELECT {columns} FROM {source}").to_arrow_reader(ROWS)


def _batch(work: _Scan, place: str, batch: pa.RecordBatch, *, attributed: bool) -> None:
    for column in batch.columns:
        for raw in _texts(column):
            work.look(place, raw, attributed=attributed)


def _texts(array: Any) -> Iterator[memoryview]:
    """The bytes of all texts in a column, those in lists and structures, too."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        yield from _texts(array.dictionary)
    elif pa.types.is_struct(kind):
        for inner in array.flatten():
            yield from _texts(inner)
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        yield from _texts(array.flatten())
    elif kind in (pa.string(), pa.large_string(), pa.binary(), pa.large_binary()):
        buffer = array.buffers()[-1]
        if buffer is not None:
            yield memoryview(buffer).cast("B")
