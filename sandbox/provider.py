"""One provider as it answers: FHIR requests to answers, without knowing of sockets or frameworks."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, unquote

import msgspec
import orjson

from sandbox import grants
from sandbox.brands import brand_identifier
from sandbox.bulk import FILES, STATUS, Exports, is_export
from sandbox.capability import capability_statement, served_types
from sandbox.clients import Clients
from sandbox.clock import Clock
from sandbox.configuration import configuration, endpoints
from sandbox.counts import Counts
from sandbox.faults import Act, Faults, last_of, outcome, spoil
from sandbox.groups import group_resource, is_group
from sandbox.limits import MinuteWindow
from sandbox.merge import write_anew
from sandbox.profiles import Profile
from sandbox.query import RequestError, read_query
from sandbox.scopes import OPEN, access_of
from sandbox.search import CURSOR, Place, read_cursor, read_resource, search_page
from sandbox.store import Store, instant

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sandbox.bulk_habits import BulkHabits
    from sandbox.limits import Rate
    from sandbox.scopes import Access

FHIR_JSON: Final = "application/fhir+json; charset=utf-8"
_CHALLENGE: Final = 'Bearer realm="sandbox"'


@dataclass(frozen=True, slots=True)
class Asked:
    """A FHIR request: method, path below the base, query and form as text, headers by lower-case name."""

    method: str
    origin: str
    path: str
    query: str
    form: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back; `delay` seconds later, not at all with `hang_up`, or no further than its half with `cut`."""

    status: int
    body: bytes
    media: str = FHIR_JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0
    hang_up: bool = False
    cut: bool = False


