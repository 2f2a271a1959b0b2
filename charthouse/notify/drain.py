"""The drain: sends what is due, several drains at once if need be, each delivery by one of them.

A batch is taken up under a lease and committed as `sending`, sent by a few threads, and noted in groups. A drain that
is killed leaves deliveries `sending`; when their lease ends another takes them up under the same ids. So nothing is
lost, and what is sent again (at most the `UNNOTED` that were on their way or not yet noted) is the same message to a
receiver that knows ids: `webhook-id`, Message-ID.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from charthouse import faults
from charthouse.clock import now
from charthouse.errors import NoticeError, SetupError
from charthouse.log import get_logger
from charthouse.notify.channels.carriers import Carrier, carrier_for
from charthouse.notify.channels.outcomes import Outcome
from charthouse.notify.leases import Settled, claim, settle
from charthouse.notify.parcels import Packer
from charthouse.notify.planning import plan
from charthouse.notify.schedule import next_try
from charthouse.notify.secrets import ensure_unsubscribe_key, webhook_secrets
from charthouse.settings import Settings, get_settings
from charthouse.state import session
from charthouse.state.notices import CHANNELS

if TYPE_CHECKING:
    from datetime import datetime

    from charthouse.notify.parcels import Item, Parcel
    from charthouse.state.notices import Channel

BATCH: Final = 500
UNNOTED: Final = 128
"""Most parcels that are on their way, or whose outcome is not noted yet: no more is sent before."""
GROUP: Final = UNNOTED // 2
"""Most parcels whose outcomes are noted in one transaction …"""
GROUP_SECONDS: Final = 0.2
"""… and how often those of fewer are."""
LEASE: Final = timedelta(minutes=10)
START_WITHIN: Final = LEASE.total_seconds() / 2
"""Seconds of a lease in which sending may begin: the rest is for the slowest answer."""
_log = get_logger(__name__)


@dataclass(slots=True)
class DrainReport:
    """What a drain did: `planned` notices, and deliveries by channel and result.

    A result is `sent`, `again`, `undeliverable`, `suppressed`, or `later` (not tried: it is a quiet hour, or the
    receiver was found down).
    """

    planned: int = 0
    counts: Counter[tuple[Channel, str]] = field(default_factory=Counter)

    def count(self, result: str) -> int:
        """How many deliveries ended so, over all channels."""
        return sum(number for (_, ended), number in self.counts.items() if ended == result)


class _Done(NamedTuple):
    parcel: Parcel
    outcome: Outcome
    at: datetime


class _Outcomes:
    """Outcomes on their way from the threads that send to the one that notes, which is woken once a group."""

    def __init__(self, expected: int) -> None:
        self.expected = expected
        self._done: deque[_Done] = deque()
        self._enough = threading.Event()

    def put(self, done: _Done) -> None:
        """Hand one over."""
        self._done.append(done)
        if len(self._done) >= min(GROUP, self.expected):
            self._enough.set()

    def wait(self) -> list[_Done]:
        """The next group: when there are enough, when no more are expected, or after a while."""
        self._enough.wait(GROUP_SECONDS)
        self._enough.clear()
        return self.take()

    def take(self) -> list[_Done]:
        """What is there."""
        taken = [self._done.popleft() for _ in range(len(self._done))]
        self.expected -= len(taken)
        return taken


def drain(*, limit: int | None = None, settings: Settings | None = None, seconds: float | None = None) -> DrainReport:
    """Plan what is new and send what is due, until nothing is, `limit` deliveries were taken up, or `seconds` passed.

    Raises:
        StateError: CH605 when the state database cannot be used.
        SetupError: CH006 when the key does not open what is sealed.
    """
    settings = settings or get_settings()
    report = DrainReport()
    ends = None if seconds is None else time.monotonic() + seconds
    while planned := _plan(settings):
        report.planned += planned
    left = limit
    with _Van(settings, report) as van:
        while (left is None or left > 0) and (ends is None or time.monotonic() < ends):
            taken = van.round(BATCH if left is None else min(BATCH, left))
            if not taken:
                break
            left = None if left is None else left - taken
    if report.planned or report.counts:
        told = {f"{channel}_{result}": number for (channel, result), number in sorted(report.counts.items())}
        _log.info("notices drained", planned=report.planned, **told)
    return report


def _plan(settings: Settings) -> int:
    with session(settings) as state:
        return plan(state, settings)


class _Van:
    """Carriers, each made when the first parcel needs it, and the threads that drive them."""

    def __init__(self, settings: Settings, report: DrainReport) -> None:
        self._settings = settings
        self._report = report
        self._threads = ThreadPoolExecutor(settings.notice_threads, thread_name_prefix="notice")
        self._carriers: dict[Channel, Carrier] = {}
        self._packer: Packer | None = None
        self._secrets: list[str] = []
        self._unnoted = threading.Semaphore(UNNOTED)
        self._stopping = False

    def __enter__(self) -> _Van:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(cancel_futures=True)
        for carrier in self._carriers.values():
            carrier.close()

    def round(self, limit: int) -> int:
        """Take up to `limit` deliveries up, send them, note what became of them. Returns how many there were."""
        blown = {channel for channel, carrier in self._carriers.items() if carrier.fuse.blown}
        start_by = time.monotonic() + START_WITHIN
        with session(self._settings) as state:
            claimed = claim(state, set(CHANNELS) - blown, limit, now() + LEASE)
        if not claimed:
            return 0
        faults.point("notices.claimed")
        packer = self._packer or self._make_packer()
        with session(self._settings) as state:
            parcels, settled = packer.pack(state, claimed, now())
            settle(state, settled)
        channels = {each.delivery_id: each.channel for each in claimed}
        for each in settled:
            self._report.counts[channels[each.delivery_id], "later" if each.status == "waiting" else each.status] += 1
        for parcel in parcels:
            if parcel.channel not in self._carriers:
                self._carriers[parcel.channel] = carrier_for(parcel.channel, self._settings, self._secrets)
        self._send_all(parcels, start_by)
        return len(claimed)

    def _make_packer(self) -> Packer:
        with session(self._settings) as state:
            self._secrets = [secret.text for secret in webhook_secrets(state, self._settings)]
            self._packer = Packer(self._settings, ensure_unsubscribe_key(state, self._settings))
        return self._packer

    def _send_all(self, parcels: list[Parcel], start_by: float) -> None:
        done = _Outcomes(len(parcels))
        futures = [self._threads.submit(self._send, parcel, start_by, done) for parcel in parcels]
        group: list[_Done] = []
        try:
            while done.expected:
                group = done.wait()
                if not group:  # a receiver that takes its time
                    continue
                self._note(group)
                self._unnoted.release(len(group))
                group = []
        finally:
            if done.expected or group:  # stopped: what is on its way is awaited and noted, the rest is given back
                self._stopping = True
                self._unnoted.release(len(parcels))
                never = [parcel for parcel, future in zip(parcels, futures, strict=True) if future.cancel()]
                wait_for(futures)
                back = [_Done(parcel, Outcome("later", asked=0.0), now()) for parcel in never]
                self._note([*group, *done.take(), *back])

    def _send(self, parcel: Parcel, start_by: float, done: _Outcomes) -> None:
        self._unnoted.acquire()
        outcome = Outcome("later", asked=0.0) if self._stopping else self._outcome(parcel, start_by)
        done.put(_Done(parcel, outcome, now()))

    def _outcome(self, parcel: Parcel, start_by: float) -> Outcome:
        carrier = self._carriers[parcel.channel]
        if carrier.fuse.blown:
            return carrier.fuse.blown
        if time.monotonic() > start_by:
            return Outcome("later", asked=0.0)
        assert self._packer is not None  # noqa: S101 - `round` made it
        try:
            return carrier.send(self._packer.write(parcel))
        except NoticeError as error:
            return Outcome("undeliverable", error.code)
        except SetupError as error:  # the key: the operator's to mend
            return Outcome("again", error.code)
        except Exception:  # one notice that cannot be written must not keep the others
            _log.exception("a notice could not be sent", delivery=parcel.items[0].claimed.delivery_id)
            return Outcome("again", "CH721")

    def _note(self, group: list[_Done]) -> None:
        if not group:
            return
        faults.point("notices.sent")
        noted_at = now()  # one instant, and so one statement, for all that were sent
        with session(self._settings) as state:
            settle(state, [self._settled(item, each, noted_at) for each in group for item in each.parcel.items])

    def _settled(self, item: Item, done: _Done, noted_at: datetime) -> Settled:
        claimed, outcome = item.claimed, done.outcome
        tries, again, status = claimed.tries, None, outcome.result
        if outcome.result == "again":
            again = next_try(tries, done.at, outcome.asked)
            oldest = item.facts.created_at + timedelta(seconds=self._settings.notices_max_age)
            if again is None or again > oldest:
                again, status = None, "undeliverable"
            else:
                again = done.parcel.wish.next_loud(again)
        elif outcome.result == "later":
            tries -= 1
            again = done.at + timedelta(seconds=outcome.asked or 0.0)
        self._report.counts[claimed.channel, status] += 1
        return Settled(
            claimed.delivery_id,
            claimed.lease,
            "waiting" if again else "sent" if status == "sent" else "undeliverable",
            tries,
            outcome.code or (None if status == "sent" else claimed.code),
            again,
            noted_at if status == "sent" else None,
        )
