"""Searches and reads over a store: queries to SQL, pages from stored bytes (FHIR R4 §3.1.0.1, §3.1.1).

A page is joined from the bodies as they lie in the store; no JSON is read. The link to the next page carries the query
and the last row shown, signed, so that pages stay stable and the server keeps nothing between requests.
"""

from __future__ import annotations

import base64
import hmac
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

import orjson

from sandbox.compartment import MEMBERSHIP, is_personal
from sandbox.query import Query, RequestError, read_query
from sandbox.store import instant, now_microseconds

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sandbox.scopes import Access, TokenFilter
    from sandbox.store import Store

CURSOR: Final = "_cursor"
PAGE_BYTES: Final = 10_000_000
"""Where a page is cut before it has as many resources as were asked for (`_count` is a limit, R4 §3.1.1.5.3)."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a search stands: the last row shown, the number of the page to come, and the total told before."""

    after: int = 0
    page: int = 1
    total: int | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """One resource as it is served."""

    body: bytes
    version_id: str
    updated: int


def write_cursor(secret: bytes, query: Query, place: Place) -> str:
    """A search and its place as the opaque text of a `next` link."""
    text = orjson.dumps([query.type, list(query.used), place.after, place.page, place.total])
    return base64.urlsafe_b64encode(_signature(secret, text) + text).rstrip(b"=").decode()


