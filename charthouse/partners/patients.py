"""Which patients a FHIR server has: those that somebody names, or all that a search finds. Only ids are kept."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from charthouse.errors import FetchError
from charthouse.partners.addresses import host_of, origin
from charthouse.partners.discovery import read_object
from charthouse.partners.inspection import refused
from charthouse.partners.paging import walk
from charthouse.partners.search import Query

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from charthouse.partners.http import Answer, HttpClient
    from charthouse.partners.inspection import Inspected
    from charthouse.settings import Settings

_UNKNOWN: Final = frozenset({"CH104", "CH111"})
"""Servers answer 404, 410 or 400 for an id that is nobody's."""
_NO_LIST: Final = frozenset({"CH103", "CH104", "CH105", "CH106", "CH107", "CH108", "CH110", "CH111", "CH114", "CH119"})


@dataclass(frozen=True, slots=True)
class Patients:
    """Ids of patients, each once, in the server's order or as they were named. `more`: the server has others."""

    ids: tuple[str, ...] = field(repr=False)
    more: bool = False


def named_patients(
    client: HttpClient, server: Inspected, ids: Sequence[str], token: str | None, settings: Settings
) -> Patients:
    """Read each patient of a list, some at a time. A server may answer with the id that it has for them by now.

    Raises:
        FetchError: CH132, CH133 for a server that wants a token, or another; CH134 where it does not know one of them:
            by its place in the list, since an id is a person's; CH101, CH109 and the like as `HttpClient.get`.
    """

    def read(name: str) -> str | None:
        try:
            return _read(client, server, name, token)
        except FetchError as error:
            if error.code in _UNKNOWN:
                return None
            if error.code in {"CH102", "CH103"}:
                raise refused(error, server.host, token) from None
            raise

    with ThreadPoolExecutor(settings.fetch_threads, thread_name_prefix="patients") as pool:
        found = list(pool.map(read, ids))
    missing = [place for place, name in enumerate(found, start=1) if name is None]
    if missing:
        which = ", ".join(f"no. {place}" for place in missing[:5]) + (", …" if len(missing) > 5 else "")
        raise FetchError("CH134", where=server.host, what=f"{len(missing):,} of {len(ids):,} ({which} of the list)")
    return Patients(tuple(dict.fromkeys(name for name in found if name is not None)))


def all_patients(
    client: HttpClient, server: Inspected, token: str | None, settings: Settings, *, most: int | None = None
) -> Patients:
    """The patients that a search without conditions finds, page by page; `most` of them at most.

    Raises:
        FetchError: CH132, CH133 as `named_patients`; CH135 where the server does not list them; CH136 where there is
            none.
    """
    if not server.offer.types["Patient"].can_search:
        raise FetchError("CH135", where=server.host, what="it offers no search for Patient")

    def ask(url: str) -> Answer:
        return client.get(url, token=token)

    count = settings.page_size if most is None else min(settings.page_size, most + 1)
    query = Query("Patient", "Patient", "Patient", (), (("_count", str(count)),))
    found: dict[str, None] = {}
    try:
        try:
            _gather(ask, server, query, found, settings.max_pages, most)
        except FetchError as error:
            if error.code != "CH111" or found:
                raise
            _gather(ask, server, query.plain(), found, settings.max_pages, most)
    except FetchError as error:
        if error.code == "CH102":
            raise refused(error, server.host, token) from None
        if error.code not in _NO_LIST:
            raise
        raise FetchError("CH135", where=server.host, what=f"{error.code} {error.entry.title}") from None
    if not found:
        raise FetchError("CH136", where=server.host)
    ids = tuple(found)
    return Patients(ids[:most], more=most is not None and len(ids) > most)


def patients_of_group(client: HttpClient, base: str, group: str, token: str | None) -> Patients:
    """The patients who are in a group (`Group/<id>`) that is exported from: R4 Group.member, as long as they are.

    Raises:
        FetchError: CH135 where the group cannot be read; CH136 where nobody is in it; CH101, CH109 as `HttpClient.get`.
    """
    kind, _, name = group.partition("/")
    home = origin(base)
    where = host_of(home) if home is not None else ""
    try:
        said = read_object(client.get(f"{base.rstrip('/')}/{kind}/{quote(name, safe='')}", token=token).body) or {}
    except FetchError as error:
        if error.code in {"CH101", "CH109", "CH140", "CH141"}:
            raise
        raise FetchError("CH135", where=where, what=f"its group cannot be read: {error.code}") from None
    members = said.get("member")
    if said.get("resourceType") != "Group" or not isinstance(members, list):
        raise FetchError("CH135", where=where, what="its group does not say who is in it")
    found = [_member(base, member) for member in members if isinstance(member, dict) and not member.get("inactive")]
    ids = tuple(dict.fromkeys(patient for patient in found if patient is not None))
    if not ids:
        raise FetchError("CH136", where=where, what="nobody is in its group")
    return Patients(ids)


def _member(base: str, member: dict[str, Any]) -> str | None:
    entity = member.get("entity")
    text = entity.get("reference") if isinstance(entity, dict) else None
    if not isinstance(text, str):
        return None
    kind, _, name = text.removeprefix(f"{base.rstrip('/')}/").partition("/")
    return name.partition("/")[0] or None if kind == "Patient" else None


def _gather(
    ask: Callable[[str], Answer],
    server: Inspected,
    query: Query,
    found: dict[str, None],
    max_pages: int,
    most: int | None,
) -> None:
    for page in walk(ask, server.base, query, max_pages):
        found |= dict.fromkeys(peek.id for peek in page.resources if peek.type == "Patient" and peek.id)
        if most is not None and len(found) > most:
            return


def _read(client: HttpClient, server: Inspected, name: str, token: str | None) -> str | None:
    """The id under which the server has a patient; None where what came is no Patient."""
    if not server.offer.types["Patient"].can_read:
        query = Query("Patient", "Patient", "Patient", (("_id", name),))
        pages = walk(lambda url: client.get(url, token=token), server.base, query, 1)
        return next((peek.id for page in pages for peek in page.resources if peek.type == "Patient"), None)
    said = read_object(client.get(f"{server.base}/Patient/{quote(name, safe='')}", token=token).body)
    if said is None or said.get("resourceType") != "Patient" or not isinstance(said.get("id"), str):
        return None
    return str(said["id"])
