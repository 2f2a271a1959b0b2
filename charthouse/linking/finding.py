"""The search for people's providers by a partner: begun once they may be searched for, looked at again and again.

Each person is one look, which ends in one transaction of theirs: killed anywhere, those who are not done are due still,
and looking twice changes nothing. What has ended here is told the partner first.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final, Literal

from sqlalchemy import select

from charthouse import faults
from charthouse.errors import CharthouseError, FetchError, LinkError, StateError
from charthouse.linking import consents, found_providers, links, searching
from charthouse.linking.identity import identity_of
from charthouse.linking.network_accounts import account_of, network_of, who_is
from charthouse.linking.network_matching import match_found
from charthouse.linking.people import get_person
from charthouse.linking.states import DUE
from charthouse.log import get_logger
from charthouse.partners.host_book import StateBook
from charthouse.partners.hosts import Hosts
from charthouse.partners.network import Search
from charthouse.settings import get_settings
from charthouse.state import session as state_session
from charthouse.state.base import now
from charthouse.state.locks import exclusive
from charthouse.state.network import FoundProvider, NetworkPerson

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy.orm import Session

    from charthouse.partners.network import Network, Who
    from charthouse.settings import Settings
    from charthouse.state.models import Actor

Outcome = Literal["searching", "looked", "not_permitted", "ended", "failed"]

AGAIN_AFTER: Final = timedelta(hours=20)
"""After a look that went well: less than a day, so that a daily job that is a little early finds everybody due."""
SOON: Final = timedelta(hours=1)
LONGEST: Final = timedelta(days=1)
SLICE: Final = 1_000
OURS: Final = frozenset({"CH175", "CH178", "CH179", "CH624"})
"""Faults of the installation: everybody's look would fail alike, so the whole job stops."""
log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at one person brought."""

    outcome: Outcome
    new: int = 0
    told: int = 0
    matched: int = 0
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Looked:
    """What a job brought: people by how their look ended, providers found, notices, and the people still due."""

    people: int
    failed: int
    new: int
    told: int
    left: int


def find_providers(partner: str, *, settings: Settings | None = None, hosts: Hosts | None = None) -> Looked:
    """Look at everybody whose turn it is at a partner, at the partner's rate, until all are done or time is over.

    Raises:
        FetchError: CH175 where the partner takes nobody's tokens, CH178 where nobody has set it up.
        StateError: CH608 while another process looks.
    """
    settings = settings or get_settings()
    began = time.monotonic()
    found: list[Look] = []
    with exclusive(f"find providers {partner}", settings, wait=5.0):
        network = network_of(partner, settings, hosts or Hosts(StateBook(settings), settings))
        with state_session(settings, read_only=True) as state:
            turns = searching.due(state, partner, settings=settings)
        done = 0
        try:
            with ThreadPoolExecutor(settings.fetch_threads, "look") as pool:
                for start in range(0, len(turns), SLICE):
                    if time.monotonic() - began > settings.network_time_max:
                        break
                    some = turns[start : start + SLICE]
                    looks = list(pool.map(partial(look, network=network, partner=partner, settings=settings), some))
                    found += looks
                    done += len(some)
                    _stop_at_our_own_faults(looks, partner)
        finally:
            network.close()
    told = Looked(
        people=len(found),
        failed=sum(1 for one in found if one.outcome == "failed"),
        new=sum(one.new for one in found),
        told=sum(one.told for one in found),
        left=len(turns) - done,
    )
    log.info("providers looked for", partner=partner, people=told.people, failed=told.failed, found=told.new)
    return told


def look_now(person_key: str, *, settings: Settings | None = None) -> Look:
    """Look at one person, whoever's turn it is.

    Raises:
        StateError, LinkError: the first reason why they may not be searched for.
        FetchError: CH178 where nobody has set the partner up.
    """
    settings = settings or get_settings()
    with state_session(settings, read_only=True) as state:
        searching.check_may_search(state, person_key, settings=settings)
        partner = searching.partner_of(get_person(state, person_key).country)
    network = network_of(partner, settings, Hosts(StateBook(settings), settings))
    try:
        return look(person_key, network=network, partner=partner, settings=settings)
    finally:
        network.close()


def sign_in_url(found_id: str, *, actor: Actor = "person", settings: Settings | None = None) -> str:
    """Where a person signs in at a found provider that waits for it, or has ended. Theirs alone.

    Raises:
        LinkError: CH654 for none, CH655 for one that waits for no sign-in; as `searching.check_may_search`.
        FetchError: as the partner answers.
    """
    settings = settings or get_settings()
    with state_session(settings) as state:
        row = found_providers.get_found(state, found_id)
        person_key, partner, organization = row.person_key, row.partner, row.organization
        searching.check_may_search(state, person_key, settings=settings)
        ended = row.link_id is not None and links.get_link(state, row.link_id).status not in DUE
        if row.gone_at is not None or not (row.way == "sign_in" or ended):
            raise LinkError("CH655")
        identity = identity_of(get_person(state, person_key), settings)
        found_providers.note_asked(state, found_id, actor=actor)
        mine = _row(state, person_key, partner)
        mine.next_look_at = now()
    if identity is None:
        raise LinkError("CH610", where=f"person {person_key}")
    network = network_of(partner, settings)
    try:
        return network.sign_in_url(who_is(person_key, identity), organization)
    finally:
        network.close()


def look(person_key: str, *, network: Network, partner: str, settings: Settings) -> Look:
    """One look at one person: what ended is told, a search begun or asked after, and what was found taken in.

    What goes wrong is noted with the person, who is looked at again later; nothing of it raises.
    """
    try:
        return _looked(person_key, network, partner, settings)
    except StateError as error:
        return Look("failed", code=error.code)  # they are gone meanwhile
    except CharthouseError as error:
        log.info("a look at a partner's person failed", code=error.code, where=error.where)
        _note_failure(person_key, partner, error.code, settings)
        return Look("failed", code=error.code)


def _looked(person_key: str, network: Network, partner: str, settings: Settings) -> Look:
    with state_session(settings) as state:
        person = get_person(state, person_key)
        identity = identity_of(person, settings)
        if identity is None:
            return Look("not_permitted", code="CH610")
        row = _row(state, person_key, partner)
        who, held = who_is(person_key, identity), row.partner_person_id
        owed = _owed(state, person_key, partner) if held is not None else []
        ending = row.ending
    _tell_ends(who, ending, owed, network, settings)
    try:
        with state_session(settings, read_only=True) as state:
            searching.check_may_search(state, person_key, settings=settings)
    except LinkError as error:
        with state_session(settings) as state:  # their turn comes again: what is in the way may be gone by then
            row = _row(state, person_key, partner)
            row.code, row.next_look_at = error.code, now() + AGAIN_AFTER
        return Look("ended" if ending or owed else "not_permitted", code=error.code)
    if held is None:
        _note_person(person_key, network.person(who), settings)
        faults.point("look.person")
    search, code = _search(person_key, who, network, settings)
    listed = network.found(who)
    faults.point("look.found")
    with state_session(settings) as state:
        get_person(state, person_key, lock=True)
        if not consents.in_force(state, person_key, consents.IMPORT):
            raise FetchError("CH190")
        account = account_of(state, partner, settings)
        taken = found_providers.reconcile(state, person_key, account, listed, settings)
    matched = sum(match_found(link_id, network, who, settings) == "matched" for link_id in taken.unmatched)
    running = search.state in ("ready", "running", "none")
    with state_session(settings) as state:
        row = _row(state, person_key, partner)
        at = now()
        row.search_state, row.search_said = search.state, search.said
        if search.state == "done":
            row.searched_at = row.searched_at if row.searched_at and _begun(row) < row.searched_at else at
        row.looked_at, row.failures, row.code = at, 0, code
        row.next_look_at = at + (SOON if running and code is None else AGAIN_AFTER)
    return Look("searching" if running else "looked", taken.new, taken.told, matched, code)


def _search(person_key: str, who: Who, network: Network, settings: Settings) -> tuple[Search, str | None]:
    """How the person's search stands, begun (anew) where it is due: (CH185 for one that does not end)."""
    with state_session(settings, read_only=True) as state:
        row = state.get_one(NetworkPerson, person_key)
        begun, state_before, said, at = row.search_begun_at, row.search_state, row.search_said, now()
    under_way = state_before in ("ready", "running", "none", "unknown")
    stuck = begun is not None and under_way and at - begun > timedelta(hours=settings.network_search_hours)
    over = begun is not None and not under_way and at - begun > timedelta(days=settings.network_search_days)
    if begun is None or stuck or over:
        network.permit(who)
        with state_session(settings) as state:
            row = state.get_one(NetworkPerson, person_key)
            row.search_begun_at, row.consented_at = now(), row.consented_at or now()
        faults.point("look.permitted")
    elif state_before == "done":
        return Search("done", said), None  # until it is begun anew: what it found is listed all the same
    return network.search(who), "CH185" if stuck else None


