"""The hourly refresh: tokens that are due are renewed, and what the providers answer is drawn conclusions from.

Ended grants expire their links; silence, overload and refusals of us expire nobody. A provider's links are worked off
by one task, with a limited number of threads, at a limited rate, on pooled connections; a provider that does not answer
is left alone after a few tries.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from sqlalchemy import Select, or_, select, update

from charthouse.errors import CharthouseError, FetchError
from charthouse.linking import alarms, ends, introspecting, links
from charthouse.linking.credentials import credential_lock, renew
from charthouse.linking.expiry import OFTEN
from charthouse.linking.providers import get_provider
from charthouse.linking.registrations import client_of
from charthouse.linking.renewals import Begun, GroupLedger, read_held
from charthouse.linking.states import DUE
from charthouse.log import get_logger
from charthouse.partners import smart
from charthouse.partners.addresses import host_of, origin
from charthouse.partners.host_book import StateBook
from charthouse.partners.hosts import Hosts
from charthouse.partners.lines import Lines
from charthouse.settings import get_settings
from charthouse.state import session as state_session
from charthouse.state.base import now
from charthouse.state.locks import exclusive_among
from charthouse.state.models import Credential, Link, Provider
from charthouse.state.seals import sealer_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.orm import Session

    from charthouse.linking.credentials import Held, IssuedTokens, Ledger
    from charthouse.settings import Settings
    from charthouse.state.seals import Sealer

ASKED: Final = (*DUE, "expired")
"""Statuses of links whose tokens are renewed: an expired one may work again (`ends.TRIED_AGAIN_AFTER`)."""
NOBODY_HOME: Final = frozenset({"CH101", "CH105", "CH109", "CH121"})
GIVE_UP_AFTER: Final = 5
"""Links in a row that found nobody at home before the rest of the provider's waits for the next hour."""
REFUSED_MOST: Final = 20
"""Refusals of us, and nobody renewed, before the rest of the provider's waits for the next hour."""
CLIENT_REFUSED: Final = frozenset({"invalid_client", "unauthorized_client"})
FEW: Final = 8
"""Links that one thread takes at a time."""
ROUNDS: Final = 3
"""How often links are gone through that somebody else holds (or a thread of ours: lock files are shared by several)."""
SLICE: Final = 500
SOON: Final = timedelta(minutes=10)
"""What is due in an hour is due at the look in an hour, which may come a little earlier."""
log = get_logger(__name__)


@dataclass
class RefreshReport:
    """What became of the due links of a provider: counts, and the codes met."""

    renewed: int = 0
    expired: int = 0
    returned: int = 0
    left: int = 0
    codes: Counter[str] = field(default_factory=Counter)


def plan_refresh(at: datetime | None = None) -> list[str]:
    """The providers that have links to be refreshed, by slug."""
    with state_session(read_only=True) as state:
        query = select(Provider.slug).where(
            Provider.active, Provider.slug.in_(_due(at).with_only_columns(Link.provider))
        )
        return list(state.scalars(query.order_by(Provider.slug)))


def refresh_provider(slug: str, *, settings: Settings | None = None) -> RefreshReport:
    """Refresh the links of a provider that are due now. Run again after a crash, it goes on with what is still due.

    One process at a time asks a provider: where another is at it, this one does nothing.
    """
    settings = settings or get_settings()
    with exclusive_among([f"refresh of provider {slug}"], settings) as mine:
        if not mine:
            return RefreshReport()
        with state_session(settings, read_only=True) as state:
            due = _due().where(Link.provider == slug).order_by(Credential.next_refresh_at, Link.id)
            ids = list(state.scalars(due.with_only_columns(Link.id).limit(settings.refresh_links)))
        return refresh_batch(ids, settings=settings, only_due=True)