class Provider:
    """A store being served. Safe to use from many threads: each has a connection of its own."""

    def __init__(
        self,
        name: str,
        path: Path,
        profile: Profile | None = None,
        *,
        clock: Clock | None = None,
        rate: Rate | None = None,
    ) -> None:
        """Open a store. `rate` limits the token endpoint.

        Raises:
            StoreError: the store cannot be opened.
        """
        self.name = name
        self.path = path
        self.profile = profile or Profile()
        self.clock = clock or Clock()
        self.rate = rate
        self.clients = Clients(name)
        self.faults = Faults()
        self.counts = Counts()
        self.exports = Exports()
        self.brands: bytes | None = None
        """A Brands Bundle in place of the made-up one."""
        self.issuing = ThreadPoolExecutor(1, f"tokens-{name}")
        """Tokens are written by one thread: SQLite lets one write at a time, and those who wait for it sleep."""
        self._minute = MinuteWindow()
        self._local = threading.local()
        Store(path).close()

    @property
    def store(self) -> Store:
        """This thread's connection."""
        held: Store | None = getattr(self._local, "store", None)
        if held is None:
            held = self._local.store = Store(self.path)
        return held

    def is_too_busy(self) -> bool:
        """Count a request for the present minute; whether it is one too many."""
        most = self.profile.minute_limit
        return most is not None and not self._minute.takes(self.clock.now(), most)

    def types(self) -> list[str]:
        """The types that it answers for."""
        return served_types(self.store.types())

    def updated(self) -> str:
        """When its store was last loaded, as an instant."""
        return instant(int(self.store.setting("loaded") or 0))

    def answer(self, asked: Asked) -> Answer:
        """Answer a FHIR request, faults included."""
        self.counts.verb(asked.method)
        access: Access | None = None
        try:
            if self.is_too_busy():
                raise RequestError(429, "throttled", "too many requests in this minute")
            if asked.path == "metadata":
                self.counts.request("metadata")
                return self._faulty(asked, "", 1, None, self._metadata(asked))
            if asked.path == ".well-known/smart-configuration" and self.profile.sign_in:
                self.counts.request("smart-configuration")
                brand = brand_identifier(self.name)
                said = orjson.dumps(configuration(asked.origin, self.name, self.profile, self.types(), brand))
                return self._faulty(asked, "", 1, None, Answer(200, said, "application/json"))
            if is_export(asked.path):
                return self._exported(asked)
            if is_group(asked.path):
                return self._grouped(asked)
            access = self._authenticate(asked)
            return self._resources(asked, access)
        except RequestError as error:
            return refused(error)

    def _exported(self, asked: Asked) -> Answer:
        """Answer a request of a Bulk Data export, faults included."""
        subject = asked.path.split("/", 1)[0] if asked.path.startswith((STATUS, FILES)) else "export"
        self.counts.request(subject)
        kind = asked.path.rpartition("/")[2].split(".")[1] if asked.path.endswith(".ndjson") else ""
        habits = self._bulk_habits()
        act = self._pick(asked, kind if kind != "ndjson" else "", 1, None)
        torn = act is not None and act.body == "truncate"
        early = None if torn else self._instead(asked, act)
        if early is not None:
            return early
        base = f"{asked.origin}/{self.name}/fhir"
        try:
            said = self.exports.answer(asked, self.store, habits, self.types(), base, self.clock.now(), torn=torn)
        except RequestError as error:
            return refused(error)
        answer = Answer(said.status, said.body, said.media, said.headers)
        if act is None or torn:
            return answer
        if act.body == "moved":
            write_anew(self.store, self.exports.last_row(asked.path))
            return answer
        return replace(self._spoiled(asked, answer, act, kind, None), cut=act.cut)

    def _grouped(self, asked: Asked) -> Answer:
        """Answer who is in a group, faults included."""
        self.counts.request("Group", "read")
        body = group_resource(self.exports, asked, self.store, self._bulk_habits(), self.clock.now())
        return self._faulty(asked, "Group", 1, None, Answer(200, body))

    def _bulk_habits(self) -> BulkHabits:
        habits = self.profile.bulk
        if not self.profile.sign_in:  # who lets everybody search lets everybody export
            habits = msgspec.structs.replace(habits, open=True)
        return habits

    def _resources(self, asked: Asked, access: Access) -> Answer:
        parts = [unquote(part) for part in asked.path.split("/")]
        kind = parts[0]
        searching = len(parts) == 1 or (len(parts) == 2 and parts[1] == "_search")
        self.counts.request(kind[:64] or "-", "search" if searching else "read")
        page, cursor = 1, None
        pairs = parse_qsl(asked.query, keep_blank_values=True) + parse_qsl(asked.form, keep_blank_values=True)
        if searching:
            cursor = next((value for name, value in pairs if name == CURSOR), None)
            if cursor is not None:
                page = read_cursor(self.store.secret, kind, cursor)[1].page
        act = self._pick(asked, kind, page, access)
        early = self._instead(asked, act)
        if early:
            return early
        try:
            answer = self._serve(asked, access, parts, pairs, cursor, searching=searching)
        except RequestError as error:
            answer = refused(error)
        return self._spoiled(asked, answer, act, kind, access)

    def _serve(
        self,
        asked: Asked,
        access: Access,
        parts: list[str],
        pairs: list[tuple[str, str]],
        cursor: str | None,
        *,
        searching: bool,
    ) -> Answer:
        kind = parts[0]
        base = f"{asked.origin}/{self.name}/fhir"
        wanted = "POST" if parts[1:] == ["_search"] else "GET"
        if asked.method not in (wanted, "HEAD"):
            raise RequestError(405, "not-supported", f"{asked.method[:16]} is not possible here")
        if kind not in self.types():
            raise RequestError(404, "not-supported", "this type is not served here")
        if searching:
            strict = "handling=strict" in asked.headers.get("prefer", "")
            if cursor is None:
                query, place = read_query(kind, pairs, strict=strict), Place()
            else:
                query, place = read_cursor(self.store.secret, kind, cursor)
            return Answer(200, search_page(self.store, base, query, place, access))
        if len(parts) != 2:
            raise RequestError(404, "not-supported", "there is no such interaction here")
        found = read_resource(self.store, kind, parts[1], access)
        tag = f'W/"{found.version_id}"'
        headers = {"ETag": tag, "Last-Modified": formatdate(found.updated / 1_000_000, usegmt=True)}
        if asked.headers.get("if-none-match") == tag:
            return Answer(304, b"", headers=headers)
        return Answer(200, found.body, headers=headers)

    def _metadata(self, asked: Asked) -> Answer:
        addresses = endpoints(asked.origin, self.name, self.profile) if self.profile.sign_in else {}
        base = f"{asked.origin}/{self.name}/fhir"
        return Answer(200, orjson.dumps(capability_statement(base, self.store.types(), addresses, self.updated())))

    def _authenticate(self, asked: Asked) -> Access:
        if not self.profile.sign_in:
            return OPEN
        scheme, _, bearer = asked.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not bearer:
            raise RequestError(401, "login", "an access token is required", challenge=_CHALLENGE)
        access = grants.access_by_token(self.store, bearer.strip(), self.profile, self.clock.now())
        if access is None:
            raise _expired()
        return access

    def fault_for(self, asked: Asked) -> Act | None:
        """The fault for a request outside of the FHIR API, whose patient is that of the token or code that it sends."""
        if not self.faults.any:
            return None
        form = dict(parse_qsl(asked.form))
        sent = form.get("refresh_token") or form.get("code") or form.get("token") or ""
        return self._pick(asked, "", 1, access_of(grants.patient_of(self.store, sent), ()), is_record=False)

    def _pick(self, asked: Asked, kind: str, page: int, access: Access | None, *, is_record: bool = True) -> Act | None:
        if not self.faults.any:
            return None
        query = unquote(asked.query + ("&" + asked.form if asked.form else ""))
        patient = access.patient if access else ""
        return self.faults.pick(
            type_name=kind, patient=patient, path="/" + asked.path, query=query, page=page, is_record=is_record
        )

    def _faulty(self, asked: Asked, kind: str, page: int, access: Access | None, answer: Answer) -> Answer:
        act = self._pick(asked, kind, page, access)
        return self._instead(asked, act) or self._spoiled(asked, answer, act, kind, access)

    def _instead(self, asked: Asked, act: Act | None) -> Answer | None:
        """The answer of a fault that needs nothing of the real one."""
        if act is None:
            return None
        if act.hang_up:
            return Answer(500, b"", delay=act.slow_seconds, hang_up=True)
        if act.expire_token:
            bearer = asked.headers.get("authorization", "").partition(" ")[2].strip()
            grants.expire(self.store, bearer)
            return replace(refused(_expired()), delay=act.slow_seconds)
        if act.body is None:
            return bare_fault(act)
        return None

    def _spoiled(self, asked: Asked, answer: Answer, act: Act | None, kind: str, access: Access | None) -> Answer:
        if act is None:
            return answer
        answer = replace(answer, delay=act.slow_seconds, hang_up=act.lose_answer, cut=act.cut)
        if act.body is None:
            return answer
        stranger = self._stranger(kind, access.patient) if act.body == "other_patient" and access else None
        if act.body == "moved" and (moved := last_of(answer.body)) is not None:
            write_anew(self.store, self.store.row_of(*moved))
        own = f"{asked.origin}/{self.name}/fhir/{asked.path}" + (f"?{asked.query}" if asked.query else "")
        body, media = spoil(answer.body, act.body, own=own, stranger=stranger)
        return replace(answer, status=act.status or answer.status, body=body, media=media)

    def _stranger(self, kind: str, patient: str) -> bytes | None:
        """A resource of the type that belongs to somebody else."""
        row = self.store.db.execute(
            "SELECT b.body FROM link l JOIN body b ON b.seq = l.seq WHERE l.type = ? AND l.parameter = ''"
            " AND l.target <> ? LIMIT 1",
            (kind, f"Patient/{patient}"),
        ).fetchone()
        return row[0] if row else None


