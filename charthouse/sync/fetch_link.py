"""The fetch of one link: its queries one after the other, then what the person's resources point at."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeVar

from charthouse import faults
from charthouse.errors import CharthouseError, FetchError
from charthouse.log import get_logger
from charthouse.partners.paging import walk
from charthouse.partners.scopes import parse_scopes
from charthouse.partners.search import (
    REFERENCED_TYPES,
    LinkPlan,
    Query,
    TypePlan,
    plan_link,
    plan_reference_reads,
    plan_reference_searches,
)
from charthouse.sync import landing
from charthouse.sync.harvest import Harvest
from charthouse.sync.landing import Manifest, Outcome, QueryRecord
from transforms.bundles import read_page, references, resource_stub

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path
    from typing import TypeAlias

    from charthouse.partners.capability import Capability
    from charthouse.partners.http import Answer, HttpClient
    from charthouse.settings import Settings
    from charthouse.sync.link_job import LinkJob, TokenSource

    Presence: TypeAlias = Callable[[str], AbstractContextManager[bool]]

GIVE_UP_AFTER: Final = 4
"""Queries in a row that found nobody at home (CH101, CH109) before the link is left for the next night."""
TOKEN_AGE: Final = 30.0
"""Seconds for which a token is used before the source is asked whether it is still the one."""
_TURNED_AWAY: Final = frozenset({"refused", "not_permitted"})
T = TypeVar("T")
log = get_logger(__name__)
_NOBODY_HOME: Final = frozenset({"CH101", "CH109"})


@contextmanager
def always(_link_id: str) -> Iterator[bool]:
    """Every link is there."""
    yield True


class _LinkStoppedError(Exception):
    """Nothing more can be had from this link now."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


