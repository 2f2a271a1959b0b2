"""Bulk Data export of a provider: kick-off, status, manifest, files, deletion (Bulk Data Access 1.0.1 to 3.0).

`Group/everyone` is everybody; other groups are what the operator makes them.
"""

from __future__ import annotations

import re
import secrets
import threading
import zlib
from dataclasses import dataclass, field
from email.utils import formatdate
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, unquote

import orjson

from sandbox.bulk_query import gone_since, lines_of, rows_of
from sandbox.compartment import is_personal
from sandbox.query import RequestError
from sandbox.store import instant, microseconds, now_microseconds
from sandbox.tokens import hashed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sandbox.bulk_habits import BulkHabits
    from sandbox.provider import Asked
    from sandbox.store import Store

EVERYONE: Final = "everyone"
EXPORT: Final = "$export"
STATUS: Final = "bulkstatus"
FILES: Final = "bulkfiles"
FORMATS: Final = ("application/fhir+ndjson", "application/ndjson", "ndjson")
_PARAMETERS: Final = frozenset({"_outputFormat", "_since", "_type", "allowPartialManifests", "patient"})
_SINCE: Final = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2}:\d{2})")
_RANGE: Final = re.compile(r"bytes=(\d+)-(\d*)")
_TOO_OFTEN: Final = 10


@dataclass(frozen=True, slots=True)
class ExportFile:
    """One file of a manifest: its name, list (`output`, `deleted`, `error`), type, number of lines, and its rows."""

    name: str
    list: str
    type: str
    count: int
    rows: tuple[int, ...] = ()
    text: bytes = b""


@dataclass(slots=True)
class Job:
    """One export."""

    id: str
    secret: str
    request: str
    client: str
    transaction: int
    separate: bool
    partial: bool
    begun: float
    files: tuple[ExportFile, ...]
    polls: int = 0
    polled: float = 0.0
    hasty: int = 0
    ready: bool = False


@dataclass(frozen=True, slots=True)
class Said:
    """An answer of an export."""

    status: int
    body: bytes = b""
    media: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


def is_export(path: str) -> bool:
    """Whether a path below the FHIR base is one of an export."""
    return path == EXPORT or path.endswith(f"/{EXPORT}") or path.split("/", 1)[0] in (STATUS, FILES)