def read_cursor(secret: bytes, type_name: str, cursor: str) -> tuple[Query, Place]:
    """The search that a `next` link goes on with.

    Raises:
        RequestError: 400 for a text that this server did not write.
    """
    try:
        packed = base64.b64decode(cursor.encode() + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except ValueError:
        packed = b""
    signature, text = packed[:12], packed[12:]
    if not text or not hmac.compare_digest(signature, _signature(secret, text)):
        raise RequestError(400, "invalid", "this page link was not written by this server")
    kind, pairs, after, page, total = orjson.loads(text)
    if kind != type_name:
        raise RequestError(400, "invalid", "this page link belongs to another type")
    return read_query(kind, [(name, value) for name, value in pairs], strict=False), Place(after, page, total)


def search_page(store: Store, base: str, query: Query, place: Place, access: Access) -> bytes:
    """One page of a search as a Bundle of type searchset.

    `base` is the FHIR base without a slash at its end. What the access does not cover is left out.

    Raises:
        RequestError: 403 for a type that no scope covers, or a search for another patient.
    """
    source, where, values = _conditions(query, access)
    total = place.total
    if total is None:
        (total,) = store.db.execute(f"SELECT count(*) FROM {source} WHERE {where}", values).fetchone()
    rows: list[tuple[int, str | None, bytes]] = []
    more = False
    size = 0
    found = store.db.execute(
        f"SELECT r.seq, r.id, b.body FROM {source} JOIN body b ON b.seq = r.seq"
        f" WHERE {where} AND r.seq > ? ORDER BY r.seq LIMIT ?",
        [*values, place.after, query.count + 1 if query.count else 0],
    )
    for row in found:
        size += len(row[2])
        if rows and (len(rows) == query.count or size > PAGE_BYTES):
            more = True
            break
        rows.append(row)
    found.close()
    entries = [_entry(base, query.type, identity, body, b"match") for _, identity, body in rows]
    entries.extend(_included(store, base, query, [row[0] for row in rows], access))
    if place.page == 1:
        own = f"{base}/{query.type}" + ("?" + urlencode(query.used) if query.used else "")
    else:
        own = _page_link(store, base, query, place)
    links = [b'{"relation":"self","url":' + orjson.dumps(own) + b"}"]
    if more:
        following = _page_link(store, base, query, Place(rows[-1][0], place.page + 1, total))
        links.append(b'{"relation":"next","url":' + orjson.dumps(following) + b"}")
    return b"".join(
        (
            b'{"resourceType":"Bundle","meta":{"lastUpdated":"',
            _as_of(store).encode(),
            b'"},"type":"searchset","total":',
            str(total).encode(),
            b',"link":[',
            b",".join(links),
            b'],"entry":[' if entries else b"]",
            b",".join(entries),
            b"]}" if entries else b"}",
        )
    )


def read_resource(store: Store, type_name: str, identity: str, access: Access) -> Stored:
    """One resource.

    Raises:
        RequestError: 403, 404 or 410. What belongs to others is not found, like what is not there.
    """
    filters = _permitted(access, type_name, "r")
    row = store.db.execute(
        "SELECT seq, version_id, updated, gone FROM resource WHERE type = ? AND key = ? AND id IS NOT NULL",
        (type_name, identity),
    ).fetchone()
    if row and row[3]:
        raise RequestError(410, "deleted", f"this {type_name} has been deleted")
    if row and is_personal(type_name) and not access.everyone and not _is_of(store, row[0], type_name, access.patient):
        row = None
    if row and filters:
        clause, values = _any_of(filters)
        if not store.db.execute(f"SELECT 1 FROM (SELECT ? AS seq) r WHERE {clause}", [row[0], *values]).fetchone():
            row = None
    if not row:
        raise RequestError(404, "not-found", f"there is no such {type_name}")
    (body,) = store.db.execute("SELECT body FROM body WHERE seq = ?", [row[0]]).fetchone()
    return Stored(body, row[1], row[2])


def _conditions(query: Query, access: Access) -> tuple[str, str, list[Any]]:
    """The FROM and WHERE of a search, with its values."""
    filters = _permitted(access, query.type, "s")
    own = f"Patient/{access.patient}"
    clauses: list[str] = []
    values: list[Any] = []
    source = "resource r"
    if is_personal(query.type) and not access.everyone:
        # The compartment's own index gives the rows in order, so it leads.
        source = "link l CROSS JOIN resource r ON r.seq = l.seq"
        clauses.append("l.target = ? AND l.type = ? AND l.parameter = ?")
        values += [own, query.type, MEMBERSHIP]
    clauses.append("r.type = ? AND r.gone = 0")
    values.append(query.type)
    for parameter, targets in query.patients:
        if targets and own not in targets and not access.everyone:
            raise RequestError(403, "forbidden", "this token is for another patient")
        mine = list(targets) if access.everyone else [own] if targets else []
        places = ", ".join("?" * len(mine))
        clauses.append(f"r.seq IN (SELECT seq FROM link WHERE target IN ({places}) AND type = ? AND parameter = ?)")
        values += [*mine, query.type, parameter]
    for parameter, wanted in query.tokens:
        options = []
        for system, code in wanted:
            options.append(
                "EXISTS (SELECT 1 FROM token t WHERE t.seq = r.seq AND t.parameter = ?"
                + (" AND t.code = ?" if code is not None else "")
                + (" AND t.system = ?" if system is not None else "")
                + ")"
            )
            values += [parameter, *(part for part in (code, system) if part is not None)]
        clauses.append("(" + " OR ".join(options or ["0"]) + ")")
    for ids in query.ids:
        clauses.append(f"r.id IN ({', '.join('?' * len(ids))})")
        values += ids
    for spans in query.updated:
        options = []
        for low, high in spans:
            options.append("(r.updated >= ? AND r.updated < ?)")
            values += [0 if low is None else low, 2**62 if high is None else high]
        clauses.append("(" + " OR ".join(options or ["0"]) + ")")
    if filters:
        clause, more = _any_of(filters)
        clauses.append(clause)
        values += more
    return source, " AND ".join(clauses), values


def _any_of(filters: Iterable[TokenFilter]) -> tuple[str, list[str]]:
    """The condition that one of a grant's granular scopes covers the row `r`."""
    options: list[str] = []
    values: list[str] = []
    for parameter, system, code in filters:
        options.append(
            "EXISTS (SELECT 1 FROM token t WHERE t.seq = r.seq AND t.parameter = ? AND t.code = ?"
            + (" AND t.system = ?)" if system else ")")
        )
        values += [parameter, code, system] if system else [parameter, code]
    return "(" + " OR ".join(options) + ")", values


def _permitted(access: Access, type_name: str, permission: str) -> list[TokenFilter]:
    filters = access.permits(type_name, permission)
    if filters is None:
        raise RequestError(
            403, "forbidden", f"the token does not cover {type_name}", challenge='error="insufficient_scope"'
        )
    return filters


def _included(store: Store, base: str, query: Query, rows: list[int], access: Access) -> list[bytes]:
    """The resources that come along with a page, each once."""
    found: dict[int, bytes] = {}
    chosen = orjson.dumps(rows).decode()
    if query.include_medication and rows and access.permits("Medication", "r") == []:
        medications = store.db.execute(
            "SELECT DISTINCT r.seq, r.id, b.body FROM json_each(?) j JOIN point p ON p.seq = j.value"
            " JOIN resource r ON r.type = p.type AND r.key = p.key JOIN body b ON b.seq = r.seq"
            " WHERE p.role = 'medication' AND r.type = 'Medication' AND r.gone = 0 ORDER BY r.seq",
            [chosen],
        )
        found.update((seq, _entry(base, "Medication", name, body, b"include")) for seq, name, body in medications)
    if query.include_provenance and rows and access.permits("Provenance", "r") == []:
        provenances = store.db.execute(
            "SELECT DISTINCT r.seq, r.id, b.body FROM json_each(?) j JOIN resource o ON o.seq = j.value"
            " JOIN point p ON p.type = o.type AND p.key = o.key AND p.role = 'target'"
            " JOIN resource r ON r.seq = p.seq JOIN body b ON b.seq = r.seq"
            " WHERE r.type = 'Provenance' AND r.gone = 0 AND (? OR EXISTS"
            " (SELECT 1 FROM link l WHERE l.seq = r.seq AND l.target = ? AND l.parameter = ?)) ORDER BY r.seq",
            [chosen, access.everyone, f"Patient/{access.patient}", MEMBERSHIP],
        )
        found.update((seq, _entry(base, "Provenance", name, body, b"include")) for seq, name, body in provenances)
    return list(found.values())


def _is_of(store: Store, seq: int, type_name: str, patient: str) -> bool:
    return bool(
        store.db.execute(
            "SELECT 1 FROM link WHERE target = ? AND type = ? AND parameter = ? AND seq = ?",
            (f"Patient/{patient}", type_name, MEMBERSHIP, seq),
        ).fetchone()
    )


def _entry(base: str, type_name: str, identity: str | None, body: bytes, mode: bytes) -> bytes:
    url = b'"fullUrl":"' + f"{base}/{type_name}/{quote(identity)}".encode() + b'",' if identity else b""
    return b"{" + url + b'"resource":' + body + b',"search":{"mode":"' + mode + b'"}}'


def _page_link(store: Store, base: str, query: Query, place: Place) -> str:
    return f"{base}/{query.type}?{CURSOR}={write_cursor(store.secret, query, place)}"


def _as_of(store: Store) -> str:
    """The server's time, for a client that will ask for what changed since; held back while a load is on its way."""
    merging = store.setting("merging")
    return instant(min(now_microseconds(), int(merging) - 1000) if merging else now_microseconds())


def _signature(secret: bytes, text: bytes) -> bytes:
    return hmac.new(secret, text, sha256).digest()[:12]