def _begun(row: NetworkPerson) -> datetime:
    return row.search_begun_at or row.created_at


def _tell_ends(who: Who, ending: bool, owed: Sequence[tuple[str, str]], network: Network, settings: Settings) -> None:
    """Tell the partner what has ended here: the consent, and single connections."""
    if ending:
        network.forbid(who)
        with state_session(settings) as state:
            row = state.get_one(NetworkPerson, who.key)
            row.ending, row.consented_at, row.search_begun_at = False, None, None
            row.search_state, row.search_said = "none", ""
    for found_id, organization in owed:
        network.disconnect(who, organization)
        with state_session(settings) as state:
            found = state.get(FoundProvider, found_id)
            if found is not None:
                found.ending = False


def _owed(state: Session, person_key: str, partner: str) -> list[tuple[str, str]]:
    query = select(FoundProvider.id, FoundProvider.organization).where(
        FoundProvider.person_key == person_key, FoundProvider.partner == partner, FoundProvider.ending
    )
    return [(row[0], row[1]) for row in state.execute(query)]


def _row(state: Session, person_key: str, partner: str) -> NetworkPerson:
    row = state.get(NetworkPerson, person_key)
    if row is None:
        row = NetworkPerson(person_key=person_key, partner=partner)
        state.add(row)
        state.flush()
    return row


def _note_person(person_key: str, partner_person_id: str, settings: Settings) -> None:
    with state_session(settings) as state:
        state.get_one(NetworkPerson, person_key).partner_person_id = partner_person_id


def _note_failure(person_key: str, partner: str, code: str, settings: Settings) -> None:
    with state_session(settings) as state:
        row = state.get(NetworkPerson, person_key)
        if row is not None and row.partner == partner:
            row.failures += 1
            row.code = code
            row.looked_at = now()
            row.next_look_at = now() + min(SOON * 2 ** min(row.failures - 1, 5), LONGEST)


def _stop_at_our_own_faults(looks: Sequence[Look], partner: str) -> None:
    """Stop where everybody of a slice failed for a fault of the installation: the next thousand would as well."""
    codes = {one.code for one in looks if one.outcome == "failed"}
    if looks and all(one.outcome == "failed" for one in looks) and codes <= OURS:
        raise FetchError(sorted(str(code) for code in codes)[0], where=f"partner {partner}")