def refresh_batch(
    link_ids: Sequence[str], *, settings: Settings | None = None, only_due: bool = False
) -> RefreshReport:
    """Refresh links of one provider, each at most once, and write down what became of them.

    Links that another process is renewing are left to it; with `only_due` also those that it has renewed since the
    links were picked.

    Raises:
        SetupError: CH006 when there are no usable keys.
        StateError: CH605 when the state database cannot be used.
    """
    settings = settings or get_settings()
    report = RefreshReport()
    if not link_ids:
        return report
    with state_session(settings, read_only=True) as state:
        slug = links.get_link(state, link_ids[0]).provider
        provider = get_provider(state, slug)
        client, base, subject = client_of(state, slug, settings), provider.fhir_base_url, provider.registration or slug
    try:
        configuration = smart.discover(base)
    except CharthouseError as error:
        report.codes[error.code] += len(link_ids)
        report.left = len(link_ids)
        _later(link_ids, settings)
        return report

    def ask(refresh_token: str) -> IssuedTokens:
        return smart.refresh(base, refresh_token, client, configuration=configuration, lines=lines)

    with Lines(settings.refresh_threads) as lines:
        batch = _Batch(ask, sealer_of(settings), settings, configuration.token_endpoint)
        found = batch.run(link_ids, only_due=only_due)
        if not batch.renewed and any(said.what in CLIENT_REFUSED for said in found.values()):
            batch.probe(_others(slug, link_ids, settings))
    _conclude(found, batch, subject, report, settings)
    if configuration.introspection_endpoint is not None:
        introspecting.learn_ends(batch.untold, base, client, configuration, settings)
    log.info("links refreshed", provider=slug, renewed=report.renewed, expired=report.expired, left=report.left)
    return report


class _Batch:
    """The threads that renew the links of one provider, and what they found.

    Their requests count against the rate of the token endpoint's host, as those of all workers do: healow counts them.
    """

    def __init__(
        self, ask: Callable[[str], IssuedTokens], sealer: Sealer, settings: Settings, endpoint: str | None
    ) -> None:
        self._ask = ask
        self._sealer = sealer
        self._settings = settings
        home = origin(endpoint or "")
        self._host = host_of(home) if home is not None else ""
        self._hosts = Hosts(StateBook(settings), settings)
        self._ends = time.monotonic() + settings.refresh_time_max
        self._nobody_home = self._refused = 0
        self._lock = threading.Lock()
        self.renewed: list[str] = []
        self.untold: list[str] = []
        self.found: dict[str, CharthouseError] = {}

    def run(self, link_ids: Sequence[str], *, only_due: bool = False) -> dict[str, CharthouseError]:
        """Renew these; what went other than well, by link."""
        for start in range(0, len(link_ids), SLICE):
            some = link_ids[start : start + SLICE]
            with state_session(self._settings, read_only=True) as state:
                # One statement: whether a link is due, and its tokens, belong to one moment.
                held = read_held(state, _due().where(Link.id.in_(some)) if only_due else some)
            self._work(held)
        return self.found

    def probe(self, link_ids: Sequence[str]) -> bool:
        """Whether another link of the same registration is renewed: then the provider knows us."""
        for link_id in link_ids:
            before = len(self.renewed)
            self.run([link_id])
            if len(self.renewed) > before:
                return True
        return False

    def _work(self, held: Mapping[str, Held]) -> None:
        waiting = deque(held.values())
        with GroupLedger(self._sealer, self._settings) as ledger:
            for _ in range(ROUNDS):
                taken: list[Held] = []
                most = min(self._settings.refresh_threads, len(waiting) or 1)
                with ThreadPoolExecutor(most, "refresh") as pool:
                    threads = [pool.submit(self._go_on, waiting, taken, ledger) for _ in range(most)]
                for thread in threads:
                    thread.result()
                if not taken:
                    return
                waiting = deque(taken)

    def _go_on(self, waiting: deque[Held], taken: list[Held], ledger: GroupLedger) -> None:
        """Take a few links at a time: their marks share a transaction, and their locks on PostgreSQL a connection."""
        while self._goes_on():
            few: dict[str, Held] = {}
            with suppress(IndexError):
                while len(few) < FEW:
                    held = waiting.popleft()
                    few[credential_lock(held.link_id)] = held
            if not few:
                return
            with exclusive_among(list(few), self._settings) as mine:
                self._renew_few([few[name] for name in mine], ledger)
            taken.extend(held for name, held in few.items() if name not in mine)

    def _renew_few(self, few: list[Held], ledger: GroupLedger) -> None:
        begun = [held for held, stood in zip(few, ledger.mark_all(few), strict=True) if stood]
        kept: list[tuple[Held, Begun, IssuedTokens]] = []
        for number, held in enumerate(begun):
            if not self._goes_on():
                for left in begun[number:]:
                    ledger.mark(left, begun=False)
                break
            mine = Begun(ledger)
            issued = self._renew(held, mine)
            if issued is not None:
                kept.append((held, mine, issued))
        for held, mine, issued in kept:
            if mine.kept():
                with self._lock:
                    self.renewed.append(held.link_id)
                    if issued.refresh_expires_at is None:
                        self.untold.append(held.link_id)

    def _goes_on(self) -> bool:
        """Whether it makes sense to ask for more."""
        if self._nobody_home >= GIVE_UP_AFTER or time.monotonic() > self._ends:
            return False
        return bool(self.renewed) or self._refused < REFUSED_MOST

    def _renew(self, held: Held, ledger: Ledger) -> IssuedTokens | None:
        def ask(refresh_token: str) -> IssuedTokens:
            self._hosts.enter(self._host, self._ends)
            return self._ask(refresh_token)

        try:
            issued = renew(held, ask, ledger, self._sealer)
        except FetchError as error:
            with self._lock:
                self.found[held.link_id] = error
                self._nobody_home = self._nobody_home + 1 if error.code in NOBODY_HOME else 0
                self._refused += error.code == "CH123"
            return None
        with self._lock:
            self._nobody_home = 0
        return issued