class Exports:
    """The exports of one provider."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}
        self.groups: dict[str, list[str]] = {}
        """Patients by the id of a group, beside `everyone`."""

    def listed(self) -> list[dict[str, Any]]:
        """The jobs that there are, for the operator."""
        with self._lock:
            return [
                {"id": job.id, "request": job.request, "polls": job.polls, "ready": job.ready, "files": len(job.files)}
                for job in self._jobs.values()
            ]

    def last_row(self, path: str) -> int | None:
        """The row of the last resource of a file."""
        name = path.rpartition("/")[2]
        with self._lock:
            files = [file for job in self._jobs.values() for file in job.files if file.name == name]
        return files[-1].rows[-1] if files and files[-1].rows else None

    def answer(
        self,
        asked: Asked,
        store: Store,
        habits: BulkHabits,
        types: Sequence[str],
        base: str,
        now: float,
        *,
        torn: bool = False,
    ) -> Said:
        """Answer a request whose path `is_export`. `torn`: of a file only the first half, as if that were all.

        Raises:
            RequestError: it is refused.
        """
        if not habits.offered:
            raise RequestError(404, "not-supported", "there is no export here")
        parts = [unquote(part) for part in asked.path.split("/")]
        if parts[0] == FILES:
            return self._file(asked, parts, store, habits, now, torn=torn)
        client = client_of(asked, store, habits, now)
        if parts[0] == STATUS:
            return self._status(asked, parts, habits, base, client, now)
        return self._kick_off(asked, parts, store, habits, types, base, client, now)

    # -- kick-off ---------------------------------------------------------------------------------------------------

    def _kick_off(
        self,
        asked: Asked,
        parts: list[str],
        store: Store,
        habits: BulkHabits,
        types: Sequence[str],
        base: str,
        client: str,
        now: float,
    ) -> Said:
        allowed = {"GET": habits.get, "POST": habits.post}
        if not allowed.get(asked.method, False):
            raise RequestError(405, "not-supported", "an export is asked for in another way here")
        prefer = [part.strip().lower() for part in re.split(r"[,;]", asked.headers.get("prefer", ""))]
        if "respond-async" not in prefer:
            raise RequestError(400, "invalid", "Prefer must be respond-async")
        if asked.headers.get("accept", "*/*").partition(";")[0] not in ("application/fhir+json", "*/*"):
            raise RequestError(400, "invalid", "Accept must be application/fhir+json")
        given = _parameters(asked)
        lenient = "handling=lenient" in prefer
        unknown = sorted(given.keys() - _PARAMETERS)
        if unknown and not lenient:
            raise RequestError(400, "not-supported", "there is a parameter that is not known here")
        patients = self._patients(parts, store)
        if "patient" in given:
            if asked.method != "POST" or patients is None:
                raise RequestError(400, "invalid", "patient is a parameter of POST, for Patient and Group")
            named = {name.removeprefix("Patient/") for name in given["patient"]}
            patients = [name for name in patients if name in named]
        wanted = [name for value in given.get("_type", ()) for name in value.split(",") if name] or list(types)
        if any(name not in types for name in wanted):
            raise RequestError(400, "not-supported", "there is a type that is not served here")
        if any(value not in FORMATS for value in given.get("_outputFormat", ())):
            raise RequestError(400, "not-supported", "the output format is not known here")
        since = None
        for value in given.get("_since", ()):
            since = microseconds(value) if _SINCE.fullmatch(value) else None
            if since is None:
                raise RequestError(400, "invalid", "_since is no instant")
        with self._lock:
            if habits.one_at_a_time and any(not job.ready for job in self._jobs.values()):
                raise RequestError(429, "throttled", "an export is under way", retry_after=habits.retry_seconds)
        merging = store.setting("merging")
        job = Job(
            id=secrets.token_hex(8),
            secret=secrets.token_urlsafe(24),
            request=f"{habits.own_base or base}/{asked.path}" + (f"?{asked.query}" if asked.query else ""),
            client=client,
            transaction=min(now_microseconds(), int(merging) - 1000) if merging else now_microseconds(),
            separate=habits.separate_status == "always"
            or (habits.separate_status == "asked" and "separate-export-status" in prefer),
            partial="true" in given.get("allowPartialManifests", ()),
            begun=now,
            files=_files(store, habits, wanted, patients, since),
        )
        with self._lock:
            self._jobs[job.id] = job
        headers = {"Content-Location": f"{base}/{STATUS}/{job.id}"}
        if job.separate and "separate-export-status" in prefer:
            headers["Preference-Applied"] = "respond-async, separate-export-status"
        return Said(202, headers=headers)

    def _patients(self, parts: list[str], store: Store) -> list[str] | None:
        """Whom the export is about; None for the whole system."""
        if parts == [EXPORT]:
            return None
        if parts == ["Patient", EXPORT]:
            return store.people()
        if len(parts) == 3 and parts[0] == "Group":
            if parts[1] == EVERYONE:
                return store.people()
            if parts[1] in self.groups:
                return self.groups[parts[1]]
        raise RequestError(404, "not-found", "there is no such group")

    # -- status -----------------------------------------------------------------------------------------------------

    def _status(self, asked: Asked, parts: list[str], habits: BulkHabits, base: str, client: str, now: float) -> Said:
        with self._lock:
            job = self._jobs.get(parts[1] if len(parts) == 2 else "")
            if job is None or job.client != client:
                raise RequestError(404, "not-found", "there is no such export")
            if asked.method == "DELETE":
                del self._jobs[job.id]
                return Said(202, _outcome("information", "informational", "the export is no longer kept"))
            if asked.method != "GET":
                raise RequestError(405, "not-supported", "a status is read or deleted")
            hasty = now - job.polled < habits.min_poll_seconds
            job.polled = now
            if hasty and not job.ready:
                job.hasty += 1
                if job.hasty >= _TOO_OFTEN:
                    del self._jobs[job.id]
                raise RequestError(429, "throttled", "asked too often", retry_after=habits.retry_seconds or 1)
            job.polls += 1
            job.ready = job.ready or job.polls > habits.working_polls
        page = dict(parse_qsl(asked.query)).get("page", "1")
        if not job.ready:
            headers = {"X-Progress": f"{min(99, 100 * job.polls // (habits.working_polls + 1))}% complete"}
            if habits.retry_after == "seconds":
                headers["Retry-After"] = str(habits.retry_seconds)
            elif habits.retry_after == "date":
                headers["Retry-After"] = formatdate(now + habits.retry_seconds, usegmt=True)
            if job.separate:
                return Said(200, headers=headers | {"X-Export-Status": "202"})
            return Said(202, headers=headers)
        headers = {"Expires": formatdate(now + habits.expires_seconds, usegmt=True)}
        if job.separate:
            headers["X-Export-Status"] = "200"
        number = int(page) if page.isdigit() and int(page) >= 1 else 1
        return Said(200, orjson.dumps(_manifest(job, habits, base, number)), headers=headers)

    # -- files ------------------------------------------------------------------------------------------------------

    def _file(
        self, asked: Asked, parts: list[str], store: Store, habits: BulkHabits, now: float, *, torn: bool
    ) -> Said:
        secret, name = (parts[1], parts[2]) if len(parts) == 3 else ("", "")
        with self._lock:
            job = next((job for job in self._jobs.values() if secrets.compare_digest(job.secret, secret)), None)
        found = next((file for file in job.files if file.name == name), None) if job is not None else None
        if habits.open or not habits.requires_access_token:
            if "authorization" in asked.headers:
                raise RequestError(400, "invalid", "these files are not read with a token")
        else:
            client = client_of(asked, store, habits, now)
            if job is not None and client != job.client:
                raise RequestError(403, "forbidden", "the files are those of another client")
        if job is None or found is None or now - job.begun > habits.expires_seconds:
            raise RequestError(404, "not-found", "there is no such file")
        if asked.method not in ("GET", "HEAD"):
            raise RequestError(405, "not-supported", "files are read")
        text = found.text or lines_of(store, found.rows)
        return _served(text[: len(text) // 2] if torn else text, asked, habits)


def _served(text: bytes, asked: Asked, habits: BulkHabits) -> Said:
    """A file, packed for who takes it so, and the part of it that is asked for (RFC 9110 §14.2)."""
    headers = {"Vary": "Accept-Encoding"}
    if "gzip" in asked.headers.get("accept-encoding", ""):
        packer = zlib.compressobj(1, zlib.DEFLATED, 31)
        text = packer.compress(text) + packer.flush()
        headers["Content-Encoding"] = "gzip"
    else:
        headers["Content-Encoding"] = "identity"
    media = "application/fhir+ndjson"
    if not habits.ranges:
        return Said(200, text, media, headers)
    tag = f'"{sha256(text).hexdigest()[:32]}"'
    headers |= {"ETag": tag, "Accept-Ranges": "bytes"}
    wanted = _RANGE.fullmatch(asked.headers.get("range", ""))
    if wanted is None or asked.headers.get("if-range", tag) != tag:
        return Said(200, text, media, headers)
    first, last = int(wanted[1]), int(wanted[2]) if wanted[2] else len(text) - 1
    if first >= len(text):
        return Said(416, b"", media, {"Content-Range": f"bytes */{len(text)}"})
    part = text[first : last + 1]
    headers["Content-Range"] = f"bytes {first}-{first + len(part) - 1}/{len(text)}"
    return Said(206, part, media, headers)


def _files(
    store: Store, habits: BulkHabits, types: Sequence[str], patients: Sequence[str] | None, since: int | None
) -> tuple[ExportFile, ...]:
    files: list[ExportFile] = []
    for kind in types:
        if not habits.shared and not is_personal(kind):
            continue
        rows = rows_of(store, kind, patients, since)
        for start in range(0, len(rows), habits.resources_per_file):
            some = tuple(rows[start : start + habits.resources_per_file])
            files.append(ExportFile(f"{len(files) + 1}.{kind}.ndjson", "output", kind, len(some), some))
    if since is not None and habits.deleted:
        gone = gone_since(store, since, types)
        if gone:
            entries = [{"request": {"method": "DELETE", "url": name}} for name in gone]
            bundle = orjson.dumps({"resourceType": "Bundle", "type": "transaction", "entry": entries}) + b"\n"
            files.append(ExportFile("deleted.ndjson", "deleted", "Bundle", 1, text=bundle))
    if habits.outcomes:
        said = b"".join(_issue_of(text) + b"\n" for text in habits.outcomes)
        count = len(habits.outcomes) if habits.outcome_count is None else habits.outcome_count
        files.append(ExportFile("outcome.ndjson", "error", "OperationOutcome", count, text=said))
    return tuple(files)


def _manifest(job: Job, habits: BulkHabits, base: str, page: int) -> dict[str, Any]:
    size = habits.files_per_page if job.partial and habits.files_per_page else max(1, len(job.files))
    shown = job.files[size * (page - 1) : size * page]
    lists: dict[str, list[dict[str, Any]]] = {"output": [], "deleted": [], "error": []}
    for file in shown:
        entry: dict[str, Any] = {"type": file.type, "url": f"{base}/{FILES}/{job.secret}/{file.name}"}
        if habits.counts:
            entry["count"] = file.count
        lists[file.list].append(entry)
    said: dict[str, Any] = {
        "transactionTime": instant(job.transaction),
        "requiresAccessToken": habits.requires_access_token and not habits.open,
        "output": lists["output"],
    }
    if habits.names == "stu4":
        said |= {"outcome": lists["error"], "manifestType": "bulk-export", "extension": []}
    else:
        said |= {"request": job.request, "error": lists["error"]}
    if lists["deleted"]:
        said["deleted"] = lists["deleted"]
    if size * page < len(job.files):
        said["link"] = [{"relation": "next", "url": f"{base}/{STATUS}/{job.id}?page={page + 1}"}]
    return said


def _parameters(asked: Asked) -> dict[str, list[str]]:
    """The parameters of a kick-off, of the query or of a Parameters resource."""
    given: dict[str, list[str]] = {}
    for name, value in parse_qsl(asked.query, keep_blank_values=True):
        given.setdefault(name, []).append(value)
    if asked.method != "POST":
        return given
    try:
        said = orjson.loads(asked.form or b"{}")
        listed = said["parameter"] if said else []
        for part in listed:
            value = next(value for name, value in part.items() if name.startswith("value"))
            if isinstance(value, dict):
                value = value["reference"]
            given.setdefault(part["name"], []).append(str(value).lower() if isinstance(value, bool) else str(value))
    except (orjson.JSONDecodeError, KeyError, TypeError, StopIteration):
        raise RequestError(400, "invalid", "the body must be a Parameters resource") from None
    return given


def client_of(asked: Asked, store: Store, habits: BulkHabits, now: float) -> str:
    """The client whose system token a request bears."""
    if habits.open:
        return ""
    scheme, _, bearer = asked.headers.get("authorization", "").partition(" ")
    row = None
    if scheme.lower() == "bearer":
        row = store.db.execute(
            "SELECT g.client_id, c.scope FROM credential c JOIN access_grant g ON g.id = c.grant_id"
            " WHERE c.hash = ? AND c.kind = 'access' AND c.expires > ? AND g.ended IS NULL AND g.patient = ''",
            (hashed(bearer.strip()), now),
        ).fetchone()
    if row is None:
        raise RequestError(401, "login", "a system token is required", challenge='Bearer realm="sandbox"')
    if "system/" not in row[1]:
        raise RequestError(403, "forbidden", "the token does not cover an export")
    return str(row[0])


def _issue_of(text: str) -> bytes:
    """A habit's outcome, `severity` or `severity Type`, as a resource."""
    severity, _, kind = text.partition(" ")
    return _outcome(severity, "processing", "something of the export went so", kind)


def _outcome(severity: str, issue: str, said: str, kind: str = "") -> bytes:
    about = {"expression": [kind]} if kind else {}
    issues = [{"severity": severity, "code": issue, "diagnostics": said, **about}]
    return orjson.dumps({"resourceType": "OperationOutcome", "issue": issues})
