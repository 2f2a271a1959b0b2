"""Erasing: named steps from "nobody sees it any more" to a signed receipt. Killed anywhere, it begins anew.

Every step may run twice. What is looked for at the end is collected before anything goes, and sealed with the request
until a scan of all bytes finds nothing; only that closes a request. Several requests share the costly steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pyarrow import ArrowException
from sqlalchemy import select, update

from charthouse import faults
from charthouse.errors import CharthouseError, PrivacyError
from charthouse.lake.session import RECORDS, VAULT
from charthouse.linking import links
from charthouse.linking.disconnect import revoke
from charthouse.linking.identity import identity_of
from charthouse.linking.network_accounts import network_of, who_is
from charthouse.linking.registrations import client_of
from charthouse.log import get_logger
from charthouse.privacy import overtaking, receipts, requests, subjects, telling
from charthouse.privacy.erasers import airflow, databases, files, lakes, runs
from charthouse.privacy.erasers import state as state_rows
from charthouse.privacy.matching import Matcher
from charthouse.privacy.scan import Proof, scan
from charthouse.privacy.vocabulary import ordinary
from charthouse.settings import Settings, get_settings
from charthouse.state import audit, tombstones
from charthouse.state import session as state_session
from charthouse.state.base import now
from charthouse.state.locks import exclusive
from charthouse.state.models import Link, Person
from charthouse.state.notices import Delivery, Notice
from transforms.failures import FAILURES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from charthouse.privacy.subjects import Subject
    from charthouse.state.privacy import TombstoneKind

WAIT_SECONDS: Final = 1800.0
"""How long an erasure waits for another one of the same home."""
IN_THE_WAY: Final = (CharthouseError, OSError, *FAILURES, ArrowException)
"""What keeps a request from its end until the next try. Words of libraries may quote values: their class is noted."""
log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Erased:
    """What became of one request. Done with a receipt; or not yet, with the number of what is in the way, and where.

    One that an erasure of its person has taken in is done without a receipt of its own.
    """

    request_id: str
    receipt: Path | None = None
    code: str | None = None
    where: str = ""

    @property
    def done(self) -> bool:
        """Whether it is erased, and proven."""
        return self.code is None


def run(request_ids: Sequence[str], settings: Settings | None = None) -> list[Erased]:
    """Erase what these requests ask for, together. What is in the way is noted with each, and it is tried again.

    Raises:
        PrivacyError: CH900 when there is no such request.
        StateError: CH605 when the state database cannot be used, CH608 when another erasure does not end.
    """
    settings = settings or get_settings()
    with exclusive("erasing", settings, wait=WAIT_SECONDS):
        return _run(list(dict.fromkeys(request_ids)), settings)


def run_ready(settings: Settings | None = None, *, most: int = 100) -> list[Erased]:
    """Erase what is asked for and due: deletions of links and of people, `most` of them at once."""
    with state_session(settings, read_only=True) as state:
        due = [request_id for kind in requests.ERASING for request_id in requests.ready(state, kind)]
    return run(due[:most], settings) if due else []


def _run(request_ids: list[str], settings: Settings) -> list[Erased]:
    ended: dict[str, Erased] = {}
    begun: list[Subject] = []
    proven: list[Subject] = []
    new: list[Subject] = []
    for request_id in request_ids:
        try:
            subject, step, known = _begin(request_id, settings)
        except IN_THE_WAY as error:
            ended[request_id] = _stumbled(request_id, error, settings)
            continue
        if subject is None:
            ended[request_id] = _ended_before(request_id, settings)
        elif known:
            (proven if step in requests.PROVEN else begun).append(subject)
        else:
            new.append(subject)
    try:
        _collect(new, settings)
        begun += new
    except IN_THE_WAY as error:
        ended |= {subject.request_id: _stumbled(subject.request_id, error, settings) for subject in new}
    for subject in proven:  # while their people are there to be told
        ended[subject.request_id] = _guarded(subject, None, settings)
    begun = _without_overtaken(begun, ended, settings)
    for subject, proof in _erased(begun, ended, settings) if begun else ():
        ended[subject.request_id] = _guarded(subject, proof, settings)
    return [ended[request_id] for request_id in request_ids]


def _without_overtaken(begun: list[Subject], ended: dict[str, Erased], settings: Settings) -> list[Subject]:
    """Let erasures take in what else is asked for of their people; the others are left."""
    try:
        taken = overtaking.take_in(begun, settings)
    except IN_THE_WAY as error:
        ended |= {subject.request_id: _stumbled(subject.request_id, error, settings) for subject in begun}
        return []
    ended |= {request_id: Erased(request_id) for request_id in taken}
    return [subject for subject in begun if subject.request_id not in taken]


def _begin(request_id: str, settings: Settings) -> tuple[Subject | None, str, bool]:
    """The subject of a request, how far it has come, and whether all about it was collected before."""
    with state_session(settings) as state:
        request = requests.begin(state, request_id)
        if request is None:
            return None, "", False
        subject, step = subjects.load(request, settings), request.step
    if subject is not None:
        return subject, step, True
    return subjects.of_state(request, settings), step, False


def _collect(new: list[Subject], settings: Settings) -> None:
    """Seal what a proof needs, before anything is changed."""
    if not new:
        return
    subjects.collect(new, settings)
    plain = ordinary(set().union(*(subject.needles.soft for subject in new)), _words(new), settings)
    with state_session(settings) as state:
        for subject in new:
            subject.needles.forget(plain)
            subjects.save(state, subject, settings)
    faults.point("erase.collected")


def _erased(begun: list[Subject], ended: dict[str, Erased], settings: Settings) -> list[tuple[Subject, Proof]]:
    """Run the steps for all, and give back those of whom nothing was found. What is in the way stops all of them."""
    proof: list[Proof] = []
    steps: list[tuple[str, Callable[[], dict[str, int] | None]]] = [
        ("stop", lambda: _stop(begun, settings)),
        ("tombstones", lambda: _bury(begun, settings)),
        ("vault", lambda: lakes.delete_rows(VAULT, begun, settings)),
        ("records", lambda: lakes.delete_rows(RECORDS, begun, settings)),
        ("landing", lambda: runs.erase_landing(begun, settings)),
        ("staging", lambda: runs.erase_staging(begun, settings)),
        ("exports", lambda: files.erase_exports(begun, settings)),
        ("state", lambda: state_rows.erase(begun, settings)),
        ("uploads", lambda: files.erase_uploads(begun, settings)),  # once no row lets anybody append
        ("shelves", lambda: files.erase_shelves(begun, settings)),  # once nobody may be read
        ("mails", lambda: files.erase_mails(begun, settings)),
        ("logs", lambda: files.mask_logs(Matcher(_needles(begun), _words(begun)), settings)),
        ("airflow", lambda: airflow.erase(Matcher(_needles(begun), _words(begun)), settings)),
        ("revoke", lambda: _revoke(begun, settings)),
        ("rewrite_vault", lambda: lakes.rewrite(VAULT, settings)),
        ("rewrite_records", lambda: lakes.rewrite(RECORDS, settings)),
        ("statistics", lambda: databases.scrub(settings)),
        ("sweep", lambda: files.sweep(settings)),
        ("databases", lambda: databases.rewrite(settings)),
        ("scan", lambda: proof.append(scan(begun, settings))),
    ]
    name = ""
    try:
        for name, step in steps:
            taken = step() or {}
            if len(begun) == 1:  # of several, nobody can tell whose a file or a line was
                for place, number in taken.items():
                    begun[0].count(place, number)
            with state_session(settings) as state:
                for subject in begun:
                    requests.reach(state, subject.request_id, name)
                if taken and len(begun) == 1:
                    subjects.save(state, begun[0], settings)
            faults.point(f"erase.{name}")
    except IN_THE_WAY as error:
        for subject in begun:
            ended[subject.request_id] = _stumbled(subject.request_id, error, settings, where=name)
        return []
    clean = []
    for subject in begun:
        traces = proof[0].of(subject.request_id)
        if traces:
            where = ", ".join(sorted({trace.place for trace in traces}))
            found = PrivacyError(traces[0].code, where=where)
            ended[subject.request_id] = _stumbled(subject.request_id, found, settings)
        else:
            clean.append((subject, proof[0]))
    return clean


def _needles(begun: Sequence[Subject]) -> set[bytes]:
    return {needle for subject in begun for needle in subject.needles.hard | subject.needles.soft}


def _words(begun: Sequence[Subject]) -> set[bytes]:
    return {word for subject in begun for word in subject.needles.words}


def _stop(begun: Sequence[Subject], settings: Settings) -> None:
    """End the links: from here on no step of a night keeps anything of them, and nobody is told anything any more.

    Raises:
        PrivacyError: CH912 when a notice is on its way.
    """
    with state_session(settings) as state:
        for subject in begun:
            standing = set(
                state.scalars(select(Link.id).where(Link.id.in_(subject.link_ids), Link.status != "deleted"))
            )
            for link_id in sorted(standing):
                links.transition(state, link_id, "deleted", "deletion_asked", "person")
                if links.get_link(state, link_id).sync_status in ("waiting", "running"):
                    links.set_sync_status(state, link_id, "failed")
    people = [subject.person_key for subject in begun if subject.whole]
    with state_session(settings) as state:
        theirs = select(Notice.id).where(Notice.person_key.in_(people))
        waiting = update(Delivery).where(Delivery.notice_id.in_(theirs), Delivery.status == "waiting")
        state.execute(waiting.values(status="suppressed").execution_options(synchronize_session=False))
        on_the_way = select(Delivery.id).where(
            Delivery.notice_id.in_(theirs), Delivery.status == "sending", Delivery.lease_until > now()
        )
        if state.scalar(on_the_way.limit(1)) is not None:
            raise PrivacyError("CH912", where="mails")


def _bury(begun: Sequence[Subject], settings: Settings) -> None:
    keys: list[tuple[TombstoneKind, str]] = []
    for subject in begun:
        if subject.whole:
            keys.append(("person", subject.person_key))
        keys.extend(("link", link_id) for link_id in subject.link_ids)
        keys.extend(("patient", tombstones.patient_key(provider, patient)) for provider, patient in subject.patients)
    tombstones.bury(keys, settings)


def _revoke(begun: Sequence[Subject], settings: Settings) -> None:
    """Tell providers, as well as it goes: a provider that does not listen keeps nobody from being erased."""
    for subject in begun:
        for grant in list(subject.grants):
            try:
                if "partner" in grant:
                    revoked = _tell_partner(grant, settings)
                else:
                    with state_session(settings, read_only=True) as state:
                        client = client_of(state, str(grant["provider"]), settings)
                    revoked, _ = revoke(str(grant["base"]), client, grant["access"], grant["refresh"])
            except CharthouseError as error:
                log.warning("tokens were not revoked at the provider", code=error.code)
                revoked = False
            if revoked:
                subject.grants.remove(grant)
                subject.count("grants revoked at the provider", 1)
        with state_session(settings) as state:
            subjects.save(state, subject, settings)


def _tell_partner(grant: Mapping[str, str | None], settings: Settings) -> bool:
    """Have a partner delete a person, or one connection of theirs. Whether it was told."""
    network = network_of(str(grant["partner"]), settings)
    try:
        if grant["organization"] is None:
            return network.forget(str(grant["person"]))
        with state_session(settings, read_only=True) as state:
            person = state.get(Person, str(grant["person"]))
            identity = None if person is None else identity_of(person, settings)
        if identity is None:
            return False
        network.delete(who_is(str(grant["person"]), identity), grant["organization"])
        return True
    finally:
        network.close()


def _close(subject: Subject, proof: Proof | None, settings: Settings) -> Erased:
    """Issue the receipt, tell its person, and forget whom it was about."""
    receipt = receipts.issue(subject, proof or Proof(), settings)
    with state_session(settings) as state:
        requests.reach(state, subject.request_id, "receipt")
        subjects.save(state, subject, settings)
    faults.point("erase.receipt")
    told = telling.told(subject, settings)
    with state_session(settings) as state:
        requests.reach(state, subject.request_id, "tell")
        subjects.save(state, subject, settings)
    faults.point("erase.tell")
    with state_session(settings) as state:
        request = requests.find(state, subject.request_id)
        if not told and (now() - request.asked_at).total_seconds() < settings.notices_max_age:
            raise PrivacyError("CH912", where="mails", what="it is erased and proven; its person could not be told yet")
        forget = subject.whole or state.get(Person, subject.person_key) is None
        requests.close(state, subject.request_id, receipt_id=subject.receipt_id, forget=forget)
        audit.record(
            state, "sync", f"{subject.kind}.done", "request", subject.request_id, {"receipt": subject.receipt_id}
        )
    faults.point("erase.closed")
    log.info("a request was erased and proven", request_id=subject.request_id, kind=subject.kind)
    return Erased(subject.request_id, receipt)


def _guarded(subject: Subject, proof: Proof | None, settings: Settings) -> Erased:
    try:
        return _close(subject, proof, settings)
    except IN_THE_WAY as error:
        return _stumbled(subject.request_id, error, settings)


def _ended_before(request_id: str, settings: Settings) -> Erased:
    with state_session(settings, read_only=True) as state:
        request = requests.find(state, request_id)
    if request.status == "done" and request.receipt_id:
        return Erased(request_id, receipts.file_of(request.receipt_id, settings))
    if request.code == requests.OVERTAKEN:
        return Erased(request_id)
    return Erased(request_id, code="CH901", where=request.status)


def _stumbled(request_id: str, error: Exception, settings: Settings, *, where: str = "") -> Erased:
    """Note what is in the way, and where: the place, or else the step. A system's words may name a file: left out."""
    own = error if isinstance(error, CharthouseError) else PrivacyError("CH911", where=where, what=type(error).__name__)
    log.warning("an erasure has not ended", request_id=request_id, code=own.code, place=own.where)
    gone = own.code == "CH602"  # somebody else erased them meanwhile, and closed that request
    with state_session(settings) as state:
        requests.stumble(state, request_id, own.code, final=gone)
    return Erased(request_id, code=own.code, where=" · ".join(filter(None, (own.where, own.what))))