def _conclude(
    found: Mapping[str, CharthouseError], batch: _Batch, subject: str, report: RefreshReport, settings: Settings
) -> None:
    """Expire what ended, take back what works again, and tell the operator what only they can mend.

    A client that is refused for one link and accepted for others is that link's matter: athenahealth was seen to answer
    a spent grant with `invalid_client`. Refused for all, it is ours, and nobody expires for it.
    """
    report.renewed = len(batch.renewed)
    report.codes.update(error.code for error in found.values())
    refused = [link for link, error in found.items() if getattr(error, "what", "") in CLIENT_REFUSED]
    ended = [link for link, error in found.items() if error.code == "CH113"]
    others = [link for link, error in found.items() if error.code == "CH123" and link not in refused]
    if batch.renewed:
        ended += refused
        refused = []
    with state_session(settings, read_only=True) as state:
        standing = set(
            state.scalars(select(Link.id).where(Link.id.in_((refused + others)[:SLICE]), Link.status.in_(DUE)))
        )
    for start in range(0, len(ended), SLICE):
        with state_session(settings) as state:
            for link_id in sorted(ended[start : start + SLICE]):
                report.expired += _expire(state, link_id)
    with state_session(settings) as state:
        for code, met in (("CH646", refused), ("CH647", others)):
            if standing.intersection(met):
                alarms.raise_alarm(state, code, subject, count=len(met))
            elif batch.renewed:
                alarms.close_alarm(state, code, subject)
        back = state.scalars(select(Link.id).where(Link.id.in_(batch.renewed), Link.status == "expired")).all()
        for link_id in sorted(back):
            links.transition(state, link_id, "pending", "access_returned", "sync")
    report.returned = len(back)
    later = [link for link in found if link not in set(ended)]
    report.left = len(later)
    _later(later, settings)


def _expire(state: Session, link_id: str) -> bool:
    """Expire a link whose grant has ended. One that is expired already is tried again a day later, for a while."""
    link = links.get_link(state, link_id, lock=True)
    if link.status in DUE:
        links.transition(state, link_id, "expired", "authorization_ended", "sync")
        return True
    ends.note(state, link, learn=False)
    return False


def _due(at: datetime | None = None) -> Select[str]:
    """Links whose tokens are to be refreshed at an instant, or before the next look comes round."""
    at = (at or now()) + SOON
    return (
        select(Link.id)
        .join(Credential, Credential.link_id == Link.id)
        .join(Provider, Provider.slug == Link.provider)
        .where(
            Link.status.in_(ASKED),
            Provider.active,
            Credential.sealed_refresh.is_not(None),
            or_(Credential.next_refresh_at.is_(None), Credential.next_refresh_at <= at),
        )
    )


def _others(slug: str, link_ids: Sequence[str], settings: Settings) -> list[str]:
    """Two more links of a provider's registration, those that were renewed last."""
    with state_session(settings, read_only=True) as state:
        registration = get_provider(state, slug).registration
        same = Provider.slug == slug if registration is None else Provider.registration == registration
        query = (
            select(Link.id)
            .join(Credential, Credential.link_id == Link.id)
            .join(Provider, Provider.slug == Link.provider)
            .where(same, Link.provider == slug, Link.status.in_(DUE), Credential.sealed_refresh.is_not(None))
            .where(Link.id.not_in(list(link_ids)[:SLICE]))
            .order_by(Credential.access_seen_at.desc())
        )
        return list(state.scalars(query.limit(2)))


def _later(link_ids: Sequence[str], settings: Settings) -> None:
    """Look at these again in an hour."""
    at = now() + OFTEN
    for start in range(0, len(link_ids), SLICE):
        with state_session(settings) as state:
            some = list(link_ids[start : start + SLICE])
            state.execute(update(Credential).where(Credential.link_id.in_(some)).values(next_refresh_at=at))