def bare_fault(act: Act) -> Answer | None:
    """The answer of a fault that is only a status, with Retry-After where the rule has one; None for none."""
    status = act.status or (429 if act.retry_after is not None else None)
    if status is None:
        return None
    issue = {401: "login", 403: "forbidden", 404: "not-found", 410: "deleted", 429: "throttled"}.get(
        status, "exception" if status >= 500 else "invalid"
    )
    phrase = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Fault"
    headers = {} if act.retry_after is None else {"Retry-After": str(act.retry_after)}
    if status == 401:
        headers["WWW-Authenticate"] = f'{_CHALLENGE}, error="invalid_token"'
    return Answer(status, outcome(issue, phrase), headers=headers, delay=act.slow_seconds)


def refused(error: RequestError) -> Answer:
    """A refused request as an OperationOutcome."""
    headers = {}
    if error.challenge:
        is_whole = error.challenge.startswith("Bearer")
        headers["WWW-Authenticate"] = error.challenge if is_whole else f"{_CHALLENGE}, {error.challenge}"
    if error.status == 405:
        headers["Allow"] = "GET, HEAD"
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    return Answer(error.status, outcome(error.issue, error.said), headers=headers)


def _expired() -> RequestError:
    return RequestError(
        401,
        "login",
        "the access token is not known, or its time is over",
        challenge=f'{_CHALLENGE}, error="invalid_token"',
    )