class LinkFetch:
    """Fetches one link into its folder. Used once."""

    def __init__(
        self,
        job: LinkJob,
        folder: Path,
        client: HttpClient,
        offer_of: Callable[[str, str], Capability],
        tokens: TokenSource,
        settings: Settings,
        present: Presence | None = None,
    ) -> None:
        self._job = job
        self._base_url = job.base_url.rstrip("/")
        self._folder = folder
        self._client = client
        self._offer_of = offer_of
        self._tokens = tokens
        self._settings = settings
        self._present = present or always
        self._token = ""
        self._token_since = float("-inf")
        self._readable: str | None = None
        self._records: dict[str, QueryRecord] = {}
        self._plan = LinkPlan((), {})
        self._not_offered: set[str] = set()
        self._pointed_at: set[str] = set()
        self._received: set[str] = set()
        self._number = 0
        self._referenced = 0
        self._nobody_home = 0

    def run(self) -> Manifest | None:
        """Fetch what is not there yet and close the landing with its manifest; None where the link is gone by then."""
        done = landing.read_manifest(self._folder)
        if done is not None:
            return done
        with self._present(self._job.link_id) as here:
            if not here:
                return None
            records = landing.resume(self._folder)
        try:
            return self._fetch(records)
        except FileNotFoundError:
            if self._folder.exists():
                raise
            return None  # its person, or the link alone, was erased under our hands

    def _fetch(self, records: list[QueryRecord]) -> Manifest | None:
        self._take_up(records)
        stopped = None
        try:
            self._ask_everything()
        except _LinkStoppedError as error:
            stopped = error.code
        except OSError:
            raise  # the landing cannot be written: no link's matter
        except Exception:
            # What nobody thought of costs this link, and not the hundred beside it.
            log.exception("the fetch of a link broke", link_id=self._job.link_id)
            stopped = "CH126"
        manifest = self._manifest(stopped)
        faults.point("fetch.marker")
        with self._present(self._job.link_id) as here:
            if not here:
                return None
            landing.write_manifest(self._folder, manifest)
        faults.point("fetch.link")
        return manifest

    def _take_up(self, records: list[QueryRecord]) -> None:
        """Go on where a killed fetch was: its finished queries count, and what they point at is found again."""
        for record in records:
            self._records[record.label] = record
            if record.file is None:
                continue
            self._number = max(self._number, int(record.file.split(".", 1)[0]) + 1)
            for body in landing.read_pages(self._folder / record.file):
                for entry in read_page(body).entries:
                    kind, name, _ = resource_stub(entry.raw)
                    self._note(body=entry.raw, names=[(kind, name)])

    def _ask_everything(self) -> None:
        try:
            offer = self._with_token(lambda token: self._offer_of(self._base_url, token))
        except FetchError as error:
            raise _LinkStoppedError(error.code) from None
        scopes = parse_scopes(self._job.granted_scopes or "")
        self._plan = plan_link(offer, self._job.patient_id, scopes, self._job.watermarks, self._settings.page_size)
        for plan in self._plan.types:
            self._ask_type(plan)
        self._ask_references(offer)

    def _ask_type(self, plan: TypePlan) -> None:
        if plan.whole is not None and self._ask(plan.whole).status not in _TURNED_AWAY:
            return
        for part in plan.parts:
            self._ask(part)

    def _ask(self, query: Query) -> QueryRecord:
        """One query to its end, and its record in the journal. What is in the journal already is not asked again."""
        known = self._records.get(query.label)
        if known is not None:
            return known
        harvest = self._gather(query)
        if harvest.status == "refused" and query.can_be_plainer:
            harvest = self._gather(query.plain())
        while harvest.code == "CH120" and (smaller := harvest.query.smaller()):
            harvest = self._gather(smaller)
        record = self._close(harvest)
        self._nobody_home = self._nobody_home + 1 if record.code in _NOBODY_HOME and not record.pages else 0
        if self._nobody_home >= GIVE_UP_AFTER and record.code is not None:
            raise _LinkStoppedError(record.code)
        return record

    def _gather(self, query: Query) -> Harvest:
        harvest = Harvest(query, self._folder / landing.file_name(self._number, query.label))
        try:
            self._pour(query, harvest)
        except _LinkStoppedError:
            self._close(harvest)
            raise
        return harvest

    def _pour(self, query: Query, harvest: Harvest, most: int | None = None) -> str | None:
        """Land the pages of a query, `most` at most. A fault ends it, is the harvest's, and is returned by its code."""
        try:
            for page in walk(self._get, self._base_url, query, most or self._settings.max_pages):
                harvest.add(page)
                self._note(page.answer.body, ((peek.type, peek.id) for peek in page.resources))
                faults.point("fetch.page")
        except FetchError as error:
            harvest.fail(error.code)
        except _LinkStoppedError as error:
            harvest.fail(error.code)
            raise
        return harvest.code

    def _close(self, harvest: Harvest) -> QueryRecord:
        record = harvest.close()
        self._records[record.label] = record
        if record.file is not None and not landing.is_reference(record):
            self._number += 1
        landing.append_journal(self._folder, record)
        faults.point("fetch.query")
        return record

    def _note(self, body: bytes, names: Iterable[tuple[str | None, str | None]]) -> None:
        """Remember what was received, and what it points at among the types that belong to nobody."""
        self._received.update(f"{kind}/{name}" for kind, name in names if kind in REFERENCED_TYPES)
        self._pointed_at.update(
            target for target in references(body, self._base_url) if target.partition("/")[0] in REFERENCED_TYPES
        )

    # -- what the resources point at --------------------------------------------------------------------------------

    def _ask_references(self, offer: Capability) -> None:
        """Read what was pointed at and not received, until what came points at nothing new."""
        asked: set[str] = set()
        harvests: dict[str, Harvest] = {}
        try:
            while self._ask_reference_round(offer, asked, harvests):
                pass
        finally:
            for kind, harvest in harvests.items():
                missing = sum(1 for target in asked - self._received if target.startswith(f"{kind}/"))
                if missing and harvest.code is None:
                    harvest.remarks["CH116"] = missing
                self._close(harvest)

    def _ask_reference_round(self, offer: Capability, asked: set[str], harvests: dict[str, Harvest]) -> bool:
        """Ask once for what is known to be missing. Returns whether there was anything to ask for."""
        before = len(asked)
        for kind in REFERENCED_TYPES:
            wanted = {target for target in self._pointed_at - self._received - asked if target.startswith(f"{kind}/")}
            if not wanted or self._plan.not_requested.get(kind) == "not_permitted":
                continue
            if kind not in offer.types or not (offer.has_id(kind) or offer.types[kind].can_read):
                self._not_offered.add(kind)
                continue
            asked |= wanted
            if kind not in harvests:
                file = self._folder / landing.file_name("referenced", kind)
                harvests[kind] = Harvest(Query(kind, f"{kind}?_id", kind, ()), file)
            if harvests[kind].code is None:
                self._read_referenced(harvests[kind], [target.partition("/")[2] for target in wanted], offer)
        return len(asked) > before

    def _read_referenced(self, harvest: Harvest, ids: list[str], offer: Capability) -> None:
        """Read some resources of one type: by `_id`, or one by one where the server has no such search."""
        kind = harvest.query.type
        if offer.has_id(kind):
            code = None
            for query in plan_reference_searches(kind, ids, self._settings.page_size):
                code = self._refer(query, harvest, len(ids))
                if code is not None:
                    break
            if code not in {"CH103", "CH111"} or not offer.types[kind].can_read:
                return
            harvest.forgive()
        wanted = {name for name in ids if f"{kind}/{name}" not in self._received}
        for query in plan_reference_reads(kind, wanted):
            code = self._refer(query, harvest, 1)
            if code in {"CH104", "CH111"}:
                harvest.forgive()  # this one is not to be had; it counts as missing
            elif code is not None:
                return

    def _refer(self, query: Query, harvest: Harvest, ids: int) -> str | None:
        """One search or read of what is pointed at. Resources may point on and on; our requests have an end."""
        self._referenced += 1
        if self._referenced > self._settings.max_pages:
            harvest.fail("CH110")
            return harvest.code
        return self._pour(query, harvest, ids + 1)

    # -- talking to the server --------------------------------------------------------------------------------------

    def _get(self, url: str) -> Answer:
        """One GET with this link's token."""
        answer = self._with_token(lambda token: self._client.get(url, token=token or None))
        self._readable = self._readable or url
        return answer

    def _with_token(self, ask: Callable[[str], T]) -> T:
        """Ask with this link's token. One that is refused is renewed once; one that is good elsewhere costs the query.

        Raises:
            FetchError: as `ask`.
            _LinkStoppedError: the token is refused, or the time has run out.
        """
        try:
            for renew in (False, True):
                try:
                    return ask(self._access_token(renew=renew))
                except FetchError as error:
                    if error.code != "CH102" or self._is_good_elsewhere():
                        raise
        except FetchError as error:
            if error.code == "CH124":
                raise _LinkStoppedError(error.code) from None
            raise
        raise _LinkStoppedError("CH102")

    def _is_good_elsewhere(self) -> bool:
        """Whether the token still opens what it opened before."""
        if self._readable is None:
            return False
        try:
            self._client.get(self._readable, token=self._token or None)
        except FetchError as error:
            if error.code != "CH102":
                raise
            return False
        return True

    def _access_token(self, *, renew: bool = False) -> str:
        if renew or time.monotonic() - self._token_since > TOKEN_AGE:
            try:
                self._token = self._tokens(self._job.link_id, renew)
            except CharthouseError as error:
                raise _LinkStoppedError(error.code) from None
            self._token_since = time.monotonic()
        return self._token

    # -- the account ------------------------------------------------------------------------------------------------

    def _manifest(self, stopped: str | None) -> Manifest:
        if stopped is not None:
            self._give_up_the_rest(stopped)
        records = tuple(self._records.values())
        trouble = bool(self._types_of(records, frozenset({"refused"}))) or any(
            record.status in {"partial", "failed"} for record in records
        )
        if stopped is not None:
            status: landing.LinkStatus = "partial" if any(record.file for record in records) else "failed"
        elif not trouble:
            status = "complete"
        else:
            got = any(record.status in {"complete", "partial"} for record in records)
            status = "partial" if got else "failed"
        return Manifest(
            link_id=self._job.link_id,
            status=status,
            queries=records,
            outcomes=tuple(self._outcomes(records, stopped)),
            not_requested={**self._plan.not_requested, **dict.fromkeys(sorted(self._not_offered), "not_offered")},
        )

    def _give_up_the_rest(self, code: str) -> None:
        for plan in self._plan.types:
            for query in [plan.whole] if plan.whole is not None else plan.parts:
                if query.label not in self._records:
                    harvest = Harvest(query, self._folder / "none")
                    harvest.fail(code)
                    self._records[query.label] = harvest.close()

    @staticmethod
    def _types_of(records: Iterable[QueryRecord], statuses: frozenset[str]) -> set[str]:
        """Types of which every search ended in one of these."""
        found: dict[str, set[str]] = {}
        for record in records:
            if not landing.is_reference(record):
                found.setdefault(record.type, set()).add(record.status)
        return {kind for kind, ended in found.items() if ended <= statuses}

    def _outcomes(self, records: Iterable[QueryRecord], stopped: str | None) -> Iterable[Outcome]:
        if stopped is not None:
            yield Outcome(code=stopped, unit="link", resource_type=None, label=None, count=1)
        not_had = self._types_of(records, _TURNED_AWAY)
        in_parts = {record.type for record in records if record.label == record.type and record.status in _TURNED_AWAY}
        for record in records:
            # A whole type that was turned away, and then had by its parts, is no loss; one that was not is one loss.
            told = (record.label == record.type) == (record.type in not_had)
            silent = record.status in _TURNED_AWAY and record.type in in_parts and not told
            if record.code is not None and not silent and not (record.code == stopped and not record.pages):
                yield Outcome(code=record.code, unit="type", resource_type=record.type, label=record.label, count=1)
            for code, count in record.remarks.items():
                unit: landing.Unit = "resource" if code in {"CH116", "CH125"} else "type"
                yield Outcome(code=code, unit=unit, resource_type=record.type, label=record.label, count=count)
        for kind, reason in self._plan.not_requested.items():
            if reason == "not_permitted":
                yield Outcome(code="CH103", unit="type", resource_type=kind, label=kind, count=1)
        for plan in self._plan.types:
            for label in plan.withheld:
                yield Outcome(code="CH103", unit="type", resource_type=plan.type, label=label, count=1)
